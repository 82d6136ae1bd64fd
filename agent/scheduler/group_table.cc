#include "agent/scheduler/group_table.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <memory>

#include "agent/model/fit.h"
#include "agent/model/interpolate.h"
#include "init/base/assert.h"

namespace steppe::scheduler {
namespace {

constexpr size_t kScoresKept = 5;  // node score records in an alloc's metrics

schema::AllocMetric metric_of(const FilterCounts& counts) {
  schema::AllocMetric out;
  out.set_nodes_evaluated(counts.evaluated);
  out.set_nodes_filtered(counts.filtered);
  out.set_nodes_in_pool(counts.in_pool);
  for (const auto& [name, n] : counts.available) (*out.mutable_nodes_available())[name] = n;
  for (const auto& [name, n] : counts.by_class) (*out.mutable_class_filtered())[name] = n;
  for (const auto& [name, n] : counts.by_constraint) (*out.mutable_constraint_filtered())[name] = n;
  return out;
}

schema::AllocatedResources plain_resources(const GroupAsk& ask, bool oversubscription) {
  schema::AllocatedResources out;
  for (const auto& task : ask.group->tasks()) {
    auto& allocated = (*out.mutable_tasks())[task.name()];
    if (task.resources().cores() == 0) allocated.mutable_cpu()->set_cpu_shares(task.resources().cpu());
    allocated.mutable_memory()->set_memory_mb(task.resources().memory_mb());
    if (oversubscription) allocated.mutable_memory()->set_memory_max_mb(task.resources().memory_max_mb());
    auto& lifecycle = (*out.mutable_task_lifecycles())[task.name()];
    if (task.has_lifecycle()) lifecycle = task.lifecycle();
  }
  out.mutable_shared()->set_disk_mb(ask.disk_mb);
  return out;
}

// The network as the alloc gets it: what was asked for, with values in place of wishes.
schema::NetworkResource granted_network(const schema::NetworkResource& ask, const PortLedger& ledger,
                                        const std::vector<schema::AllocatedPortMapping>& ports) {
  schema::NetworkResource out = ask;
  out.clear_reserved_ports();
  out.clear_dynamic_ports();
  if (ask.mode().empty() || ask.mode() == "host") {
    out.set_ip(ledger.default_address());
    out.set_device(ledger.default_device());
  }
  for (const auto& port : ports) {
    const bool fixed = std::ranges::any_of(ask.reserved_ports(),
                                           [&](const schema::Port& p) { return p.label() == port.label(); });
    const auto& wishes = fixed ? ask.reserved_ports() : ask.dynamic_ports();
    schema::Port granted;
    for (const auto& wish : wishes) {
      if (wish.label() == port.label()) granted = wish;
    }
    granted.set_value(port.value());
    granted.set_to(port.to());
    *(fixed ? out.add_reserved_ports() : out.add_dynamic_ports()) = granted;
  }
  return out;
}

}  // namespace

PropertyReader::PropertyReader(Cluster& cluster, std::string target)
    : cluster_(cluster), target_(std::move(target)), unique_(model::is_unique_target(target_)) {}

std::optional<std::string> PropertyReader::value(uint32_t ordinal) {
  const uint32_t trait = cluster_.traits().of(ordinal);
  if (!unique_) {
    if (const auto it = by_trait_.find(trait); it != by_trait_.end()) return it->second;
  }
  std::optional<std::string> out;
  if (const auto found = model::resolve_target(cluster_.node(ordinal), target_)) out = std::string(*found);
  if (!unique_) by_trait_[trait] = out;
  return out;
}

GroupTable::GroupTable(Proposed& proposed, model::ConstraintChecker& checker, const GroupAsk& ask,
                       const PlacementRules& rules, const std::vector<JobMember>& members, uint64_t seed)
    : proposed_(proposed),
      checker_(checker),
      ask_(ask),
      rules_(rules),
      feasible_(find_feasible(proposed.cluster(), checker, ask)),
      table_({.memory_mb = static_cast<double>(ask.memory_mb),
              .disk_mb = static_cast<double>(ask.disk_mb),
              .desired_count = std::max<int64_t>(ask.group->count(), 1),
              .algorithm = rules.algorithm}),
      base_metric_(metric_of(feasible_.counts)),
      plain_resources_(plain_resources(ask, rules.memory_oversubscription)) {
  affinity_unique_ = std::ranges::any_of(ask_.affinities, [](const schema::Affinity* a) {
    return model::is_unique_target(a->l_target()) || model::is_unique_target(a->r_target());
  });
  for (const auto& property : ask_.distinct_properties) {
    properties_.push_back({PropertyReader(proposed_.cluster(), property.attribute), property.limit, property.job_wide,
                           std::format("distinct_property: {}={}", property.attribute, property.limit), {}, {}});
  }
  add_spreads();
  add_members(members);
  add_candidates(seed);
  table_.seal();
  for (uint32_t position = 0; position < table_.size(); ++position) refresh_refusal(position);
  refresh_spreads();
}

void GroupTable::add_spreads() {
  double weights = 0;
  for (const auto* spread : ask_.spreads) weights += static_cast<double>(spread->weight());
  for (const auto* spread : ask_.spreads) {
    spreads_.push_back({PropertyReader(proposed_.cluster(), spread->attribute()),
                        SpreadCounter(*spread, weights, std::max<int64_t>(ask_.group->count(), 1))});
  }
}

void GroupTable::add_members(const std::vector<JobMember>& members) {
  for (const JobMember& member : members) {
    const bool same_group = member.group == ask_.group->name();
    ++job_members_[member.ordinal];
    if (same_group) ++group_members_[member.ordinal];
    for (Property& property : properties_) {
      if (!property.job_wide && !same_group) continue;
      if (const auto value = property.reader.value(member.ordinal)) ++property.used[*value];
    }
    if (!same_group) continue;
    for (Spreading& spreading : spreads_) {
      spreading.counter.add(spreading.counter.intern(spreading.reader.value(member.ordinal)), 1);
    }
  }
}

std::optional<double> GroupTable::affinity_on(uint32_t ordinal) {
  if (ask_.affinities.empty()) return std::nullopt;
  const uint32_t trait = proposed_.cluster().traits().of(ordinal);
  if (!affinity_unique_) {
    if (const auto it = affinity_by_trait_.find(trait); it != affinity_by_trait_.end()) return it->second;
  }
  const schema::Node& node = proposed_.cluster().node(ordinal);
  double matched = 0;
  double total = 0;
  schema::Constraint test;
  for (const auto* affinity : ask_.affinities) {
    total += std::abs(static_cast<double>(affinity->weight()));
    test.set_l_target(affinity->l_target());
    test.set_r_target(affinity->r_target());
    test.set_operand(affinity->operand());
    if (checker_.check(test, node)) matched += static_cast<double>(affinity->weight());
  }
  const std::optional<double> score = total > 0 ? matched / total : 0.0;
  affinity_by_trait_[trait] = score;
  return score;
}

double GroupTable::cpu_ask_on(uint32_t ordinal) {
  if (ask_.cores == 0) return static_cast<double>(ask_.cpu_mhz);
  const uint32_t trait = proposed_.cluster().traits().of(ordinal);
  auto it = cpu_ask_by_trait_.find(trait);
  if (it == cpu_ask_by_trait_.end()) {
    const double speed = CoreLedger(proposed_.cluster().node(ordinal)).mean_mhz();
    it = cpu_ask_by_trait_.emplace(trait, static_cast<double>(ask_.cpu_mhz) + speed * static_cast<double>(ask_.cores)).first;
  }
  return it->second;
}

uint32_t GroupTable::bucket_of(uint32_t ordinal) {
  if (spreads_.empty()) return 0;
  std::vector<uint32_t> values;
  for (Spreading& spreading : spreads_) values.push_back(spreading.counter.intern(spreading.reader.value(ordinal)));
  const auto [it, added] = bucket_ids_.try_emplace(values, static_cast<uint32_t>(buckets_.size()));
  if (added) buckets_.push_back(values);
  return it->second;
}

Candidate GroupTable::candidate_of(uint32_t ordinal) {
  const Cluster::Room capacity = proposed_.cluster().capacity(ordinal);
  const Cluster::Room used = proposed_.used(ordinal);
  Candidate out;
  out.node = ordinal;
  out.cpu_total = static_cast<double>(capacity.cpu);
  out.memory_total = static_cast<double>(capacity.memory);
  out.disk_total = static_cast<double>(capacity.disk);
  out.cpu_used = static_cast<double>(used.cpu);
  out.memory_used = static_cast<double>(used.memory);
  out.disk_used = static_cast<double>(used.disk);
  out.cpu_ask = cpu_ask_on(ordinal);
  if (const auto affinity = affinity_on(ordinal)) {
    out.fixed_sum += *affinity;
    ++out.fixed_count;
  }
  if (ask_.has_device_affinities()) {
    double matched = 0, total = 0;
    for (const schema::Task* task : ask_.device_tasks) {
      const auto pick = proposed_.ledger(ordinal).devices.pick(checker_, *task);
      matched += pick.matched_weight;
      total += pick.total_weight;
    }
    if (total > 0) {
      out.fixed_sum += matched / total;
      ++out.fixed_count;
    }
  }
  if (const auto it = group_members_.find(ordinal); it != group_members_.end()) {
    out.collisions = static_cast<uint32_t>(std::max<int64_t>(it->second, 0));
  }
  out.bucket = bucket_of(ordinal);
  return out;
}

void GroupTable::add_candidates(uint64_t seed) {
  // Equal scores go to the node that comes first: the order is drawn anew for every evaluation, so that evaluations that run at the
  // same time do not all want the same node.
  std::vector<uint32_t> order = feasible_.nodes;
  SeededRng rng(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  table_.reserve(order.size());
  positions_.reserve(order.size());
  for (const uint32_t ordinal : order) {
    positions_.emplace(ordinal, static_cast<uint32_t>(table_.size()));
    table_.add(candidate_of(ordinal));
    for (Property& property : properties_) property.of_position.push_back(property.reader.value(ordinal));
  }
}

void GroupTable::refresh_spreads() {
  if (spreads_.empty()) return;
  std::vector<std::vector<double>> gains(spreads_.size());
  for (size_t s = 0; s < spreads_.size(); ++s) spreads_[s].counter.gains(gains[s]);
  std::vector<double> boosts(std::max<size_t>(buckets_.size(), 1), 0.0);
  for (size_t b = 0; b < buckets_.size(); ++b) {
    for (size_t s = 0; s < spreads_.size(); ++s) boosts[b] += gains[s][buckets_[b][s]];
  }
  table_.set_boosts(boosts);
}

std::string GroupTable::distinct_refusal(uint32_t position) const {
  const uint32_t ordinal = table_.node(position);
  const auto count = [&](const std::map<uint32_t, int64_t>& members) {
    const auto it = members.find(ordinal);
    return it == members.end() ? int64_t{0} : it->second;
  };
  if (ask_.distinct_hosts.job && count(job_members_) > 0) return "distinct_hosts";
  if (ask_.distinct_hosts.group && count(group_members_) > 0) return "distinct_hosts";
  for (const Property& property : properties_) {
    const auto& value = property.of_position[position];
    if (!value) return property.name;
    const auto it = property.used.find(*value);
    if (it != property.used.end() && it->second >= static_cast<int64_t>(property.limit)) return property.name;
  }
  return {};
}

void GroupTable::refresh_refusal(uint32_t position) {
  if (!ask_.distinct_hosts.job && !ask_.distinct_hosts.group && properties_.empty() && ledger_refusals_.empty()) {
    table_.set_refused(position, false);
    return;
  }
  table_.set_refused(position, ledger_refusals_.contains(position) || !distinct_refusal(position).empty());
}

void GroupTable::touch(uint32_t ordinal, int64_t job_members, int64_t group_members) {
  if (job_members != 0) job_members_[ordinal] += job_members;
  if (group_members != 0) group_members_[ordinal] += group_members;
  for (Property& property : properties_) {
    const int64_t change = property.job_wide ? job_members : group_members;
    if (change == 0) continue;
    if (const auto value = property.reader.value(ordinal)) property.used[*value] += change;
    // The limit of a value binds every node that has it.
    for (uint32_t position = 0; position < table_.size(); ++position) refresh_refusal(position);
  }
  if (group_members != 0 && !spreads_.empty()) {
    for (Spreading& spreading : spreads_) {
      spreading.counter.add(spreading.counter.intern(spreading.reader.value(ordinal)), group_members);
    }
    refresh_spreads();
  }
  const auto it = positions_.find(ordinal);
  if (it == positions_.end()) return;
  const uint32_t position = it->second;
  const Cluster::Room used = proposed_.used(ordinal);
  table_.set_used(position, static_cast<double>(used.cpu), static_cast<double>(used.memory),
                  static_cast<double>(used.disk));
  if (group_members != 0) {
    table_.set_collisions(position, static_cast<uint32_t>(std::max<int64_t>(group_members_[ordinal], 0)));
  }
  ledger_refusals_.erase(position);
  refresh_refusal(position);
}

bool GroupTable::assign_tasks(NodeLedger& ledger, Chosen& out, std::string& refusal) {
  DeviceLedger devices = ledger.devices;
  CoreLedger cores = ledger.cores;
  for (const auto& task : ask_.group->tasks()) {
    auto& allocated = (*out.resources.mutable_tasks())[task.name()];
    if (task.resources().cores() > 0) {
      const auto picked = cores.pick(task.resources().cores());
      if (!picked) {
        refusal = "cores";
        return false;
      }
      for (const uint64_t id : *picked) {
        cores.hold_core(id);
        allocated.mutable_cpu()->add_reserved_cores(id);
      }
      allocated.mutable_cpu()->set_cpu_shares(cores.mhz(*picked));
    }
    if (task.resources().devices_size() == 0) continue;
    const auto pick = devices.pick(checker_, task);
    if (!pick.ok()) {
      refusal = pick.refusal;
      return false;
    }
    devices.hold_pick(pick);
    for (const auto& device : pick.devices) *allocated.add_devices() = device;
  }
  return true;
}

std::string GroupTable::assign(uint32_t ordinal, const Request& request, Rng& rng, NodeLedger* ledger, Chosen& out) {
  out.ordinal = ordinal;
  out.resources = plain_resources_;
  for (const auto& [name, volume] : ask_.group->volumes()) {
    if (volume.type() == "host" && volume.per_alloc() &&
        !has_host_volume(proposed_.cluster().node(ordinal), volume, request.alloc_name)) {
      return "missing compatible host volumes";
    }
  }
  if (ask_.needs_ledger()) {
    NodeLedger& books = ledger != nullptr ? *ledger : proposed_.ledger(ordinal);
    if (ask_.has_ports()) {
      const auto offer = books.ports.offer(*ask_.network, rng);
      if (!offer.ok()) return "network: " + offer.refusal;
      auto& shared = *out.resources.mutable_shared();
      *shared.add_networks() = granted_network(*ask_.network, books.ports, offer.ports);
      for (const auto& port : offer.ports) *shared.add_ports() = port;
    }
    std::string refusal;
    if (!assign_tasks(books, out, refusal)) return refusal;
  }
  if (ask_.network != nullptr && !ask_.has_ports()) {
    *out.resources.mutable_shared()->add_networks() = *ask_.network;
  }
  if (ask_.cores > 0) {
    const model::FlatResources flat = model::alloc_resources(out.resources);
    out.takes = {flat.cpu_shares, flat.memory_mb, flat.disk_mb};
  } else {
    out.takes = {ask_.cpu_mhz, ask_.memory_mb, ask_.disk_mb};
  }
  return {};
}

void GroupTable::describe(uint32_t position, Chosen& out) const {
  out.metrics = base_metric_;
  std::vector<uint32_t> best;
  table_.top(kScoresKept, best);
  if (std::ranges::find(best, position) == best.end()) {
    if (best.size() == kScoresKept) best.pop_back();
    best.push_back(position);
  }
  Cluster& cluster = proposed_.cluster();
  for (const uint32_t p : best) {
    const CandidateTable::Parts parts = table_.explain(p);
    auto& meta = *out.metrics.add_score_meta_data();
    meta.set_node_id(cluster.columns().id(table_.node(p)).text());
    auto& scores = *meta.mutable_scores();
    scores["binpack"] = parts.fit;
    scores["job-anti-affinity"] = parts.anti_affinity;
    scores["node-reschedule-penalty"] = parts.penalty;
    scores["node-affinity"] = parts.fixed;
    if (parts.boost != 0) scores["allocation-spread"] = parts.boost;
    meta.set_norm_score(parts.final);
  }
}

std::optional<Chosen> GroupTable::select(const Request& request, Rng& rng) {
  std::vector<uint32_t> penalised;
  for (const std::string& id : request.penalised) {
    const auto node = NodeId::parse(id);
    const auto ordinal = node.ok() ? proposed_.cluster().columns().ordinal(*node) : std::nullopt;
    if (!ordinal || !positions_.contains(*ordinal)) continue;
    penalised.push_back(positions_.at(*ordinal));
    table_.set_penalty(penalised.back(), -1.0);
  }
  std::vector<uint32_t> refused_here;  // for this alloc's name only
  std::optional<Chosen> found;
  const auto attempt = [&](uint32_t position) {
    Chosen chosen;
    const std::string refusal = assign(table_.node(position), request, rng, nullptr, chosen);
    if (refusal.empty()) {
      describe(position, chosen);
      found = std::move(chosen);
      return;
    }
    ledger_refusals_[position] = refusal;
    table_.set_refused(position, true);
    if (refusal == "missing compatible host volumes") refused_here.push_back(position);
  };
  if (request.preferred && positions_.contains(*request.preferred)) {
    const uint32_t position = positions_.at(*request.preferred);
    if (table_.score(position) != CandidateTable::kNoFit) attempt(position);
  }
  while (!found) {
    const uint32_t position = table_.best();
    if (position == CandidateTable::kNone) break;
    attempt(position);
  }
  if (!found && request.preempt_below) found = preempt(request, rng);
  for (const uint32_t position : penalised) table_.set_penalty(position, 0);
  for (const uint32_t position : refused_here) {
    if (found) ledger_refusals_.erase(position);
    if (found) refresh_refusal(position);
  }
  return found;
}

std::optional<Chosen> GroupTable::select_on(uint32_t ordinal, const Request& request, Rng& rng) {
  const auto it = positions_.find(ordinal);
  if (it == positions_.end()) return std::nullopt;
  Chosen chosen;
  if (table_.score(it->second) != CandidateTable::kNoFit) {
    const std::string refusal = assign(ordinal, request, rng, nullptr, chosen);
    if (refusal.empty()) {
      chosen.metrics = base_metric_;
      auto& meta = *chosen.metrics.add_score_meta_data();
      meta.set_node_id(proposed_.cluster().columns().id(ordinal).text());
      const CandidateTable::Parts parts = table_.explain(it->second);
      (*meta.mutable_scores())["binpack"] = parts.fit;
      meta.set_norm_score(parts.fit);
      return chosen;
    }
    ledger_refusals_[it->second] = refusal;
    table_.set_refused(it->second, true);
  }
  if (!request.preempt_below) return std::nullopt;
  double score = 0;
  return preempt_on(it->second, request, rng, score);
}

schema::AllocMetric GroupTable::failure() const {
  schema::AllocMetric out = base_metric_;
  Cluster& cluster = proposed_.cluster();
  for (uint32_t position = 0; position < table_.size(); ++position) {
    if (table_.score(position) != CandidateTable::kNoFit) continue;
    const std::string& node_class = cluster.traits().trait(cluster.traits().of(table_.node(position))).node_class;
    if (const std::string distinct = distinct_refusal(position); !distinct.empty()) {
      out.set_nodes_filtered(out.nodes_filtered() + 1);
      ++(*out.mutable_constraint_filtered())[distinct];
      if (!node_class.empty()) ++(*out.mutable_class_filtered())[node_class];
      continue;
    }
    std::string dimension = table_.lacking(position);
    if (const auto it = ledger_refusals_.find(position); dimension.empty() && it != ledger_refusals_.end()) {
      dimension = it->second;
    }
    out.set_nodes_exhausted(out.nodes_exhausted() + 1);
    if (!dimension.empty()) ++(*out.mutable_dimension_exhausted())[dimension];
    if (!node_class.empty()) ++(*out.mutable_class_exhausted())[node_class];
  }
  return out;
}

}  // namespace steppe::scheduler
