#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::json {

// Where in a text: line and column count from 1, the column in bytes.
struct Position {
  size_t offset = 0;
  size_t line = 1;
  size_t column = 1;
};
Position position_of(std::string_view text, size_t offset);

struct Limits {
  size_t max_bytes = size_t{32} << 20;
  uint32_t max_depth = 128;  // of arrays and objects; at most Reader::kMaxDepth
};

enum class Kind : uint8_t {
  kError,  // error() says what; every later next() answers the same
  kEnd,    // the one value is complete and only white space followed
  kObject,
  kObjectEnd,
  kArray,
  kArrayEnd,
  kKey,
  kString,
  kNumber,
  kTrue,
  kFalse,
  kNull,
};
std::string_view kind_name(Kind kind);  // "an object", "a string": for messages

// Reads one JSON text (RFC 8259, strict: no comments, trailing commas, byte order mark, or invalid UTF-8; surrogate
// escapes in pairs only) token by token, without building a tree. Duplicate keys of an object are passed on as they
// come: what they mean is for the caller, which hears each of them. Never allocates more than one string's unescaped
// copy, so the input's size bounds its memory. The text must outlive the reader. Any bytes are safe to read.
class Reader {
 public:
  static constexpr uint32_t kMaxDepth = 1024;

  explicit Reader(std::string_view text, Limits limits = {});

  Kind next();

  // Of the last token. For kKey and kString the unescaped characters, for kNumber the digits as written. The view is
  // good until the next call of next() or skip().
  std::string_view text() const { return token_; }

  // The number as an integer; nullopt when it has a fraction or an exponent, or does not fit.
  std::optional<int64_t> integer() const;
  std::optional<uint64_t> unsigned_integer() const;
  // The nearest double; an infinity when its magnitude is beyond all.
  double number() const;

  // Consumes the rest of the value that the last token began: the whole object or array, or nothing after a scalar.
  // After kKey, the key's value. False on an error.
  bool skip();

  // Where the last token began, and where the reader stands now.
  size_t token_offset() const { return token_offset_; }
  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  std::string_view source() const { return {begin_, static_cast<size_t>(end_ - begin_)}; }
  uint32_t depth() const { return depth_; }

  bool failed() const { return failure_ != nullptr; }
  // kInvalid, or kExhausted for a limit: "line 3, column 7: expected ',' or '}' after a value, found 'x'".
  Error error() const;
  // An error of the caller about the last token, in the same form.
  Error error_here(std::string_view message) const;

 private:
  enum class State : uint8_t { kValue, kFirstKey, kFirstItem, kAfterValue, kDone, kFailed };

  Kind value();
  Kind key();
  Kind open(bool object);
  Kind close(bool object);
  Kind literal(std::string_view word, Kind kind);
  Kind number_token();
  bool string_token();
  bool unescape(const char* from);
  bool escape(const char*& at);
  bool hex4(const char*& at, uint32_t* unit);
  Kind fail(const char* what, Code code = Code::kInvalid);
  void skip_white();

  const char* begin_;
  const char* end_;
  const char* at_;
  std::string_view token_;
  std::string unescaped_;
  const char* failure_ = nullptr;
  Code failure_code_ = Code::kInvalid;
  size_t failure_offset_ = 0;
  size_t token_offset_ = 0;
  uint32_t depth_ = 0;
  uint32_t max_depth_;
  State state_ = State::kValue;
  Kind last_ = Kind::kEnd;
  bool integral_ = false;            // the number token has neither fraction nor exponent
  std::bitset<kMaxDepth> objects_;   // per level: object, not array
};

}  // namespace steppe::json
