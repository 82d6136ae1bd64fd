#pragma once

#include "init/base/result.h"

namespace steppe::schema {
class Job;
class JobDiff;
class PlanAnnotations;
}

namespace steppe::model {

// Which unchanged fields a diff shows, too.
enum class DiffContext {
  kChangesOnly,
  kContextual,  // an object with a change shows all its fields (job plan -verbose, job history)
};

// The difference of two canonical jobs, in the shape of /v1/job/ID/plan: "Added", "Deleted", "Edited" or "None" at each
// level, sorted by name. Either may be null: a job that appears, or goes. Fields that the servers maintain (indexes,
// status, version, submit time, ...) are left out. Groups, tasks, services, checks, templates and other named things are
// matched by name; lists of unnamed things are sets. kInvalid when the ids differ.
Result<> diff_jobs(const schema::Job* old_job, const schema::Job* new_job, DiffContext context, schema::JobDiff* out);

// Says in the diff what the change does: "forces create/destroy update" at a task, "forces create" at a count, and the
// number of allocs per kind of update in the groups' Updates. `annotations` comes from a dry run of the scheduler; null
// leaves Updates out.
void annotate_diff(const schema::PlanAnnotations* annotations, schema::JobDiff* diff);

}  // namespace steppe::model
