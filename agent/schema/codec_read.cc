#include <format>
#include <limits>
#include <optional>
#include <string>

#include "agent/schema/codec.h"
#include "agent/schema/shape.h"
#include "agent/schema/value.pb.h"
#include "init/base/bytes.h"
#include "init/base/text.h"
#include "init/json/reader.h"

namespace steppe::schema {
namespace {

using namespace shape;
using json::Kind;

// Go's zero time and what lies around it: outside of what 64 bits of nanoseconds can say.
constexpr std::string_view kZeroTime = "0001-01-01T00:00:00Z";

// Each step returns false on an error; the path is put together while the calls return.
class Decoder {
 public:
  Decoder(std::string_view text, const ReadOptions& options)
      : reader_(text, {.max_bytes = options.max_bytes, .max_depth = options.max_depth}),
        objects_left_(options.max_objects), reject_unknown_(options.unknown_keys == UnknownKeys::kReject) {}

  Result<> decode(Message* into, const MessageShape& shape) {
    const Kind kind = reader_.next();
    bool good = kind != Kind::kError;
    if (good && kind == Kind::kNull) {
      good = reader_.next() == Kind::kEnd;
    } else if (good) {
      good = message(kind, into, shape) && reader_.next() == Kind::kEnd;
    }
    if (good) return {};
    return error();
  }

 private:
  Error error() {
    if (reader_.failed()) {
      Error error = reader_.error();
      if (path_.empty()) return error;
      // The reader's text begins with the place: the path goes after it.
      const std::string& text = error.message();
      const size_t place = text.find(": ");
      return Error(error.code(), text.substr(0, place + 2) + path_ + text.substr(place));
    }
    Error error = reader_.error_here(path_.empty() ? problem_ : path_ + ": " + problem_);
    return exhausted_ ? Error(Code::kExhausted, error.message()) : error;
  }

  bool fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool expected(std::string_view what, Kind found) {
    return found != Kind::kError && fail(std::format("expected {}, found {}", what, json::kind_name(found)));
  }
  bool inside(std::string_view name) {
    path_.insert(0, path_.empty() || path_.front() == '[' ? std::string(name) : std::string(name) + ".");
    return false;
  }
  bool inside(size_t index) {
    path_.insert(0, std::format("[{}]{}", index, path_.empty() || path_.front() == '[' ? "" : "."));
    return false;
  }

  // Counts one more message against the limit.
  bool spend() { return objects_left_-- > 0 || exhaust("more objects than the limit"); }
  bool exhaust(const char* problem) {
    exhausted_ = true;
    return fail(problem);
  }

  bool message(Kind kind, Message* into, const MessageShape& shape) {
    if (!spend()) return false;
    switch (shape.special) {
      case Special::kValue: return value(kind, static_cast<Value*>(into), 1);
      case Special::kList:
        if (kind != Kind::kArray) return expected("an array", kind);
        return list(into, *into->GetReflection(), shape.fields.front());
      case Special::kObject: break;
    }
    if (kind != Kind::kObject) return expected("an object", kind);
    const Reflection& reflection = *into->GetReflection();
    size_t next_field = 0;
    while ((kind = reader_.next()) == Kind::kKey) {
      const FieldShape* field = shape.find(reader_.text(), next_field);
      if (field == nullptr) {
        if (reject_unknown_) return fail(std::format("unknown key \"{}\"", reader_.text()));
        if (!reader_.skip()) return false;
        continue;
      }
      next_field = static_cast<size_t>(field - shape.fields.data()) + 1;
      Message* holder = field->via != nullptr ? reflection.MutableMessage(into, field->via) : into;
      if (!member(holder, *holder->GetReflection(), *field)) return inside(field->name);
    }
    return kind == Kind::kObjectEnd;
  }

  bool member(Message* into, const Reflection& reflection, const FieldShape& field) {
    const Kind kind = reader_.next();
    switch (field.many) {
      case Many::kOne: break;
      case Many::kList:
      case Many::kMap:
        if (reflection.FieldSize(*into, field.field) != 0) reflection.ClearField(into, field.field);
        if (kind == Kind::kNull) return true;
        if (field.many == Many::kMap) {
          return kind == Kind::kObject ? map(into, reflection, field) : expected("an object", kind);
        }
        return kind == Kind::kArray ? list(into, reflection, field) : expected("an array", kind);
    }
    if (kind == Kind::kNull) {
      reflection.ClearField(into, field.field);
      return true;
    }
    return one(kind, into, reflection, field, field.field);
  }

  // A single value, into a field of a message or of a map's entry.
  bool one(Kind kind, Message* into, const Reflection& reflection, const FieldShape& field,
           const FieldDescriptor* target) {
    switch (field.type) {
      case Type::kBool: {
        bool flag = false;
        if (!boolean(kind, &flag)) return false;
        reflection.SetBool(into, target, flag);
        return true;
      }
      case Type::kInt32: {
        int64_t number = 0;
        if (!integer(kind, field, &number)) return false;
        if (number != static_cast<int32_t>(number)) return fail("the number does not fit 32 bits");
        reflection.SetInt32(into, target, static_cast<int32_t>(number));
        return true;
      }
      case Type::kInt64: {
        int64_t number = 0;
        if (!integer(kind, field, &number)) return false;
        reflection.SetInt64(into, target, number);
        return true;
      }
      case Type::kUint32: {
        uint64_t number = 0;
        if (!unsigned_integer(kind, &number)) return false;
        if (number > std::numeric_limits<uint32_t>::max()) return fail("the number does not fit 32 bits");
        reflection.SetUInt32(into, target, static_cast<uint32_t>(number));
        return true;
      }
      case Type::kUint64: {
        uint64_t number = 0;
        if (!unsigned_integer(kind, &number)) return false;
        reflection.SetUInt64(into, target, number);
        return true;
      }
      case Type::kDouble:
        if (kind != Kind::kNumber) return expected("a number", kind);
        reflection.SetDouble(into, target, reader_.number());
        return true;
      case Type::kString: return string(kind, into, reflection, field, target);
      case Type::kBytes: {
        std::string bytes;
        if (!base64_text(kind, &bytes)) return false;
        reflection.SetString(into, target, std::move(bytes));
        return true;
      }
      case Type::kMessage: {
        if (reflection.HasField(*into, target)) reflection.ClearField(into, target);
        return message(kind, reflection.MutableMessage(into, target), *field.message);
      }
    }
    return false;
  }

  bool string(Kind kind, Message* into, const Reflection& reflection, const FieldShape& field,
              const FieldDescriptor* target) {
    if (field.raw_json) {
      const size_t start = reader_.token_offset();
      if (!reader_.skip()) return false;
      reflection.SetString(into, target, std::string(text_from(start)));
      return true;
    }
    if (kind != Kind::kString) return expected("a string", kind);
    reflection.SetString(into, target, std::string(reader_.text()));
    return true;
  }

  std::string_view text_from(size_t start) const { return reader_.source().substr(start, reader_.offset() - start); }

  bool boolean(Kind kind, bool* flag) {
    *flag = kind == Kind::kTrue;
    return *flag || kind == Kind::kFalse || expected("true or false", kind);
  }

  bool integer(Kind kind, const FieldShape& field, int64_t* number) {
    if (kind == Kind::kString && field.time == Time::kRfc3339) return instant(number);
    if (kind == Kind::kString && field.time == Time::kDurationText) {
      auto duration = parse_duration(reader_.text());
      if (!duration.ok()) return fail(duration.error().message());
      *number = duration->count();
      return true;
    }
    if (kind != Kind::kNumber) {
      return expected(field.time == Time::kRfc3339        ? "a time in RFC 3339"
                      : field.time == Time::kDurationText ? "a duration in nanoseconds or as \"1h30m\""
                      : field.time == Time::kDuration     ? "a duration in nanoseconds, an integer"
                                                          : "an integer",
                      kind);
    }
    const std::optional<int64_t> read = reader_.integer();
    if (!read) return fail(std::format("expected an integer of 64 bits, found {}", reader_.text().substr(0, 40)));
    *number = *read;
    return true;
  }

  bool instant(int64_t* number) {
    const std::string_view text = reader_.text();
    if (text == kZeroTime) {
      *number = 0;
      return true;
    }
    auto time = parse_rfc3339(text);
    if (!time.ok()) return fail(time.error().message());
    *number = time->unix_ns;
    return true;
  }

  bool unsigned_integer(Kind kind, uint64_t* number) {
    if (kind != Kind::kNumber) return expected("an integer", kind);
    const std::optional<uint64_t> read = reader_.unsigned_integer();
    if (!read) return fail(std::format("expected an integer from 0 on, found {}", reader_.text().substr(0, 40)));
    *number = *read;
    return true;
  }

  bool base64_text(Kind kind, std::string* bytes) {
    if (kind != Kind::kString) return expected("a base64 string", kind);
    auto decoded = unbase64(reader_.text());
    if (!decoded.ok()) return fail(decoded.error().message());
    *bytes = *std::move(decoded);
    return true;
  }

  bool list(Message* into, const Reflection& reflection, const FieldShape& field) {
    size_t index = 0;
    for (Kind kind = reader_.next(); kind != Kind::kArrayEnd; kind = reader_.next(), ++index) {
      if (kind == Kind::kError || !item(kind, into, reflection, field)) return inside(index);
    }
    return true;
  }

  bool item(Kind kind, Message* into, const Reflection& reflection, const FieldShape& field) {
    const FieldDescriptor* target = field.field;
    switch (field.type) {
      case Type::kBool: {
        bool flag = false;
        if (!boolean(kind, &flag)) return false;
        reflection.AddBool(into, target, flag);
        return true;
      }
      case Type::kInt64: {
        int64_t number = 0;
        if (!integer(kind, field, &number)) return false;
        reflection.AddInt64(into, target, number);
        return true;
      }
      case Type::kUint64: {
        uint64_t number = 0;
        if (!unsigned_integer(kind, &number)) return false;
        reflection.AddUInt64(into, target, number);
        return true;
      }
      case Type::kDouble:
        if (kind != Kind::kNumber) return expected("a number", kind);
        reflection.AddDouble(into, target, reader_.number());
        return true;
      case Type::kString:
        if (kind != Kind::kString) return expected("a string", kind);
        reflection.AddString(into, target, std::string(reader_.text()));
        return true;
      case Type::kMessage: return message(kind, reflection.AddMessage(into, target), *field.message);
      case Type::kInt32:
      case Type::kUint32:
      case Type::kBytes: break;
    }
    return fail("lists of this type are not part of the catalogue");
  }

  // The entries are added one by one; protobuf turns them into the map at the first look, where the last of two equal
  // keys wins.
  bool map(Message* into, const Reflection& reflection, const FieldShape& field) {
    Kind kind;
    while ((kind = reader_.next()) == Kind::kKey) {
      if (!spend()) return false;
      std::string key(reader_.text());
      Message* entry = reflection.AddMessage(into, field.field);
      const Reflection& of_entry = *entry->GetReflection();
      kind = reader_.next();
      if (kind == Kind::kError || !map_value(kind, entry, of_entry, field)) return inside(key);
      of_entry.SetString(entry, field.map_key, std::move(key));
    }
    return kind == Kind::kObjectEnd;
  }

  bool map_value(Kind kind, Message* entry, const Reflection& reflection, const FieldShape& field) {
    // Go leaves a null value of a map at its zero.
    if (kind == Kind::kNull && !(field.message != nullptr && field.message->special == Special::kValue)) {
      if (field.type == Type::kMessage) reflection.MutableMessage(entry, field.map_value);
      return true;
    }
    return one(kind, entry, reflection, field, field.map_value);
  }

  bool value(Kind kind, Value* into, uint32_t depth) {
    if (!spend()) return false;
    switch (kind) {
      case Kind::kNull: into->set_null(true); return true;
      case Kind::kTrue: into->set_boolean(true); return true;
      case Kind::kFalse: into->set_boolean(false); return true;
      case Kind::kString: into->set_text(std::string(reader_.text())); return true;
      case Kind::kNumber:
        if (const auto integer = reader_.integer()) {
          into->set_integer(*integer);
        } else {
          into->set_number(reader_.number());
        }
        return true;
      case Kind::kArray: {
        if (depth > kMaxValueDepth) return exhaust("nested deeper than the limit");
        ValueList* list = into->mutable_list();
        size_t index = 0;
        for (kind = reader_.next(); kind != Kind::kArrayEnd; kind = reader_.next(), ++index) {
          if (kind == Kind::kError || !value(kind, list->add_items(), depth + 1)) return inside(index);
        }
        return true;
      }
      case Kind::kObject: {
        if (depth > kMaxValueDepth) return exhaust("nested deeper than the limit");
        auto& fields = *into->mutable_object()->mutable_fields();
        while ((kind = reader_.next()) == Kind::kKey) {
          const std::string key(reader_.text());
          Value& member = fields[key];
          member.Clear();
          kind = reader_.next();
          if (kind == Kind::kError || !value(kind, &member, depth + 1)) return inside(key);
        }
        return kind == Kind::kObjectEnd;
      }
      default: return expected("a value", kind);
    }
  }

  json::Reader reader_;
  size_t objects_left_;
  bool reject_unknown_;
  bool exhausted_ = false;
  std::string problem_;
  std::string path_;
};

}  // namespace

Result<> read_json(std::string_view text, google::protobuf::Message* into, const ReadOptions& options) {
  into->Clear();
  return Decoder(text, options).decode(into, shape_of(into->GetDescriptor()));
}

}  // namespace steppe::schema
