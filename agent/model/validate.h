#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/result.h"

namespace steppe::schema {
class Job;
}

namespace steppe::model {

struct JobLimits {
  int64_t max_priority = 100;
  int64_t max_count = 50000;  // allocations of one job, over all its groups
};

// All that is wrong, and all that is doubtful, in the order of the job's structure.
struct Verdict {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;

  bool ok() const { return errors.empty(); }
  // Nomad's text: "2 errors occurred:\n\t* a\n\t* b\n\n"; empty when there is none. Nested lists stand in their line.
  std::string error_text() const;
  // "1 warning(s):\n\n* a"; empty when there is none.
  std::string warning_text() const;
};

// Judges a canonical job (see canonicalize.h). Pure; never stops at the first error. Whether drivers, node pools, secrets
// providers and plugins exist is not asked here.
Verdict validate(const schema::Job& job, const JobLimits& limits = {});

// What may not change between two versions of one job: namespace, id, type, parent, and whether it is periodic or
// parameterized. kInvalid with Nomad's text.
Result<> validate_update(const schema::Job& old_job, const schema::Job& new_job);

// The format of Go's multierror: "1 error occurred:\n\t* text\n\n".
std::string join_errors(const std::vector<std::string>& errors);

}  // namespace steppe::model
