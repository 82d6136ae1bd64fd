#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What the codec needs to know of a message type, found once: descriptors and options, flattened and in tables. Included
// by the codec's own files only.
namespace steppe::schema::shape {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

struct MessageShape;

enum class Type : uint8_t { kBool, kInt32, kInt64, kUint32, kUint64, kDouble, kString, kBytes, kMessage };
enum class Time : uint8_t { kPlain, kRfc3339, kDuration, kDurationText };
enum class Many : uint8_t { kOne, kList, kMap };

struct FieldShape {
  const FieldDescriptor* field = nullptr;
  const FieldDescriptor* via = nullptr;  // the flattened message that holds it, or null
  std::string name;                      // "CreateIndex"
  std::string quoted;                    // "\"CreateIndex\":"
  Type type = Type::kBool;               // of a map: of its values
  Many many = Many::kOne;
  Time time = Time::kPlain;
  bool presence = false;  // absent and zero differ
  bool omit_empty = false;
  bool secret = false;
  bool empty_as_list = false;
  bool unset_as_zero = false;
  bool null_values = false;
  bool raw_json = false;
  const MessageShape* message = nullptr;      // of kMessage
  const FieldDescriptor* map_key = nullptr;   // of kMap
  const FieldDescriptor* map_value = nullptr;
};

enum class Special : uint8_t {
  kObject,
  kValue,     // Value: any JSON value
  kList,      // a message whose only field is `repeated items`: the list itself
};

struct MessageShape {
  const Descriptor* descriptor = nullptr;
  Special special = Special::kObject;
  std::vector<FieldShape> fields;  // in the order of the .proto file
  std::vector<uint16_t> slots;     // hash of the lower-case name -> index in fields + 1; a power of two, half empty

  // The field of that name, in any case, or null. `expected` is the index that would be next if the writer kept the
  // order of the .proto file: a hint, tried first.
  const FieldShape* find(std::string_view name, size_t expected) const;
};

// The shape of a generated message type. Never null; lives as long as the program.
const MessageShape& shape_of(const Descriptor* descriptor);

}  // namespace steppe::schema::shape
