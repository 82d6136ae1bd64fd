#include <cstdint>
#include <cstdlib>

#include "agent/jobspec/functions.h"
#include "agent/jobspec/parse.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"
#include "init/hcl/eval.h"
#include "init/hcl/parser.h"

namespace {

using namespace steppe;

void check(bool holds) {
  if (!holds) std::abort();
}

// Every finding lies inside the text.
void check_places(const hcl::Source& source, const hcl::Diagnostics& diagnostics) {
  uint32_t lines = 1;
  for (char c : source.text) lines += c == '\n';
  for (const hcl::Diagnostic& diagnostic : diagnostics.list()) check(diagnostic.start.line <= lines);
}

void run_job(std::string_view text) {
  auto job = jobspec::parse("fuzz.hcl", text, {});
  if (!job.ok()) return check(!job.error().message().empty());
  jobspec::not_yet_acted_on(*job);
  // What was parsed can be shown, and reads back as the same job.
  std::string json = schema::write_json(*job, {.redact = false});
  schema::Job again;
  check(schema::read_json(json, &again).ok());
  check(schema::write_json(again, {.redact = false}) == json);
}

void run_expression(std::string text, bool as_template) {
  hcl::Source source{"fuzz.hcl", std::move(text)};
  hcl::Diagnostics diagnostics;
  hcl::ExprPtr expr =
      as_template ? hcl::parse_template(source, diagnostics) : hcl::parse_expression(source, diagnostics);
  check_places(source, diagnostics);
  if (!expr) return check(diagnostics.has_errors());
  hcl::references_of(*expr);
  hcl::FunctionTable functions = jobspec::make_functions({});
  hcl::Budget budget(20'000, 4u << 20);
  hcl::Scope scope;
  scope.variables["x"] = hcl::Value("text");
  hcl::Evaluation evaluation{source, &scope, functions, budget, diagnostics, hcl::UnknownName::kKeepText};
  auto value = hcl::evaluate(*expr, evaluation);
  check_places(source, diagnostics);
  if (!value) return check(diagnostics.has_errors());
  auto converted = hcl::convert(*value, hcl::type_of(*value));
  check(converted.ok());
  if (value->kind() == hcl::Kind::kString) check(is_utf8(value->string()));
}

}  // namespace

// The first byte chooses: a job file, an expression, a bare template.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: run_job(text); break;
    case 1: run_expression(std::move(text), false); break;
    default: run_expression(std::move(text), true); break;
  }
  return 0;
}
