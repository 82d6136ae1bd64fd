#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "init/base/result.h"

namespace steppe::hcl {

// Whole numbers of 64 bits stay exact; every other number is a double. (HCL itself calculates with 512 bits.) The
// result of arithmetic that misses a number of 15 decimal digits by a rounding error is that number, so that 0.1 + 0.2
// is 0.3 and 1.1 * 100 is the whole number 110, as people who write job files expect.
class Number {
 public:
  constexpr Number(int64_t value = 0) : whole_(true), integer_(value) {}
  // A double that is whole and fits becomes an integer. Requires a finite value.
  static Number from_double(double value);
  // As from_double, after the decimal correction above; an error when the result is no finite number.
  static Result<Number> calculated(double value);
  static Result<Number> parse(std::string_view text);  // "-12", "1.5e3"; the whole text

  bool is_whole() const { return whole_; }
  int64_t integer() const { return integer_; }  // requires is_whole()
  double as_double() const { return whole_ ? static_cast<double>(integer_) : real_; }
  // Plain digits, no exponent: "-3", "0.25", "100000000000000000000".
  std::string text() const;

  friend bool operator==(Number a, Number b) { return (a <=> b) == 0; }
  friend std::partial_ordering operator<=>(Number a, Number b);

 private:
  bool whole_;
  union {
    int64_t integer_;
    double real_;
  };
};

// Each fails when the result is outside the range of a double.
Result<Number> add(Number a, Number b);
Result<Number> subtract(Number a, Number b);
Result<Number> multiply(Number a, Number b);
Result<Number> divide(Number a, Number b);     // error on a zero divisor
Result<Number> remainder(Number a, Number b);  // sign of the dividend; error on a zero divisor
Result<Number> negate(Number a);

enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kList, kSet, kTuple, kMap, kObject };

// What an expression yields. Immutable; copies share their content. Nesting is at most kMaxDepth and one value's text
// and items together at most kMaxWeight: the make_ functions fail beyond.
//
// As in HCL's type system a list, set or map holds values of one type, a tuple or object of any. Items of maps and
// objects are ordered by key (bytes), those of sets by value.
class Value {
 public:
  using Sequence = std::vector<Value>;
  using Mapping = std::map<std::string, Value, std::less<>>;
  static constexpr uint32_t kMaxDepth = 128;
  static constexpr uint64_t kMaxWeight = 64u << 20;

  Value() = default;  // null
  Value(bool value) : content_(value) {}
  Value(Number value) : content_(value) {}
  Value(std::string value);
  Value(std::string_view value) : Value(std::string(value)) {}
  Value(const char* value) : Value(std::string(value)) {}

  // Kind kList, kTuple or kSet; a set is sorted and loses its duplicates. Code kExhausted past a limit.
  static Result<Value> make_sequence(Kind kind, Sequence items);
  static Result<Value> make_mapping(Kind kind, Mapping items);  // kMap or kObject
  static Value empty_sequence(Kind kind);
  static Value empty_mapping(Kind kind);

  Kind kind() const;
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_sequence() const { return kind() == Kind::kList || kind() == Kind::kSet || kind() == Kind::kTuple; }
  bool is_mapping() const { return kind() == Kind::kMap || kind() == Kind::kObject; }

  // Each requires its kind.
  bool boolean() const { return std::get<bool>(content_); }
  Number number() const { return std::get<Number>(content_); }
  const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(content_); }
  const Sequence& sequence() const;
  const Mapping& mapping() const;
  size_t size() const;  // items of a sequence or mapping

  uint64_t weight() const;  // bytes that this value takes when written out, about
  uint32_t depth() const;   // 0 for a scalar

  // Equal means the same kind and equal content: 1 is not "1", a list is not a tuple.
  friend bool operator==(const Value& a, const Value& b) { return compare(a, b) == 0; }
  // A total order: by kind, then by content.
  static int compare(const Value& a, const Value& b);

  // "string", "list of string", "object": for messages.
  std::string type_name() const;

 private:
  struct SequenceNode;
  struct MappingNode;
  std::variant<std::monostate, bool, Number, std::shared_ptr<const std::string>, std::shared_ptr<const SequenceNode>,
               std::shared_ptr<const MappingNode>>
      content_;
};

}  // namespace steppe::hcl
