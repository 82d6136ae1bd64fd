#include "agent/config/section.h"

#include <format>

#include "init/base/text.h"

namespace steppe::config {

using hcl::Type;
using hcl::Value;

std::optional<Value> Section::evaluate(const hcl::Attribute& attribute) {
  static const hcl::FunctionTable kNoFunctions;
  const hcl::Expr& expr = *attribute.expr;
  // "${…}" inside a text means something to others and stays; a bare name is a text without its quotes.
  auto unknown = std::holds_alternative<hcl::ReferenceExpr>(expr.node) &&
                         !reading_.source.text.substr(0, expr.range.start).ends_with("${")
                     ? hcl::UnknownName::kError
                     : hcl::UnknownName::kKeepText;
  hcl::Evaluation evaluation{reading_.source, nullptr, kNoFunctions, reading_.budget, reading_.diagnostics, unknown};
  return hcl::evaluate(expr, evaluation);
}

void Section::note(std::string_view key) {
  if (!acts_) reading_.ignored.insert(path_of(key));
}

void Section::bad(const hcl::Attribute& attribute, std::string why) {
  reading_.diagnostics.error(reading_.source, attribute.expr->range, "Unsuitable value type",
                             std::format("Unsuitable value for \"{}\": {}.", path_of(attribute.name), why));
}

std::optional<Value> Section::take(std::string_view key, const Type& type) {
  known_.emplace(key);
  const hcl::Attribute* attribute = body_.find(key);
  if (!attribute) return std::nullopt;
  note(key);
  auto value = evaluate(*attribute);
  if (!value || value->is_null()) return std::nullopt;
  auto converted = hcl::convert(*value, type);
  if (converted.ok()) return *std::move(converted);
  bad(*attribute, converted.error().message());
  return std::nullopt;
}

void Section::text(std::string_view key, std::string& value) {
  if (auto found = take(key, Type::string())) value = found->string();
}
void Section::flag(std::string_view key, bool& value) {
  if (auto found = take(key, Type::boolean())) value = found->boolean();
}
void Section::secret(std::string_view key, Secret& value) {
  if (auto found = take(key, Type::string())) value = Secret(found->string());
}
void Section::real(std::string_view key, double& value) {
  if (auto found = take(key, Type::number())) value = found->number().as_double();
}

void Section::optional_integer(std::string_view key, std::optional<int64_t>& value, int64_t least, int64_t most) {
  auto found = take(key, Type::number());
  if (!found) return;
  hcl::Number number = found->number();
  if (!number.is_whole() || number.integer() < least || number.integer() > most) {
    std::string range = most == kMost ? std::format("of {} or more", least) : std::format("from {} to {}", least, most);
    return bad(*body_.find(key), std::format("a whole number {} is required, but found {}", range, number.text()));
  }
  value = number.integer();
}

void Section::integer(std::string_view key, int64_t& value, int64_t least, int64_t most) {
  std::optional<int64_t> found;
  optional_integer(key, found, least, most);
  if (found) value = *found;
}

void Section::duration(std::string_view key, Duration& value) {
  known_.emplace(key);
  const hcl::Attribute* attribute = body_.find(key);
  if (!attribute) return;
  note(key);
  auto found = evaluate(*attribute);
  if (!found || found->is_null()) return;
  if (found->kind() == hcl::Kind::kNumber && found->number().is_whole() && found->number().integer() >= 0) {
    value = Duration(found->number().integer());
    return;
  }
  auto parsed =
      found->kind() == hcl::Kind::kString ? parse_duration(found->string()) : Result<Duration>(Code::kInvalid, "");
  if (!parsed.ok() || *parsed < Duration::zero())
    return bad(*attribute, "a duration such as \"30s\" or \"1h15m\" is required");
  value = *parsed;
}

void Section::texts(std::string_view key, TextList& value, Lists lists) {
  auto found = take(key, Type::list(Type::string()));
  if (!found) return;
  if (lists == Lists::kReplace) value.clear();
  for (const Value& item : found->sequence()) {
    if (item.is_null()) return bad(*body_.find(key), "an item is null");
    value.push_back(item.string());
  }
}

void Section::map(std::string_view key, TextMap& value) {
  known_.emplace(key);
  if (const hcl::Attribute* attribute = body_.find(key)) bad(*attribute, "names and texts in braces are required");
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != key) continue;
    note(key);
    if (!block.body.blocks.empty()) {
      reading_.diagnostics.error(reading_.source, block.body.blocks[0].header, "Unsupported block type",
                                 std::format("\"{}\" holds only names and texts.", path_of(key)));
    }
    for (const hcl::Attribute& attribute : block.body.attributes) {
      auto found = evaluate(attribute);
      if (!found || found->is_null()) continue;
      auto text = hcl::convert(*found, Type::string());
      if (text.ok()) {
        value.insert_or_assign(attribute.name, text->string());
      } else {
        bad(attribute, text.error().message());
      }
    }
  }
}

bool Section::opaque_value(const Value& value, drivers::ConfigValue& into, hcl::Range place) {
  switch (value.kind()) {
    case hcl::Kind::kNull: break;
    case hcl::Kind::kBool: into.value = value.boolean(); break;
    case hcl::Kind::kString: into.value = value.string(); break;
    case hcl::Kind::kNumber:
      if (value.number().is_whole()) {
        into.value = value.number().integer();
      } else {
        into.value = value.number().as_double();
      }
      break;
    default: {
      if (value.is_mapping()) {
        drivers::ConfigMap map;
        for (const auto& [key, item] : value.mapping()) opaque_value(item, map[key], place);
        into.value = std::move(map);
        break;
      }
      drivers::ConfigList list;
      for (const Value& item : value.sequence()) opaque_value(item, list.emplace_back(), place);
      into.value = std::move(list);
    }
  }
  return true;
}

// A block is a map; several of one name are a list of maps; a later file's map is merged into an earlier one's.
void Section::opaque_body(const hcl::Body& body, drivers::ConfigMap& into) {
  for (const hcl::Attribute& attribute : body.attributes) {
    if (auto value = evaluate(attribute)) opaque_value(*value, into[attribute.name] = {}, attribute.expr->range);
  }
  std::map<std::string_view, size_t> counts;
  for (const hcl::Block& block : body.blocks) ++counts[block.type];
  std::set<std::string_view> started;
  for (const hcl::Block& block : body.blocks) {
    drivers::ConfigValue& slot = into[block.type];
    if (counts[block.type] == 1) {
      if (!std::holds_alternative<drivers::ConfigMap>(slot.value)) slot.value = drivers::ConfigMap();
      opaque_body(block.body, std::get<drivers::ConfigMap>(slot.value));
      continue;
    }
    if (started.insert(block.type).second) slot.value = drivers::ConfigList();
    drivers::ConfigMap map;
    opaque_body(block.body, map);
    std::get<drivers::ConfigList>(slot.value).emplace_back(std::move(map));
  }
}

void Section::opaque(std::string_view key, drivers::ConfigMap& value) {
  known_.emplace(key);
  for (const hcl::Block& block : body_.blocks) {
    if (block.type == key) opaque_body(block.body, value);
  }
}

void Section::ignored(std::string_view key) {
  known_.emplace(key);
  bool given = body_.find(key) != nullptr;
  for (const hcl::Block& block : body_.blocks) given = given || block.type == key;
  if (given) reading_.ignored.insert(path_of(key));
}

void Section::block(std::string_view key, const std::function<void(Fields&)>& inside) {
  known_.emplace(key);
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != key) continue;
    if (!block.labels.empty()) {
      reading_.diagnostics.error(reading_.source, block.labels[0].range, "Extraneous label",
                                 std::format("No labels are expected for \"{}\".", path_of(key)));
      continue;
    }
    Section section(block.body, path_of(key), reading_);
    inside(section);
    section.finish();
  }
  if (const hcl::Attribute* attribute = body_.find(key))
    bad(*attribute, std::format("a block is required: {} {{ … }}", key));
}

void Section::named_blocks(std::string_view key, const std::vector<std::string>&,
                           const std::function<void(Fields&, const std::string& label)>& inside) {
  known_.emplace(key);
  auto visit = [&](const hcl::Body& body, const std::string& label) {
    Section section(body, path_of(key) + "." + label, reading_);
    inside(section, label);
    section.finish();
  };
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != key) continue;
    if (block.labels.size() == 1) {
      visit(block.body, block.labels[0].text);
    } else if (block.labels.empty() && block.body.attributes.empty()) {
      // `plugin { docker { … } }`, and the only way that JSON can say it.
      for (const hcl::Block& inner : block.body.blocks) visit(inner.body, inner.type);
    } else {
      reading_.diagnostics.error(reading_.source, block.header, "Missing label",
                                 std::format("A {} block needs one label: {} \"name\" {{ … }}.", key, key));
    }
  }
  if (const hcl::Attribute* attribute = body_.find(key))
    bad(*attribute, std::format("a block with a label is required: {} \"name\" {{ … }}", key));
}

void Section::finish() {
  std::vector<std::string_view> names(known_.begin(), known_.end());
  auto report = [&](std::string_view name, hcl::Range place) {
    if (known_.contains(name)) return;
    std::string_view near = hcl::nearest_name(name, names);
    reading_.diagnostics.error(reading_.source, place, "Unknown configuration key",
                               std::format("\"{}\" is not a key of the agent's configuration.{}", path_of(name),
                                           near.empty() ? "" : std::format(" Did you mean \"{}\"?", near)));
  };
  for (const hcl::Attribute& attribute : body_.attributes) report(attribute.name, attribute.name_range);
  for (const hcl::Block& block : body_.blocks) report(block.type, block.type_range);
}

}  // namespace steppe::config
