#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/jobspec/parse.h"
#include "init/hcl/eval.h"
#include "init/hcl/parser.h"

namespace steppe::jobspec {

// The input variables and locals of one job file. Sources of a variable's value, weakest first: its default,
// NOMAD_VAR_name, var files in order, -var flags.
class Variables {
 public:
  // `source` and `functions` outlive this.
  Variables(const hcl::Source& source, const hcl::FunctionTable& functions, hcl::Budget& budget,
            hcl::Diagnostics& diagnostics)
      : source_(source), functions_(functions), budget_(budget), diagnostics_(diagnostics) {}

  // Reads the `variable`, `variables` and `locals` blocks of the file.
  void declare(const hcl::Body& file);
  // Puts the values given from outside over the defaults. Requires declare().
  void assign(const ParseOptions& options);
  // Checks the values and calculates the locals, each after those that it needs. The scope holds `var` and `local`.
  void resolve(hcl::Scope& scope);

 private:
  struct Validation {
    const hcl::Expr* condition = nullptr;
    std::string message;
    hcl::Range range;
  };
  struct Variable {
    std::optional<hcl::Type> type;  // none: takes any text as it is
    std::optional<hcl::Value> value;
    std::string origin = "default";
    bool given = false;  // by a flag, a file or the environment, even if the value was of no use
    std::vector<Validation> validations;
    hcl::Range range;
  };
  enum class LocalState : uint8_t { kNew, kWorking, kDone, kFailed };
  struct Local {
    const hcl::Attribute* attribute = nullptr;
    LocalState state = LocalState::kNew;
    hcl::Value value;
  };

  void declare_variable(const hcl::Block& block);
  void declare_shorthand(const hcl::Block& block);
  void declare_local(const hcl::Attribute& attribute);
  bool read_type_and_default(const hcl::Block& block, Variable& variable);
  void read_validation(const std::string& name, const hcl::Block& block, Variable& variable);
  void check_references(const std::string& name, const hcl::Expr& condition);
  void assign_text(const std::string& name, const std::string& text, std::string origin, std::string file, bool strict);
  void assign_file(const VarFile& file, bool strict);
  void set_value(const std::string& name, Variable& variable, const hcl::Value& value, std::string origin,
                 const hcl::Source& source, hcl::Range range);
  void undeclared(const std::string& name, const hcl::Source* source, hcl::Range range, std::string_view how,
                  bool strict);
  void validate(const std::string& name, const Variable& variable);
  bool resolve_local(const std::string& name, Local& local, hcl::Scope& scope, std::vector<std::string>& path);
  std::optional<hcl::Value> evaluate(const hcl::Expr& expr, const hcl::Source& source, const hcl::Scope* scope,
                                     hcl::UnknownName unknown);
  std::optional<std::string> constant_text(const hcl::Attribute& attribute);
  void error(hcl::Range range, std::string summary, std::string detail) {
    diagnostics_.error(source_, range, std::move(summary), std::move(detail));
  }

  const hcl::Source& source_;
  const hcl::FunctionTable& functions_;
  hcl::Budget& budget_;
  hcl::Diagnostics& diagnostics_;
  std::map<std::string, Variable, std::less<>> variables_;
  std::map<std::string, Local, std::less<>> locals_;
};

}  // namespace steppe::jobspec
