#include <algorithm>
#include <format>

#include "agent/jobspec/function_families.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Value;

// All arguments as sets of the one type that fits them all.
Result<std::vector<Value>> as_sets(Arguments a) {
  if (a.empty()) return invalid("at least one set is required");
  std::vector<hcl::Type> elements;
  for (const Value& value : a) {
    if (!value.is_sequence()) return invalid(std::format("a set is required, but found {}", value.type_name()));
    for (const Value& item : value.sequence()) {
      hcl::Type type = type_of(item);
      if (elements.empty() || elements.back() != type) elements.push_back(std::move(type));
    }
  }
  auto common = hcl::unify(elements);
  if (!common) return invalid("the sets must have compatible element types");
  std::vector<Value> sets;
  for (const Value& value : a) {
    STEPPE_TRY(Value set, convert(value, hcl::Type::set(*common)));
    sets.push_back(std::move(set));
  }
  return sets;
}

bool less(const Value& x, const Value& y) { return Value::compare(x, y) < 0; }

Result<Value> set_intersection(Arguments a, hcl::Budget&) {
  STEPPE_TRY(std::vector<Value> sets, as_sets(a));
  Value::Sequence out = sets[0].sequence();
  for (size_t i = 1; i < sets.size(); ++i) {
    std::erase_if(out, [&](const Value& item) {
      return !std::binary_search(sets[i].sequence().begin(), sets[i].sequence().end(), item, less);
    });
  }
  return Value::make_sequence(Kind::kSet, std::move(out));
}

Result<Value> set_union(Arguments a, hcl::Budget& budget) {
  STEPPE_TRY(std::vector<Value> sets, as_sets(a));
  Value::Sequence out;
  for (const Value& set : sets) {
    STEPPE_TRY_VOID(budget.take_bytes(set.size() * 32));
    out.insert(out.end(), set.sequence().begin(), set.sequence().end());
  }
  return Value::make_sequence(Kind::kSet, std::move(out));
}

// Every way to take one item of each argument, the last one changing fastest.
Result<Value> set_product(Arguments a, hcl::Budget& budget) {
  if (a.size() < 2) return invalid("at least two arguments are required");
  uint64_t rows = 1;
  bool sets = true;
  for (const Value& value : a) {
    if (!value.is_sequence())
      return invalid(std::format("a list, tuple or set is required, but found {}", value.type_name()));
    sets = sets && value.kind() == Kind::kSet;
    if (__builtin_mul_overflow(rows, value.size(), &rows)) return Error(Code::kExhausted, "the product is too large");
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(rows, 64 + 32 * a.size(), &bytes))
    return Error(Code::kExhausted, "the product is too large");
  STEPPE_TRY_VOID(budget.take_bytes(bytes));
  Value::Sequence out;
  std::vector<size_t> at(a.size(), 0);
  for (uint64_t row = 0; row < rows; ++row) {
    Value::Sequence tuple;
    for (size_t i = 0; i < a.size(); ++i) tuple.push_back(a[i].sequence()[at[i]]);
    STEPPE_TRY(Value made, Value::make_sequence(Kind::kTuple, std::move(tuple)));
    out.push_back(std::move(made));
    for (size_t i = a.size(); i-- > 0;) {
      if (++at[i] < a[i].size()) break;
      at[i] = 0;
    }
  }
  return Value::make_sequence(sets ? Kind::kSet : Kind::kList, std::move(out));
}

}  // namespace

void add_sets(hcl::FunctionTable& table) {
  add_variadic(table, "setintersection", {}, any_parameter("sets"), set_intersection);
  add_variadic(table, "setunion", {}, any_parameter("sets"), set_union);
  add_variadic(table, "setproduct", {}, any_parameter("sets"), set_product);
}

}  // namespace steppe::jobspec
