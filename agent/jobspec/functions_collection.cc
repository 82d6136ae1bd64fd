#include <algorithm>
#include <format>
#include <set>

#include "agent/jobspec/function_families.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

Error need(std::string_view what, const Value& found) {
  return invalid(std::format("{} is required, but found {}", what, found.type_name()));
}

// A list where all items have one type, else a tuple: what a function makes from items that it was given.
Result<Value> list_or_tuple(bool list, Value::Sequence items) {
  return Value::make_sequence(list ? Kind::kList : Kind::kTuple, std::move(items));
}

Result<Value> chunk(Arguments a, hcl::Budget&) {
  if (!a[0].is_sequence()) return need("a list", a[0]);
  STEPPE_TRY(int64_t size, whole(a[1]));
  if (size < 0) return invalid("the size argument must be positive");
  STEPPE_TRY(Value list, convert(a[0], hcl::Type::list(hcl::Type::any())));
  Value::Sequence chunks, part;
  for (const Value& item : list.sequence()) {
    part.push_back(item);
    if (size == 0 || part.size() < static_cast<size_t>(size)) continue;
    STEPPE_TRY(Value full, Value::make_sequence(Kind::kList, std::move(part)));
    chunks.push_back(std::move(full));
    part.clear();
  }
  if (!part.empty()) {
    STEPPE_TRY(Value rest, Value::make_sequence(Kind::kList, std::move(part)));
    chunks.push_back(std::move(rest));
  }
  return Value::make_sequence(Kind::kList, std::move(chunks));
}

Result<Value> coalesce(Arguments a, hcl::Budget&) {
  std::vector<hcl::Type> types;
  for (const Value& value : a) types.push_back(type_of(value));
  auto common = hcl::unify(types);
  if (!common) return invalid("all arguments must have the same type");
  for (const Value& value : a) {
    if (!value.is_null()) return convert(value, *common);
  }
  return invalid("no non-null arguments");
}

Result<Value> coalesce_lists(Arguments a, hcl::Budget&) {
  for (const Value& value : a) {
    if (value.is_null()) continue;
    if (!value.is_sequence()) return need("a list", value);
    if (value.size() != 0) return value;
  }
  return invalid("no non-null arguments");
}

Result<Value> compact(Arguments a, hcl::Budget&) {
  Value::Sequence out;
  for (const Value& item : a[0].sequence()) {
    if (!item.is_null() && !item.string().empty()) out.push_back(item);
  }
  return Value::make_sequence(Kind::kList, std::move(out));
}

Result<Value> concatenate(Arguments a, hcl::Budget& budget) {
  if (a.empty()) return invalid("at least one argument is required");
  Value::Sequence out;
  bool lists = true;
  for (const Value& value : a) {
    if (!value.is_sequence() || value.kind() == Kind::kSet) return need("a list or tuple", value);
    STEPPE_TRY_VOID(budget.take_bytes(value.size() * 32));
    lists = lists && value.kind() == Kind::kList;
    out.insert(out.end(), value.sequence().begin(), value.sequence().end());
  }
  STEPPE_TRY(Value made, list_or_tuple(lists, std::move(out)));
  return lists ? convert(made, hcl::Type::list(hcl::Type::any())) : Result<Value>(std::move(made));
}

Result<Value> contains(Arguments a, hcl::Budget&) {
  if (!a[0].is_sequence()) return need("a list, tuple or set", a[0]);
  return Value(std::ranges::find(a[0].sequence(), a[1]) != a[0].sequence().end());
}

Result<Value> distinct(Arguments a, hcl::Budget&) {
  struct Less {
    bool operator()(const Value* x, const Value* y) const { return Value::compare(*x, *y) < 0; }
  };
  std::set<const Value*, Less> seen;
  Value::Sequence out;
  for (const Value& item : a[0].sequence()) {
    if (seen.insert(&item).second) out.push_back(item);
  }
  return Value::make_sequence(Kind::kList, std::move(out));
}

Result<Value> element(Arguments a, hcl::Budget&) {
  if (!a[0].is_sequence() || a[0].kind() == Kind::kSet) return need("a list or tuple", a[0]);
  STEPPE_TRY(int64_t index, whole(a[1]));
  auto count = static_cast<int64_t>(a[0].size());
  if (count == 0) return invalid("cannot use element function with an empty list");
  return a[0].sequence()[static_cast<size_t>(((index % count) + count) % count)];
}

Result<> flatten_into(const Value& value, Value::Sequence& out, hcl::Budget& budget) {
  for (const Value& item : value.sequence()) {
    if (item.is_sequence()) {
      STEPPE_TRY_VOID(flatten_into(item, out, budget));
      continue;
    }
    STEPPE_TRY_VOID(budget.take_bytes(32));
    out.push_back(item);
  }
  return {};
}

Result<Value> flatten(Arguments a, hcl::Budget& budget) {
  if (!a[0].is_sequence()) return need("a list, tuple or set", a[0]);
  Value::Sequence out;
  STEPPE_TRY_VOID(flatten_into(a[0], out, budget));
  return Value::make_sequence(Kind::kTuple, std::move(out));
}

// The item at a key or position, as [ ] gives it.
Result<Value> index_of(Arguments a, hcl::Budget&) {
  if (a[0].is_mapping()) {
    STEPPE_TRY(Value key, convert(a[1], hcl::Type::string()));
    auto found = a[0].mapping().find(key.string());
    if (found == a[0].mapping().end()) return invalid(std::format("there is no element \"{}\"", key.string()));
    return found->second;
  }
  if (!a[0].is_sequence() || a[0].kind() == Kind::kSet) return need("a list, tuple, map or object", a[0]);
  STEPPE_TRY(Value key, convert(a[1], hcl::Type::number()));
  STEPPE_TRY(int64_t index, whole(key));
  if (index < 0 || static_cast<uint64_t>(index) >= a[0].size())
    return invalid(std::format("index {} is outside the list of {}", index, a[0].size()));
  return a[0].sequence()[static_cast<size_t>(index)];
}

Result<Value> keys(Arguments a, hcl::Budget& budget) {
  if (!a[0].is_mapping()) return need("a map or object", a[0]);
  Value::Sequence out;
  for (const auto& [key, value] : a[0].mapping()) {
    STEPPE_TRY_VOID(budget.take_bytes(key.size()));
    out.emplace_back(key);
  }
  return list_or_tuple(a[0].kind() == Kind::kMap, std::move(out));
}

Result<Value> values(Arguments a, hcl::Budget&) {
  if (!a[0].is_mapping()) return need("a map or object", a[0]);
  Value::Sequence out;
  for (const auto& [key, value] : a[0].mapping()) out.push_back(value);
  return list_or_tuple(a[0].kind() == Kind::kMap, std::move(out));
}

Result<Value> length(Arguments a, hcl::Budget&) {
  if (!a[0].is_sequence() && !a[0].is_mapping())
    return need("a list, set, tuple, map or object (strlen counts a text)", a[0]);
  return Value(Number(static_cast<int64_t>(a[0].size())));
}

Result<Value> lookup(Arguments a, hcl::Budget&) {
  if (!a[0].is_mapping()) return need("a map or object", a[0]);
  auto found = a[0].mapping().find(a[1].string());
  if (found != a[0].mapping().end()) return found->second;
  if (a[0].kind() != Kind::kMap || a[0].size() == 0 || a[2].is_null()) return a[2];
  return convert(a[2], type_of(a[0]).element());
}

Result<Value> merge(Arguments a, hcl::Budget& budget) {
  Value::Mapping out;
  bool maps = !a.empty();
  for (const Value& value : a) {
    if (value.is_null()) continue;
    if (!value.is_mapping()) return need("a map or object", value);
    maps = maps && value.kind() == Kind::kMap;
    STEPPE_TRY_VOID(budget.take_bytes(value.size() * 96));
    for (const auto& [key, item] : value.mapping()) out.insert_or_assign(key, item);
  }
  return Value::make_mapping(maps ? Kind::kMap : Kind::kObject, std::move(out));
}

Result<Value> range(Arguments a, hcl::Budget&) {
  constexpr size_t kMost = 1024;
  if (a.empty() || a.size() > 3) return invalid("must have one, two or three arguments");
  Number start = a.size() == 1 ? Number(0) : a[0].number();
  Number end = a.size() == 1 ? a[0].number() : a[1].number();
  Number step = a.size() == 3 ? a[2].number() : Number(end < start ? -1 : 1);
  if (step == Number(0)) return invalid("step must not be zero");
  if (end < start ? step > Number(0) : step < Number(0)) {
    if (end == start) return Value::make_sequence(Kind::kList, {});
    return invalid("the step leads away from the end");
  }
  Value::Sequence out;
  for (Number at = start; end < start ? at > end : at < end;) {
    if (out.size() == kMost) {
      return invalid(
          "more than 1024 values were generated; either decrease the difference between start and end or use a smaller "
          "step");
    }
    out.emplace_back(at);
    STEPPE_TRY(at, add(at, step));
  }
  return Value::make_sequence(Kind::kList, std::move(out));
}

Result<Value> slice(Arguments a, hcl::Budget&) {
  if (!a[0].is_sequence() || a[0].kind() == Kind::kSet) return need("a list or tuple", a[0]);
  STEPPE_TRY(int64_t from, whole(a[1]));
  STEPPE_TRY(int64_t to, whole(a[2]));
  auto count = static_cast<int64_t>(a[0].size());
  if (from < 0 || from > to) return invalid("start index must not be negative or greater than the end index");
  if (to > count) return invalid("end index must not be greater than the length of the list");
  const auto& items = a[0].sequence();
  return Value::make_sequence(a[0].kind(), Value::Sequence(items.begin() + from, items.begin() + to));
}

Result<Value> sort(Arguments a, hcl::Budget&) {
  Value::Sequence items = a[0].sequence();
  for (const Value& item : items) {
    if (item.is_null()) return invalid("given list element is null; a null string cannot be sorted");
  }
  std::sort(items.begin(), items.end(), [](const Value& x, const Value& y) { return x.string() < y.string(); });
  return Value::make_sequence(Kind::kList, std::move(items));
}

Result<Value> zipmap(Arguments a, hcl::Budget& budget) {
  if (!a[1].is_sequence() || a[1].kind() == Kind::kSet) return need("a list or tuple of values", a[1]);
  if (a[0].size() != a[1].size()) {
    return invalid(std::format("number of keys ({}) does not match number of values ({})", a[0].size(), a[1].size()));
  }
  STEPPE_TRY_VOID(budget.take_bytes(a[0].size() * 96));
  Value::Mapping out;
  for (size_t i = 0; i < a[0].size(); ++i) {
    if (a[0].sequence()[i].is_null()) return invalid("a key is null");
    out.insert_or_assign(a[0].sequence()[i].string(), a[1].sequence()[i]);
  }
  return Value::make_mapping(a[1].kind() == Kind::kList ? Kind::kMap : Kind::kObject, std::move(out));
}

}  // namespace

void add_collections(hcl::FunctionTable& table) {
  auto any = any_parameter("collection");
  auto list = any_parameter("list");
  auto texts = hcl::Function::Parameter{"list", hcl::Type::list(hcl::Type::string())};
  auto items = hcl::Function::Parameter{"list", hcl::Type::list(hcl::Type::any())};
  add(table, "chunklist", {list, number_parameter("size")}, chunk);
  add_variadic(table, "coalesce", {}, nullable_parameter("vals"), coalesce);
  add_variadic(table, "coalescelist", {}, nullable_parameter("vals"), coalesce_lists);
  add(table, "compact", {texts}, compact);
  add_variadic(table, "concat", {}, any_parameter("seqs"), concatenate);
  add(table, "contains", {list, nullable_parameter("value")}, contains);
  add(table, "distinct", {items}, distinct);
  add(table, "element", {list, number_parameter("index")}, element);
  add(table, "flatten", {list}, flatten);
  add(table, "index", {any, any_parameter("key")}, index_of);
  add(table, "keys", {any_parameter("inputMap")}, keys);
  add(table, "values", {any_parameter("mapping")}, values);
  add(table, "length", {any}, length);
  add(table, "lookup", {any_parameter("inputMap"), text_parameter("key"), nullable_parameter("default")}, lookup);
  add_variadic(table, "merge", {}, nullable_parameter("maps"), merge);
  add_variadic(table, "range", {}, number_parameter("params"), range);
  add(table, "slice", {list, number_parameter("start_index"), number_parameter("end_index")}, slice);
  add(table, "sort", {texts}, sort);
  add(table, "zipmap", {texts, any_parameter("values")}, zipmap);
}

}  // namespace steppe::jobspec
