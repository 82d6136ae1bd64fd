#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/node_columns.h"
#include "agent/state/table.h"
#include "agent/state/views.h"
#include "init/base/ids.h"

namespace steppe::state {

// Which allocs and deployments of a job: those of the job as registered now, or also those of earlier jobs of the name.
enum class Incarnation : uint8_t { kCurrent, kAny };
enum class Order : uint8_t { kForward, kReverse };

// The state at one index: immutable, a pointer wide, taken in O(1), read from any thread without locks. Views and
// string_views that come out of it are valid while any copy of it lives. Holding one keeps old rows in memory: hold it
// for a request or a scheduling run, not for ever. Dropping the last copy is O(1) on the dropping thread.
class Snapshot {
 public:
  Snapshot() = default;  // empty: only operator bool may be called
  explicit Snapshot(std::shared_ptr<const Root> root) : root_(std::move(root)) {}
  explicit operator bool() const { return root_ != nullptr; }

  // Index of the last entry applied; of the last change of a table (0: never). A blocking query answers with the
  // table's index for lists and for objects that do not exist, and with modify_index() for one object.
  uint64_t index() const;
  uint64_t table_index(Table table) const;
  uint32_t cluster_version() const;
  // Equal states have equal digests, whatever the order in which they came about.
  uint64_t digest() const;
  uint64_t digest(Table table) const;

  std::optional<NodeView> node(const NodeId& id) const;
  std::optional<NodeView> node(uint32_t ordinal) const;
  NodeColumns node_columns() const { return NodeColumns(*root_); }
  size_t node_count() const;

  std::optional<AllocView> alloc(const AllocId& id) const;
  size_t alloc_count() const;
  std::vector<AllocView> allocs_by_node(const NodeId& id) const;
  std::vector<AllocView> allocs_by_job(std::string_view ns, std::string_view job_id, Incarnation which) const;
  std::vector<AllocView> allocs_by_eval(const EvalId& id) const;
  std::vector<AllocView> allocs_by_deployment(const DeploymentId& id) const;

  std::optional<EvalView> eval(const EvalId& id) const;
  size_t eval_count() const;
  std::vector<EvalView> evals_by_job(std::string_view ns, std::string_view job_id) const;

  std::optional<DeploymentView> deployment(const DeploymentId& id) const;
  size_t deployment_count() const;
  // Newest first.
  std::vector<DeploymentView> deployments_by_job(std::string_view ns, std::string_view job_id, Incarnation which) const;
  std::optional<DeploymentView> latest_deployment(std::string_view ns, std::string_view job_id) const;

  std::optional<JobView> job(std::string_view ns, std::string_view job_id) const;
  size_t job_count() const;
  // Newest first. Empty when the job does not exist.
  std::vector<JobVersionView> job_versions(std::string_view ns, std::string_view job_id) const;
  std::optional<JobVersionView> job_version(std::string_view ns, std::string_view job_id, uint64_t version) const;
  std::optional<schema::JobSubmission> job_submission(std::string_view ns, std::string_view job_id,
                                                      uint64_t version) const;
  // Jobs whose parent is this one (periodic and dispatched children).
  std::vector<JobView> jobs_by_parent(std::string_view ns, std::string_view parent_id) const;

  std::optional<schema::NodePool> node_pool(std::string_view name) const;
  // Empty until an operator stored one: the defaults are the server's.
  std::optional<schema::SchedulerConfiguration> scheduler_config() const;

  // Lists in key order (UUID order; jobs by namespace and id; pools by name), starting at the first key not before
  // `from` (kReverse: not after it; empty or nil: the end that comes first). The visitor returns false to stop.
  void each_node(const NodeId& from, Order order, const std::function<bool(const NodeView&)>& visit) const;
  void each_alloc(const AllocId& from, Order order, const std::function<bool(const AllocView&)>& visit) const;
  void each_eval(const EvalId& from, Order order, const std::function<bool(const EvalView&)>& visit) const;
  void each_deployment(const DeploymentId& from, Order order,
                       const std::function<bool(const DeploymentView&)>& visit) const;
  // `from_key` is job_key(ns, id) of job_key.h; pass job_key(ns, "") to start a namespace.
  void each_job(std::string_view from_key, Order order, const std::function<bool(const JobView&)>& visit) const;
  void each_node_pool(std::string_view from, Order order,
                      const std::function<bool(const schema::NodePool&)>& visit) const;
  // Evals in the order of their create index, from `from_index` on (kReverse: down from it; 0: from the newest).
  void each_eval_by_index(uint64_t from_index, Order order, const std::function<bool(const EvalView&)>& visit) const;

  const Root& root() const { return *root_; }  // for the parts of state/ only

 private:
  std::shared_ptr<const Root> root_;
};

}  // namespace steppe::state
