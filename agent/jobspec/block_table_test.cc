#include "agent/jobspec/block_table.h"

#include <gtest/gtest.h>

#include <set>

#include "agent/schema/job.pb.h"

namespace steppe::jobspec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

bool fits(const FieldRow& row, const FieldDescriptor& field) {
  auto type = field.cpp_type();
  bool integer = type == FieldDescriptor::CPPTYPE_INT64 || type == FieldDescriptor::CPPTYPE_UINT64;
  auto value_of_map = [&](FieldDescriptor::CppType wanted, const char* message = nullptr) {
    if (!field.is_map()) return false;
    const auto* value = field.message_type()->map_value();
    return value->cpp_type() == wanted && (!message || value->message_type()->name() == message);
  };
  switch (row.kind) {
    case FieldKind::kString: return type == FieldDescriptor::CPPTYPE_STRING && !field.is_repeated();
    case FieldKind::kBool: return type == FieldDescriptor::CPPTYPE_BOOL && !field.is_repeated();
    case FieldKind::kInteger:
    case FieldKind::kDuration: return integer && !field.is_repeated();
    case FieldKind::kStringList: return type == FieldDescriptor::CPPTYPE_STRING && field.is_repeated();
    case FieldKind::kIntegerList: return type == FieldDescriptor::CPPTYPE_INT64 && field.is_repeated();
    case FieldKind::kStringMap: return value_of_map(FieldDescriptor::CPPTYPE_STRING);
    case FieldKind::kListMap: return value_of_map(FieldDescriptor::CPPTYPE_MESSAGE, "StringList");
    case FieldKind::kValueMap: return value_of_map(FieldDescriptor::CPPTYPE_MESSAGE, "Value");
    case FieldKind::kBlock: return type == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated();
    case FieldKind::kBlockList:
      return type == FieldDescriptor::CPPTYPE_MESSAGE && field.is_repeated() && !field.is_map();
    case FieldKind::kBlockMap: return value_of_map(FieldDescriptor::CPPTYPE_MESSAGE);
    default: return false;
  }
}

void check(const BlockTable& table, const Descriptor& message, std::set<std::pair<const void*, const void*>>& seen) {
  if (!seen.emplace(&table, &message).second) return;
  if (!table.label.empty() && table.label != "*") {
    EXPECT_TRUE(message.FindFieldByName(std::string(table.label))) << message.name() << " label " << table.label;
  }
  std::set<std::string_view> keys, fields;
  for (const FieldRow& row : table.rows) {
    EXPECT_TRUE(keys.insert(row.key).second) << message.name() << " has " << row.key << " twice";
    if (row.proto.empty()) continue;
    EXPECT_TRUE(fields.insert(row.proto).second) << message.name() << ": two keys fill " << row.proto;
    const FieldDescriptor* field = message.FindFieldByName(std::string(row.proto));
    ASSERT_TRUE(field) << message.name() << " has no field " << row.proto;
    EXPECT_TRUE(fits(row, *field)) << message.name() << "." << row.proto << " does not fit key " << row.key;
    if (row.block)
      check(*row.block, field->is_map() ? *field->message_type()->map_value()->message_type() : *field->message_type(),
            seen);
  }
}

TEST(BlockTable, FitsTheSchema) {
  std::set<std::pair<const void*, const void*>> seen;
  check(job_table(), *schema::Job::descriptor(), seen);
  EXPECT_GT(seen.size(), 60u);
}

}  // namespace
}  // namespace steppe::jobspec
