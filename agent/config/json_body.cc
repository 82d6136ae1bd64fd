#include "agent/config/json_body.h"

#include <algorithm>
#include <map>
#include <set>

#include "init/json/reader.h"

namespace steppe::config {
namespace {

constexpr uint32_t kMaxDepth = 64;

class BodyReader {
 public:
  BodyReader(const hcl::Source& source, hcl::Diagnostics& diagnostics)
      : source_(source),
        diagnostics_(diagnostics),
        reader_(source.text, {.max_bytes = hcl::kMaxSourceBytes, .max_depth = kMaxDepth}) {}

  hcl::Body run() {
    hcl::Body body;
    if (reader_.next() != json::Kind::kObject) {
      if (!reader_.failed()) fail("Invalid configuration", "Expected an object: {\"name\": value, …}.");
    } else if (read_object(body) && reader_.next() != json::Kind::kEnd) {
      report();
    }
    if (reader_.failed()) report();
    return body;
  }

 private:
  hcl::Range here() const {
    return {static_cast<uint32_t>(reader_.token_offset()), static_cast<uint32_t>(reader_.offset())};
  }
  bool fail(std::string summary, std::string detail) {
    diagnostics_.error(source_, here(), std::move(summary), std::move(detail));
    return false;
  }
  // The reader stands still after its first error; it is told once.
  bool report() {
    if (!reported_) diagnostics_.error(source_, here(), "Invalid JSON", reader_.error().message() + ".");
    reported_ = true;
    return false;
  }

  bool read_object(hcl::Body& body) {
    body.range = here();
    std::set<std::string, std::less<>> seen;
    for (;;) {
      json::Kind kind = reader_.next();
      if (kind == json::Kind::kObjectEnd) {
        body.range.end = here().end;
        return true;
      }
      if (kind != json::Kind::kKey) return report();
      std::string name(reader_.text());
      hcl::Range place = here();
      if (!seen.insert(name).second) return fail("Attribute redefined", "The key \"" + name + "\" is given twice.");
      // "//" is how JSON files carry comments.
      if (name == "//") {
        if (!reader_.skip()) return report();
        continue;
      }
      if (!read_member(body, name, place)) return false;
    }
  }

  bool read_member(hcl::Body& body, const std::string& name, hcl::Range place) {
    json::Kind kind = reader_.next();
    if (kind == json::Kind::kObject) return read_block(body, name, place);
    if (kind == json::Kind::kArray) return read_array(body, name, place);
    hcl::ExprPtr expr;
    if (!read_scalar(kind, expr)) return false;
    body.attributes.push_back({name, place, std::move(expr)});
    return true;
  }

  bool read_block(hcl::Body& body, const std::string& name, hcl::Range place) {
    hcl::Block block;
    block.type = name;
    block.type_range = block.header = place;
    if (!read_object(block.body)) return false;
    body.blocks.push_back(std::move(block));
    return true;
  }

  // Scalars make a list; objects make blocks; both in one make no sense.
  bool read_array(hcl::Body& body, const std::string& name, hcl::Range place) {
    hcl::TupleExpr list;
    hcl::Range range = here();
    size_t blocks = 0;
    for (;;) {
      json::Kind kind = reader_.next();
      if (kind == json::Kind::kArrayEnd) break;
      if (kind == json::Kind::kObject) {
        if (!list.items.empty()) return fail("Invalid list", "A list holds either objects or plain values.");
        if (!read_block(body, name, place)) return false;
        ++blocks;
        continue;
      }
      if (kind == json::Kind::kArray)
        return fail("Invalid list", "Lists inside lists are not used in a configuration.");
      if (blocks != 0) return fail("Invalid list", "A list holds either objects or plain values.");
      if (!read_scalar(kind, list.items.emplace_back())) return false;
    }
    if (blocks != 0) return true;
    auto expr = std::make_unique<hcl::Expr>();
    expr->range = {range.start, here().end};
    expr->depth = 2;
    expr->node = std::move(list);
    body.attributes.push_back({name, place, std::move(expr)});
    return true;
  }

  bool read_scalar(json::Kind kind, hcl::ExprPtr& into) {
    hcl::Value value;
    switch (kind) {
      case json::Kind::kNull: break;
      case json::Kind::kTrue:
      case json::Kind::kFalse: value = hcl::Value(kind == json::Kind::kTrue); break;
      case json::Kind::kString: value = hcl::Value(reader_.text()); break;
      case json::Kind::kNumber: {
        auto number = hcl::Number::parse(reader_.text());
        if (!number.ok()) return fail("Invalid number", number.error().message() + ".");
        value = hcl::Value(*number);
        break;
      }
      default: return report();
    }
    into = std::make_unique<hcl::Expr>();
    into->range = here();
    into->node = hcl::LiteralExpr{std::move(value)};
    return true;
  }

  const hcl::Source& source_;
  hcl::Diagnostics& diagnostics_;
  json::Reader reader_;
  bool reported_ = false;
};

bool has_plain_keys(const hcl::ObjectExpr& object) {
  return std::all_of(object.items.begin(), object.items.end(), [](const hcl::ObjectExpr::Item& item) {
    const auto* key = std::get_if<hcl::LiteralExpr>(&item.key->node);
    return key && key->value.kind() == hcl::Kind::kString;
  });
}

hcl::Block block_of(const std::string& name, hcl::Range place, hcl::Expr& expr) {
  hcl::Block block;
  block.type = name;
  block.type_range = block.header = place;
  block.body.range = expr.range;
  for (hcl::ObjectExpr::Item& item : std::get<hcl::ObjectExpr>(expr.node).items) {
    block.body.attributes.push_back(
        {std::get<hcl::LiteralExpr>(item.key->node).value.string(), item.key->range, std::move(item.value)});
  }
  return block;
}

}  // namespace

hcl::Body parse_json_body(const hcl::Source& source, hcl::Diagnostics& diagnostics) {
  return BodyReader(source, diagnostics).run();
}

void objects_to_blocks(hcl::Body& body) {
  std::vector<hcl::Attribute> kept;
  for (hcl::Attribute& attribute : body.attributes) {
    auto* object = std::get_if<hcl::ObjectExpr>(&attribute.expr->node);
    if (object && has_plain_keys(*object)) {
      body.blocks.push_back(block_of(attribute.name, attribute.name_range, *attribute.expr));
      continue;
    }
    auto* list = std::get_if<hcl::TupleExpr>(&attribute.expr->node);
    bool objects = list && !list->items.empty() &&
                   std::all_of(list->items.begin(), list->items.end(), [](const hcl::ExprPtr& item) {
                     const auto* one = std::get_if<hcl::ObjectExpr>(&item->node);
                     return one && has_plain_keys(*one);
                   });
    if (objects) {
      for (hcl::ExprPtr& item : list->items)
        body.blocks.push_back(block_of(attribute.name, attribute.name_range, *item));
      continue;
    }
    kept.push_back(std::move(attribute));
  }
  body.attributes = std::move(kept);
  for (hcl::Block& block : body.blocks) objects_to_blocks(block.body);
}

}  // namespace steppe::config
