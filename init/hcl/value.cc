#include "init/hcl/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <format>

#include "init/base/assert.h"

namespace steppe::hcl {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;
constexpr uint64_t kItemWeight = 16;

int sign_of(std::partial_ordering order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

}  // namespace

Number Number::from_double(double value) {
  Number number;
  if (value >= -kTwoTo63 && value < kTwoTo63 && std::trunc(value) == value) {
    number.integer_ = static_cast<int64_t>(value);
    return number;
  }
  STEPPE_ASSERT(std::isfinite(value));
  number.whole_ = false;
  number.real_ = value;
  return number;
}

Result<Number> Number::calculated(double value) {
  if (!std::isfinite(value)) return Error(Code::kInvalid, "the result is outside the range of numbers");
  if (value == 0) return Number(0);
  char text[40];
  auto [end, fault] = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, 14);
  double decimal = value;
  if (fault == std::errc()) std::from_chars(text, end, decimal);
  double ulp = std::nextafter(std::fabs(value), HUGE_VAL) - std::fabs(value);
  return from_double(std::fabs(decimal - value) <= 2 * ulp ? decimal : value);
}

Result<Number> Number::parse(std::string_view text) {
  auto fail = [&] { return Error(Code::kInvalid, std::format("\"{}\" is not a number", text.substr(0, 64))); };
  std::string_view digits = text;
  if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
  // from_chars also takes "inf", "nan" and a second sign.
  if (digits.empty() || !(digits[0] >= '0' && digits[0] <= '9')) return fail();
  if (text[0] == '+') text.remove_prefix(1);
  int64_t integer = 0;
  if (auto [end, fault] = std::from_chars(text.begin(), text.end(), integer);
      fault == std::errc() && end == text.end()) {
    return Number(integer);
  }
  double real = 0;
  auto [end, fault] = std::from_chars(text.begin(), text.end(), real);
  if (fault == std::errc::result_out_of_range) {
    return Error(Code::kInvalid, std::format("\"{}\" is outside the range of numbers", text.substr(0, 64)));
  }
  if (fault != std::errc() || end != text.end()) return fail();
  return from_double(real);
}

std::string Number::text() const {
  if (whole_) return std::to_string(integer_);
  char buffer[400];  // the longest double in plain digits has 1 + 309 or 2 + 17 + 324 places
  auto [end, fault] = std::to_chars(buffer, buffer + sizeof buffer, real_, std::chars_format::fixed);
  STEPPE_ASSERT(fault == std::errc());
  return std::string(buffer, end);
}

std::partial_ordering operator<=>(Number a, Number b) {
  if (a.whole_ && b.whole_) return a.integer_ <=> b.integer_;
  return a.as_double() <=> b.as_double();
}

Result<Number> add(Number a, Number b) {
  int64_t sum = 0;
  if (a.is_whole() && b.is_whole() && !__builtin_add_overflow(a.integer(), b.integer(), &sum)) return sum;
  return Number::calculated(a.as_double() + b.as_double());
}

Result<Number> subtract(Number a, Number b) {
  int64_t difference = 0;
  if (a.is_whole() && b.is_whole() && !__builtin_sub_overflow(a.integer(), b.integer(), &difference)) return difference;
  return Number::calculated(a.as_double() - b.as_double());
}

Result<Number> multiply(Number a, Number b) {
  int64_t product = 0;
  if (a.is_whole() && b.is_whole() && !__builtin_mul_overflow(a.integer(), b.integer(), &product)) return product;
  return Number::calculated(a.as_double() * b.as_double());
}

Result<Number> divide(Number a, Number b) {
  if (b == Number(0)) return Error(Code::kInvalid, "division by zero");
  if (a.is_whole() && b.is_whole() && b.integer() != -1 && a.integer() % b.integer() == 0) {
    return Number(a.integer() / b.integer());
  }
  return Number::calculated(a.as_double() / b.as_double());
}

Result<Number> remainder(Number a, Number b) {
  if (b == Number(0)) return Error(Code::kInvalid, "division by zero");
  if (a.is_whole() && b.is_whole()) return Number(b.integer() == -1 ? 0 : a.integer() % b.integer());
  return Number::calculated(std::fmod(a.as_double(), b.as_double()));
}

Result<Number> negate(Number a) { return subtract(Number(0), a); }

struct Value::SequenceNode {
  Kind kind;
  Sequence items;
  uint64_t weight;
  uint32_t depth;
};
struct Value::MappingNode {
  Kind kind;
  Mapping items;
  uint64_t weight;
  uint32_t depth;
};

Value::Value(std::string value) : content_(std::make_shared<const std::string>(std::move(value))) {}

namespace {

Result<> check_limits(uint64_t weight, uint32_t depth) {
  if (depth > Value::kMaxDepth) {
    return Error(Code::kExhausted, std::format("the value is nested more than {} levels deep", Value::kMaxDepth));
  }
  if (weight > Value::kMaxWeight) {
    return Error(Code::kExhausted, std::format("the value is larger than {} MiB", Value::kMaxWeight >> 20));
  }
  return {};
}

}  // namespace

Result<Value> Value::make_sequence(Kind kind, Sequence items) {
  STEPPE_ASSERT(kind == Kind::kList || kind == Kind::kSet || kind == Kind::kTuple);
  if (kind == Kind::kSet) {
    std::sort(items.begin(), items.end(), [](const Value& a, const Value& b) { return compare(a, b) < 0; });
    items.erase(std::unique(items.begin(), items.end()), items.end());
  }
  uint64_t weight = kItemWeight;
  uint32_t depth = 0;
  for (const Value& item : items) {
    weight += item.weight() + kItemWeight;
    depth = std::max(depth, item.depth());
  }
  STEPPE_TRY_VOID(check_limits(weight, depth + 1));
  Value value;
  value.content_ = std::make_shared<const SequenceNode>(SequenceNode{kind, std::move(items), weight, depth + 1});
  return value;
}

Result<Value> Value::make_mapping(Kind kind, Mapping items) {
  STEPPE_ASSERT(kind == Kind::kMap || kind == Kind::kObject);
  uint64_t weight = kItemWeight;
  uint32_t depth = 0;
  for (const auto& [key, item] : items) {
    weight += key.size() + item.weight() + kItemWeight;
    depth = std::max(depth, item.depth());
  }
  STEPPE_TRY_VOID(check_limits(weight, depth + 1));
  Value value;
  value.content_ = std::make_shared<const MappingNode>(MappingNode{kind, std::move(items), weight, depth + 1});
  return value;
}

Value Value::empty_sequence(Kind kind) { return *make_sequence(kind, {}); }
Value Value::empty_mapping(Kind kind) { return *make_mapping(kind, {}); }

Kind Value::kind() const {
  switch (content_.index()) {
    case 0: return Kind::kNull;
    case 1: return Kind::kBool;
    case 2: return Kind::kNumber;
    case 3: return Kind::kString;
    case 4: return std::get<4>(content_)->kind;
    default: return std::get<5>(content_)->kind;
  }
}

const Value::Sequence& Value::sequence() const { return std::get<4>(content_)->items; }
const Value::Mapping& Value::mapping() const { return std::get<5>(content_)->items; }

size_t Value::size() const {
  if (is_sequence()) return sequence().size();
  return mapping().size();
}

uint64_t Value::weight() const {
  switch (content_.index()) {
    case 3: return string().size();
    case 4: return std::get<4>(content_)->weight;
    case 5: return std::get<5>(content_)->weight;
    default: return 8;
  }
}

uint32_t Value::depth() const {
  if (content_.index() == 4) return std::get<4>(content_)->depth;
  if (content_.index() == 5) return std::get<5>(content_)->depth;
  return 0;
}

int Value::compare(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return a.kind() < b.kind() ? -1 : 1;
  switch (a.kind()) {
    case Kind::kNull: return 0;
    case Kind::kBool: return int(a.boolean()) - int(b.boolean());
    case Kind::kNumber: return sign_of(a.number() <=> b.number());
    case Kind::kString: return a.string().compare(b.string());
    default: break;
  }
  if (a.content_ == b.content_) return 0;  // the same node
  if (a.is_sequence()) {
    const Sequence &left = a.sequence(), &right = b.sequence();
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (int order = compare(left[i], right[i]); order != 0) return order;
    }
    return left.size() < right.size() ? -1 : left.size() > right.size();
  }
  auto left = a.mapping().begin(), right = b.mapping().begin();
  for (; left != a.mapping().end() && right != b.mapping().end(); ++left, ++right) {
    if (int order = left->first.compare(right->first); order != 0) return order;
    if (int order = compare(left->second, right->second); order != 0) return order;
  }
  return left == a.mapping().end() ? (right == b.mapping().end() ? 0 : -1) : 1;
}

std::string Value::type_name() const {
  auto of_items = [this](std::string_view what) {
    std::string item;
    if (is_sequence() && !sequence().empty()) item = sequence().front().type_name();
    if (is_mapping() && !mapping().empty()) item = mapping().begin()->second.type_name();
    return item.empty() ? std::string(what) : std::format("{} of {}", what, item);
  };
  switch (kind()) {
    case Kind::kNull: return "null";
    case Kind::kBool: return "bool";
    case Kind::kNumber: return "number";
    case Kind::kString: return "string";
    case Kind::kList: return of_items("list");
    case Kind::kSet: return of_items("set");
    case Kind::kTuple: return "tuple";
    case Kind::kMap: return of_items("map");
    case Kind::kObject: return "object";
  }
  return "unknown";
}

}  // namespace steppe::hcl
