#include "init/hcl/type.h"

#include <algorithm>
#include <format>
#include <set>

namespace steppe::hcl {

Type Type::object(std::vector<Field> fields) {
  std::sort(fields.begin(), fields.end(), [](const Field& a, const Field& b) { return a.name < b.name; });
  Type type(Shape::kObject);
  type.fields_ = std::make_shared<const std::vector<Field>>(std::move(fields));
  return type;
}

std::string Type::text() const {
  switch (shape_) {
    case Shape::kAny: return "any";
    case Shape::kBool: return "bool";
    case Shape::kNumber: return "number";
    case Shape::kString: return "string";
    case Shape::kList: return "list(" + element().text() + ")";
    case Shape::kSet: return "set(" + element().text() + ")";
    case Shape::kMap: return "map(" + element().text() + ")";
    case Shape::kTuple: {
      std::string out = "tuple([";
      for (const Type& type : elements()) out += (out.ends_with('[') ? "" : ", ") + type.text();
      return out + "])";
    }
    case Shape::kObject: {
      std::string out = "object({";
      for (const Field& field : fields()) {
        out += out.ends_with('{') ? "" : ", ";
        out += field.name + "=" + (field.optional ? "optional(" + field.type.text() + ")" : field.type.text());
      }
      return out + "})";
    }
  }
  return "any";
}

bool operator==(const Type& a, const Type& b) {
  if (a.shape_ != b.shape_) return false;
  if (a.elements_) return *a.elements_ == *b.elements_;
  if (!a.fields_) return true;
  return std::equal(a.fields_->begin(), a.fields_->end(), b.fields_->begin(), b.fields_->end(),
                    [](const Type::Field& x, const Type::Field& y) {
                      return x.name == y.name && x.type == y.type && x.optional == y.optional;
                    });
}

namespace {

// Drops repetitions of neighbours only: comparing each type with all others would take quadratic time.
void add_distinct(std::vector<Type>& types, Type type) {
  size_t looked_at = std::min<size_t>(types.size(), 8);
  if (std::find(types.end() - static_cast<ptrdiff_t>(looked_at), types.end(), type) == types.end()) {
    types.push_back(std::move(type));
  }
}

}  // namespace

Type type_of(const Value& value) {
  auto element_type = [](auto&& items, auto&& get) {
    std::vector<Type> types;
    for (const auto& item : items) add_distinct(types, type_of(get(item)));
    return unify(types).value_or(Type::any());
  };
  auto itself = [](const Value& item) -> const Value& { return item; };
  auto second = [](const auto& pair) -> const Value& { return pair.second; };
  switch (value.kind()) {
    case Kind::kNull: return Type::any();
    case Kind::kBool: return Type::boolean();
    case Kind::kNumber: return Type::number();
    case Kind::kString: return Type::string();
    case Kind::kList: return Type::list(element_type(value.sequence(), itself));
    case Kind::kSet: return Type::set(element_type(value.sequence(), itself));
    case Kind::kMap: return Type::map(element_type(value.mapping(), second));
    case Kind::kTuple: {
      std::vector<Type> types;
      for (const Value& item : value.sequence()) types.push_back(type_of(item));
      return Type::tuple(std::move(types));
    }
    case Kind::kObject: {
      std::vector<Type::Field> fields;
      for (const auto& [key, item] : value.mapping()) fields.push_back({key, type_of(item)});
      return Type::object(std::move(fields));
    }
  }
  return Type::any();
}

namespace {

Error required(const Value& value, std::string_view what) {
  return Error(Code::kInvalid, std::format("{} required, but found {}", what, value.type_name()));
}

Result<Value> to_bool(const Value& value) {
  if (value.kind() != Kind::kString) return required(value, "a bool is");
  if (value.string() == "true" || value.string() == "1") return Value(true);
  if (value.string() == "false" || value.string() == "0") return Value(false);
  return Error(Code::kInvalid, "a bool is required: true or false");
}

Result<Value> to_number(const Value& value) {
  if (value.kind() != Kind::kString) return required(value, "a number is");
  auto number = Number::parse(value.string());
  if (!number.ok()) return Error(Code::kInvalid, "a number is required");
  return Value(*number);
}

Result<Value> to_string(const Value& value) {
  if (value.kind() == Kind::kNumber) return Value(value.number().text());
  if (value.kind() == Kind::kBool) return Value(value.boolean() ? "true" : "false");
  return required(value, "a string is");
}

// The items of a value that becomes a collection of `element`; any means the one type that fits all.
Result<Type> element_for(const Type& element, const std::vector<Type>& types) {
  if (element.shape() != Type::Shape::kAny) return element;
  auto common = unify(types);
  if (!common) return Error(Code::kInvalid, "all items must have the same type");
  return *common;
}

Result<Value> to_sequence(const Value& value, const Type& type) {
  Kind kind = type.shape() == Type::Shape::kSet ? Kind::kSet : Kind::kList;
  if (!value.is_sequence()) return required(value, kind == Kind::kSet ? "a set is" : "a list is");
  std::vector<Type> types;
  for (const Value& item : value.sequence()) add_distinct(types, type_of(item));
  STEPPE_TRY(Type element, element_for(type.element(), types));
  Value::Sequence items;
  for (const Value& item : value.sequence()) {
    auto converted = convert(item, element);
    if (!converted.ok()) return std::move(converted).wrap(std::format("item {}", items.size()));
    items.push_back(*std::move(converted));
  }
  return Value::make_sequence(kind, std::move(items));
}

Result<Value> to_map(const Value& value, const Type& type) {
  if (!value.is_mapping()) return required(value, "a map is");
  std::vector<Type> types;
  for (const auto& [key, item] : value.mapping()) add_distinct(types, type_of(item));
  STEPPE_TRY(Type element, element_for(type.element(), types));
  Value::Mapping items;
  for (const auto& [key, item] : value.mapping()) {
    auto converted = convert(item, element);
    if (!converted.ok()) return std::move(converted).wrap(std::format("item \"{}\"", key));
    items.emplace_hint(items.end(), key, *std::move(converted));
  }
  return Value::make_mapping(Kind::kMap, std::move(items));
}

Result<Value> to_tuple(const Value& value, const Type& type) {
  if (value.kind() != Kind::kTuple) return required(value, "a tuple is");
  if (value.size() != type.elements().size()) {
    return Error(Code::kInvalid,
                 std::format("a tuple of {} items is required, but found {}", type.elements().size(), value.size()));
  }
  Value::Sequence items;
  for (const Value& item : value.sequence()) {
    auto converted = convert(item, type.elements()[items.size()]);
    if (!converted.ok()) return std::move(converted).wrap(std::format("item {}", items.size()));
    items.push_back(*std::move(converted));
  }
  return Value::make_sequence(Kind::kTuple, std::move(items));
}

Result<Value> to_object(const Value& value, const Type& type) {
  if (!value.is_mapping()) return required(value, "an object is");
  Value::Mapping items;
  std::string missing;
  for (const Type::Field& field : type.fields()) {
    auto found = value.mapping().find(field.name);
    if (found == value.mapping().end() || (found->second.is_null() && field.optional)) {
      if (!field.optional) missing += (missing.empty() ? "\"" : ", \"") + field.name + "\"";
      items.emplace(field.name, field.fallback);
      continue;
    }
    auto converted = convert(found->second, field.type);
    if (!converted.ok()) return std::move(converted).wrap(std::format("attribute \"{}\"", field.name));
    items.emplace(field.name, *std::move(converted));
  }
  if (!missing.empty()) return Error(Code::kInvalid, "missing from the object: " + missing);
  return Value::make_mapping(Kind::kObject, std::move(items));
}

}  // namespace

Result<Value> convert(const Value& value, const Type& type) {
  if (value.is_null()) return value;
  switch (type.shape()) {
    case Type::Shape::kAny: return value;
    case Type::Shape::kBool: return value.kind() == Kind::kBool ? Result<Value>(value) : to_bool(value);
    case Type::Shape::kNumber: return value.kind() == Kind::kNumber ? Result<Value>(value) : to_number(value);
    case Type::Shape::kString: return value.kind() == Kind::kString ? Result<Value>(value) : to_string(value);
    case Type::Shape::kList:
    case Type::Shape::kSet: return to_sequence(value, type);
    case Type::Shape::kMap: return to_map(value, type);
    case Type::Shape::kTuple: return to_tuple(value, type);
    case Type::Shape::kObject: return to_object(value, type);
  }
  return value;
}

namespace {

std::optional<Type> unify_tuples(const std::vector<Type>& types) {
  size_t width = types[0].elements().size();
  bool same_width = std::all_of(types.begin(), types.end(), [&](auto& t) { return t.elements().size() == width; });
  if (same_width) {
    std::vector<Type> elements;
    for (size_t i = 0; i < width; ++i) {
      std::vector<Type> column;
      for (const Type& type : types) column.push_back(type.elements()[i]);
      auto common = unify(column);
      if (!common) return std::nullopt;
      elements.push_back(*std::move(common));
    }
    return Type::tuple(std::move(elements));
  }
  std::vector<Type> all;
  for (const Type& type : types) all.insert(all.end(), type.elements().begin(), type.elements().end());
  auto common = unify(all);
  if (!common) return std::nullopt;
  return Type::list(*std::move(common));
}

std::optional<Type> unify_objects(const std::vector<Type>& types) {
  auto same_names = [&](const Type& type) {
    return std::equal(type.fields().begin(), type.fields().end(), types[0].fields().begin(), types[0].fields().end(),
                      [](auto& a, auto& b) { return a.name == b.name; });
  };
  if (std::all_of(types.begin(), types.end(), same_names)) {
    std::vector<Type::Field> fields;
    for (size_t i = 0; i < types[0].fields().size(); ++i) {
      std::vector<Type> column;
      for (const Type& type : types) column.push_back(type.fields()[i].type);
      auto common = unify(column);
      if (!common) return std::nullopt;
      fields.push_back({types[0].fields()[i].name, *std::move(common)});
    }
    return Type::object(std::move(fields));
  }
  std::vector<Type> all;
  for (const Type& type : types) {
    for (const Type::Field& field : type.fields()) all.push_back(field.type);
  }
  auto common = unify(all);
  if (!common) return std::nullopt;
  return Type::map(*std::move(common));
}

void add_elements(const Type& type, std::vector<Type>& to) {
  using Shape = Type::Shape;
  if (type.is_collection()) to.push_back(type.element());
  if (type.shape() == Shape::kTuple) to.insert(to.end(), type.elements().begin(), type.elements().end());
  if (type.shape() == Shape::kObject) {
    for (const Type::Field& field : type.fields()) to.push_back(field.type);
  }
}

}  // namespace

std::optional<Type> unify(const std::vector<Type>& all) {
  using Shape = Type::Shape;
  // Nulls and empty collections fit everywhere.
  std::vector<Type> types;
  for (const Type& type : all) {
    if (type.shape() != Shape::kAny) add_distinct(types, type);
  }
  if (types.empty()) return Type::any();
  if (types.size() == 1) return types[0];
  std::set<Shape> shapes;
  for (const Type& type : types) shapes.insert(type.shape());
  auto only = [&](std::initializer_list<Shape> allowed) {
    return std::all_of(shapes.begin(), shapes.end(), [&](Shape s) { return std::ranges::contains(allowed, s); });
  };
  if (only({Shape::kBool, Shape::kNumber, Shape::kString})) {
    if (shapes.contains(Shape::kString)) return Type::string();
    return std::nullopt;  // a bool and a number: neither becomes the other
  }
  if (only({Shape::kTuple})) return unify_tuples(types);
  if (only({Shape::kObject})) return unify_objects(types);
  std::vector<Type> elements;
  for (const Type& type : types) add_elements(type, elements);
  if (only({Shape::kList, Shape::kTuple, Shape::kSet})) {
    auto common = unify(elements);
    if (!common) return std::nullopt;
    // A set has no order and becomes a list only where a list stands beside it.
    return shapes.contains(Shape::kList) || shapes.contains(Shape::kTuple) ? Type::list(*common) : Type::set(*common);
  }
  if (only({Shape::kMap, Shape::kObject})) {
    auto common = unify(elements);
    if (!common) return std::nullopt;
    return Type::map(*std::move(common));
  }
  return std::nullopt;
}

}  // namespace steppe::hcl
