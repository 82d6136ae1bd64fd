#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/counted.h"
#include "agent/state/status.h"
#include "agent/state/views.h"
#include "init/base/bytes.h"
#include "init/base/ids.h"

// The rows behind the views. A row in the tables is never changed: a change makes a new row and drops the old one, so
// that snapshots stay as they are. `digest` covers everything that a peer's row of the same key must equal.
namespace steppe::state {

// An object followed by bytes of its own, in one allocation: a million allocs are two million of these.
template <class Self>
struct Tailed : Counted {
  static Self* make(std::string_view tail) {
    void* place = ::operator new(sizeof(Self) + tail.size());
    auto* self = new (place) Self();
    self->tail_size_ = static_cast<uint32_t>(tail.size());
    if (!tail.empty()) std::memcpy(self->tail_begin(), tail.data(), tail.size());
    return self;
  }
  std::string_view tail() const {
    return {reinterpret_cast<const char*>(static_cast<const Self*>(this) + 1), tail_size_};
  }
  // Unsized: the tail is not in sizeof(Self).
  static void operator delete(void* place) { ::operator delete(place); }

 private:
  char* tail_begin() { return reinterpret_cast<char*>(static_cast<Self*>(this) + 1); }
  uint32_t tail_size_ = 0;
};

// One version of a job's specification: what register gave, less what changes later. Shared by the job's row and all
// allocs placed with it; lives as long as one of them.
struct JobSpec final : Counted {
  std::string ns;
  std::string id;
  std::string parent_id;
  std::string node_pool;
  uint64_t version = 0;
  uint64_t create_index = 0;
  uint64_t job_modify_index = 0;
  int64_t submit_time = 0;
  int32_t priority = 0;
  JobType type = JobType::kService;
  bool stop = false;
  bool periodic = false;
  bool parameterized = false;  // a template for dispatch, not a dispatched child
  std::vector<std::string> groups;
  std::string bytes;  // schema::Job
  uint64_t digest = 0;

  uint64_t compute_digest() const;
};

struct GroupSummary {
  std::string name;
  int64_t queued = 0, complete = 0, failed = 0, running = 0, starting = 0, lost = 0, unknown = 0;
  friend bool operator==(const GroupSummary&, const GroupSummary&) = default;
};

struct JobVersion {
  JobSpec* spec = nullptr;
  bool stable = false;
  std::string tag;         // schema::JobVersionTag; empty: none
  std::string submission;  // schema::JobSubmission; empty: none
};

// A job, its kept versions, its summary, and counts of what hangs on it.
struct JobRow final : Counted {
  JobRow() = default;
  JobRow(const JobRow& other);  // takes references to the specs

  uint32_t ordinal = 0;
  std::vector<JobVersion> versions;  // newest first; the first is the job
  JobStatus status = JobStatus::kPending;
  std::string status_description;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;

  std::vector<GroupSummary> groups;  // by name
  int64_t children_pending = 0, children_running = 0, children_dead = 0;
  uint64_t summary_create_index = 0;
  uint64_t summary_modify_index = 0;

  // Over all allocs, evals and deployments of this namespace and id, those of earlier jobs of the name included.
  // Derived: not persisted, not in the digest.
  uint32_t allocs = 0, live_allocs = 0, evals = 0, live_evals = 0, live_deployments = 0;
  uint64_t digest = 0;

  const JobSpec& spec() const { return *versions.front().spec; }
  GroupSummary* group(std::string_view name);
  uint64_t compute_digest() const;

 private:
  void drop(Reclaimer& reclaimer) override;
};

struct NodeRow final : Counted {
  NodeId id;
  uint32_t ordinal = 0;
  std::string name;
  std::string node_class;
  uint32_t datacenter = 0, pool = 0, computed_class = 0;  // dictionary ids
  int64_t port_low = 0, port_high = 0;                    // dynamic port range, both included
  NodeStatus status = NodeStatus::kInitializing;
  bool eligible = true;
  bool draining = false;
  int64_t status_updated_at = 0;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;
  uint64_t last_missed_heartbeat_index = 0;
  uint64_t last_alloc_update_index = 0;
  std::string bytes;  // schema::Node; last_alloc_update_index above wins
  uint64_t digest = 0;

  uint64_t compute_digest() const;
};

// What placement fixed, shared by all states of the alloc. tail(): pack_placement() of alloc_codec.h.
struct Placement final : Tailed<Placement> {
  AllocId id;
  NodeId node_id;
  EvalId eval_id;
  DeploymentId deployment_id;
  uint64_t create_index = 0;
  int64_t create_time = 0;
  JobSpec* spec = nullptr;
  Usage usage;
  uint16_t ports = 0;       // host ports in the dynamic range of the node
  uint16_t group = 0;       // in spec->groups; kNoGroup: the tail has the name
  uint32_t name_index = 0;  // "job.group[name_index]"; kNoIndex: the tail has the name
  uint64_t digest = 0;

  static constexpr uint16_t kNoGroup = 0xffff;
  static constexpr uint32_t kNoIndex = 0xffffffff;
  uint64_t compute_digest() const;

 private:
  void drop(Reclaimer& reclaimer) override;
};

// The alloc as it is now. tail(): schema::Allocation with the fields that change.
struct AllocRow final : Tailed<AllocRow> {
  Placement* placement = nullptr;
  uint64_t modify_index = 0;
  uint64_t alloc_modify_index = 0;
  int64_t modify_time = 0;
  uint64_t digest = 0;
  DesiredStatus desired = DesiredStatus::kRun;
  ClientStatus client = ClientStatus::kPending;
  uint8_t flags = 0;

  static constexpr uint8_t kHealthKnown = 1;
  static constexpr uint8_t kHealthy = 2;
  static constexpr uint8_t kCanary = 4;
  static constexpr uint8_t kMigrate = 8;
  static constexpr uint8_t kReschedule = 16;
  static constexpr uint8_t kForceReschedule = 32;
  static constexpr uint8_t kNoShutdownDelay = 64;

  bool terminal() const { return state::terminal(desired, client); }
  uint64_t compute_digest() const;

 private:
  void drop(Reclaimer& reclaimer) override;
};

struct EvalRow final : Counted {
  EvalId id;
  std::string ns;
  std::string job_id;
  JobType type = JobType::kService;
  EvalStatus status = EvalStatus::kPending;
  int32_t priority = 0;
  int64_t wait_until = 0;
  int64_t modify_time = 0;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;
  std::string bytes;  // schema::Evaluation
  uint64_t digest = 0;

  uint64_t compute_digest() const;
};

struct DeploymentRow final : Counted {
  DeploymentId id;
  std::string ns;
  std::string job_id;
  uint64_t job_version = 0;
  uint64_t job_create_index = 0;
  DeploymentStatus status = DeploymentStatus::kRunning;
  uint64_t create_index = 0;
  uint64_t modify_index = 0;
  std::string bytes;  // schema::Deployment
  uint64_t digest = 0;

  uint64_t compute_digest() const;
};

// A row that is its encoding: node pools, the scheduler configuration.
struct PlainRow final : Counted {
  std::string name;
  std::string bytes;
  uint64_t digest = 0;

  uint64_t compute_digest() const;
};

}  // namespace steppe::state
