#include "agent/schema/shape.h"

#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "agent/schema/options.pb.h"
#include "agent/schema/value.pb.h"
#include "init/base/assert.h"
#include "init/base/text.h"

namespace steppe::schema::shape {
namespace {

// ASCII letters of either case hash alike; that some other characters do too does no harm, names are compared.
uint32_t hash_of(std::string_view name) {
  uint64_t hash = name.size() * 0x9E3779B97F4A7C15u;
  const auto fold = [&hash](uint64_t word) {
    hash ^= word | 0x2020202020202020u;
    hash *= 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  };
  const char* at = name.data();
  size_t left = name.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    fold(word);
  }
  uint64_t word = 0;
  std::memcpy(&word, at, left);
  fold(word);
  return static_cast<uint32_t>(hash);
}

Type type_of(const FieldDescriptor* field) {
  switch (field->type()) {
    case FieldDescriptor::TYPE_BOOL: return Type::kBool;
    case FieldDescriptor::TYPE_INT32: return Type::kInt32;
    case FieldDescriptor::TYPE_INT64: return Type::kInt64;
    case FieldDescriptor::TYPE_UINT32: return Type::kUint32;
    case FieldDescriptor::TYPE_UINT64: return Type::kUint64;
    case FieldDescriptor::TYPE_DOUBLE: return Type::kDouble;
    case FieldDescriptor::TYPE_STRING: return Type::kString;
    case FieldDescriptor::TYPE_BYTES: return Type::kBytes;
    case FieldDescriptor::TYPE_MESSAGE: return Type::kMessage;
    default: break;
  }
  assertion_failed("the catalogue uses a field type that the codec does not know");
}

class Registry {
 public:
  const MessageShape& get(const Descriptor* descriptor) {
    {
      std::shared_lock lock(mutex_);
      const auto found = shapes_.find(descriptor);
      if (found != shapes_.end()) return *found->second;
    }
    std::unique_lock lock(mutex_);
    return *build(descriptor);
  }

 private:
  // Builds all that the type reaches, so that no later lookup is needed. A type that is being built is in the table
  // already: types may hold themselves.
  const MessageShape* build(const Descriptor* descriptor) {
    auto& slot = shapes_[descriptor];
    if (slot) return slot.get();
    slot = std::make_unique<MessageShape>();
    MessageShape* shape = slot.get();
    shape->descriptor = descriptor;
    if (descriptor == Value::descriptor()) {
      shape->special = Special::kValue;
    } else if (descriptor->field_count() == 1 && descriptor->field(0)->is_repeated() &&
               descriptor->field(0)->name() == "items") {
      shape->special = Special::kList;
    }
    add_fields(shape, descriptor, nullptr);
    index(shape);
    return shape;
  }

  void add_fields(MessageShape* shape, const Descriptor* descriptor, const FieldDescriptor* via) {
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const FieldDescriptor* field = descriptor->field(i);
      const auto& options = field->options();
      if (options.GetExtension(hidden)) continue;
      if (options.GetExtension(flatten)) {
        STEPPE_ASSERT(via == nullptr && field->message_type() != nullptr && !field->is_repeated());
        add_fields(shape, field->message_type(), field);
        continue;
      }
      shape->fields.push_back(make_field(field, via));
    }
  }

  FieldShape make_field(const FieldDescriptor* field, const FieldDescriptor* via) {
    const auto& options = field->options();
    FieldShape made;
    made.field = field;
    made.via = via;
    made.name = field->json_name();
    made.quoted = "\"" + made.name + "\":";
    made.many = field->is_map() ? Many::kMap : field->is_repeated() ? Many::kList : Many::kOne;
    made.time = static_cast<Time>(options.GetExtension(time_as));
    made.presence = field->has_presence();
    made.omit_empty = options.GetExtension(omit_empty);
    made.secret = options.GetExtension(secret);
    made.empty_as_list = options.GetExtension(when_empty) == EMPTY;
    made.unset_as_zero = options.GetExtension(when_unset) == ZERO;
    made.null_values = options.GetExtension(null_values);
    made.raw_json = options.GetExtension(raw_json);
    const FieldDescriptor* holds = field;
    if (made.many == Many::kMap) {
      made.map_key = field->message_type()->map_key();
      made.map_value = field->message_type()->map_value();
      STEPPE_ASSERT(made.map_key->type() == FieldDescriptor::TYPE_STRING);
      holds = made.map_value;
    }
    made.type = type_of(holds);
    if (made.type == Type::kMessage) made.message = build(holds->message_type());
    return made;
  }

  static void index(MessageShape* shape) {
    const size_t size = std::bit_ceil(shape->fields.size() * 2 + 1);
    shape->slots.assign(size, 0);
    for (size_t i = 0; i < shape->fields.size(); ++i) {
      size_t slot = hash_of(shape->fields[i].name) & (size - 1);
      while (shape->slots[slot] != 0) slot = (slot + 1) & (size - 1);
      shape->slots[slot] = static_cast<uint16_t>(i + 1);
    }
  }

  std::shared_mutex mutex_;
  std::map<const Descriptor*, std::unique_ptr<MessageShape>> shapes_;  // looked up, never walked
};

}  // namespace

const FieldShape* MessageShape::find(std::string_view name, size_t expected) const {
  if (expected < fields.size() && fields[expected].name == name) return &fields[expected];
  const size_t mask = slots.size() - 1;
  for (size_t slot = hash_of(name) & mask; slots[slot] != 0; slot = (slot + 1) & mask) {
    const FieldShape& field = fields[slots[slot] - 1];
    if (equals_ignoring_case(field.name, name)) return &field;
  }
  return nullptr;
}

const MessageShape& shape_of(const Descriptor* descriptor) {
  static Registry registry;
  return registry.get(descriptor);
}

}  // namespace steppe::schema::shape
