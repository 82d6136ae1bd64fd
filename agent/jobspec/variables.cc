#include "agent/jobspec/variables.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/hcl/lexer.h"

namespace steppe::jobspec {
namespace {

constexpr std::string_view kEnvironmentPrefix = "NOMAD_VAR_";
constexpr size_t kMaxLocalChain = 200;  // locals that need one another, one after the other

}  // namespace

std::optional<hcl::Value> Variables::evaluate(const hcl::Expr& expr, const hcl::Source& source, const hcl::Scope* scope,
                                              hcl::UnknownName unknown) {
  hcl::Evaluation evaluation{source, scope, functions_, budget_, diagnostics_, unknown};
  return hcl::evaluate(expr, evaluation);
}

void Variables::declare(const hcl::Body& file) {
  for (const hcl::Block& block : file.blocks) {
    if (block.type == "variable") declare_variable(block);
    if (block.type == "variables") declare_shorthand(block);
    if (block.type != "locals") continue;
    if (!block.labels.empty())
      error(block.labels[0].range, "Extraneous label for locals", "No labels are expected for locals blocks.");
    for (const hcl::Attribute& attribute : block.body.attributes) declare_local(attribute);
    for (const hcl::Block& inner : block.body.blocks) {
      error(inner.type_range, "Unexpected block", "Blocks are not allowed here: write name = value for each local.");
    }
  }
}

void Variables::declare_local(const hcl::Attribute& attribute) {
  auto [at, fresh] = locals_.emplace(attribute.name, Local{&attribute});
  if (!fresh)
    error(attribute.name_range, "Duplicate value in locals",
          std::format("Duplicate {} definition found.", attribute.name));
}

void Variables::declare_shorthand(const hcl::Block& block) {
  for (const hcl::Block& inner : block.body.blocks) {
    error(inner.type_range, "Unexpected block",
          "Blocks are not allowed here: write name = default, or use a variable block.");
  }
  for (const hcl::Attribute& attribute : block.body.attributes) {
    auto value = evaluate(*attribute.expr, source_, nullptr, hcl::UnknownName::kError);
    if (!value) continue;
    Variable variable;
    variable.type = type_of(*value);
    variable.value = *std::move(value);
    variable.range = attribute.name_range;
    auto [at, fresh] = variables_.emplace(attribute.name, std::move(variable));
    if (!fresh)
      error(attribute.name_range, "Duplicate variable",
            std::format("Duplicate {} variable definition found.", attribute.name));
  }
}

void Variables::declare_variable(const hcl::Block& block) {
  if (block.labels.size() != 1)
    return error(block.header, "Missing name for variable",
                 "All variable blocks must have 1 label: variable \"name\" { … }.");
  const std::string& name = block.labels[0].text;
  if (!hcl::is_identifier(name)) {
    return error(
        block.labels[0].range, "Invalid variable name",
        "A name must start with a letter or underscore and may contain only letters, digits, underscores, and dashes.");
  }
  if (variables_.contains(name))
    return error(block.header, "Duplicate variable", std::format("Duplicate {} variable definition found.", name));
  Variable& variable = variables_[name];
  variable.range = block.header;
  for (const hcl::Attribute& attribute : block.body.attributes) {
    if (attribute.name == "description") {
      constant_text(attribute);
    } else if (attribute.name != "type" && attribute.name != "default") {
      error(attribute.name_range, "Unsupported argument",
            std::format("An argument named \"{}\" is not expected here. Expected one of: description, type, default.",
                        attribute.name));
    }
  }
  if (!read_type_and_default(block, variable))
    variable.value = hcl::Value();  // spares the complaint that it is not set
  for (const hcl::Block& inner : block.body.blocks) {
    if (inner.type == "validation") {
      read_validation(name, inner, variable);
    } else {
      error(inner.type_range, "Unsupported block type",
            std::format("Blocks of type \"{}\" are not expected here. Did you mean \"validation\"?", inner.type));
    }
  }
}

std::optional<std::string> Variables::constant_text(const hcl::Attribute& attribute) {
  auto value = evaluate(*attribute.expr, source_, nullptr, hcl::UnknownName::kError);
  if (!value) return std::nullopt;
  auto text = hcl::convert(*value, hcl::Type::string());
  if (!text.ok() || text->is_null()) {
    error(attribute.expr->range, "Unsuitable value type",
          std::format("Unsuitable value for \"{}\": a string is required.", attribute.name));
    return std::nullopt;
  }
  return text->string();
}

bool Variables::read_type_and_default(const hcl::Block& block, Variable& variable) {
  if (const hcl::Attribute* type = block.body.find("type")) {
    hcl::Evaluation evaluation{source_, nullptr, functions_, budget_, diagnostics_};
    variable.type = hcl::evaluate_type(*type->expr, evaluation);
    if (!variable.type) return false;
  }
  const hcl::Attribute* fallback = block.body.find("default");
  if (!fallback) return true;
  auto value = evaluate(*fallback->expr, source_, nullptr, hcl::UnknownName::kError);
  if (!value) return false;
  if (!variable.type) {
    variable.type = type_of(*value);
    variable.value = *std::move(value);
    return true;
  }
  auto converted = hcl::convert(*value, *variable.type);
  if (!converted.ok()) {
    error(fallback->expr->range, "Invalid default value for variable",
          std::format("This default value is not compatible with the variable's type constraint: {}.",
                      converted.error().message()));
    return false;
  }
  variable.value = *std::move(converted);
  return true;
}

void Variables::check_references(const std::string& name, const hcl::Expr& condition) {
  bool refers = false;
  for (const hcl::Reference& reference : hcl::references_of(condition)) {
    if (reference.root == "var" && reference.attribute == name) {
      refers = true;
      continue;
    }
    error(reference.range, "Invalid reference in variable validation",
          std::format("The condition for variable \"{}\" can only refer to the variable itself, using var.{}.", name,
                      name));
  }
  if (!refers) {
    error(condition.range, "Invalid variable validation condition",
          std::format("The condition for variable \"{}\" must refer to var.{} in order to test incoming values.", name,
                      name));
  }
}

void Variables::read_validation(const std::string& name, const hcl::Block& block, Variable& variable) {
  Validation validation;
  validation.range = block.header;
  for (const hcl::Attribute& attribute : block.body.attributes) {
    if (attribute.name == "condition") {
      validation.condition = attribute.expr.get();
      check_references(name, *attribute.expr);
    } else if (attribute.name == "error_message") {
      auto text = constant_text(attribute);
      if (text && trim(*text).empty()) {
        error(attribute.expr->range, "Invalid validation error message",
              "An empty or blank string is not a valid nor useful error message.");
      }
      validation.message = text.value_or("");
    } else {
      error(attribute.name_range, "Unsupported argument",
            std::format("An argument named \"{}\" is not expected here. Expected condition and error_message.",
                        attribute.name));
    }
  }
  for (const hcl::Block& inner : block.body.blocks)
    error(inner.type_range, "Unsupported block type", "Blocks are not expected here.");
  for (std::string_view required : {"condition", "error_message"}) {
    if (block.body.find(required)) continue;
    error(block.header, "Missing required argument",
          std::format("The argument \"{}\" is required, but it was not set.", required));
  }
  if (validation.condition) variable.validations.push_back(std::move(validation));
}

void Variables::set_value(const std::string& name, Variable& variable, const hcl::Value& value, std::string origin,
                          const hcl::Source& source, hcl::Range range) {
  auto converted = variable.type ? hcl::convert(value, *variable.type) : Result<hcl::Value>(value);
  if (!converted.ok()) {
    diagnostics_.error(source, range, "Invalid value for variable",
                       std::format("The value for {} is not compatible with the variable's type constraint: {}.", name,
                                   converted.error().message()));
    return;
  }
  variable.value = *std::move(converted);
  variable.origin = std::move(origin);
}

void Variables::undeclared(const std::string& name, const hcl::Source* source, hcl::Range range, std::string_view how,
                           bool strict) {
  std::vector<std::string_view> names;
  for (const auto& [known, variable] : variables_) names.push_back(known);
  std::string_view near = hcl::nearest_name(name, names);
  std::string detail = std::format(
      "A \"{}\" variable was {} but was not found in known variables. {}", name, how,
      near.empty() ? std::format("To declare it, place this block in your job file: variable \"{}\" {{}}", name)
                   : std::format("Did you mean \"{}\"?", near));
  if (!source) {
    hcl::Source flags{"-var", ""};
    if (strict) return diagnostics_.error("", "Undefined -var variable", std::move(detail));
    return diagnostics_.warning(flags, {}, "Undefined -var variable", std::move(detail));
  }
  if (strict) return diagnostics_.error(*source, range, "Undefined variable", std::move(detail));
  diagnostics_.warning(*source, range, "Undefined variable", std::move(detail));
}

// Text from a flag or the environment: plain text for strings, numbers and untyped variables, an HCL expression for the
// others.
void Variables::assign_text(const std::string& name, const std::string& text, std::string origin, std::string file,
                            bool strict) {
  auto found = variables_.find(name);
  if (found == variables_.end()) {
    if (origin == "cmd") undeclared(name, nullptr, {}, "passed in the command line", strict);
    return;  // the environment may hold variables of other jobs
  }
  Variable& variable = found->second;
  variable.given = true;
  hcl::Source source{std::move(file), text};
  hcl::Range whole{0, static_cast<uint32_t>(std::min<size_t>(text.size(), hcl::kMaxSourceBytes))};
  using Shape = hcl::Type::Shape;
  bool plain = !variable.type || variable.type->shape() == Shape::kString || variable.type->shape() == Shape::kNumber;
  if (plain) {
    if (text.size() > hcl::kMaxSourceBytes || !is_utf8(text)) {
      return diagnostics_.error(source.name, "Invalid value for variable", "The value is too large or is not UTF-8.");
    }
    return set_value(name, variable, hcl::Value(text), std::move(origin), source, whole);
  }
  hcl::ExprPtr expr = hcl::parse_expression(source, diagnostics_);
  if (!expr) return;
  auto value = evaluate(*expr, source, nullptr, hcl::UnknownName::kError);
  if (value) set_value(name, variable, *value, std::move(origin), source, expr->range);
}

void Variables::assign_file(const VarFile& file, bool strict) {
  hcl::Source source{file.name, file.text};
  size_t before = diagnostics_.error_count();
  hcl::Body body = hcl::parse_body(source, diagnostics_);
  if (diagnostics_.error_count() != before) return;
  for (const hcl::Block& block : body.blocks) {
    std::string detail = "Blocks are not allowed here: write name = value.";
    if (block.type == "variable" && !block.labels.empty()) {
      detail = std::format(
          "A .var file is used to assign values to variables that have already been declared in job files, not to "
          "declare new variables. To declare variable \"{}\", place this block in your job file. To set a value "
          "for it here, write: {} = <value>",
          block.labels[0].text, block.labels[0].text);
    }
    diagnostics_.error(source, block.type_range,
                       block.type == "variable" ? "Variable declaration in a .var file" : "Unexpected block",
                       std::move(detail));
  }
  for (const hcl::Attribute& attribute : body.attributes) {
    auto found = variables_.find(attribute.name);
    if (found == variables_.end()) {
      undeclared(attribute.name, &source, attribute.name_range, "set", strict);
      continue;
    }
    found->second.given = true;
    auto value = evaluate(*attribute.expr, source, nullptr, hcl::UnknownName::kError);
    if (value) set_value(attribute.name, found->second, *value, "varfile", source, attribute.expr->range);
  }
}

void Variables::assign(const ParseOptions& options) {
  for (const auto& [key, text] : options.environment) {
    if (!key.starts_with(kEnvironmentPrefix)) continue;
    std::string name = key.substr(kEnvironmentPrefix.size());
    assign_text(name, text, "env", std::format("<value for var.{} from env>", name), options.strict);
  }
  for (const VarFile& file : options.var_files) assign_file(file, options.strict);
  for (const std::string& flag : options.var_flags) {
    size_t equals = flag.find('=');
    if (equals == flag.npos) {
      diagnostics_.error("", "Invalid -var argument",
                         std::format("\"{}\" has no equals sign: write -var name=value.", flag.substr(0, 64)));
      continue;
    }
    std::string name = flag.substr(0, equals);
    assign_text(name, flag.substr(equals + 1), "cmd", std::format("<value for var.{} from arguments>", name),
                options.strict);
  }
}

void Variables::validate(const std::string& name, const Variable& variable) {
  hcl::Scope scope;
  auto var = hcl::Value::make_mapping(hcl::Kind::kObject, {{name, *variable.value}});
  if (!var.ok()) return error(variable.range, "Value too large", var.error().message() + ".");
  scope.variables.emplace("var", *std::move(var));
  for (const Validation& validation : variable.validations) {
    auto result = evaluate(*validation.condition, source_, &scope, hcl::UnknownName::kKeepText);
    if (!result) continue;
    auto decided = hcl::convert(*result, hcl::Type::boolean());
    if (!decided.ok() || decided->is_null()) {
      error(validation.condition->range, "Invalid variable validation result",
            "Validation condition expression must return either true or false.");
    } else if (!decided->boolean()) {
      error(validation.range, std::format("Invalid value for {} variable", variable.origin),
            std::format("var.{}: {}", name, validation.message));
    }
  }
}

void Variables::resolve(hcl::Scope& scope) {
  hcl::Value::Mapping values;
  for (auto& [name, variable] : variables_) {
    if (!variable.value) {
      // What was given and cannot be used has its error already.
      if (!variable.given) error(variable.range, std::format("Unset variable \"{}\"", name),
            std::format("A used variable must be set or have a default value. Set it with -var {}=…, a -var-file, or "
                        "NOMAD_VAR_{}.",
                        name, name));
      values.emplace(name, hcl::Value());
      continue;
    }
    validate(name, variable);
    values.emplace(name, *variable.value);
  }
  auto var = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(values));
  if (!var.ok())
    return diagnostics_.error(source_.name, "Value too large",
                              "all variables together: " + var.error().message() + ".");
  scope.variables.insert_or_assign("var", *std::move(var));
  if (diagnostics_.has_errors()) return;
  std::vector<std::string> path;
  for (auto& [name, local] : locals_) resolve_local(name, local, scope, path);
  hcl::Value::Mapping locals;
  for (auto& [name, local] : locals_) locals.emplace(name, local.value);
  auto all = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(locals));
  if (!all.ok())
    return diagnostics_.error(source_.name, "Value too large", "all locals together: " + all.error().message() + ".");
  scope.variables.insert_or_assign("local", *std::move(all));
}

bool Variables::resolve_local(const std::string& name, Local& local, hcl::Scope& scope,
                              std::vector<std::string>& path) {
  if (local.state == LocalState::kDone) return true;
  if (local.state == LocalState::kFailed) return false;
  const hcl::Attribute& attribute = *local.attribute;
  if (local.state == LocalState::kWorking || path.size() >= kMaxLocalChain) {
    bool cycle = local.state == LocalState::kWorking;
    std::string chain;
    for (auto at = cycle ? std::find(path.begin(), path.end(), name) : path.end() - 3; at != path.end(); ++at)
      chain += "local." + *at + " -> ";
    error(attribute.name_range, cycle ? "Cycle in locals" : "Locals too deep",
          cycle ? std::format("These locals need one another: {}local.{}.", chain, name)
                : std::format("More than {} locals build on one another: …{}local.{}.", kMaxLocalChain, chain, name));
    return false;
  }
  local.state = LocalState::kWorking;
  path.push_back(name);
  bool ok = true;
  hcl::Value::Mapping needed;
  for (const hcl::Reference& reference : hcl::references_of(*attribute.expr)) {
    if (reference.root != "local") continue;
    if (!reference.attribute.empty()) {
      auto other = locals_.find(reference.attribute);
      if (other == locals_.end()) continue;  // evaluating says so
      ok = resolve_local(other->first, other->second, scope, path) && ok;
      needed.insert_or_assign(other->first, other->second.value);
      continue;
    }
    // `local` as a whole, or with a calculated index, needs all the others.
    if (auto paid = budget_.take_steps(locals_.size()); !paid.ok()) {
      error(attribute.name_range, "Evaluation limit reached", paid.error().message() + ".");
      ok = false;
    }
    for (auto other = locals_.begin(); ok && other != locals_.end(); ++other) {
      if (&other->second == &local) continue;
      ok = resolve_local(other->first, other->second, scope, path);
      needed.insert_or_assign(other->first, other->second.value);
    }
  }
  path.pop_back();
  local.state = LocalState::kFailed;
  if (!ok) return false;
  auto before = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(needed));
  if (!before.ok()) {
    error(attribute.name_range, "Value too large", before.error().message() + ".");
    return false;
  }
  scope.variables.insert_or_assign("local", *std::move(before));
  auto value = evaluate(*attribute.expr, source_, &scope, hcl::UnknownName::kKeepText);
  if (!value) return false;
  local.value = *std::move(value);
  local.state = LocalState::kDone;
  return true;
}

}  // namespace steppe::jobspec
