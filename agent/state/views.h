#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/state/status.h"
#include "init/base/ids.h"

// decode() returns these by value; who calls it includes agent/schema/<noun>.pb.h.
namespace steppe::schema {
class AllocatedResources;
class Allocation;
class Deployment;
class Evaluation;
class Job;
class JobSubmission;
class JobSummary;
class Node;
class NodePool;
class SchedulerConfiguration;
}  // namespace steppe::schema

namespace steppe::state {

struct Root;
struct AllocRow;
struct DeploymentRow;
struct EvalRow;
struct JobRow;
struct JobSpec;
struct NodeRow;

// Views of rows: one or two pointers, passed by value, valid while the snapshot that they came from lives. Accessors
// read hot columns; decode() builds the whole protobuf message (microseconds), to be dropped with the request.

// What an alloc takes from its node: the largest of its lifecycle phases plus sidecars, not the sum.
struct Usage {
  int32_t cpu = 0;         // MHz
  int32_t memory = 0;      // MB
  int32_t memory_max = 0;  // MB
  int32_t disk = 0;        // MB
  int32_t cores = 0;       // reserved cores
  friend bool operator==(const Usage&, const Usage&) = default;
};

// One version of a job's specification. Allocs of the same version share it: identity() compares equal, so a scheduler
// can decode once per run.
class JobSpecView {
 public:
  explicit JobSpecView(const JobSpec& spec) : spec_(&spec) {}
  const void* identity() const { return spec_; }
  std::string_view ns() const;
  std::string_view id() const;
  uint64_t version() const;
  uint64_t create_index() const;      // of the job: tells a re-created job from its namesake
  uint64_t job_modify_index() const;  // when this version was registered
  JobType type() const;
  int32_t priority() const;
  bool stop() const;
  // Whole, without what changes after registration: status, stable, modify index, tag.
  schema::Job decode() const;

 private:
  const JobSpec* spec_;
};

class JobVersionView {
 public:
  JobVersionView(const JobRow& row, size_t position) : row_(&row), position_(position) {}
  JobSpecView spec() const;
  uint64_t version() const { return spec().version(); }
  bool stable() const;
  std::string_view tag() const;  // empty: none
  schema::Job decode() const;

 private:
  const JobRow* row_;
  size_t position_;
};

class JobView {
 public:
  explicit JobView(const JobRow& row) : row_(&row) {}
  std::string_view ns() const { return spec().ns(); }
  std::string_view id() const { return spec().id(); }
  JobType type() const { return spec().type(); }
  int32_t priority() const { return spec().priority(); }
  uint64_t version() const { return spec().version(); }
  bool stop() const { return spec().stop(); }
  bool periodic() const;
  bool parameterized() const;
  std::string_view parent_id() const;
  std::string_view node_pool() const;
  JobStatus status() const;
  bool stable() const;
  uint64_t create_index() const;
  uint64_t modify_index() const;      // any change: status, stability
  uint64_t job_modify_index() const;  // the specification
  int64_t submit_time() const;
  JobSpecView spec() const;
  schema::Job decode() const;
  schema::JobSummary summary() const;
  uint64_t summary_modify_index() const;

 private:
  const JobRow* row_;
};

class NodeView {
 public:
  NodeView(const Root& root, const NodeRow& row) : root_(&root), row_(&row) {}
  NodeId id() const;
  uint32_t ordinal() const;  // the row of NodeColumns; given again to another node after this one is gone
  std::string_view name() const;
  std::string_view datacenter() const;
  std::string_view pool() const;
  std::string_view node_class() const;
  std::string_view computed_class() const;
  NodeStatus status() const;
  bool eligible() const;
  bool draining() const;
  bool placeable() const { return status() == NodeStatus::kReady && eligible() && !draining(); }
  int64_t status_updated_at() const;  // Unix seconds
  uint64_t create_index() const;
  uint64_t modify_index() const;
  uint64_t last_missed_heartbeat_index() const;
  uint64_t last_alloc_update_index() const;
  // With its SecretID: the writer that serves the API clears it.
  schema::Node decode() const;

 private:
  const Root* root_;
  const NodeRow* row_;
};

enum class WithJob : uint8_t { kNo, kYes };

class AllocView {
 public:
  explicit AllocView(const AllocRow& row) : row_(&row) {}
  AllocId id() const;
  NodeId node_id() const;
  EvalId eval_id() const;
  DeploymentId deployment_id() const;  // nil: none
  std::string_view ns() const;
  std::string_view job_id() const;
  std::string_view task_group() const;
  std::string name() const;  // "job.group[0]"
  JobSpecView job() const;
  DesiredStatus desired_status() const;
  ClientStatus client_status() const;
  bool terminal() const { return state::terminal(desired_status(), client_status()); }
  bool client_terminal() const { return state::client_terminal(client_status()); }
  std::optional<bool> healthy() const;  // deployment health; empty: not known yet
  bool canary() const;
  bool migrate() const;  // desired transitions
  bool reschedule() const;
  bool force_reschedule() const;
  bool no_shutdown_delay() const;
  const Usage& usage() const;
  uint64_t create_index() const;
  uint64_t modify_index() const;        // any change
  uint64_t alloc_modify_index() const;  // changes by the servers: what the client fetches for
  int64_t create_time() const;          // Unix nanoseconds
  int64_t modify_time() const;
  // Ports, devices and cores of each task.
  schema::AllocatedResources decode_resources() const;
  schema::Allocation decode(WithJob with_job) const;

 private:
  const AllocRow* row_;
};

class EvalView {
 public:
  explicit EvalView(const EvalRow& row) : row_(&row) {}
  EvalId id() const;
  std::string_view ns() const;
  std::string_view job_id() const;
  JobType type() const;
  int32_t priority() const;
  EvalStatus status() const;
  bool terminal() const { return state::terminal(status()); }
  int64_t wait_until() const;  // Unix nanoseconds; 0: at once
  uint64_t create_index() const;
  uint64_t modify_index() const;
  int64_t modify_time() const;
  schema::Evaluation decode() const;

 private:
  const EvalRow* row_;
};

class DeploymentView {
 public:
  explicit DeploymentView(const DeploymentRow& row) : row_(&row) {}
  DeploymentId id() const;
  std::string_view ns() const;
  std::string_view job_id() const;
  uint64_t job_version() const;
  uint64_t job_create_index() const;
  DeploymentStatus status() const;
  bool active() const { return !state::terminal(status()); }
  uint64_t create_index() const;
  uint64_t modify_index() const;
  schema::Deployment decode() const;

 private:
  const DeploymentRow* row_;
};

}  // namespace steppe::state
