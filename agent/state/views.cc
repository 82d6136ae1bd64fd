#include "agent/state/views.h"

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/alloc_codec.h"
#include "agent/state/root.h"
#include "agent/state/rows.h"

namespace steppe::state {

std::string_view JobSpecView::ns() const { return spec_->ns; }
std::string_view JobSpecView::id() const { return spec_->id; }
uint64_t JobSpecView::version() const { return spec_->version; }
uint64_t JobSpecView::create_index() const { return spec_->create_index; }
uint64_t JobSpecView::job_modify_index() const { return spec_->job_modify_index; }
JobType JobSpecView::type() const { return spec_->type; }
int32_t JobSpecView::priority() const { return spec_->priority; }
bool JobSpecView::stop() const { return spec_->stop; }
schema::Job JobSpecView::decode() const { return state::decode<schema::Job>(spec_->bytes); }

JobSpecView JobVersionView::spec() const { return JobSpecView(*row_->versions[position_].spec); }
bool JobVersionView::stable() const { return row_->versions[position_].stable; }
std::string_view JobVersionView::tag() const { return row_->versions[position_].tag; }
schema::Job JobVersionView::decode() const {
  const JobVersion& version = row_->versions[position_];
  schema::Job job = spec().decode();
  job.set_stable(version.stable);
  if (!version.tag.empty()) *job.mutable_version_tag() = state::decode<schema::JobVersionTag>(version.tag);
  job.set_status(std::string(text(row_->status)));
  job.set_modify_index(position_ == 0 ? row_->modify_index : version.spec->job_modify_index);
  return job;
}

bool JobView::periodic() const { return row_->spec().periodic; }
bool JobView::parameterized() const { return row_->spec().parameterized; }
std::string_view JobView::parent_id() const { return row_->spec().parent_id; }
std::string_view JobView::node_pool() const { return row_->spec().node_pool; }
JobStatus JobView::status() const { return row_->status; }
bool JobView::stable() const { return row_->versions.front().stable; }
uint64_t JobView::create_index() const { return row_->create_index; }
uint64_t JobView::modify_index() const { return row_->modify_index; }
uint64_t JobView::job_modify_index() const { return row_->spec().job_modify_index; }
int64_t JobView::submit_time() const { return row_->spec().submit_time; }
JobSpecView JobView::spec() const { return JobSpecView(row_->spec()); }
uint64_t JobView::summary_modify_index() const { return row_->summary_modify_index; }
schema::Job JobView::decode() const {
  schema::Job job = JobVersionView(*row_, 0).decode();
  job.set_status_description(row_->status_description);
  return job;
}
schema::JobSummary JobView::summary() const {
  schema::JobSummary summary;
  summary.set_namespace_(row_->spec().ns);
  summary.set_job_id(row_->spec().id);
  for (const GroupSummary& group : row_->groups) {
    schema::TaskGroupSummary& out = (*summary.mutable_summary())[group.name];
    out.set_queued(group.queued);
    out.set_complete(group.complete);
    out.set_failed(group.failed);
    out.set_running(group.running);
    out.set_starting(group.starting);
    out.set_lost(group.lost);
    out.set_unknown(group.unknown);
  }
  summary.mutable_children()->set_pending(row_->children_pending);
  summary.mutable_children()->set_running(row_->children_running);
  summary.mutable_children()->set_dead(row_->children_dead);
  summary.set_create_index(row_->summary_create_index);
  summary.set_modify_index(row_->summary_modify_index);
  return summary;
}

NodeId NodeView::id() const { return row_->id; }
uint32_t NodeView::ordinal() const { return row_->ordinal; }
std::string_view NodeView::name() const { return row_->name; }
std::string_view NodeView::datacenter() const { return root_->datacenters.name(row_->datacenter); }
std::string_view NodeView::pool() const { return root_->pools.name(row_->pool); }
std::string_view NodeView::node_class() const { return row_->node_class; }
std::string_view NodeView::computed_class() const { return root_->classes.name(row_->computed_class); }
NodeStatus NodeView::status() const { return row_->status; }
bool NodeView::eligible() const { return row_->eligible; }
bool NodeView::draining() const { return row_->draining; }
int64_t NodeView::status_updated_at() const { return row_->status_updated_at; }
uint64_t NodeView::create_index() const { return row_->create_index; }
uint64_t NodeView::modify_index() const { return row_->modify_index; }
uint64_t NodeView::last_missed_heartbeat_index() const { return row_->last_missed_heartbeat_index; }
uint64_t NodeView::last_alloc_update_index() const { return row_->last_alloc_update_index; }
schema::Node NodeView::decode() const {
  auto node = state::decode<schema::Node>(row_->bytes);
  node.set_last_alloc_update_index(row_->last_alloc_update_index);
  return node;
}

AllocId AllocView::id() const { return row_->placement->id; }
NodeId AllocView::node_id() const { return row_->placement->node_id; }
EvalId AllocView::eval_id() const { return row_->placement->eval_id; }
DeploymentId AllocView::deployment_id() const { return row_->placement->deployment_id; }
std::string_view AllocView::ns() const { return row_->placement->spec->ns; }
std::string_view AllocView::job_id() const { return row_->placement->spec->id; }
std::string_view AllocView::task_group() const { return state::task_group(*row_->placement); }
std::string AllocView::name() const { return alloc_name(*row_->placement); }
JobSpecView AllocView::job() const { return JobSpecView(*row_->placement->spec); }
DesiredStatus AllocView::desired_status() const { return row_->desired; }
ClientStatus AllocView::client_status() const { return row_->client; }
std::optional<bool> AllocView::healthy() const {
  if ((row_->flags & AllocRow::kHealthKnown) == 0) return std::nullopt;
  return (row_->flags & AllocRow::kHealthy) != 0;
}
bool AllocView::canary() const { return (row_->flags & AllocRow::kCanary) != 0; }
bool AllocView::migrate() const { return (row_->flags & AllocRow::kMigrate) != 0; }
bool AllocView::reschedule() const { return (row_->flags & AllocRow::kReschedule) != 0; }
bool AllocView::force_reschedule() const { return (row_->flags & AllocRow::kForceReschedule) != 0; }
bool AllocView::no_shutdown_delay() const { return (row_->flags & AllocRow::kNoShutdownDelay) != 0; }
const Usage& AllocView::usage() const { return row_->placement->usage; }
uint64_t AllocView::create_index() const { return row_->placement->create_index; }
uint64_t AllocView::modify_index() const { return row_->modify_index; }
uint64_t AllocView::alloc_modify_index() const { return row_->alloc_modify_index; }
int64_t AllocView::create_time() const { return row_->placement->create_time; }
int64_t AllocView::modify_time() const { return row_->modify_time; }
schema::AllocatedResources AllocView::decode_resources() const { return state::decode_resources(*row_->placement); }
schema::Allocation AllocView::decode(WithJob with_job) const {
  schema::Allocation alloc = decode_alloc(*row_);
  if (with_job == WithJob::kYes) *alloc.mutable_job() = job().decode();
  return alloc;
}

EvalId EvalView::id() const { return row_->id; }
std::string_view EvalView::ns() const { return row_->ns; }
std::string_view EvalView::job_id() const { return row_->job_id; }
JobType EvalView::type() const { return row_->type; }
int32_t EvalView::priority() const { return row_->priority; }
EvalStatus EvalView::status() const { return row_->status; }
int64_t EvalView::wait_until() const { return row_->wait_until; }
uint64_t EvalView::create_index() const { return row_->create_index; }
uint64_t EvalView::modify_index() const { return row_->modify_index; }
int64_t EvalView::modify_time() const { return row_->modify_time; }
schema::Evaluation EvalView::decode() const { return state::decode<schema::Evaluation>(row_->bytes); }

DeploymentId DeploymentView::id() const { return row_->id; }
std::string_view DeploymentView::ns() const { return row_->ns; }
std::string_view DeploymentView::job_id() const { return row_->job_id; }
uint64_t DeploymentView::job_version() const { return row_->job_version; }
uint64_t DeploymentView::job_create_index() const { return row_->job_create_index; }
DeploymentStatus DeploymentView::status() const { return row_->status; }
uint64_t DeploymentView::create_index() const { return row_->create_index; }
uint64_t DeploymentView::modify_index() const { return row_->modify_index; }
schema::Deployment DeploymentView::decode() const { return state::decode<schema::Deployment>(row_->bytes); }

}  // namespace steppe::state
