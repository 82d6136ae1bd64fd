#include <cmath>
#include <format>

#include "agent/jobspec/function_families.h"

namespace steppe::jobspec {
namespace {

using hcl::Number;
using hcl::Value;

Result<Value> wrap(Result<Number> number) {
  if (!number.ok()) return std::move(number).error();
  return Value(*number);
}

Result<Value> absolute(Arguments a, hcl::Budget&) {
  Number n = a[0].number();
  return n < Number(0) ? wrap(negate(n)) : Value(n);
}
Result<Value> round_up(Arguments a, hcl::Budget&) {
  Number n = a[0].number();
  return n.is_whole() ? Value(n) : Value(Number::from_double(std::ceil(n.as_double())));
}
Result<Value> round_down(Arguments a, hcl::Budget&) {
  Number n = a[0].number();
  return n.is_whole() ? Value(n) : Value(Number::from_double(std::floor(n.as_double())));
}
Result<Value> logarithm(Arguments a, hcl::Budget&) {
  double number = a[0].number().as_double(), base = a[1].number().as_double();
  if (number <= 0 || base <= 0 || base == 1)
    return invalid("a logarithm needs a number above 0 and a base above 0 other than 1");
  return wrap(Number::calculated(std::log(number) / std::log(base)));
}
Result<Value> power(Arguments a, hcl::Budget&) {
  Number base = a[0].number(), exponent = a[1].number();
  // Whole numbers stay exact for as long as they fit.
  if (base.is_whole() && exponent.is_whole() && exponent.integer() >= 0 && exponent.integer() < 64) {
    Result<Number> product = Number(1);
    for (int64_t i = 0; i < exponent.integer() && product.ok(); ++i) product = multiply(*product, base);
    return wrap(std::move(product));
  }
  return wrap(Number::calculated(std::pow(base.as_double(), exponent.as_double())));
}
Result<Value> sign(Arguments a, hcl::Budget&) {
  Number n = a[0].number();
  return Value(Number(n < Number(0) ? -1 : n > Number(0) ? 1 : 0));
}

template <bool kLargest>
Result<Value> extreme(Arguments a, hcl::Budget&) {
  if (a.empty()) return invalid("must pass at least one number");
  Number best = a[0].number();
  for (const Value& value : a) {
    if (kLargest ? value.number() > best : value.number() < best) best = value.number();
  }
  return Value(best);
}

int digit_of(char c, int64_t base) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  // Above 36, upper case letters follow the lower case ones.
  if (c >= 'A' && c <= 'Z') return base <= 36 ? c - 'A' + 10 : c - 'A' + 36;
  return 99;
}

Result<Value> parse_integer(Arguments a, hcl::Budget&) {
  STEPPE_TRY(int64_t base, whole(a[1]));
  if (base < 2 || base > 62) return invalid("base must be a whole number between 2 and 62 inclusive");
  std::string_view text = a[0].string();
  auto fail = [&] {
    return invalid(std::format("cannot parse \"{}\" as a base {} integer", text.substr(0, 64), base));
  };
  std::string_view digits = text;
  bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty()) return fail();
  int64_t value = 0;
  for (char c : digits) {
    int digit = digit_of(c, base);
    if (digit >= base) return fail();
    // Counts down when negative: the smallest integer has no positive counterpart.
    if (__builtin_mul_overflow(value, base, &value) ||
        __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
      return invalid(std::format("\"{}\" does not fit in 64 bits", text.substr(0, 64)));
    }
  }
  return Value(Number(value));
}

}  // namespace

Result<int64_t> whole(const Value& value) {
  if (!value.number().is_whole()) return invalid("value must be a whole number");
  return value.number().integer();
}

void add_numeric(hcl::FunctionTable& table) {
  auto number = number_parameter("num");
  add(table, "abs", {number}, absolute);
  add(table, "ceil", {number}, round_up);
  add(table, "floor", {number}, round_down);
  add(table, "log", {number, number_parameter("base")}, logarithm);
  add(table, "pow", {number, number_parameter("power")}, power);
  add(table, "signum", {number}, sign);
  add(table, "parseint", {text_parameter("number"), number_parameter("base")}, parse_integer);
  add_variadic(table, "max", {}, number_parameter("numbers"), extreme<true>);
  add_variadic(table, "min", {}, number_parameter("numbers"), extreme<false>);
}

}  // namespace steppe::jobspec
