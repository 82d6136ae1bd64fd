#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/hcl/value.h"

namespace steppe::hcl {

// A type constraint: what a variable's `type` says, or what a function takes.
class Type {
 public:
  enum class Shape : uint8_t { kAny, kBool, kNumber, kString, kList, kSet, kMap, kTuple, kObject };
  struct Field;

  Type() = default;  // any
  static Type any() { return {}; }
  static Type boolean() { return Type(Shape::kBool); }
  static Type number() { return Type(Shape::kNumber); }
  static Type string() { return Type(Shape::kString); }
  static Type list(Type element) { return Type(Shape::kList, {std::move(element)}); }
  static Type set(Type element) { return Type(Shape::kSet, {std::move(element)}); }
  static Type map(Type element) { return Type(Shape::kMap, {std::move(element)}); }
  static Type tuple(std::vector<Type> elements) { return Type(Shape::kTuple, std::move(elements)); }
  static Type object(std::vector<Field> fields);

  Shape shape() const { return shape_; }
  bool is_scalar() const { return shape_ >= Shape::kBool && shape_ <= Shape::kString; }
  bool is_collection() const { return shape_ >= Shape::kList && shape_ <= Shape::kMap; }
  const Type& element() const { return (*elements_)[0]; }           // requires is_collection()
  const std::vector<Type>& elements() const { return *elements_; }  // requires kTuple
  const std::vector<Field>& fields() const { return *fields_; }     // requires kObject; sorted by name

  // As written in a job file: "list(string)", "object({a=string})".
  std::string text() const;

  friend bool operator==(const Type& a, const Type& b);

 private:
  explicit Type(Shape shape) : shape_(shape) {}
  Type(Shape shape, std::vector<Type> elements)
      : shape_(shape), elements_(std::make_shared<const std::vector<Type>>(std::move(elements))) {}

  Shape shape_ = Shape::kAny;
  std::shared_ptr<const std::vector<Type>> elements_;
  std::shared_ptr<const std::vector<Field>> fields_;
};

struct Type::Field {
  std::string name;
  Type type;
  bool optional = false;
  Value fallback;  // what an absent optional field becomes
};

// The type that a value has by itself: of a null or an empty collection it is, or holds, `any`.
Type type_of(const Value& value);

// Converts as HCL does: numbers and bools to and from text, tuples to lists, objects to maps and so on, recursively; a
// null converts to everything. The error names the place inside the value ("[2].port: …") and what was expected.
Result<Value> convert(const Value& value, const Type& type);

// The one type that values of all `types` convert to without loss, if there is one.
std::optional<Type> unify(const std::vector<Type>& types);

}  // namespace steppe::hcl
