#include "agent/jobspec/parse.h"

#include <format>

#include "agent/jobspec/decoder.h"
#include "agent/jobspec/functions.h"
#include "agent/jobspec/normalize.h"
#include "agent/jobspec/variables.h"
#include "agent/schema/job.pb.h"

namespace steppe::jobspec {
namespace {

// Which block of the file is the job; null, with an error, when there is not exactly one.
const hcl::Block* find_job(const hcl::Body& file, const Context& context) {
  for (const hcl::Attribute& attribute : file.attributes) {
    context.error(attribute.name_range, "Unsupported argument",
                  std::format("An argument named \"{}\" is not expected here: a job file holds variable, variables, "
                              "locals and one job block.",
                              attribute.name));
  }
  const hcl::Block* job = nullptr;
  for (const hcl::Block& block : file.blocks) {
    if (block.type == "variable" || block.type == "variables" || block.type == "locals") continue;
    if (block.type != "job") {
      std::string_view near = hcl::nearest_name(block.type, {"job", "variable", "variables", "locals"});
      context.error(block.type_range, "Unsupported block type",
                    std::format("Blocks of type \"{}\" are not expected here.{}", block.type,
                                near.empty() ? " A job file holds variable, variables, locals and one job block."
                                             : std::format(" Did you mean \"{}\"?", near)));
    } else if (job) {
      context.error(block.header, "Duplicate job block", "Only one block of type \"job\" is allowed in a file.");
    } else {
      job = &block;
    }
  }
  if (!job)
    context.diagnostics.error(context.source.name, "Missing job block", "A job block is required: job \"name\" { … }");
  return job;
}

std::string warnings_of(const hcl::Diagnostics& diagnostics) {
  std::string out;
  for (const hcl::Diagnostic& diagnostic : diagnostics.list()) {
    if (diagnostic.severity != hcl::Severity::kWarning) continue;
    out += (out.empty() ? "" : "\n") + diagnostic.text();
  }
  return out;
}

}  // namespace

Result<schema::Job> parse(std::string_view file_name, std::string_view text, const ParseOptions& options,
                          Findings* findings) {
  hcl::Diagnostics diagnostics;
  hcl::Source source{std::string(file_name), std::string(text)};
  hcl::Body file = hcl::parse_body(source, diagnostics);
  if (diagnostics.has_errors()) return diagnostics.to_error();

  hcl::Budget budget;
  hcl::FunctionTable functions = make_functions(options);
  hcl::Scope scope;
  Context context{source, functions, budget, diagnostics, &scope};
  const hcl::Block* block = find_job(file, context);
  Variables variables(source, functions, budget, diagnostics);
  variables.declare(file);
  variables.assign(options);
  variables.resolve(scope);
  if (diagnostics.has_errors()) return diagnostics.to_error();

  schema::Job job;
  TaskDefaults defaults;
  Decoder(context, defaults)
      .decode({block->type, block->header, block->type_range, block->labels, block->body, scope}, job_table(), &job);
  if (diagnostics.has_errors()) return diagnostics.to_error();
  normalize(job, block->labels[0].text, std::move(defaults));
  if (findings) findings->warnings = warnings_of(diagnostics);
  return job;
}

}  // namespace steppe::jobspec
