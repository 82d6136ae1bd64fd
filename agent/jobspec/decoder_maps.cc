// The parts of a job that hold free keys: env, meta, options, and the opaque config of drivers and policies.
#include <format>

#include "agent/jobspec/decoder.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "init/base/assert.h"

namespace steppe::jobspec {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void Decoder::add_map_entry(const FieldRow& row, hcl::Range place, const std::string& key, const hcl::Value& value,
                            Message* into) {
  if (!spend(place, key.size() + value.weight() * (row.kind == FieldKind::kValueMap ? 4 : 1))) return;
  const FieldDescriptor* field = into->GetDescriptor()->FindFieldByName(std::string(row.proto));
  STEPPE_ASSERT(field && field->is_map());
  Message* entry = into->GetReflection()->AddMessage(into, field);
  const auto* reflection = entry->GetReflection();
  reflection->SetString(entry, field->message_type()->map_key(), key);
  const FieldDescriptor* slot = field->message_type()->map_value();
  auto bad = [&](std::string why) {
    context_.error(place, "Unsuitable value type",
                   std::format("Unsuitable value for \"{}\" of {}: {}.", key, row.key, why));
  };
  if (row.kind == FieldKind::kValueMap) {
    if (value.depth() > schema::kMaxValueDepth)
      return bad(std::format("it is nested more than {} levels deep", schema::kMaxValueDepth));
    to_schema_value(value, static_cast<schema::Value*>(reflection->MutableMessage(entry, slot)));
    return;
  }
  if (value.is_null()) return bad("it must not be null");
  bool list = row.kind == FieldKind::kListMap;
  auto converted = hcl::convert(value, list ? hcl::Type::list(hcl::Type::string()) : hcl::Type::string());
  if (!converted.ok()) return bad(converted.error().message());
  if (!list) {
    reflection->SetString(entry, slot, converted->string());
    return;
  }
  auto* items = static_cast<schema::StringList*>(reflection->MutableMessage(entry, slot));
  for (const hcl::Value& item : converted->sequence()) {
    if (item.is_null()) return bad("an item is null");
    items->add_items(item.string());
  }
}

void Decoder::decode_map_block(const BlockVisit& block, const FieldRow& row, Message* into) {
  if (!block.labels.empty()) {
    context_.error(block.labels[0].range, std::format("Extraneous label for {}", block.type),
                   std::format("No labels are expected for {} blocks.", block.type));
    return;
  }
  if (const FieldDescriptor* field = into->GetDescriptor()->FindFieldByName(std::string(row.proto));
      into->GetReflection()->FieldSize(*into, field) != 0) {
    context_.error(block.range, std::format("Duplicate {} block", block.type),
                   std::format("{} is already set with an equals sign in this place.", block.type));
    return;
  }
  if (row.kind == FieldKind::kValueMap) {
    auto whole = opaque_body(block.body, block.scope);
    if (!whole) return;
    for (const auto& [key, value] : whole->mapping()) add_map_entry(row, block.range, key, value, into);
    return;
  }
  for (const hcl::Attribute& attribute : block.body.attributes) {
    auto value = context_.evaluate(*attribute.expr, block.scope);
    if (value) add_map_entry(row, attribute.expr->range, attribute.name, *value, into);
  }
  for (const hcl::Block& inner : block.body.blocks) {
    context_.error(inner.type_range, "Unsupported block type",
                   std::format("{} holds only arguments: name = value.", block.type));
  }
}

void Decoder::decode_map_attribute(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Scope& scope,
                                   Message* into) {
  auto value = context_.evaluate(*attribute.expr, scope);
  if (!value || value->is_null()) return;
  if (!value->is_mapping()) {
    context_.error(attribute.expr->range, "Unsuitable value type",
                   std::format("Unsuitable value for \"{}\": a map is required, but found {}.", attribute.name,
                               value->type_name()));
    return;
  }
  for (const auto& [key, item] : value->mapping()) add_map_entry(row, attribute.expr->range, key, item, into);
}

// An object written out in braces becomes a list of one, as a block of that name would: drivers declare such keys as
// blocks and accept either spelling.
std::optional<hcl::Value> Decoder::opaque_attribute(const hcl::Attribute& attribute, const hcl::Scope& scope) {
  auto value = context_.evaluate(*attribute.expr, scope);
  if (!value || !std::holds_alternative<hcl::ObjectExpr>(attribute.expr->node)) return value;
  auto list = hcl::Value::make_sequence(hcl::Kind::kTuple, {*std::move(value)});
  if (list.ok()) return *std::move(list);
  context_.error(attribute.expr->range, "Value too large", list.error().message() + ".");
  return std::nullopt;
}

// Attributes as they are; nested blocks of one type become a list of objects; a label becomes an object around it.
std::optional<hcl::Value> Decoder::opaque_body(const hcl::Body& body, const hcl::Scope& scope) {
  bool ok = true;
  hcl::Value::Mapping items;
  for (const hcl::Attribute& attribute : body.attributes) {
    auto value = opaque_attribute(attribute, scope);
    ok = ok && value;
    if (ok) items.insert_or_assign(attribute.name, *std::move(value));
  }
  std::map<std::string, hcl::Value::Sequence, std::less<>> blocks;
  auto too_large = [&](hcl::Range range, const Error& error) {
    context_.error(range, "Value too large", error.message() + ".");
    return false;
  };
  ok = for_each_block(body, scope, context_,
                      [&](const BlockVisit& block) {
                        auto value = opaque_body(block.body, block.scope);
                        if (!value) return false;
                        for (auto label = block.labels.rbegin(); label != block.labels.rend(); ++label) {
                          auto list = hcl::Value::make_sequence(hcl::Kind::kTuple, {*std::move(value)});
                          if (!list.ok()) return too_large(block.range, list.error());
                          auto object = hcl::Value::make_mapping(hcl::Kind::kObject, {{label->text, *std::move(list)}});
                          if (!object.ok()) return too_large(block.range, object.error());
                          value = *std::move(object);
                        }
                        blocks[std::string(block.type)].push_back(*std::move(value));
                        return true;
                      }) &&
       ok;
  for (auto& [type, list] : blocks) {
    if (items.contains(type)) {
      context_.error(body.range, "Duplicate key",
                     std::format("\"{}\" is set both as an argument and as a block.", type));
      return std::nullopt;
    }
    auto value = hcl::Value::make_sequence(hcl::Kind::kTuple, std::move(list));
    if (!value.ok()) return too_large(body.range, value.error()) ? std::optional<hcl::Value>() : std::nullopt;
    items.emplace(type, *std::move(value));
  }
  if (!ok) return std::nullopt;
  auto whole = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(items));
  if (whole.ok()) return *std::move(whole);
  too_large(body.range, whole.error());
  return std::nullopt;
}

}  // namespace steppe::jobspec
