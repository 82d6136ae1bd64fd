#include "agent/state/writer.h"

#include <algorithm>

#include "agent/model/fit.h"
#include "agent/schema/node.pb.h"
#include "agent/state/alloc_codec.h"
#include "agent/state/built_in_pools.h"

namespace steppe::state {
namespace {

int32_t narrow(int64_t value) { return static_cast<int32_t>(std::clamp<int64_t>(value, 0, INT32_MAX)); }

// Sums wrap instead of overflowing: taking away what was added always gives back the former value.
void count(int32_t& sum, int32_t by, int sign) {
  sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(by * sign));
}

}  // namespace

Writer::Writer(Start start) {
  if (start == Start::kEmpty) return;
  begin(1, false);
  for (PlainRow* pool : built_in_pools()) put_pool(pool);
  changes_.clear();
}

Writer::~Writer() { root_.release(reclaimer_); }

void Writer::begin(uint64_t index, bool collect_keys) {
  index_ = index;
  collect_keys_ = collect_keys;
  changes_.clear();
  keys_.clear();
}

void Writer::touch(Table table, Change::Kind kind, const Uuid& id, std::string key) {
  root_.table_index[static_cast<size_t>(table)] = index_;
  if (collect_keys_) {
    keys_.push_back(WatchKey::whole(table));
    keys_.push_back(key.empty() ? WatchKey::row(table, id) : WatchKey::row(table, key));
  }
  changes_.push_back({table, kind, id, std::move(key)});
}

void Writer::wake_job(Table table, const JobSpec& spec) { wake(WatchKey::of_job(table, spec.ns, spec.id)); }

// ---- nodes ----

void Writer::put_node(NodeRow* row) {
  auto node = decode<schema::Node>(row->bytes);
  const NodeRow* old = root_.nodes.find(row->id);
  row->ordinal = old != nullptr ? old->ordinal : node_ordinals_.take();
  // The new names are taken before the old are dropped: one that stays keeps its number.
  row->datacenter = root_.datacenters.use(reclaimer_, node.datacenter());
  row->pool = root_.pools.use(reclaimer_, node.node_pool());
  row->computed_class = root_.classes.use(reclaimer_, node.computed_class());
  if (old != nullptr) {
    digest(Table::kNodes) -= old->digest;
    root_.datacenters.drop(reclaimer_, old->datacenter);
    root_.pools.drop(reclaimer_, old->pool);
    root_.classes.drop(reclaimer_, old->computed_class);
  } else {
    root_.nodes.keys.insert(reclaimer_, row->id, row->ordinal);
    root_.node_limit = std::max(root_.node_limit, row->ordinal + 1);
  }
  row->digest = row->compute_digest();
  digest(Table::kNodes) += row->digest;
  root_.nodes.rows.set(reclaimer_, row->ordinal, row);
  set_facts(*row, node);
  if (old == nullptr) count_all_usage(*row);
  touch(Table::kNodes, Change::Kind::kUpsert, row->id, {});
}

void Writer::set_facts(const NodeRow& row, const schema::Node& node) {
  uint32_t chunk = row.ordinal / kChunkRows;
  uint32_t i = row.ordinal % kChunkRows;
  if (root_.node_facts.get(chunk) == nullptr) root_.node_facts.set(reclaimer_, chunk, new NodeFacts());
  if (root_.node_usage.get(chunk) == nullptr) root_.node_usage.set(reclaimer_, chunk, new NodeUsage());
  auto& facts = *root_.node_facts.edit<NodeFacts>(reclaimer_, chunk);
  model::FlatResources free = model::node_resources(node);
  const schema::NodeReservedResources& reserved = node.reserved_resources();
  facts.cpu_reserved[i] = narrow(reserved.cpu().cpu_shares());
  facts.cpu_total[i] = narrow(free.cpu_shares + reserved.cpu().cpu_shares());
  facts.memory_reserved[i] = narrow(reserved.memory().memory_mb());
  facts.memory_total[i] = narrow(free.memory_mb + reserved.memory().memory_mb());
  facts.disk_reserved[i] = narrow(reserved.disk().disk_mb());
  facts.disk_total[i] = narrow(free.disk_mb + reserved.disk().disk_mb());
  facts.cores_total[i] = narrow(static_cast<int64_t>(free.cores.size()));
  PortRange ports = dynamic_ports(node);
  facts.dynamic_ports[i] = narrow(ports.high - ports.low + 1);
  facts.datacenter[i] = row.datacenter;
  facts.pool[i] = row.pool;
  facts.computed_class[i] = row.computed_class;
  facts.flags[i] = static_cast<uint8_t>(kNodeExists | (row.status == NodeStatus::kReady ? kNodeReady : 0) |
                                        (row.eligible ? kNodeEligible : 0) | (row.draining ? kNodeDraining : 0));
  facts.ids[i] = row.id;
}

void Writer::count_usage(const AllocRow& row, int sign) {
  if (client_terminal(row.client)) return;
  const uint32_t* ordinal = root_.nodes.keys.find(row.placement->node_id);
  if (ordinal == nullptr) return;
  auto& usage = *root_.node_usage.edit<NodeUsage>(reclaimer_, *ordinal / kChunkRows);
  uint32_t i = *ordinal % kChunkRows;
  const Usage& takes = row.placement->usage;
  count(usage.cpu[i], takes.cpu, sign);
  count(usage.memory[i], takes.memory, sign);
  count(usage.memory_max[i], takes.memory_max, sign);
  count(usage.disk[i], takes.disk, sign);
  count(usage.cores[i], takes.cores, sign);
  count(usage.ports[i], row.placement->ports, sign);
  count(usage.allocs[i], 1, sign);
}

// A node may come (back) after its allocs.
void Writer::count_all_usage(const NodeRow& row) {
  each_of_owner(
      root_.allocs_by_node, root_.allocs, owner_of(row.id),
      [&](const AllocRow& alloc) { return alloc.placement->node_id == row.id; },
      [&](const AllocRow& alloc, uint32_t) { count_usage(alloc, +1); });
}

void Writer::erase_node(const NodeRow& row) {
  NodeId id = row.id;
  uint32_t ordinal = row.ordinal;
  digest(Table::kNodes) -= row.digest;
  root_.datacenters.drop(reclaimer_, row.datacenter);
  root_.pools.drop(reclaimer_, row.pool);
  root_.classes.drop(reclaimer_, row.computed_class);
  auto& facts = *root_.node_facts.edit<NodeFacts>(reclaimer_, ordinal / kChunkRows);
  facts.flags[ordinal % kChunkRows] = 0;
  facts.ids[ordinal % kChunkRows] = NodeId();
  auto& usage = *root_.node_usage.edit<NodeUsage>(reclaimer_, ordinal / kChunkRows);
  for (auto* column :
       {&usage.cpu, &usage.memory, &usage.memory_max, &usage.disk, &usage.cores, &usage.ports, &usage.allocs}) {
    (*column)[ordinal % kChunkRows] = 0;
  }
  root_.nodes.keys.erase(reclaimer_, id);
  root_.nodes.rows.set(reclaimer_, ordinal, nullptr);
  node_ordinals_.give(ordinal);
  touch(Table::kNodes, Change::Kind::kDelete, id, {});
}

void Writer::mark_alloc_update(const NodeId& id, uint64_t index) {
  const NodeRow* old = root_.nodes.find(id);
  if (old == nullptr || old->last_alloc_update_index == index) return;
  auto* row = new NodeRow(*old);
  row->last_alloc_update_index = index;
  row->digest = row->compute_digest();
  digest(Table::kNodes) += row->digest - old->digest;
  root_.nodes.rows.set(reclaimer_, row->ordinal, row);
}

// ---- jobs ----

void Writer::put_job(JobRow* row, uint8_t parts) {
  const JobSpec& spec = row->spec();
  std::string key = job_key(spec.ns, spec.id);
  const JobRow* old = root_.jobs.find(key);
  row->ordinal = old != nullptr ? old->ordinal : job_ordinals_.take();
  if (old == nullptr) root_.jobs.keys.insert(reclaimer_, key, row->ordinal);
  std::string old_parent = old != nullptr ? old->spec().parent_id : std::string();
  if (old_parent != spec.parent_id) {
    if (!old_parent.empty()) {
      root_.jobs_by_parent.erase(reclaimer_, Posting::of(owner_of(spec.ns, old_parent), row->ordinal));
    }
    if (!spec.parent_id.empty()) {
      root_.jobs_by_parent.insert(reclaimer_, Posting::of(owner_of(spec.ns, spec.parent_id), row->ordinal));
    }
  }
  row->digest = row->compute_digest();
  digest(Table::kJobs) += row->digest - (old != nullptr ? old->digest : 0);
  root_.jobs.rows.set(reclaimer_, row->ordinal, row);
  if ((parts & kRow) != 0) {
    touch(Table::kJobs, Change::Kind::kUpsert, {}, key);
    if (!spec.parent_id.empty()) wake(WatchKey::of_job(Table::kJobs, spec.ns, spec.parent_id));
  }
  if ((parts & kVersions) != 0) touch(Table::kJobVersions, Change::Kind::kUpsert, {}, key);
  if ((parts & kSummary) != 0) touch(Table::kJobSummary, Change::Kind::kUpsert, {}, key);
  if ((parts & kSubmission) != 0) touch(Table::kJobSubmission, Change::Kind::kUpsert, {}, key);
}

void Writer::erase_job(const JobRow& row) {
  const JobSpec& spec = row.spec();
  std::string key = job_key(spec.ns, spec.id);
  uint32_t ordinal = row.ordinal;
  digest(Table::kJobs) -= row.digest;
  bool had_submission = std::ranges::any_of(row.versions, [](const JobVersion& v) { return !v.submission.empty(); });
  if (!spec.parent_id.empty()) {
    root_.jobs_by_parent.erase(reclaimer_, Posting::of(owner_of(spec.ns, spec.parent_id), ordinal));
    wake(WatchKey::of_job(Table::kJobs, spec.ns, spec.parent_id));
  }
  for (Table table : {Table::kJobs, Table::kJobVersions, Table::kJobSummary}) {
    touch(table, Change::Kind::kDelete, {}, key);
  }
  if (had_submission) touch(Table::kJobSubmission, Change::Kind::kDelete, {}, key);
  root_.jobs.keys.erase(reclaimer_, key);
  root_.jobs.rows.set(reclaimer_, ordinal, nullptr);
  job_ordinals_.give(ordinal);
}

// ---- evals ----

void Writer::put_eval(EvalRow* row) {
  const uint32_t* known = root_.evals.keys.find(row->id);
  uint32_t ordinal = known != nullptr ? *known : eval_ordinals_.take();
  row->digest = row->compute_digest();
  Posting by_job = Posting::of(owner_of(row->ns, row->job_id), ordinal);
  if (known != nullptr) {
    const EvalRow* old = root_.evals.at(ordinal);
    digest(Table::kEvals) -= old->digest;
    if (Posting before = Posting::of(owner_of(old->ns, old->job_id), ordinal); before != by_job) {
      root_.evals_by_job.erase(reclaimer_, before);
      wake(WatchKey::of_job(Table::kEvals, old->ns, old->job_id));
    }
  } else {
    root_.evals.keys.insert(reclaimer_, row->id, ordinal);
    root_.evals_by_index.insert(reclaimer_, Posting::of(row->create_index, ordinal));
  }
  root_.evals_by_job.insert(reclaimer_, by_job);
  digest(Table::kEvals) += row->digest;
  root_.evals.rows.set(reclaimer_, ordinal, row);
  touch(Table::kEvals, Change::Kind::kUpsert, row->id, {});
  wake(WatchKey::of_job(Table::kEvals, row->ns, row->job_id));
}

void Writer::erase_eval(const EvalRow& row) {
  EvalId id = row.id;
  uint32_t ordinal = *root_.evals.keys.find(id);
  digest(Table::kEvals) -= row.digest;
  wake(WatchKey::of_job(Table::kEvals, row.ns, row.job_id));
  root_.evals_by_job.erase(reclaimer_, Posting::of(owner_of(row.ns, row.job_id), ordinal));
  root_.evals_by_index.erase(reclaimer_, Posting::of(row.create_index, ordinal));
  root_.evals.keys.erase(reclaimer_, id);
  root_.evals.rows.set(reclaimer_, ordinal, nullptr);
  eval_ordinals_.give(ordinal);
  touch(Table::kEvals, Change::Kind::kDelete, id, {});
}

// ---- allocs ----

void Writer::wake_alloc(const AllocRow& row) {
  if (!collect_keys_) return;
  const Placement& p = *row.placement;
  wake(WatchKey::allocs_of_node(p.node_id));
  wake_job(Table::kAllocs, *p.spec);
  wake(WatchKey::allocs_of_eval(p.eval_id));
  if (!p.deployment_id.nil()) wake(WatchKey::allocs_of_deployment(p.deployment_id));
}

void Writer::index_alloc(const AllocRow& row, uint32_t ordinal) {
  const Placement& p = *row.placement;
  root_.allocs_by_node.insert(reclaimer_, Posting::of(owner_of(p.node_id), ordinal));
  root_.allocs_by_job.insert(reclaimer_, Posting::of(owner_of(p.spec->ns, p.spec->id), ordinal));
  root_.allocs_by_eval.insert(reclaimer_, Posting::of(owner_of(p.eval_id), ordinal));
  if (!p.deployment_id.nil()) {
    root_.allocs_by_deployment.insert(reclaimer_, Posting::of(owner_of(p.deployment_id), ordinal));
  }
}

void Writer::unindex_alloc(const AllocRow& row, uint32_t ordinal) {
  const Placement& p = *row.placement;
  root_.allocs_by_node.erase(reclaimer_, Posting::of(owner_of(p.node_id), ordinal));
  root_.allocs_by_job.erase(reclaimer_, Posting::of(owner_of(p.spec->ns, p.spec->id), ordinal));
  root_.allocs_by_eval.erase(reclaimer_, Posting::of(owner_of(p.eval_id), ordinal));
  if (!p.deployment_id.nil()) {
    root_.allocs_by_deployment.erase(reclaimer_, Posting::of(owner_of(p.deployment_id), ordinal));
  }
}

void Writer::put_alloc(AllocRow* row) {
  const uint32_t* known = root_.allocs.keys.find(row->placement->id);
  uint32_t ordinal = known != nullptr ? *known : alloc_ordinals_.take();
  if (known != nullptr) {
    const AllocRow* old = root_.allocs.at(ordinal);
    digest(Table::kAllocs) -= old->digest;
    count_usage(*old, -1);
    if (old->placement != row->placement) {
      unindex_alloc(*old, ordinal);
      index_alloc(*row, ordinal);
      wake_alloc(*old);
    }
  } else {
    root_.allocs.keys.insert(reclaimer_, row->placement->id, ordinal);
    index_alloc(*row, ordinal);
  }
  digest(Table::kAllocs) += row->digest;
  root_.allocs.rows.set(reclaimer_, ordinal, row);
  count_usage(*row, +1);
  touch(Table::kAllocs, Change::Kind::kUpsert, row->placement->id, {});
  wake_alloc(*row);
}

void Writer::erase_alloc(const AllocRow& row) {
  AllocId id = row.placement->id;
  uint32_t ordinal = *root_.allocs.keys.find(id);
  digest(Table::kAllocs) -= row.digest;
  count_usage(row, -1);
  unindex_alloc(row, ordinal);
  wake_alloc(row);
  root_.allocs.keys.erase(reclaimer_, id);
  root_.allocs.rows.set(reclaimer_, ordinal, nullptr);
  alloc_ordinals_.give(ordinal);
  touch(Table::kAllocs, Change::Kind::kDelete, id, {});
}

// ---- deployments ----

void Writer::put_deployment(DeploymentRow* row) {
  const uint32_t* known = root_.deployments.keys.find(row->id);
  uint32_t ordinal = known != nullptr ? *known : deployment_ordinals_.take();
  row->digest = row->compute_digest();
  if (known != nullptr) {
    digest(Table::kDeployments) -= root_.deployments.at(ordinal)->digest;
  } else {
    root_.deployments.keys.insert(reclaimer_, row->id, ordinal);
    root_.deployments_by_job.insert(reclaimer_, Posting::of(owner_of(row->ns, row->job_id), ordinal));
  }
  digest(Table::kDeployments) += row->digest;
  root_.deployments.rows.set(reclaimer_, ordinal, row);
  touch(Table::kDeployments, Change::Kind::kUpsert, row->id, {});
  wake(WatchKey::of_job(Table::kDeployments, row->ns, row->job_id));
}

void Writer::erase_deployment(const DeploymentRow& row) {
  DeploymentId id = row.id;
  uint32_t ordinal = *root_.deployments.keys.find(id);
  digest(Table::kDeployments) -= row.digest;
  wake(WatchKey::of_job(Table::kDeployments, row.ns, row.job_id));
  root_.deployments_by_job.erase(reclaimer_, Posting::of(owner_of(row.ns, row.job_id), ordinal));
  root_.deployments.keys.erase(reclaimer_, id);
  root_.deployments.rows.set(reclaimer_, ordinal, nullptr);
  deployment_ordinals_.give(ordinal);
  touch(Table::kDeployments, Change::Kind::kDelete, id, {});
}

// ---- the rest ----

void Writer::put_pool(PlainRow* row) {
  const uint32_t* known = root_.node_pools.keys.find(row->name);
  uint32_t ordinal = known != nullptr ? *known : pool_ordinals_.take();
  row->digest = row->compute_digest();
  digest(Table::kNodePools) += row->digest - (known != nullptr ? root_.node_pools.at(ordinal)->digest : 0);
  if (known == nullptr) root_.node_pools.keys.insert(reclaimer_, row->name, ordinal);
  root_.node_pools.rows.set(reclaimer_, ordinal, row);
  touch(Table::kNodePools, Change::Kind::kUpsert, {}, row->name);
}

void Writer::erase_pool(const PlainRow& row) {
  std::string name = row.name;
  uint32_t ordinal = *root_.node_pools.keys.find(name);
  digest(Table::kNodePools) -= row.digest;
  root_.node_pools.keys.erase(reclaimer_, name);
  root_.node_pools.rows.set(reclaimer_, ordinal, nullptr);
  pool_ordinals_.give(ordinal);
  touch(Table::kNodePools, Change::Kind::kDelete, {}, name);
}

void Writer::put_config(PlainRow* row) {
  row->digest = row->compute_digest();
  digest(Table::kSchedulerConfig) = row->digest;
  root_.config.set(reclaimer_, 0, row);
  touch(Table::kSchedulerConfig, Change::Kind::kUpsert, {}, row->name);
}

void Writer::set_cluster_version(uint32_t version) {
  root_.cluster_version = version;
  touch(Table::kClusterMeta, Change::Kind::kUpsert, {}, "version");
}

}  // namespace steppe::state
