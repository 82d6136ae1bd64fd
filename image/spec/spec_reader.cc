#include "image/spec/spec_reader.h"

#include <format>

#include "init/base/byte_size.h"
#include "init/base/text.h"

namespace steppe::spec {

using hcl::Type;

std::optional<hcl::Value> Body::take(std::string_view key, const Type& type) {
  static const hcl::FunctionTable kNoFunctions;
  keys_.emplace(key);
  const hcl::Attribute* attribute = body_.find(key);
  if (!attribute) return std::nullopt;
  hcl::Evaluation evaluation{reading_.source, &reading_.scope, kNoFunctions, reading_.budget, reading_.diagnostics};
  auto value = hcl::evaluate(*attribute->expr, evaluation);
  if (!value || value->is_null()) return std::nullopt;
  auto converted = hcl::convert(*value, type);
  if (converted.ok()) return *std::move(converted);
  bad(key, converted.error().message());
  return std::nullopt;
}

void Body::bad(std::string_view key, std::string why) {
  const hcl::Attribute* attribute = body_.find(key);
  const hcl::Range place = attribute ? attribute->expr->range : body_.range;
  const std::string name = path_.empty() ? std::string(key) : std::format("{}.{}", path_, key);
  reading_.diagnostics.error(reading_.source, place, "Unsuitable value", std::format("{}: {}.", name, why));
}

void Body::missing(std::string_view key, std::string_view what) {
  const hcl::Range place{body_.range.start, std::min(body_.range.end, body_.range.start + 1)};
  reading_.diagnostics.error(reading_.source, place, "Missing key",
                             std::format("{}{}{} must be set: {}.", path_, path_.empty() ? "" : ".", key, what));
}

bool Body::text(std::string_view key, std::string& value) {
  auto found = take(key, Type::string());
  if (found) value = found->string();
  return found.has_value();
}

void Body::texts(std::string_view key, TextList& value) {
  auto found = take(key, Type::list(Type::string()));
  if (!found) return;
  value.clear();
  for (const hcl::Value& item : found->sequence()) {
    if (item.is_null() || item.string().empty()) return bad(key, "an item is empty");
    value.push_back(item.string());
  }
}

void Body::flag(std::string_view key, bool& value) {
  if (auto found = take(key, Type::boolean())) value = found->boolean();
}

void Body::integer(std::string_view key, int64_t& value, int64_t least, int64_t most) {
  auto found = take(key, Type::number());
  if (!found) return;
  const hcl::Number number = found->number();
  if (!number.is_whole() || number.integer() < least || number.integer() > most)
    return bad(key, std::format("expected a whole number from {} to {}, found {}", least, most, number.text()));
  value = number.integer();
}

void Body::size(std::string_view key, Bytes& value) {
  auto found = take(key, Type::string());
  if (!found) return;
  auto size = parse_byte_size(found->string());
  if (!size.ok()) return bad(key, std::format("expected a size such as \"32MiB\": {}", size.error().message()));
  value = *size;
}

void Body::mode(std::string_view key, uint32_t& value) {
  auto found = take(key, Type::string());
  if (!found) return;
  const std::string& text = found->string();
  uint32_t mode = 0;
  for (const char digit : text)
    mode = digit >= '0' && digit <= '7' && mode < 010000 ? mode * 8 + static_cast<uint32_t>(digit - '0') : 0100000;
  if (text.empty() || mode > 01777)
    return bad(key, std::format("expected an octal mode without set-id bits such as \"0755\", found \"{}\"", text));
  value = mode;
}

void Body::links(std::string_view key, std::map<std::string, std::string>& value) {
  auto found = take(key, Type::map(Type::string()));
  if (!found) return;
  for (const auto& [path, target] : found->mapping()) {
    if (target.is_null()) return bad(key, std::format("{} has no target", path));
    value[path] = target.string();
  }
}

void Body::time(std::string_view key, int64_t& value) {
  auto found = take(key, Type::string());
  if (!found) return;
  auto time = parse_rfc3339(found->string());
  if (!time.ok())
    return bad(key, std::format("expected a time such as \"2026-01-31T00:00:00Z\": {}", time.error().message()));
  value = time->unix_ns / 1'000'000'000;
  if (value < 0 || value > 0xffffffff) bad(key, "expected a time from 1970 to 2106");
}

void Body::choice(std::string_view key, const std::vector<std::string_view>& words, size_t& value) {
  auto found = take(key, Type::string());
  if (!found) return;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == found->string()) {
      value = i;
      return;
    }
  }
  std::string all;
  for (const std::string_view word : words) all += std::format("{}\"{}\"", all.empty() ? "" : " or ", word);
  bad(key, std::format("expected {}, found \"{}\"", all, found->string()));
}

void Body::block(std::string_view type, const std::function<void(Body&)>& inside) {
  blocks_.emplace(type);
  bool seen = false;
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != type) continue;
    if (seen)
      reading_.diagnostics.error(reading_.source, block.header, "Repeated block",
                                 std::format("There is one block \"{}\" at most.", type));
    if (!block.labels.empty())
      reading_.diagnostics.error(reading_.source, block.labels[0].range, "Unexpected label",
                                 std::format("The block \"{}\" takes no label.", type));
    seen = true;
    Body body(block.body, path_.empty() ? block.type : std::format("{}.{}", path_, block.type), reading_);
    inside(body);
    body.finish();
  }
}

void Body::labelled(std::string_view type, const std::function<void(Body&, const std::string&)>& inside) {
  blocks_.emplace(type);
  std::set<std::string> seen;
  for (const hcl::Block& block : body_.blocks) {
    if (block.type != type) continue;
    if (block.labels.size() != 1 || block.labels[0].text.empty()) {
      reading_.diagnostics.error(reading_.source, block.header, "Wrong labels",
                                 std::format("Expected one label: {} \"NAME\" {{ … }}.", type));
      continue;
    }
    const std::string& label = block.labels[0].text;
    if (!seen.insert(label).second)
      reading_.diagnostics.error(reading_.source, block.header, "Repeated block",
                                 std::format("{} \"{}\" stands here a second time.", type, label));
    Body body(block.body, std::format("{} \"{}\"", type, label), reading_);
    inside(body, label);
    body.finish();
  }
}

void Body::finish() {
  const auto unknown = [&](hcl::Range place, std::string_view name, std::string_view what,
                           const std::set<std::string, std::less<>>& known) {
    std::vector<std::string_view> candidates(known.begin(), known.end());
    const std::string_view near = hcl::nearest_name(name, candidates);
    std::string all;
    for (const std::string_view candidate : candidates) all += std::format("{}{}", all.empty() ? "" : ", ", candidate);
    std::string detail = std::format("There is no {} \"{}\"{}{}", what, name, path_.empty() ? "" : " in ", path_);
    detail += near.empty() ? std::format("; expected one of: {}.", all.empty() ? "nothing" : all)
                           : std::format("; did you mean \"{}\"?", near);
    reading_.diagnostics.error(reading_.source, place, std::format("Unknown {}", what), detail);
  };
  for (const hcl::Attribute& attribute : body_.attributes) {
    if (!keys_.contains(attribute.name)) unknown(attribute.name_range, attribute.name, "key", keys_);
  }
  for (const hcl::Block& block : body_.blocks) {
    if (!blocks_.contains(block.type)) unknown(block.type_range, block.type, "block", blocks_);
  }
}

}  // namespace steppe::spec
