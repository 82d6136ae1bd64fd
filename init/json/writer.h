#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace steppe::json {

enum class Style : uint8_t {
  kCompact,
  kPretty,  // four spaces a level, one member a line; empty objects and arrays stay "{}" and "[]"
};

// Appends JSON text to a string, as Go's encoder without HTML escaping would: control characters, '"', '\' and
// U+2028/2029 escaped, all other characters as they are; doubles in the shortest form that reads back the same. Bytes
// that are not UTF-8 become U+FFFD each. Infinities and NaN become null. The caller opens and closes in pairs and gives
// each key one value; that is not checked. The string must outlive the writer.
class Writer {
 public:
  explicit Writer(std::string* out, Style style = Style::kCompact) : out_(*out), pretty_(style == Style::kPretty) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);
  // A key that is known to need no escapes, given with quotes and colon: "\"Name\":".
  void quoted_key(std::string_view quoted) {
    separate();
    out_.append(quoted);
    if (pretty_) out_.push_back(' ');
    after_key_ = true;
  }

  void text(std::string_view value);
  void integer(int64_t value);
  void unsigned_integer(uint64_t value);
  void number(double value);
  void boolean(bool value) { value ? raw("true") : raw("false"); }
  void null() { raw("null"); }
  // Text that is JSON already, or a number.
  void raw(std::string_view json) {
    before_value();
    out_.append(json);
  }
  // A string that is known to need no escapes (base64, dates, ids).
  void plain_text(std::string_view value) {
    before_value();
    out_.push_back('"');
    out_.append(value);
    out_.push_back('"');
  }

  uint32_t depth() const { return depth_; }

 private:
  void open(char bracket) {
    before_value();
    out_.push_back(bracket);
    ++depth_;
    need_comma_ = false;
  }
  void close(char bracket) {
    --depth_;
    if (pretty_ && need_comma_) new_line();
    out_.push_back(bracket);
    need_comma_ = true;
  }
  // Before a key, or before an item of an array.
  void separate() {
    if (need_comma_) out_.push_back(',');
    if (pretty_ && depth_ > 0) new_line();
    need_comma_ = true;
  }
  void before_value() {
    if (after_key_) {
      after_key_ = false;
    } else {
      separate();
    }
  }
  void new_line();

  std::string& out_;
  uint32_t depth_ = 0;
  bool pretty_;
  bool need_comma_ = false;
  bool after_key_ = false;
};

// The string with its quotes, escaped as above, at the end of `out`.
void append_quoted(std::string* out, std::string_view text);
// The double as above.
void append_number(std::string* out, double value);

}  // namespace steppe::json
