#include "init/json/reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <format>
#include <limits>

#include "init/base/text.h"

namespace steppe::json {
namespace {

// What a byte inside a string means to the scanner.
enum : uint8_t { kPlain = 0, kStop = 1, kHigh = 2 };

struct StringTable {
  uint8_t of[256] = {};
  constexpr StringTable() {
    for (int byte = 0; byte < 0x20; ++byte) of[byte] = kStop;
    of[static_cast<uint8_t>('"')] = kStop;
    of[static_cast<uint8_t>('\\')] = kStop;
    for (int byte = 0x80; byte < 0x100; ++byte) of[byte] = kHigh;
  }
};
constexpr StringTable kStringTable;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string* out, uint32_t point) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (point >> 6)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (point >> 12)));
    out->push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (point >> 18)));
    out->push_back(static_cast<char>(0x80 | ((point >> 12) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

}  // namespace

Position position_of(std::string_view text, size_t offset) {
  Position position;
  position.offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, position.offset);
  position.line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  const size_t newline = before.rfind('\n');
  position.column = 1 + (newline == std::string_view::npos ? before.size() : before.size() - newline - 1);
  return position;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kError: return "an error";
    case Kind::kEnd: return "the end of the text";
    case Kind::kObject: return "an object";
    case Kind::kObjectEnd: return "the end of an object";
    case Kind::kArray: return "an array";
    case Kind::kArrayEnd: return "the end of an array";
    case Kind::kKey: return "a key";
    case Kind::kString: return "a string";
    case Kind::kNumber: return "a number";
    case Kind::kTrue: return "true";
    case Kind::kFalse: return "false";
    case Kind::kNull: return "null";
  }
  return "";
}

Reader::Reader(std::string_view text, Limits limits)
    : begin_(text.data()), end_(text.data() + text.size()), at_(text.data()),
      max_depth_(std::min(limits.max_depth, kMaxDepth)) {
  if (text.size() > limits.max_bytes) fail("the text is larger than the limit", Code::kExhausted);
}

Kind Reader::fail(const char* what, Code code) {
  failure_ = what;
  failure_code_ = code;
  failure_offset_ = offset();
  state_ = State::kFailed;
  return last_ = Kind::kError;
}

Error Reader::error() const {
  const std::string_view text(begin_, static_cast<size_t>(end_ - begin_));
  const Position place = position_of(text, failure_offset_);
  std::string found;
  if (failure_code_ == Code::kInvalid) {
    if (failure_offset_ >= text.size()) {
      found = ", found the end of the text";
    } else {
      const auto byte = static_cast<unsigned char>(text[failure_offset_]);
      found = byte > 0x20 && byte < 0x7F ? std::format(", found '{}'", static_cast<char>(byte))
                                         : std::format(", found byte 0x{:02x}", byte);
    }
  }
  return Error(failure_code_, std::format("line {}, column {}: {}{}", place.line, place.column,
                                          failure_ ? failure_ : "no error", found));
}

Error Reader::error_here(std::string_view message) const {
  const Position place = position_of({begin_, static_cast<size_t>(end_ - begin_)}, token_offset_);
  return Error(Code::kInvalid, std::format("line {}, column {}: {}", place.line, place.column, message));
}

void Reader::skip_white() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
}

Kind Reader::next() {
  switch (state_) {
    case State::kFailed: return Kind::kError;
    case State::kValue: return value();
    case State::kFirstKey:
      skip_white();
      if (at_ != end_ && *at_ == '}') return close(true);
      return key();
    case State::kFirstItem:
      skip_white();
      if (at_ != end_ && *at_ == ']') return close(false);
      return value();
    case State::kAfterValue: {
      skip_white();
      const bool object = objects_[depth_ - 1];
      if (at_ != end_) {
        if (*at_ == ',') {
          ++at_;
          return object ? key() : value();
        }
        if (*at_ == (object ? '}' : ']')) return close(object);
      }
      return fail(object ? "expected ',' or '}' after a value" : "expected ',' or ']' after a value");
    }
    case State::kDone:
      skip_white();
      token_offset_ = offset();
      if (at_ != end_) return fail("expected nothing after the value");
      return last_ = Kind::kEnd;
  }
  return Kind::kError;
}

Kind Reader::open(bool object) {
  if (depth_ >= max_depth_) return fail("nested deeper than the limit", Code::kExhausted);
  ++at_;
  objects_[depth_++] = object;
  state_ = object ? State::kFirstKey : State::kFirstItem;
  return last_ = object ? Kind::kObject : Kind::kArray;
}

Kind Reader::close(bool object) {
  token_offset_ = offset();
  ++at_;
  state_ = --depth_ == 0 ? State::kDone : State::kAfterValue;
  return last_ = object ? Kind::kObjectEnd : Kind::kArrayEnd;
}

Kind Reader::key() {
  skip_white();
  token_offset_ = offset();
  if (at_ == end_ || *at_ != '"') return fail("expected a key in double quotes");
  if (!string_token()) return Kind::kError;
  skip_white();
  if (at_ == end_ || *at_ != ':') return fail("expected ':' after a key");
  ++at_;
  state_ = State::kValue;
  return last_ = Kind::kKey;
}

Kind Reader::value() {
  skip_white();
  token_offset_ = offset();
  if (at_ == end_) return fail("expected a value");
  switch (*at_) {
    case '{': return open(true);
    case '[': return open(false);
    case '"':
      if (!string_token()) return Kind::kError;
      state_ = depth_ == 0 ? State::kDone : State::kAfterValue;
      return last_ = Kind::kString;
    case 't': return literal("true", Kind::kTrue);
    case 'f': return literal("false", Kind::kFalse);
    case 'n': return literal("null", Kind::kNull);
    default: return number_token();
  }
}

Kind Reader::literal(std::string_view word, Kind kind) {
  if (static_cast<size_t>(end_ - at_) < word.size() || std::memcmp(at_, word.data(), word.size()) != 0) {
    return fail("expected a value");
  }
  token_ = {at_, word.size()};
  at_ += word.size();
  state_ = depth_ == 0 ? State::kDone : State::kAfterValue;
  return last_ = kind;
}

Kind Reader::number_token() {
  const char* start = at_;
  if (*at_ == '-') ++at_;
  if (at_ == end_ || !is_digit(*at_)) {
    if (at_ == start) return fail("expected a value");
    return fail("expected a digit");
  }
  if (*at_ == '0') {
    ++at_;
    if (at_ != end_ && is_digit(*at_)) return fail("a number must not begin with 0");
  } else {
    while (at_ != end_ && is_digit(*at_)) ++at_;
  }
  integral_ = true;
  if (at_ != end_ && *at_ == '.') {
    integral_ = false;
    ++at_;
    if (at_ == end_ || !is_digit(*at_)) return fail("expected a digit after '.'");
    while (at_ != end_ && is_digit(*at_)) ++at_;
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    integral_ = false;
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (at_ == end_ || !is_digit(*at_)) return fail("expected a digit in the exponent");
    while (at_ != end_ && is_digit(*at_)) ++at_;
  }
  token_ = {start, static_cast<size_t>(at_ - start)};
  state_ = depth_ == 0 ? State::kDone : State::kAfterValue;
  return last_ = Kind::kNumber;
}

bool Reader::string_token() {
  const char* start = ++at_;
  const char* at = start;
  uint8_t seen = 0;
  for (;;) {
    if (at == end_) [[unlikely]] {
      at_ = at;
      fail("expected '\"' at the end of a string");
      return false;
    }
    const uint8_t class_of = kStringTable.of[static_cast<uint8_t>(*at)];
    if (class_of == kStop) break;
    seen |= class_of;
    ++at;
  }
  if (*at == '"') [[likely]] {
    token_ = {start, static_cast<size_t>(at - start)};
    if (seen != 0 && !is_utf8(token_)) [[unlikely]] {
      at_ = start;
      fail("expected a string in UTF-8");
      return false;
    }
    at_ = at + 1;
    return true;
  }
  at_ = at;
  return unescape(start);
}

// The string holds an escape at at_, or a control character: copies it.
bool Reader::unescape(const char* from) {
  unescaped_.assign(from, static_cast<size_t>(at_ - from));
  const char* at = at_;
  for (;;) {
    if (at == end_) {
      at_ = at;
      fail("expected '\"' at the end of a string");
      return false;
    }
    const char c = *at;
    if (c == '"') break;
    if (static_cast<unsigned char>(c) < 0x20) {
      at_ = at;
      fail("a control character in a string must be escaped");
      return false;
    }
    if (c != '\\') {
      unescaped_.push_back(c);
      ++at;
      continue;
    }
    ++at;
    if (!escape(at)) return false;
  }
  if (!is_utf8(unescaped_)) {
    at_ = from;
    fail("expected a string in UTF-8");
    return false;
  }
  at_ = at + 1;
  token_ = unescaped_;
  return true;
}

bool Reader::escape(const char*& at) {
  static constexpr std::string_view kLetters = "\"\\/bfnrt";
  static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  at_ = at;
  if (at == end_) {
    fail("expected an escape after '\\'");
    return false;
  }
  const char c = *at++;
  if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
    unescaped_.push_back(kMeanings[letter]);
    return true;
  }
  uint32_t unit = 0;
  if (c != 'u') {
    fail("expected one of \" \\ / b f n r t u after '\\'");
    return false;
  }
  if (!hex4(at, &unit)) return false;
  if (unit >= 0xDC00 && unit < 0xE000) {
    fail("a low surrogate without its high one");
    return false;
  }
  if (unit >= 0xD800 && unit < 0xDC00) {
    uint32_t low = 0;
    if (end_ - at < 2 || at[0] != '\\' || at[1] != 'u') {
      fail("a high surrogate without its low one");
      return false;
    }
    at += 2;
    if (!hex4(at, &low)) return false;
    if (low < 0xDC00 || low >= 0xE000) {
      fail("a high surrogate without its low one");
      return false;
    }
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(&unescaped_, unit);
  return true;
}

bool Reader::hex4(const char*& at, uint32_t* unit) {
  uint32_t value = 0;
  for (int digit = 0; digit < 4; ++digit, ++at) {
    const char c = at == end_ ? '\0' : *at;
    uint32_t nibble = 0;
    if (is_digit(c)) {
      nibble = static_cast<uint32_t>(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      nibble = static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    } else {
      at_ = at;
      fail("expected four hexadecimal digits after '\\u'");
      return false;
    }
    value = value << 4 | nibble;
  }
  *unit = value;
  return true;
}

std::optional<int64_t> Reader::integer() const {
  int64_t value = 0;
  if (last_ != Kind::kNumber || !integral_) return std::nullopt;
  const auto [end, status] = std::from_chars(token_.data(), token_.data() + token_.size(), value);
  if (status != std::errc{} || end != token_.data() + token_.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> Reader::unsigned_integer() const {
  uint64_t value = 0;
  if (last_ != Kind::kNumber || !integral_) return std::nullopt;
  if (token_ == "-0") return 0;
  const auto [end, status] = std::from_chars(token_.data(), token_.data() + token_.size(), value);
  if (status != std::errc{} || end != token_.data() + token_.size()) return std::nullopt;
  return value;
}

double Reader::number() const {
  double value = 0;
  const auto [end, status] = std::from_chars(token_.data(), token_.data() + token_.size(), value);
  if (status != std::errc::result_out_of_range) return value;
  // Too large or too small for a double: which of them, the exponent's sign says. Without an exponent, only long
  // integers are too large; only "0.000..." is too small.
  const size_t exponent = token_.find_first_of("eE");
  const bool tiny = exponent == std::string_view::npos ? token_.find('.') < 3 && token_.find_first_of("123456789") > 2
                                                       : token_[exponent + 1] == '-';
  const double magnitude = tiny ? 0 : std::numeric_limits<double>::infinity();
  return token_.front() == '-' ? -magnitude : magnitude;
}

bool Reader::skip() {
  if (last_ == Kind::kKey) next();
  if (last_ != Kind::kObject && last_ != Kind::kArray) return !failed();
  const uint32_t outside = depth_ - 1;
  while (next() != Kind::kError) {
    if (depth_ == outside) return true;
  }
  return false;
}

}  // namespace steppe::json
