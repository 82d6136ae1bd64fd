#include "init/machine/body_reader.h"

#include "init/machine/machine_config.h"

namespace steppe::machine {

using hcl::Type;
using hcl::Value;

void BodyReader::wrong(hcl::Range range, std::string_view name, std::string detail) {
  diagnostics_.error(source_, range, "Unfit value", "\"" + std::string(name) + "\": " + std::move(detail) + ".");
}

void BodyReader::error(std::string_view name, std::string detail) {
  const hcl::Attribute* attribute = body_.find(name);
  wrong(attribute ? attribute->expr->range : hcl::Range{body_.range.start, body_.range.start}, name, std::move(detail));
}

std::optional<Value> BodyReader::take(std::string_view name, const Type& type, bool& present) {
  static const hcl::FunctionTable kNoFunctions;
  known_.emplace(name);
  const hcl::Attribute* attribute = body_.find(name);
  present = attribute != nullptr;
  if (!attribute) return std::nullopt;
  hcl::Evaluation evaluation{source_, nullptr, kNoFunctions, budget_, diagnostics_};
  std::optional<Value> value = hcl::evaluate(*attribute->expr, evaluation);
  if (!value || value->is_null()) return std::nullopt;
  // Strict: "8" is no number and 8 is no text.
  if (type.is_scalar() && hcl::type_of(*value) != type) {
    wrong(attribute->expr->range, name, "is a " + value->type_name() + ", expected a " + type.text());
    return std::nullopt;
  }
  Result<Value> converted = hcl::convert(*value, type);
  if (converted.ok()) return *std::move(converted);
  wrong(attribute->expr->range, name, converted.error().message());
  return std::nullopt;
}

bool BodyReader::text(std::string_view name, std::string& into, const Check& check) {
  bool present;
  std::optional<Value> value = take(name, Type::string(), present);
  if (!value) return present;
  Result<> fit = check ? check(value->string()) : Result<>();
  if (!fit.ok()) error(name, fit.error().message());
  else into = value->string();
  return true;
}

bool BodyReader::texts(std::string_view name, std::vector<std::string>& into, const Check& check) {
  bool present;
  std::optional<Value> value = take(name, Type::list(Type::string()), present);
  if (!value) return present;
  if (value->size() > kMaxItems) {
    error(name, "has " + std::to_string(value->size()) + " items, at most " + std::to_string(kMaxItems));
    return true;
  }
  into.clear();
  for (const Value& item : value->sequence()) {
    Result<> fit = item.is_null() ? Result<>(Code::kInvalid, "an item is null") : check ? check(item.string()) : Result<>();
    if (!fit.ok()) error(name, fit.error().message());
    else into.push_back(item.string());
  }
  return true;
}

bool BodyReader::map(std::string_view name, std::map<std::string, std::string, std::less<>>& into) {
  bool present;
  std::optional<Value> value = take(name, Type::map(Type::string()), present);
  if (!value) return present;
  if (value->size() > kMaxItems) error(name, "has more than " + std::to_string(kMaxItems) + " items");
  else
    for (const auto& [key, item] : value->mapping())
      if (!item.is_null()) into[key] = item.string();
  return true;
}

bool BodyReader::flag(std::string_view name, bool& into) {
  bool present;
  if (std::optional<Value> value = take(name, Type::boolean(), present)) into = value->boolean();
  return present;
}

bool BodyReader::integer(std::string_view name, int64_t& into, int64_t least, int64_t most) {
  bool present;
  std::optional<Value> value = take(name, Type::number(), present);
  if (!value) return present;
  hcl::Number number = value->number();
  if (!number.is_whole() || number.integer() < least || number.integer() > most)
    error(name, "is " + number.text() + ", expected a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  else into = number.integer();
  return true;
}

const hcl::Block* BodyReader::raw_block(std::string_view type) {
  known_.emplace(type);
  const hcl::Block* found = nullptr;
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != type) continue;
    if (found) diagnostics_.error(source_, block.header, "Repeated block", "\"" + block.type + "\" may stand once.");
    else if (!block.labels.empty()) diagnostics_.error(source_, block.header, "Label on a block", "\"" + block.type + "\" takes none.");
    if (!found) found = &block;
  }
  return found;
}

const hcl::Block* BodyReader::block(std::string_view type, const std::function<void(BodyReader&)>& inside) {
  const hcl::Block* found = raw_block(type);
  if (!found) return nullptr;
  BodyReader reader(source_, found->body, diagnostics_, budget_);
  inside(reader);
  reader.finish();
  return found;
}

void BodyReader::blocks(std::string_view type, const Check& check, const std::function<void(BodyReader&, const std::string&)>& inside) {
  known_.emplace(type);
  std::set<std::string> labels;
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != type) continue;
    if (block.labels.size() != 1) {
      diagnostics_.error(source_, block.header, "Label expected", "\"" + block.type + "\" takes one: its name.");
      continue;
    }
    const hcl::Label& label = block.labels[0];
    Result<> fit = check(label.text);
    if (!fit.ok()) diagnostics_.error(source_, label.range, "Unfit name", fit.error().message() + ".");
    if (!labels.insert(label.text).second) diagnostics_.error(source_, label.range, "Repeated name", "\"" + label.text + "\" is there twice.");
    if (labels.size() > kMaxItems) {
      diagnostics_.error(source_, block.header, "Too many blocks", "At most " + std::to_string(kMaxItems) + " of \"" + block.type + "\".");
      return;
    }
    BodyReader reader(source_, block.body, diagnostics_, budget_);
    inside(reader, label.text);
    reader.finish();
  }
}

void BodyReader::finish() {
  std::vector<std::string_view> names(known_.begin(), known_.end());
  auto unknown = [&](hcl::Range range, const std::string& name) {
    std::string_view near = hcl::nearest_name(name, names);
    std::string all;
    for (std::string_view known : names) all += (all.empty() ? "" : ", ") + std::string(known);
    diagnostics_.error(source_, range, "Unknown name",
                       "\"" + name + "\" is not known here" + (near.empty() ? "; there are: " + all : "; did you mean \"" + std::string(near) + "\"?"));
  };
  for (const hcl::Attribute& attribute : body_.attributes)
    if (!known_.contains(attribute.name)) unknown(attribute.name_range, attribute.name);
  for (const hcl::Block& block : body_.blocks)
    if (!known_.contains(block.type)) unknown(block.type_range, block.type);
}

}  // namespace steppe::machine
