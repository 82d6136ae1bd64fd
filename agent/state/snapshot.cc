#include "agent/state/snapshot.h"

#include <algorithm>

#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/alloc_codec.h"
#include "agent/state/root.h"
#include "init/base/assert.h"

namespace steppe::state {
namespace {

template <class View, class Row>
std::optional<View> view_of(const Row* row) {
  if (row == nullptr) return std::nullopt;
  return View(*row);
}

// Visits the rows from `from` on in the order of their keys.
template <class Row, class Key, class Visit>
void walk(const Rows<Row, Key>& rows, const Key& from, Order order, Visit visit) {
  bool forward = order == Order::kForward;
  auto cursor =
      forward ? rows.keys.lower_bound(from) : (from == Key{} ? rows.keys.last() : rows.keys.at_or_before(from));
  // at_or_before() of a key below all gives no cursor, which is the empty list that is due.
  for (; cursor.valid(); forward ? cursor.next() : cursor.prev()) {
    if (!visit(*rows.at(cursor.value()))) return;
  }
}

std::vector<AllocView> allocs_of(const Root& root, const Postings& postings, uint64_t owner,
                                 const std::function<bool(const AllocRow&)>& keep) {
  std::vector<AllocView> views;
  each_of_owner(postings, root.allocs, owner, keep, [&](const AllocRow& row, uint32_t) { views.emplace_back(row); });
  return views;
}

// The job's create index, by which earlier jobs of the name are told apart; none when there is no such job.
std::optional<uint64_t> incarnation(const Root& root, std::string_view ns, std::string_view job_id) {
  const JobRow* job = root.jobs.find(job_key(ns, job_id));
  if (job == nullptr) return std::nullopt;
  return job->create_index;
}

}  // namespace

uint64_t Snapshot::index() const { return root_->index; }
uint64_t Snapshot::table_index(Table table) const { return root_->table_index[static_cast<size_t>(table)]; }
uint32_t Snapshot::cluster_version() const { return root_->cluster_version; }
uint64_t Snapshot::digest(Table table) const { return root_->digests[static_cast<size_t>(table)]; }
uint64_t Snapshot::digest() const {
  Digest all(0);
  for (uint64_t one : root_->digests) all.add(one);
  for (uint64_t index : root_->table_index) all.add(index);
  return all.add(root_->index).add(root_->cluster_version).value();
}

std::optional<NodeView> Snapshot::node(const NodeId& id) const {
  const NodeRow* row = root_->nodes.find(id);
  if (row == nullptr) return std::nullopt;
  return NodeView(*root_, *row);
}
std::optional<NodeView> Snapshot::node(uint32_t ordinal) const {
  const NodeRow* row = root_->nodes.at(ordinal);
  if (row == nullptr) return std::nullopt;
  return NodeView(*root_, *row);
}
size_t Snapshot::node_count() const { return root_->nodes.size(); }

std::optional<AllocView> Snapshot::alloc(const AllocId& id) const { return view_of<AllocView>(root_->allocs.find(id)); }
size_t Snapshot::alloc_count() const { return root_->allocs.size(); }
std::vector<AllocView> Snapshot::allocs_by_node(const NodeId& id) const {
  return allocs_of(*root_, root_->allocs_by_node, owner_of(id),
                   [&](const AllocRow& row) { return row.placement->node_id == id; });
}
std::vector<AllocView> Snapshot::allocs_by_job(std::string_view ns, std::string_view job_id, Incarnation which) const {
  std::optional<uint64_t> current = incarnation(*root_, ns, job_id);
  return allocs_of(*root_, root_->allocs_by_job, owner_of(ns, job_id), [&](const AllocRow& row) {
    const JobSpec& spec = *row.placement->spec;
    if (spec.id != job_id || spec.ns != ns) return false;
    return which == Incarnation::kAny || (current.has_value() && spec.create_index == *current);
  });
}
std::vector<AllocView> Snapshot::allocs_by_eval(const EvalId& id) const {
  return allocs_of(*root_, root_->allocs_by_eval, owner_of(id),
                   [&](const AllocRow& row) { return row.placement->eval_id == id; });
}
std::vector<AllocView> Snapshot::allocs_by_deployment(const DeploymentId& id) const {
  return allocs_of(*root_, root_->allocs_by_deployment, owner_of(id),
                   [&](const AllocRow& row) { return row.placement->deployment_id == id; });
}

std::optional<EvalView> Snapshot::eval(const EvalId& id) const { return view_of<EvalView>(root_->evals.find(id)); }
size_t Snapshot::eval_count() const { return root_->evals.size(); }
std::vector<EvalView> Snapshot::evals_by_job(std::string_view ns, std::string_view job_id) const {
  std::vector<EvalView> views;
  each_of_owner(
      root_->evals_by_job, root_->evals, owner_of(ns, job_id),
      [&](const EvalRow& row) { return row.job_id == job_id && row.ns == ns; },
      [&](const EvalRow& row, uint32_t) { views.emplace_back(row); });
  return views;
}

std::optional<DeploymentView> Snapshot::deployment(const DeploymentId& id) const {
  return view_of<DeploymentView>(root_->deployments.find(id));
}
size_t Snapshot::deployment_count() const { return root_->deployments.size(); }
std::vector<DeploymentView> Snapshot::deployments_by_job(std::string_view ns, std::string_view job_id,
                                                         Incarnation which) const {
  std::optional<uint64_t> current = incarnation(*root_, ns, job_id);
  std::vector<DeploymentView> views;
  each_of_owner(
      root_->deployments_by_job, root_->deployments, owner_of(ns, job_id),
      [&](const DeploymentRow& row) {
        if (row.job_id != job_id || row.ns != ns) return false;
        return which == Incarnation::kAny || (current.has_value() && row.job_create_index == *current);
      },
      [&](const DeploymentRow& row, uint32_t) { views.emplace_back(row); });
  std::ranges::stable_sort(
      views, [](const DeploymentView& a, const DeploymentView& b) { return a.create_index() > b.create_index(); });
  return views;
}
std::optional<DeploymentView> Snapshot::latest_deployment(std::string_view ns, std::string_view job_id) const {
  std::vector<DeploymentView> all = deployments_by_job(ns, job_id, Incarnation::kAny);
  if (all.empty()) return std::nullopt;
  return all.front();
}

std::optional<JobView> Snapshot::job(std::string_view ns, std::string_view job_id) const {
  return view_of<JobView>(root_->jobs.find(job_key(ns, job_id)));
}
size_t Snapshot::job_count() const { return root_->jobs.size(); }
std::vector<JobVersionView> Snapshot::job_versions(std::string_view ns, std::string_view job_id) const {
  std::vector<JobVersionView> views;
  const JobRow* row = root_->jobs.find(job_key(ns, job_id));
  for (size_t i = 0; row != nullptr && i < row->versions.size(); ++i) views.emplace_back(*row, i);
  return views;
}
std::optional<JobVersionView> Snapshot::job_version(std::string_view ns, std::string_view job_id,
                                                    uint64_t version) const {
  for (const JobVersionView& view : job_versions(ns, job_id)) {
    if (view.version() == version) return view;
  }
  return std::nullopt;
}
std::optional<schema::JobSubmission> Snapshot::job_submission(std::string_view ns, std::string_view job_id,
                                                              uint64_t version) const {
  const JobRow* row = root_->jobs.find(job_key(ns, job_id));
  if (row == nullptr) return std::nullopt;
  for (const JobVersion& kept : row->versions) {
    if (kept.spec->version == version && !kept.submission.empty()) {
      return decode<schema::JobSubmission>(kept.submission);
    }
  }
  return std::nullopt;
}
std::vector<JobView> Snapshot::jobs_by_parent(std::string_view ns, std::string_view parent_id) const {
  std::vector<JobView> views;
  each_of_owner(
      root_->jobs_by_parent, root_->jobs, owner_of(ns, parent_id),
      [&](const JobRow& row) { return row.spec().parent_id == parent_id && row.spec().ns == ns; },
      [&](const JobRow& row, uint32_t) { views.emplace_back(row); });
  return views;
}

std::optional<schema::NodePool> Snapshot::node_pool(std::string_view name) const {
  const PlainRow* row = root_->node_pools.find(std::string(name));
  if (row == nullptr) return std::nullopt;
  return decode<schema::NodePool>(row->bytes);
}
std::optional<schema::SchedulerConfiguration> Snapshot::scheduler_config() const {
  auto* row = static_cast<const PlainRow*>(root_->config.get(0));
  if (row == nullptr) return std::nullopt;
  return decode<schema::SchedulerConfiguration>(row->bytes);
}

void Snapshot::each_node(const NodeId& from, Order order, const std::function<bool(const NodeView&)>& visit) const {
  walk(root_->nodes, static_cast<const Uuid&>(from), order,
       [&](const NodeRow& row) { return visit(NodeView(*root_, row)); });
}
void Snapshot::each_alloc(const AllocId& from, Order order, const std::function<bool(const AllocView&)>& visit) const {
  walk(root_->allocs, static_cast<const Uuid&>(from), order,
       [&](const AllocRow& row) { return visit(AllocView(row)); });
}
void Snapshot::each_eval(const EvalId& from, Order order, const std::function<bool(const EvalView&)>& visit) const {
  walk(root_->evals, static_cast<const Uuid&>(from), order, [&](const EvalRow& row) { return visit(EvalView(row)); });
}
void Snapshot::each_deployment(const DeploymentId& from, Order order,
                               const std::function<bool(const DeploymentView&)>& visit) const {
  walk(root_->deployments, static_cast<const Uuid&>(from), order,
       [&](const DeploymentRow& row) { return visit(DeploymentView(row)); });
}
void Snapshot::each_job(std::string_view from_key, Order order,
                        const std::function<bool(const JobView&)>& visit) const {
  walk(root_->jobs, std::string(from_key), order, [&](const JobRow& row) { return visit(JobView(row)); });
}
void Snapshot::each_node_pool(std::string_view from, Order order,
                              const std::function<bool(const schema::NodePool&)>& visit) const {
  walk(root_->node_pools, std::string(from), order,
       [&](const PlainRow& row) { return visit(decode<schema::NodePool>(row.bytes)); });
}
void Snapshot::each_eval_by_index(uint64_t from_index, Order order,
                                  const std::function<bool(const EvalView&)>& visit) const {
  const Postings& postings = root_->evals_by_index;
  bool forward = order == Order::kForward;
  auto cursor = forward ? postings.lower_bound(Posting::of(from_index, 0))
                        : (from_index == 0 ? postings.last() : postings.at_or_before(Posting::of(from_index, ~0u)));
  for (; cursor.valid(); forward ? cursor.next() : cursor.prev()) {
    if (!visit(EvalView(*root_->evals.at(cursor.key().ordinal)))) return;
  }
}

}  // namespace steppe::state
