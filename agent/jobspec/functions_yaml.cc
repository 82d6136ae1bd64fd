// yamldecode() on libyaml's events, yamlencode() in the plain subset that every YAML reader agrees on.
#include <yaml.h>

#include <charconv>
#include <format>
#include <limits>

#include "agent/jobspec/function_families.h"
#include "init/base/bytes.h"
#include "init/base/text.h"
#include "init/json/writer.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

class Event {
 public:
  Event() = default;
  ~Event() {
    if (full_) yaml_event_delete(&event_);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  yaml_event_t* slot() {
    full_ = true;
    return &event_;
  }
  const yaml_event_t& operator*() const { return event_; }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_{};
  bool full_ = false;
};

std::string text_of(const yaml_char_t* text) { return text ? reinterpret_cast<const char*>(text) : ""; }

class YamlDecoder {
 public:
  YamlDecoder(std::string_view text, hcl::Budget& budget) : budget_(budget) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~YamlDecoder() { yaml_parser_delete(&parser_); }
  YamlDecoder(const YamlDecoder&) = delete;
  YamlDecoder& operator=(const YamlDecoder&) = delete;

  Result<Value> run() {
    STEPPE_TRY_VOID(skip(YAML_STREAM_START_EVENT));
    {
      Event start;
      STEPPE_TRY_VOID(next(start));
      if (start->type == YAML_STREAM_END_EVENT) return invalid("missing start of document");
    }
    STEPPE_TRY(Value value, node(0));
    STEPPE_TRY_VOID(skip(YAML_DOCUMENT_END_EVENT));
    Event end;
    STEPPE_TRY_VOID(next(end));
    if (end->type != YAML_STREAM_END_EVENT) return fail(*end, "only one document is allowed");
    return value;
  }

 private:
  Result<> next(Event& event) {
    STEPPE_TRY_VOID(budget_.take_steps(1));
    if (yaml_parser_parse(&parser_, event.slot())) return {};
    return invalid(std::format("on line {}, column {}: {}", parser_.problem_mark.line + 1,
                               parser_.problem_mark.column + 1, parser_.problem ? parser_.problem : "cannot be read"));
  }
  Result<> skip(yaml_event_type_t) {
    Event event;
    return next(event);
  }
  static Error fail(const yaml_event_t& event, std::string why) {
    return invalid(std::format("on line {}, column {}: {}", event.start_mark.line + 1, event.start_mark.column + 1,
                               std::move(why)));
  }

  Result<Value> node(uint32_t depth) {
    Event event;
    STEPPE_TRY_VOID(next(event));
    return node_of(*event, depth);
  }

  Result<Value> node_of(const yaml_event_t& event, uint32_t depth) {
    if (depth > Value::kMaxDepth) return fail(event, "nested too deep");
    std::string anchor;
    Result<Value> value = Value();
    switch (event.type) {
      case YAML_ALIAS_EVENT: {
        auto found = anchors_.find(text_of(event.data.alias.anchor));
        if (found == anchors_.end()) return fail(event, "reference to undefined anchor");
        return found->second;
      }
      case YAML_SCALAR_EVENT:
        anchor = text_of(event.data.scalar.anchor);
        value = scalar(event);
        break;
      case YAML_SEQUENCE_START_EVENT:
        anchor = text_of(event.data.sequence_start.anchor);
        value = sequence(depth);
        break;
      case YAML_MAPPING_START_EVENT:
        anchor = text_of(event.data.mapping_start.anchor);
        value = mapping(depth);
        break;
      default: return fail(event, "a value is missing");
    }
    if (value.ok() && !anchor.empty()) anchors_.insert_or_assign(anchor, *value);
    return value;
  }

  Result<Value> sequence(uint32_t depth) {
    Value::Sequence items;
    for (;;) {
      Event event;
      STEPPE_TRY_VOID(next(event));
      if (event->type == YAML_SEQUENCE_END_EVENT) return Value::make_sequence(Kind::kTuple, std::move(items));
      STEPPE_TRY(Value item, node_of(*event, depth + 1));
      STEPPE_TRY_VOID(budget_.take_bytes(64));
      items.push_back(std::move(item));
    }
  }

  Result<Value> mapping(uint32_t depth) {
    Value::Mapping items, merged;
    for (;;) {
      Event event;
      STEPPE_TRY_VOID(next(event));
      if (event->type == YAML_MAPPING_END_EVENT) break;
      bool merges =
          event->type == YAML_SCALAR_EVENT && event->data.scalar.plain_implicit && scalar_text(*event) == "<<";
      STEPPE_TRY(Value key, node_of(*event, depth + 1));
      STEPPE_TRY(Value item, node(depth + 1));
      STEPPE_TRY_VOID(budget_.take_bytes(96));
      if (merges) {
        STEPPE_TRY_VOID(merge(item, merged, *event));
        continue;
      }
      auto name = convert(key, hcl::Type::string());
      if (!name.ok() || name->is_null()) return fail(*event, "only a scalar may be a mapping's key");
      items.insert_or_assign(name->string(), std::move(item));
    }
    items.merge(merged);  // keys of the mapping itself win
    return Value::make_mapping(Kind::kObject, std::move(items));
  }

  Result<> merge(const Value& from, Value::Mapping& merged, const yaml_event_t& event) {
    if (from.is_sequence()) {
      for (const Value& one : from.sequence()) STEPPE_TRY_VOID(merge(one, merged, event));
      return {};
    }
    if (!from.is_mapping()) return fail(event, "a merge key needs a mapping");
    STEPPE_TRY_VOID(budget_.take_bytes(96 * from.size()));
    merged.insert(from.mapping().begin(), from.mapping().end());
    return {};
  }

  static std::string_view scalar_text(const yaml_event_t& event) {
    return {reinterpret_cast<const char*>(event.data.scalar.value), event.data.scalar.length};
  }

  Result<Value> scalar(const yaml_event_t& event) {
    std::string_view text = scalar_text(event);
    STEPPE_TRY_VOID(budget_.take_bytes(text.size() + 32));
    std::string tag = text_of(event.data.scalar.tag);
    if (tag.empty()) return event.data.scalar.plain_implicit ? resolve(text) : Result<Value>(Value(text));
    constexpr std::string_view kPrefix = "tag:yaml.org,2002:";
    std::string_view kind =
        std::string_view(tag).starts_with(kPrefix) ? std::string_view(tag).substr(kPrefix.size()) : tag;
    if (kind == "str" || tag == "!") return Value(text);
    if (kind == "null") return Value();
    if (kind == "bool" || kind == "int" || kind == "float") {
      Value value = resolve(text);
      auto fits = convert(value, kind == "bool" ? hcl::Type::boolean() : hcl::Type::number());
      if (!fits.ok()) return fail(event, std::format("\"{}\" is no {}", text.substr(0, 64), kind));
      return *std::move(fits);
    }
    if (kind == "timestamp") return Value(text);
    if (kind == "binary") {
      std::string packed;
      for (char c : text) {
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') packed += c;
      }
      if (!unbase64(packed).ok()) return fail(event, "cannot parse as binary: not valid base64");
      return Value(std::move(packed));
    }
    return fail(event, std::format("unsupported tag \"{}\"", tag));
  }

  // A day alone is a timestamp of its midnight.
  static bool is_date(std::string_view text) {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
    for (size_t i : {0, 1, 2, 3, 5, 6, 8, 9}) {
      if (text[i] < '0' || text[i] > '9') return false;
    }
    return true;
  }

  // YAML 1.1's plain scalars, as far as the job language has types for them.
  static Value resolve(std::string_view text) {
    for (std::string_view null : {"", "~", "null", "Null", "NULL"}) {
      if (text == null) return Value();
    }
    for (std::string_view yes : {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}) {
      if (text == yes) return Value(true);
    }
    for (std::string_view no : {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"}) {
      if (text == no) return Value(false);
    }
    return resolve_number(text);
  }

  static Value resolve_number(std::string_view text) {
    std::string_view rest = text;
    bool negative = rest.starts_with('-');
    if (negative || rest.starts_with('+')) rest.remove_prefix(1);
    int base = rest.starts_with("0x") ? 16 : rest.starts_with("0o") ? 8 : 0;
    if (base != 0) {
      uint64_t value = 0;
      auto [end, fault] = std::from_chars(rest.data() + 2, rest.data() + rest.size(), value, base);
      bool whole = fault == std::errc() && end == rest.data() + rest.size() && rest.size() > 2;
      if (!whole || value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Value(text);
      auto integer = static_cast<int64_t>(value);
      return Value(Number(negative ? -integer : integer));
    }
    if (is_date(text)) return Value(std::string(text) + "T00:00:00Z");
    // ".5" and "5." are numbers in YAML.
    std::string spelled = (negative ? "-" : "") + std::string(rest.starts_with('.') ? "0" : "") + std::string(rest);
    if (spelled.ends_with('.')) spelled.pop_back();
    if (rest.empty() || rest == ".") return Value(text);
    auto number = Number::parse(spelled);
    return number.ok() ? Value(*number) : Value(text);
  }

  yaml_parser_t parser_;
  hcl::Budget& budget_;
  std::map<std::string, Value, std::less<>> anchors_;
};

Result<Value> decode_yaml(Arguments a, hcl::Budget& budget) { return YamlDecoder(a[0].string(), budget).run(); }

std::string in_quotes(std::string_view text) {
  std::string out;
  json::Writer(&out).text(text);
  return out;
}

// Several lines that a literal block keeps as they are: no odd control characters, and no leading space, which would
// change what counts as indentation.
bool fits_block(std::string_view text) {
  if (text.find('\n') == text.npos || text.starts_with(' ') || text.starts_with('\n')) return false;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return false;
  }
  return true;
}

void write_block(std::string_view text, size_t indent, std::string& out) {
  out += '|';
  if (!text.ends_with('\n')) out += '-';
  if (text.ends_with("\n\n")) out += '+';
  out += '\n';
  if (text.ends_with('\n')) text.remove_suffix(1);
  for (std::string_view line : split(text, '\n')) {
    if (!line.empty()) out.append(indent, ' ');
    out += line;
    out += '\n';
  }
}

bool is_empty(const Value& value) { return (value.is_sequence() || value.is_mapping()) && value.size() == 0; }

// Writes a value behind a key or dash; ends with a line end. A mapping behind a dash begins on the same line.
enum class Place : uint8_t { kTop, kKey, kDash };
void write_yaml(const Value& value, size_t indent, Place place, std::string& out);

void write_sequence(const Value& value, size_t indent, Place place, std::string& out) {
  bool same_line = place == Place::kDash;
  if (place == Place::kKey) out += '\n';
  for (const Value& item : value.sequence()) {
    if (!same_line) out.append(indent, ' ');
    same_line = false;
    out += '-';
    write_yaml(item, indent + 2, Place::kDash, out);
  }
}

void write_mapping(const Value& value, size_t indent, Place place, std::string& out) {
  bool same_line = place == Place::kDash;
  if (place == Place::kKey) out += '\n';
  for (const auto& [key, item] : value.mapping()) {
    if (!same_line) out.append(indent, ' ');
    same_line = false;
    out += in_quotes(key) + ":";
    // A list under a key stands at the key's own indentation.
    write_yaml(item, item.is_sequence() ? indent : indent + 2, Place::kKey, out);
  }
}

void write_yaml(const Value& value, size_t indent, Place place, std::string& out) {
  bool nested = (value.is_sequence() || value.is_mapping()) && !is_empty(value);
  if (place == Place::kDash || (place == Place::kKey && !nested)) out += ' ';
  if (nested)
    return value.is_sequence() ? write_sequence(value, indent, place, out) : write_mapping(value, indent, place, out);
  switch (value.kind()) {
    case Kind::kNull: out += "null"; break;
    case Kind::kBool: out += value.boolean() ? "true" : "false"; break;
    case Kind::kNumber: out += value.number().text(); break;
    case Kind::kString:
      if (fits_block(value.string())) return write_block(value.string(), place == Place::kTop ? 2 : indent, out);
      out += in_quotes(value.string());
      break;
    default: out += value.is_sequence() ? "[]" : "{}"; break;
  }
  out += '\n';
}

Result<Value> encode_yaml(Arguments a, hcl::Budget& budget) {
  // Each line carries its indentation.
  STEPPE_TRY_VOID(budget.take_bytes(a[0].weight() * (2 + a[0].depth() / 4)));
  std::string out;
  write_yaml(a[0], 0, Place::kTop, out);
  // A plain scalar alone needs the end of its document marked.
  if (a[0].is_null() || a[0].kind() == Kind::kBool || a[0].kind() == Kind::kNumber) out += "...\n";
  return Value(std::move(out));
}

}  // namespace

void add_yaml(hcl::FunctionTable& table) {
  add(table, "yamldecode", {text_parameter("src")}, decode_yaml);
  add(table, "yamlencode", {nullable_parameter("value")}, encode_yaml);
}

}  // namespace steppe::jobspec
