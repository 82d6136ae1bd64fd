#include "agent/scheduler/eval_run.h"

#include <algorithm>

#include "agent/model/alloc_status.h"
#include "agent/model/fit.h"
#include "agent/schema/alloc.pb.h"
#include "agent/scheduler/preemption.h"
#include "init/base/assert.h"

namespace steppe::scheduler {
namespace {

// FNV-1a over the evaluation's id, then the index: another snapshot draws other ids and another order of ties.
uint64_t seed_of(std::string_view eval_id, uint64_t index) {
  uint64_t hash = 14695981039346656037ULL;
  const auto mix = [&hash](uint8_t byte) { hash = (hash ^ byte) * 1099511628211ULL; };
  for (const char c : eval_id) mix(static_cast<uint8_t>(c));
  for (int i = 0; i < 8; ++i) mix(static_cast<uint8_t>(index >> (8 * i)));
  return hash;
}

}  // namespace

EvalRun::EvalRun(const schema::Evaluation& of_eval, const schema::Job* of_job, const state::Snapshot& at,
                 TraitCache& traits, model::ConstraintChecker& with, const Options& given)
    : eval(of_eval),
      job(of_job),
      snapshot(at),
      checker(with),
      options(given),
      seed(seed_of(of_eval.id(), at.index())),
      rng(seed),
      cluster(at, traits),
      proposed(cluster),
      plan(out.plan, given.now),
      rules(rules_of(of_job)) {
  out.plan.set_eval_id(eval.id());
  out.plan.set_priority(eval.priority());
  out.plan.set_snapshot_index(snapshot.index());
  if (job != nullptr) {
    out.plan.set_all_at_once(job->all_at_once());
    *out.plan.mutable_job() = *job;
  }
  out.eval = eval;
  out.eval.clear_failed_tg_allocs();
  out.eval.clear_queued_allocations();
  out.eval.set_modify_time(options.now.unix_ns);
  out.eval.set_snapshot_index(snapshot.index());
}

PlacementRules EvalRun::rules_of(const schema::Job* of) const {
  PlacementRules out_rules;
  std::string algorithm = options.config.scheduler_algorithm();
  out_rules.memory_oversubscription = options.config.memory_oversubscription_enabled();
  if (of != nullptr && of->node_pool() != "all") {
    if (const auto pool = snapshot.node_pool(of->node_pool()); pool && pool->has_scheduler_configuration()) {
      const auto& own = pool->scheduler_configuration();
      if (!own.scheduler_algorithm().empty()) algorithm = own.scheduler_algorithm();
      if (own.has_memory_oversubscription_enabled()) {
        out_rules.memory_oversubscription = own.memory_oversubscription_enabled();
      }
    }
  }
  out_rules.algorithm = algorithm == "spread" ? Algorithm::kSpread : Algorithm::kBinpack;
  return out_rules;
}

AllocSet EvalRun::load_allocs() {
  AllocSet set;
  std::unordered_map<const void*, const schema::Job*> decoded;
  for (const state::AllocView& view :
       snapshot.allocs_by_job(eval.namespace_(), eval.job_id(), state::Incarnation::kAny)) {
    const state::JobSpecView spec = view.job();
    auto [it, added] = decoded.try_emplace(spec.identity(), nullptr);
    if (added) it->second = &jobs_.emplace_back(spec.decode());
    const schema::Allocation& alloc = allocs_.emplace_back(view.decode(state::WithJob::kNo));
    views_.emplace(&alloc, view);
    set.push_back({&alloc, it->second});
  }
  sort_allocs(set);
  members_ = set;
  for (size_t i = 0; i < members_.size(); ++i) member_of_[members_[i].alloc->id()] = i;
  members_loaded_ = true;
  return set;
}

const JobAlloc* EvalRun::member(const std::string& alloc_id) const {
  const auto it = member_of_.find(alloc_id);
  return it == member_of_.end() ? nullptr : &members_[it->second];
}

std::map<std::string, NodeFate> EvalRun::tainted_nodes(const AllocSet& allocs) const {
  std::map<std::string, NodeFate> out_nodes;
  std::set<std::string> seen;
  for (const JobAlloc& item : allocs) {
    const std::string& id = item.alloc->node_id();
    if (!seen.insert(id).second) continue;
    const auto node = snapshot.node(view_of(*item.alloc).node_id());
    if (!node || node->status() == state::NodeStatus::kDown) {
      out_nodes[id] = NodeFate::kDown;
    } else if (node->status() == state::NodeStatus::kDisconnected) {
      out_nodes[id] = NodeFate::kDisconnected;
    }
  }
  return out_nodes;
}

void EvalRun::mark_stopped_lost(const AllocSet& allocs, const std::map<std::string, NodeFate>& tainted) {
  for (const JobAlloc& item : allocs) {
    const auto fate = tainted.find(item.alloc->node_id());
    if (fate == tainted.end() || fate->second != NodeFate::kDown) continue;
    if (!model::server_terminal(*item.alloc) || model::client_terminal(*item.alloc)) continue;
    plan.stop(*item.alloc, kAllocLost, "lost", {});
  }
}

void EvalRun::stop(const StopAsk& ask) {
  plan.stop(*ask.alloc.alloc, ask.description, ask.client_status, ask.followup_eval_id);
  proposed.stop(view_of(*ask.alloc.alloc));
}

GroupTable& EvalRun::table(const schema::Job& of, const schema::TaskGroup& group) {
  const TableKey key{&of, group.name()};
  for (auto& [have, table] : tables_) {
    if (have == key) return *table;
  }
  STEPPE_ASSERT(members_loaded_);
  std::vector<JobMember> members;
  for (const JobAlloc& item : members_) {
    const state::AllocView& view = view_of(*item.alloc);
    if (model::terminal(*item.alloc) || proposed.stopped(view.id())) continue;
    if (const auto ordinal = cluster.columns().ordinal(view.node_id())) {
      members.push_back({*ordinal, item.alloc->task_group()});
    }
  }
  for (const auto& [node_id, list] : out.plan.node_allocation()) {
    const auto node = NodeId::parse(node_id);
    const auto ordinal = node.ok() ? cluster.columns().ordinal(*node) : std::nullopt;
    for (const auto& alloc : list.items()) {
      // Updates of allocs that the snapshot knows were counted above.
      if (ordinal && alloc.create_index() == 0) members.push_back({*ordinal, alloc.task_group()});
    }
  }
  const GroupAsk& ask = asks_.emplace_back(of, group);
  tables_.emplace_back(key, std::make_unique<GroupTable>(proposed, checker, ask, rules, members, seed));
  return *tables_.back().second;
}

void EvalRun::touch(uint32_t ordinal, std::string_view group, int64_t members) {
  for (auto& [key, table] : tables_) table->touch(ordinal, members, key.group == group ? members : 0);
}

schema::Allocation& EvalRun::place(schema::Allocation base, const schema::TaskGroup& group, Chosen chosen) {
  const auto node = snapshot.node(chosen.ordinal);
  STEPPE_ASSERT(node.has_value());
  base.set_id(Uuid::random(rng).text());
  base.set_namespace_(eval.namespace_());
  base.set_eval_id(eval.id());
  base.set_job_id(eval.job_id());
  base.set_task_group(group.name());
  base.set_node_id(node->id().text());
  base.set_node_name(std::string(node->name()));
  *base.mutable_allocated_resources() = std::move(chosen.resources);
  *base.mutable_metrics() = std::move(chosen.metrics);
  base.set_desired_status("run");
  base.set_client_status("pending");
  base.set_create_time(options.now.unix_ns);
  base.set_modify_time(options.now.unix_ns);
  for (const state::AllocView& victim : chosen.victims) {
    plan.preempt(victim.decode(state::WithJob::kNo), base.id());
    base.add_preempted_allocations(victim.id().text());
    proposed.stop(victim);
  }
  schema::Allocation& placed = plan.add(std::move(base));
  proposed.place(chosen.ordinal, placed, chosen.takes);
  touch(chosen.ordinal, group.name(), 1);
  return placed;
}

std::optional<int64_t> EvalRun::preempt_below() const {
  if (job == nullptr) return std::nullopt;
  const bool configured = options.config.has_preemption_config();
  const auto& config = options.config.preemption_config();
  const std::string& type = job->type();
  bool on = false;
  if (type == "system") on = !configured || config.system_scheduler_enabled();
  if (type == "sysbatch") on = config.sys_batch_scheduler_enabled();
  if (type == "batch") on = config.batch_scheduler_enabled();
  if (type == "service") on = config.service_scheduler_enabled();
  if (!on) return std::nullopt;
  return job->priority() - kPriorityDelta;
}

void EvalRun::fail_group(const std::string& group, const schema::AllocMetric& metric) {
  (*out.eval.mutable_failed_tg_allocs())[group] = metric;
}

void EvalRun::coalesce(const std::string& group) {
  auto& metric = (*out.eval.mutable_failed_tg_allocs())[group];
  metric.set_coalesced_failures(metric.coalesced_failures() + 1);
}

void EvalRun::fill_eligibility(schema::Evaluation& target) const {
  target.clear_class_eligibility();
  bool escaped = false;
  for (const auto& [key, table] : tables_) {
    const Feasible& feasible = table->feasible();
    escaped = escaped || feasible.escaped;
    for (const auto& [name, eligible] : feasible.class_eligible) {
      bool& known = (*target.mutable_class_eligibility())[name];
      known = known || eligible;
    }
  }
  target.set_escaped_computed_class(escaped);
  if (escaped) target.clear_class_eligibility();
}

void EvalRun::finish() {
  out.plan_empty = plan.empty();
  if (out.eval.failed_tg_allocs().empty()) {
    out.eval.set_status("complete");
    out.eval.set_status_description("");
    out.eval.clear_blocked_eval();
    return;
  }
  if (eval.status() == "blocked") {
    // The same evaluation goes on waiting, with what it learnt.
    fill_eligibility(out.eval);
    out.eval.set_status("blocked");
    out.eval.set_status_description("created to place remaining allocations");
    out.reblock = true;
    return;
  }
  out.eval.set_status("complete");
  out.eval.set_status_description("");
  auto& blocked = out.blocked.emplace();
  blocked.set_id(Uuid::random(rng).text());
  blocked.set_namespace_(eval.namespace_());
  blocked.set_priority(eval.priority());
  blocked.set_type(eval.type());
  blocked.set_triggered_by("queued-allocs");
  blocked.set_job_id(eval.job_id());
  blocked.set_job_modify_index(eval.job_modify_index());
  blocked.set_status("blocked");
  blocked.set_status_description("created to place remaining allocations");
  blocked.set_previous_eval(eval.id());
  blocked.set_snapshot_index(snapshot.index());
  blocked.set_create_time(options.now.unix_ns);
  blocked.set_modify_time(options.now.unix_ns);
  fill_eligibility(blocked);
  *blocked.mutable_failed_tg_allocs() = out.eval.failed_tg_allocs();
  out.eval.set_blocked_eval(blocked.id());
}

void EvalRun::annotate(const std::map<std::string, schema::DesiredUpdates>& desired) {
  if (!options.annotate && !eval.annotate_plan()) return;
  auto& annotations = *out.plan.mutable_annotations();
  for (const auto& [group, updates] : desired) (*annotations.mutable_desired_tg_updates())[group] = updates;
  for (const auto& [node, list] : out.plan.node_preemptions()) {
    for (const auto& victim : list.items()) {
      auto& stub = *annotations.add_preempted_allocs();
      stub.set_id(victim.id());
      stub.set_name(victim.name());
      stub.set_namespace_(victim.namespace_());
      stub.set_node_id(victim.node_id());
      stub.set_job_id(victim.job_id());
      stub.set_task_group(victim.task_group());
    }
  }
}

}  // namespace steppe::scheduler
