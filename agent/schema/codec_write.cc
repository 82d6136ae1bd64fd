#include <algorithm>
#include <string>
#include <vector>

#include "agent/schema/codec.h"
#include "agent/schema/shape.h"
#include "agent/schema/value.pb.h"
#include "init/base/assert.h"
#include "init/base/bytes.h"
#include "init/base/text.h"

namespace steppe::schema {
namespace {

using namespace shape;

class Encoder {
 public:
  Encoder(json::Writer& writer, bool redact) : writer_(writer), redact_(redact) {}

  void message(const Message& message, const MessageShape& shape) {
    switch (shape.special) {
      case Special::kValue: value(static_cast<const Value&>(message)); return;
      case Special::kList: list(message, *message.GetReflection(), shape.fields.front()); return;
      case Special::kObject: break;
    }
    const Reflection* reflection = message.GetReflection();
    writer_.begin_object();
    for (const FieldShape& field : shape.fields) {
      if (field.via != nullptr) [[unlikely]] {
        const Message& inner = reflection->GetMessage(message, field.via);
        member(inner, *inner.GetReflection(), field);
      } else {
        member(message, *reflection, field);
      }
    }
    writer_.end_object();
  }

  // The value of one field, without its key.
  void content(const Message& message, const Reflection& reflection, const FieldShape& field) {
    switch (field.many) {
      case Many::kOne: one(message, reflection, field); return;
      case Many::kList: list(message, reflection, field); return;
      case Many::kMap: map(message, reflection, field); return;
    }
  }

 private:
  void member(const Message& message, const Reflection& reflection, const FieldShape& field) {
    if (field.omit_empty && is_empty(message, reflection, field)) return;
    writer_.quoted_key(field.quoted);
    if (field.secret && redact_) [[unlikely]] {
      field.type == Type::kString && field.many == Many::kOne ? writer_.raw("\"\"") : writer_.null();
      return;
    }
    content(message, reflection, field);
  }

  bool is_empty(const Message& message, const Reflection& reflection, const FieldShape& field) {
    if (field.many != Many::kOne) return reflection.FieldSize(message, field.field) == 0;
    return !reflection.HasField(message, field.field);
  }

  void one(const Message& message, const Reflection& reflection, const FieldShape& field) {
    if (field.presence && !field.unset_as_zero && !reflection.HasField(message, field.field)) {
      writer_.null();
      return;
    }
    const FieldDescriptor* descriptor = field.field;
    switch (field.type) {
      case Type::kBool: writer_.boolean(reflection.GetBool(message, descriptor)); return;
      case Type::kInt32: writer_.integer(reflection.GetInt32(message, descriptor)); return;
      case Type::kInt64: integer(reflection.GetInt64(message, descriptor), field); return;
      case Type::kUint32: writer_.unsigned_integer(reflection.GetUInt32(message, descriptor)); return;
      case Type::kUint64: writer_.unsigned_integer(reflection.GetUInt64(message, descriptor)); return;
      case Type::kDouble: writer_.number(reflection.GetDouble(message, descriptor)); return;
      case Type::kString: {
        const std::string& text = reflection.GetStringReference(message, descriptor, &scratch_);
        if (field.raw_json) {
          writer_.raw(text.empty() ? "null" : text);
        } else {
          writer_.text(text);
        }
        return;
      }
      case Type::kBytes: bytes(reflection.GetStringReference(message, descriptor, &scratch_), field); return;
      case Type::kMessage: this->message(reflection.GetMessage(message, descriptor), *field.message); return;
    }
  }

  void integer(int64_t value, const FieldShape& field) {
    if (field.time != Time::kRfc3339) {
      writer_.integer(value);
    } else if (value == 0) {
      writer_.raw("\"0001-01-01T00:00:00Z\"");
    } else {
      writer_.plain_text(format_rfc3339(WallTime{value}));
    }
  }

  void bytes(const std::string& value, const FieldShape& field) {
    if (value.empty() && !field.empty_as_list) {
      writer_.null();
    } else {
      writer_.plain_text(base64(as_bytes(value)));
    }
  }

  void list(const Message& message, const Reflection& reflection, const FieldShape& field) {
    const FieldDescriptor* descriptor = field.field;
    const int size = reflection.FieldSize(message, descriptor);
    if (size == 0) {
      writer_.raw(field.empty_as_list ? "[]" : "null");
      return;
    }
    writer_.begin_array();
    for (int i = 0; i < size; ++i) {
      switch (field.type) {
        case Type::kBool: writer_.boolean(reflection.GetRepeatedBool(message, descriptor, i)); break;
        case Type::kInt32: writer_.integer(reflection.GetRepeatedInt32(message, descriptor, i)); break;
        case Type::kInt64: integer(reflection.GetRepeatedInt64(message, descriptor, i), field); break;
        case Type::kUint32: writer_.unsigned_integer(reflection.GetRepeatedUInt32(message, descriptor, i)); break;
        case Type::kUint64: writer_.unsigned_integer(reflection.GetRepeatedUInt64(message, descriptor, i)); break;
        case Type::kDouble: writer_.number(reflection.GetRepeatedDouble(message, descriptor, i)); break;
        case Type::kString:
          writer_.text(reflection.GetRepeatedStringReference(message, descriptor, i, &scratch_));
          break;
        case Type::kBytes:
          bytes(reflection.GetRepeatedStringReference(message, descriptor, i, &scratch_), field);
          break;
        case Type::kMessage:
          this->message(reflection.GetRepeatedMessage(message, descriptor, i), *field.message);
          break;
      }
    }
    writer_.end_array();
  }

  struct Entry {
    const std::string* key;
    const Message* entry;
  };

  void map(const Message& message, const Reflection& reflection, const FieldShape& field) {
    const int size = reflection.FieldSize(message, field.field);
    if (size == 0) {
      writer_.raw(field.empty_as_list ? "{}" : "null");
      return;
    }
    std::vector<Entry> entries;
    entries.reserve(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      const Message& entry = reflection.GetRepeatedMessage(message, field.field, i);
      entries.push_back({&entry.GetReflection()->GetStringReference(entry, field.map_key, &scratch_), &entry});
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return *a.key < *b.key; });
    writer_.begin_object();
    for (const Entry& entry : entries) {
      writer_.key(*entry.key);
      map_value(*entry.entry, field);
    }
    writer_.end_object();
  }

  void map_value(const Message& entry, const FieldShape& field) {
    const Reflection& reflection = *entry.GetReflection();
    const FieldDescriptor* descriptor = field.map_value;
    switch (field.type) {
      case Type::kBool: writer_.boolean(reflection.GetBool(entry, descriptor)); return;
      case Type::kInt32: writer_.integer(reflection.GetInt32(entry, descriptor)); return;
      case Type::kInt64: integer(reflection.GetInt64(entry, descriptor), field); return;
      case Type::kUint32: writer_.unsigned_integer(reflection.GetUInt32(entry, descriptor)); return;
      case Type::kUint64: writer_.unsigned_integer(reflection.GetUInt64(entry, descriptor)); return;
      case Type::kDouble: writer_.number(reflection.GetDouble(entry, descriptor)); return;
      case Type::kString: writer_.text(reflection.GetStringReference(entry, descriptor, &scratch_)); return;
      case Type::kBytes: bytes(reflection.GetStringReference(entry, descriptor, &scratch_), field); return;
      case Type::kMessage: {
        const Message& value = reflection.GetMessage(entry, descriptor);
        if (field.null_values && value.ByteSizeLong() == 0) {
          writer_.null();
        } else {
          message(value, *field.message);
        }
        return;
      }
    }
  }

  void value(const Value& value) {
    switch (value.kind_case()) {
      case Value::kBoolean: writer_.boolean(value.boolean()); return;
      case Value::kInteger: writer_.integer(value.integer()); return;
      case Value::kNumber: writer_.number(value.number()); return;
      case Value::kText: writer_.text(value.text()); return;
      case Value::kList:
        writer_.begin_array();
        for (const Value& item : value.list().items()) this->value(item);
        writer_.end_array();
        return;
      case Value::kObject: object(value.object()); return;
      case Value::kNull:
      case Value::KIND_NOT_SET: break;
    }
    writer_.null();
  }

  void object(const ValueMap& map) {
    std::vector<const google::protobuf::Map<std::string, Value>::value_type*> entries;
    entries.reserve(map.fields().size());
    for (const auto& entry : map.fields()) entries.push_back(&entry);
    std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
    writer_.begin_object();
    for (const auto* entry : entries) {
      writer_.key(entry->first);
      value(entry->second);
    }
    writer_.end_object();
  }

  json::Writer& writer_;
  bool redact_;
  std::string scratch_;
};

}  // namespace

void write_json(const google::protobuf::Message& message, json::Writer* writer, const WriteOptions& options) {
  Encoder(*writer, options.redact).message(message, shape_of(message.GetDescriptor()));
}

std::string write_field_json(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                             const WriteOptions& options) {
  std::string out;
  json::Writer writer(&out, options.style);
  for (const FieldShape& shape : shape_of(message.GetDescriptor()).fields) {
    if (shape.field == &field && shape.via == nullptr) Encoder(writer, options.redact).content(message, *message.GetReflection(), shape);
  }
  STEPPE_ASSERT(!out.empty());
  return out;
}

std::string write_json(const google::protobuf::Message& message, const WriteOptions& options) {
  std::string out;
  out.reserve(1024);
  json::Writer writer(&out, options.style);
  write_json(message, &writer, options);
  return out;
}

}  // namespace steppe::schema
