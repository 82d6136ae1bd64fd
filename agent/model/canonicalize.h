#pragma once

#include <cstdint>

namespace steppe::schema {
class Job;
class Task;
}

// Fills in everything that a user may leave out, with the defaults that Nomad documents.
namespace steppe::model {

struct JobDefaults {
  int64_t priority = 50;
};

// Makes `job` canonical: every optional field set, job-level update, reschedule, migrate, vault and secrets merged into
// groups and tasks and the last four cleared, restart policies of tasks merged over their group's, service and check
// names interpolated (${JOB}, ${TASKGROUP}, ${TASK}, ${BASE}), scaling targets filled in. Total: accepts any job, also an
// invalid one, which then fails validate(). Idempotent: a second call changes nothing.
// The region stays empty when the user gave none; the caller knows its own region. An empty namespace becomes "default".
void canonicalize(schema::Job* job, const JobDefaults& defaults = {});

}  // namespace steppe::model
