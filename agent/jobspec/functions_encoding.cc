#include <algorithm>
#include <format>

#include "agent/jobspec/function_families.h"
#include "init/base/bytes.h"
#include "init/base/text.h"
#include "init/json/reader.h"
#include "init/json/writer.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

Result<Value> decode_base64(Arguments a, hcl::Budget&) {
  auto bytes = unbase64(a[0].string());
  if (!bytes.ok()) return invalid(std::format("failed to decode base64 data '{}'", a[0].string().substr(0, 64)));
  if (!is_utf8(*bytes)) return invalid("the result of decoding the provided string is not valid UTF-8");
  return Value(*std::move(bytes));
}
Result<Value> encode_base64(Arguments a, hcl::Budget&) { return Value(base64(as_bytes(a[0].string()))); }

void write_json(const Value& value, json::Writer& writer) {
  switch (value.kind()) {
    case Kind::kNull: return writer.null();
    case Kind::kBool: return writer.boolean(value.boolean());
    case Kind::kNumber: return writer.raw(value.number().text());
    case Kind::kString: return writer.text(value.string());
    case Kind::kMap:
    case Kind::kObject:
      writer.begin_object();
      for (const auto& [key, item] : value.mapping()) {
        writer.key(key);
        write_json(item, writer);
      }
      return writer.end_object();
    default:
      writer.begin_array();
      for (const Value& item : value.sequence()) write_json(item, writer);
      return writer.end_array();
  }
}

class JsonDecoder {
 public:
  JsonDecoder(std::string_view text, hcl::Budget& budget)
      : reader_(text, {.max_bytes = size_t{16} << 20, .max_depth = Value::kMaxDepth}), budget_(budget) {}

  Result<Value> run() {
    STEPPE_TRY(Value value, read(reader_.next()));
    if (reader_.next() != json::Kind::kEnd) return reader_.error();
    return value;
  }

 private:
  Result<Value> read(json::Kind kind) {
    STEPPE_TRY_VOID(budget_.take_bytes(64 + (kind == json::Kind::kString ? reader_.text().size() : 0)));
    switch (kind) {
      case json::Kind::kNull: return Value();
      case json::Kind::kTrue: return Value(true);
      case json::Kind::kFalse: return Value(false);
      case json::Kind::kString: return Value(reader_.text());
      case json::Kind::kNumber: {
        auto number = Number::parse(reader_.text());
        if (!number.ok()) return reader_.error_here(number.error().message());
        return Value(*number);
      }
      case json::Kind::kArray: return read_array();
      case json::Kind::kObject: return read_object();
      default: return reader_.error();
    }
  }

  Result<Value> read_array() {
    Value::Sequence items;
    for (;;) {
      json::Kind kind = reader_.next();
      if (kind == json::Kind::kArrayEnd) return Value::make_sequence(Kind::kTuple, std::move(items));
      STEPPE_TRY(Value item, read(kind));
      items.push_back(std::move(item));
    }
  }

  Result<Value> read_object() {
    Value::Mapping items;
    for (;;) {
      json::Kind kind = reader_.next();
      if (kind == json::Kind::kObjectEnd) return Value::make_mapping(Kind::kObject, std::move(items));
      if (kind != json::Kind::kKey) return reader_.error();
      std::string key(reader_.text());
      STEPPE_TRY(Value item, read(reader_.next()));
      items.insert_or_assign(std::move(key), std::move(item));
    }
  }

  json::Reader reader_;
  hcl::Budget& budget_;
};

Result<Value> decode_json(Arguments a, hcl::Budget& budget) { return JsonDecoder(a[0].string(), budget).run(); }

Result<Value> json_of(Arguments a, hcl::Budget& budget) {
  STEPPE_TRY_VOID(budget.take_bytes(2 * a[0].weight()));
  return Value(encode_json(a[0]));
}

// As a form's field: letters, digits and "-_.~" stay, a space becomes "+".
Result<Value> encode_url(Arguments a, hcl::Budget&) {
  std::string out;
  for (char c : a[0].string()) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 c == '.' || c == '~';
    if (plain) {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += std::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return Value(std::move(out));
}

class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text) {}
  bool at_end() const { return at_ >= text_.size(); }

  // One record; empty lines are passed over. False at the end.
  Result<bool> record(std::vector<std::string>& fields) {
    fields.clear();
    while (!at_end() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n"))
      at_ += text_[at_] == '\n' ? 1 : 2, ++line_;
    if (at_end()) return false;
    for (;;) {
      STEPPE_TRY_VOID(field(fields.emplace_back()));
      if (at_end()) return true;
      char c = text_[at_++];
      if (c == ',') continue;
      ++line_;
      if (c == '\r') ++at_;
      return true;
    }
  }
  size_t line() const { return line_; }

 private:
  Result<> field(std::string& into) {
    if (at_end() || text_[at_] != '"') {
      size_t end = at_;
      while (end < text_.size() && text_[end] != ',' && text_[end] != '\n' && text_.substr(end, 2) != "\r\n") {
        if (text_[end] == '"')
          return invalid(std::format("CSV parse error on line {}: bare \" in non-quoted field", line_));
        ++end;
      }
      into = text_.substr(at_, end - at_);
      at_ = end;
      return {};
    }
    for (++at_; !at_end(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        into += text_[at_];
        continue;
      }
      if (text_.substr(at_ + 1, 1) == "\"") {
        into += '"';
        ++at_;
        continue;
      }
      ++at_;
      bool ends = at_end() || text_[at_] == ',' || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n";
      if (!ends)
        return invalid(std::format("CSV parse error on line {}: extraneous or missing \" in quoted-field", line_));
      return {};
    }
    return invalid(std::format("CSV parse error on line {}: extraneous or missing \" in quoted-field", line_));
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t line_ = 1;
};

Result<Value> decode_csv(Arguments a, hcl::Budget& budget) {
  CsvReader reader(a[0].string());
  std::vector<std::string> names, fields;
  STEPPE_TRY(bool any, reader.record(names));
  if (!any) return invalid("missing header line");
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<ptrdiff_t>(i)) {
      return invalid(std::format("duplicate column name \"{}\"", names[i]));
    }
    if (i >= 4096) return Error(Code::kExhausted, "at most 4096 columns are read");
  }
  Value::Sequence rows;
  for (;;) {
    STEPPE_TRY(bool more, reader.record(fields));
    if (!more) break;
    if (fields.size() != names.size())
      return invalid(std::format("CSV parse error on line {}: wrong number of fields", reader.line()));
    Value::Mapping row;
    for (size_t i = 0; i < names.size(); ++i) {
      STEPPE_TRY_VOID(budget.take_bytes(names[i].size() + fields[i].size() + 64));
      row.emplace(names[i], Value(std::move(fields[i])));
    }
    STEPPE_TRY(Value object, Value::make_mapping(Kind::kObject, std::move(row)));
    rows.push_back(std::move(object));
  }
  return Value::make_sequence(Kind::kList, std::move(rows));
}

}  // namespace

std::string encode_json(const Value& value) {
  std::string plain, out;
  json::Writer writer(&plain);
  write_json(value, writer);
  // These three stand only inside strings, where an escape means the same.
  for (char c : plain) {
    if (c == '<' || c == '>' || c == '&') {
      out += std::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

void add_encodings(hcl::FunctionTable& table) {
  add(table, "base64decode", {text_parameter("str")}, decode_base64);
  add(table, "base64encode", {text_parameter("str")}, encode_base64);
  add(table, "csvdecode", {text_parameter("str")}, decode_csv);
  add(table, "jsondecode", {text_parameter("str")}, decode_json);
  add(table, "jsonencode", {nullable_parameter("val")}, json_of);
  add(table, "urlencode", {text_parameter("str")}, encode_url);
}

}  // namespace steppe::jobspec
