#include "agent/jobspec/decoder.h"

#include <algorithm>
#include <format>

#include "agent/schema/job.pb.h"
#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const FieldDescriptor* field_of(const Message* message, std::string_view name) {
  const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(std::string(name));
  STEPPE_ASSERT(field != nullptr);  // block_table_test.cc compares the table with the schema
  return field;
}

const FieldRow* find_row(const BlockTable& table, std::string_view key) {
  auto found = std::find_if(table.rows.begin(), table.rows.end(), [&](const FieldRow& row) { return row.key == key; });
  return found == table.rows.end() ? nullptr : &*found;
}

bool is_block(FieldKind kind) {
  return kind == FieldKind::kBlock || kind == FieldKind::kBlockList || kind == FieldKind::kBlockMap;
}
bool is_map(FieldKind kind) {
  return kind == FieldKind::kStringMap || kind == FieldKind::kListMap || kind == FieldKind::kValueMap;
}

std::string did_you_mean(const BlockTable& table, std::string_view name) {
  std::vector<std::string_view> names;
  for (const FieldRow& row : table.rows) names.push_back(row.key);
  std::string_view near = hcl::nearest_name(name, names);
  if (!near.empty()) return std::format(" Did you mean \"{}\"?", near);
  if (names.empty() || names.size() > 16) return "";
  std::string all;
  for (std::string_view one : names) all += (all.empty() ? " Expected one of: " : ", ") + std::string(one);
  return all + ".";
}

void set_integer(Message* message, const FieldDescriptor* field, int64_t value) {
  const auto* reflection = message->GetReflection();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
    reflection->SetUInt64(message, field, static_cast<uint64_t>(value));
  } else {
    reflection->SetInt64(message, field, value);
  }
}

}  // namespace

void to_schema_value(const hcl::Value& value, schema::Value* into) {
  switch (value.kind()) {
    case hcl::Kind::kNull: into->set_null(true); return;
    case hcl::Kind::kBool: into->set_boolean(value.boolean()); return;
    case hcl::Kind::kString: into->set_text(value.string()); return;
    case hcl::Kind::kNumber:
      if (value.number().is_whole()) {
        into->set_integer(value.number().integer());
      } else {
        into->set_number(value.number().as_double());
      }
      return;
    default: break;
  }
  if (value.is_sequence()) {
    auto* list = into->mutable_list();
    for (const hcl::Value& item : value.sequence()) to_schema_value(item, list->add_items());
    return;
  }
  auto* fields = into->mutable_object()->mutable_fields();
  for (const auto& [key, item] : value.mapping()) to_schema_value(item, &(*fields)[key]);
}

void Decoder::decode(const BlockVisit& block, const BlockTable& table, Message* into) {
  if (!set_label(block, table, into)) return;
  for (const hcl::Attribute& attribute : block.body.attributes) {
    if (!context_.spend(attribute.name_range, 1, 0)) return;
    decode_attribute(attribute, table, block.scope, into);
  }
  std::map<std::string_view, hcl::Range> seen;
  for_each_block(block.body, block.scope, context_,
                 [&](const BlockVisit& inner) { return decode_block(inner, table, into, seen); });
  check_required(block, table);
  finish(block, into);
}

bool Decoder::set_label(const BlockVisit& block, const BlockTable& table, Message* into) {
  if (table.label.empty()) {
    if (block.labels.empty()) return true;
    context_.error(block.labels[0].range, std::format("Extraneous label for {}", block.type),
                   std::format("No labels are expected for {} blocks.", block.type));
    return false;
  }
  if (block.labels.size() != 1) {
    bool missing = block.labels.empty();
    context_.error(
        missing ? block.range : block.labels[1].range,
        missing ? std::format("Missing name for {}", block.type) : std::format("Extraneous label for {}", block.type),
        std::format("All {} blocks must have 1 label: {} \"name\" {{ … }}.", block.type, block.type));
    return false;
  }
  if (table.label == "*") return true;
  if (!spend(block.range, block.labels[0].text.size())) return false;
  const FieldDescriptor* field = field_of(into, table.label);
  into->GetReflection()->SetString(into, field, block.labels[0].text);
  return true;
}

void Decoder::check_required(const BlockVisit& block, const BlockTable& table) {
  for (const FieldRow& row : table.rows) {
    if (!row.required || block.body.find(row.key)) continue;
    context_.error(
        block.range, "Missing required argument",
        std::format("The argument \"{}\" is required in a {} block, but it was not set.", row.key, block.type));
  }
}

void Decoder::decode_attribute(const hcl::Attribute& attribute, const BlockTable& table, const hcl::Scope& scope,
                               Message* into) {
  const FieldRow* row = find_row(table, attribute.name);
  if (!row) {
    context_.error(attribute.name_range, "Unsupported argument",
                   std::format("An argument named \"{}\" is not expected here.{}", attribute.name,
                               did_you_mean(table, attribute.name)));
    return;
  }
  if (is_block(row->kind)) {
    context_.error(
        attribute.name_range, "Unsupported argument",
        std::format("An argument named \"{}\" is not expected here. Did you mean to define a block of type \"{}\"? "
                    "Write {} {{ … }} without the equals sign.",
                    attribute.name, attribute.name, attribute.name));
    return;
  }
  if (is_map(row->kind)) return decode_map_attribute(attribute, *row, scope, into);
  auto value = context_.evaluate(*attribute.expr, scope);
  if (!value || !spend(attribute.expr->range, value->weight())) return;
  if (value->is_null() && row->kind != FieldKind::kDuration) return;  // as if it were not there
  switch (row->kind) {
    case FieldKind::kOperator:
    case FieldKind::kOperatorBool:
    case FieldKind::kOperatorProperty: return decode_operator(attribute, *row, *value, into);
    case FieldKind::kStringList:
    case FieldKind::kIntegerList: return decode_list(attribute, *row, *value, into);
    default: return decode_scalar(attribute, *row, *value, into);
  }
}

namespace {

// Whole, and inside the row's range; the error says which is not.
Result<int64_t> to_integer(const FieldRow& row, const hcl::Value& value) {
  STEPPE_TRY(hcl::Value number, hcl::convert(value, hcl::Type::number()));
  if (!number.number().is_whole()) return Error(Code::kInvalid, "a whole number is required");
  int64_t integer = number.number().integer();
  if (integer < row.least || integer > row.most) {
    return Error(Code::kInvalid, std::format("{} is outside the range from {} to {}", integer, row.least, row.most));
  }
  return integer;
}

Result<int64_t> to_duration(const hcl::Value& value) {
  if (value.kind() == hcl::Kind::kNumber && value.number().is_whole()) return value.number().integer();
  if (value.kind() != hcl::Kind::kString) {
    return Error(Code::kInvalid,
                 std::format("a duration such as \"30s\" or \"1h15m\" is required, but found {}", value.type_name()));
  }
  auto duration = parse_duration(value.string());
  if (!duration.ok())
    return Error(Code::kInvalid,
                 std::format("a duration such as \"30s\" or \"1h15m\" is required: {}", duration.error().message()));
  return std::chrono::nanoseconds(*duration).count();
}

}  // namespace

void Decoder::decode_scalar(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value,
                            Message* into) {
  const auto* reflection = into->GetReflection();
  // A row without a proto field is only checked; a rule of the block reads it.
  const FieldDescriptor* field = row.proto.empty() ? nullptr : field_of(into, row.proto);
  auto bad = [&](const Error& error) {
    context_.error(attribute.expr->range, "Unsuitable value type",
                   std::format("Unsuitable value for \"{}\": {}.", attribute.name, error.message()));
  };
  switch (row.kind) {
    case FieldKind::kString: {
      auto text = hcl::convert(value, hcl::Type::string());
      if (!text.ok()) return bad(text.error());
      if (field) reflection->SetString(into, field, text->string());
      return;
    }
    case FieldKind::kBool: {
      auto decided = hcl::convert(value, hcl::Type::boolean());
      if (!decided.ok()) return bad(decided.error());
      if (field) reflection->SetBool(into, field, decided->boolean());
      return;
    }
    case FieldKind::kDuration: {
      auto nanoseconds = to_duration(value);
      if (!nanoseconds.ok()) return bad(nanoseconds.error());
      if (field) set_integer(into, field, *nanoseconds);
      return;
    }
    default: {
      auto integer = to_integer(row, value);
      if (!integer.ok()) return bad(integer.error());
      if (field) set_integer(into, field, *integer);
      return;
    }
  }
}

void Decoder::decode_operator(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value,
                              Message* into) {
  const auto* reflection = into->GetReflection();
  bool flag = row.kind == FieldKind::kOperatorBool;
  auto converted = hcl::convert(value, flag ? hcl::Type::boolean() : hcl::Type::string());
  if (!converted.ok()) {
    context_.error(attribute.expr->range, "Unsuitable value type",
                   std::format("Unsuitable value for \"{}\": {}.", attribute.name, converted.error().message()));
    return;
  }
  std::string text = flag ? (converted->boolean() ? "true" : "false") : converted->string();
  // An empty text counts as not written; the two is_ operators have no right side.
  bool is_test = attribute.name == "is_set" || attribute.name == "is_not_set";
  if (text.empty() && !is_test) return;
  reflection->SetString(into, field_of(into, "operand"), attribute.name);
  if (!is_test)
    reflection->SetString(into, field_of(into, row.kind == FieldKind::kOperatorProperty ? "l_target" : "r_target"),
                          text);
}

void Decoder::decode_list(const hcl::Attribute& attribute, const FieldRow& row, const hcl::Value& value,
                          Message* into) {
  const auto* reflection = into->GetReflection();
  const FieldDescriptor* field = field_of(into, row.proto);
  auto fail = [&](std::string why) {
    context_.error(attribute.expr->range, "Unsuitable value type",
                   std::format("Unsuitable value for \"{}\": {}.", attribute.name, why));
  };
  if (!value.is_sequence()) {
    return fail(std::format("a list of {} is required, but found {}",
                            row.kind == FieldKind::kStringList ? "strings" : "numbers", value.type_name()));
  }
  reflection->ClearField(into, field);
  for (const hcl::Value& item : value.sequence()) {
    if (item.is_null()) return fail("an item is null");
    if (row.kind == FieldKind::kStringList) {
      auto text = hcl::convert(item, hcl::Type::string());
      if (!text.ok())
        return fail(std::format("item {}: {}", reflection->FieldSize(*into, field), text.error().message()));
      reflection->AddString(into, field, text->string());
    } else {
      auto integer = to_integer(row, item);
      if (!integer.ok())
        return fail(std::format("item {}: {}", reflection->FieldSize(*into, field), integer.error().message()));
      reflection->AddInt64(into, field, *integer);
    }
  }
}

bool Decoder::decode_block(const BlockVisit& block, const BlockTable& table, Message* into,
                           std::map<std::string_view, hcl::Range>& seen) {
  const FieldRow* row = find_row(table, block.type);
  if (!row || (!is_block(row->kind) && !is_map(row->kind))) {
    std::string hint = row ? std::format(" Write {} = … to set the argument of that name.", block.type)
                           : did_you_mean(table, block.type);
    context_.error(block.type_range, "Unsupported block type",
                   std::format("Blocks of type \"{}\" are not expected here.{}", block.type, hint));
    return false;
  }
  if (row->kind == FieldKind::kBlock || is_map(row->kind)) {
    auto [earlier, fresh] = seen.emplace(row->key, block.range);
    if (!fresh) {
      context_.error(block.range, std::format("Duplicate {} block", block.type),
                     std::format("Only one {} block is allowed. Another was defined at {}:{}.", block.type,
                                 context_.source.name, position_at(context_.source, earlier->second.start).line));
      return false;
    }
  }
  if (is_map(row->kind)) {
    decode_map_block(block, *row, into);
    return true;
  }
  Message* target = target_of(block, *row, into);
  if (!target) return false;
  decode(block, *row->block, target);
  return true;
}

// The message that a block fills: a field of `into`, or one of the defaults that stand further out than their tasks.
google::protobuf::Message* Decoder::target_of(const BlockVisit& block, const FieldRow& row, Message* into) {
  const auto* reflection = into->GetReflection();
  if (row.proto.empty()) {
    std::unique_ptr<Message>* slot = nullptr;
    if (row.key == "task") {
      slot = &defaults_.lone_tasks.emplace_back(std::make_unique<schema::Task>());
    } else if (row.key == "vault") {
      slot = &(defaults_.groups[into].vault = std::make_unique<schema::Vault>());
    } else {
      slot = &defaults_.groups[into].secrets.emplace_back(std::make_unique<schema::Secret>());
    }
    return slot->get();
  }
  const FieldDescriptor* field = field_of(into, row.proto);
  if (row.kind == FieldKind::kBlock) return reflection->MutableMessage(into, field);
  if (row.kind == FieldKind::kBlockList) return reflection->AddMessage(into, field);
  // A map: labels are unique in it.
  Message* entry = reflection->AddMessage(into, field);
  std::string key = block.labels.empty() ? "" : block.labels[0].text;
  const auto* entry_reflection = entry->GetReflection();
  if (!context_.spend(block.range, static_cast<uint64_t>(reflection->FieldSize(*into, field)), key.size()))
    return nullptr;
  for (int i = 0; i + 1 < reflection->FieldSize(*into, field); ++i) {
    const Message& other = reflection->GetRepeatedMessage(*into, field, i);
    if (other.GetReflection()->GetString(other, field->message_type()->map_key()) != key) continue;
    reflection->RemoveLast(into, field);
    context_.error(block.range, std::format("Duplicate {} block", block.type),
                   std::format("Another {} block is named \"{}\".", block.type, key));
    return nullptr;
  }
  entry_reflection->SetString(entry, field->message_type()->map_key(), key);
  return entry_reflection->MutableMessage(entry, field->message_type()->map_value());
}

void Decoder::finish(const BlockVisit& block, Message* into) {
  std::string_view name = into->GetDescriptor()->name();
  if (name == "Constraint" || name == "Affinity") {
    const FieldDescriptor* operand = field_of(into, "operand");
    const auto* reflection = into->GetReflection();
    if (reflection->GetString(*into, operand).empty()) reflection->SetString(into, operand, "=");
  } else if (name == "ScalingPolicy") {
    finish_scaling(block, into);
  } else if (name == "LogConfig") {
    // `enabled` is the older, inverse spelling.
    const hcl::Attribute* enabled = block.body.find("enabled");
    if (!enabled) return;
    auto* logs = static_cast<schema::LogConfig*>(into);
    if (block.body.find("disabled")) {
      context_.error(enabled->name_range, "Conflicting arguments",
                     "Only one of \"enabled\" and \"disabled\" may be set; use \"disabled\".");
      return;
    }
    auto value = context_.evaluate(*enabled->expr, block.scope);
    auto decided = value ? hcl::convert(*value, hcl::Type::boolean()) : Result<hcl::Value>(hcl::Value());
    if (decided.ok() && !decided->is_null()) logs->set_disabled(!decided->boolean());
  }
}

void Decoder::finish_scaling(const BlockVisit& block, Message* into) {
  auto* policy = static_cast<schema::ScalingPolicy*>(into);
  const hcl::Attribute* type = block.body.find("type");
  std::string expected = "horizontal";
  if (!block.labels.empty()) {
    std::string label = lower(block.labels[0].text);
    if (label != "cpu" && label != "mem") {
      context_.error(block.labels[0].range, "Invalid scaling policy name",
                     "scaling policy name must be \"cpu\" or \"mem\".");
      return;
    }
    expected = "vertical_" + label;
  } else if (!policy->has_max()) {
    context_.error(block.range, "Missing required argument",
                   "The argument \"max\" is required in a scaling block, but it was not set.");
  }
  if (policy->type().empty()) policy->set_type(expected);
  if (policy->type() != expected) {
    context_.error(type ? type->expr->range : block.range, "Invalid scaling policy type",
                   std::format("Invalid policy type, expected \"{}\" but found \"{}\".", expected, policy->type()));
  }
}

}  // namespace steppe::jobspec
