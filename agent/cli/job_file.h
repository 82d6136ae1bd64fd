#pragma once

#include <string>
#include <vector>

#include "agent/cli/command.h"
#include "init/base/result.h"

namespace steppe::schema {
class Job;
class JobSubmission;
}  // namespace steppe::schema

namespace steppe::cli {

// Flags of every command that reads a job file.
std::vector<Flags::Spec> job_file_flags();

struct JobFile {
  std::string text;
  std::string format;     // "hcl2" or "json"
  std::string warnings;   // of the parser
};

// Reads `path` ("-": standard input) as HCL, or as JSON with -json, with the -var and -var-file of the command line and
// NOMAD_VAR_* of the environment.
Result<JobFile> read_job_file(Context& context, const Flags& flags, const std::string& path, schema::Job* job);

// What the server keeps as the job's source.
void fill_submission(const JobFile& file, const Flags& flags, const Environment& environment, schema::JobSubmission* submission);

}  // namespace steppe::cli
