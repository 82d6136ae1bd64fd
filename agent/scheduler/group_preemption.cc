// The part of GroupTable that evicts: tried only when no node has room as it is.
#include <algorithm>
#include <cmath>

#include "agent/scheduler/group_table.h"
#include "agent/scheduler/preemption.h"

namespace steppe::scheduler {
namespace {

// Does the alloc hold a host port that the ask names.
bool holds_static_port(const state::AllocView& alloc, const schema::NetworkResource& ask) {
  const schema::AllocatedResources resources = alloc.decode_resources();
  return std::ranges::any_of(resources.shared().ports(), [&](const schema::AllocatedPortMapping& held) {
    return std::ranges::any_of(ask.reserved_ports(), [&](const schema::Port& wanted) {
      return wanted.value() == held.value() && !(wanted.ignore_collision() && held.ignore_collision());
    });
  });
}

}  // namespace

std::optional<Chosen> GroupTable::preempt_on(uint32_t position, const Request& request, Rng& rng, double& score) {
  if (!distinct_refusal(position).empty()) return std::nullopt;
  const uint32_t ordinal = table_.node(position);
  const auto live = proposed_.live(ordinal);
  std::vector<Preemptible> candidates;
  for (size_t i = 0; i < live.size(); ++i) {
    const int64_t priority = live[i].job().priority();
    if (priority > *request.preempt_below || state::terminal(live[i].desired_status(), live[i].client_status())) continue;
    const auto& usage = live[i].usage();
    candidates.push_back({.index = i,
                          .priority = priority,
                          .holds = {usage.cpu, usage.memory, usage.disk},
                          .required = ask_.has_ports() && holds_static_port(live[i], *ask_.network)});
  }
  if (candidates.empty()) return std::nullopt;
  const Cluster::Room capacity = proposed_.cluster().capacity(ordinal);
  const Cluster::Room used = proposed_.used(ordinal);
  const Cluster::Room ask{static_cast<int64_t>(std::ceil(cpu_ask_on(ordinal))), ask_.memory_mb, ask_.disk_mb};
  const Cluster::Room free{capacity.cpu - used.cpu, capacity.memory - used.memory, capacity.disk - used.disk};
  const auto victims = choose_victims(candidates, free, ask);
  if (!victims || victims->empty()) return std::nullopt;
  Chosen chosen;
  std::vector<int64_t> priorities;
  for (const size_t v : *victims) {
    chosen.victims.push_back(live[candidates[v].index]);
    priorities.push_back(candidates[v].priority);
    proposed_.stop(chosen.victims.back());
  }
  const Cluster::Room after = proposed_.used(ordinal);
  const std::string refusal = assign(ordinal, request, rng, nullptr, chosen);
  for (const state::AllocView& victim : chosen.victims) proposed_.undo_stop(victim);
  if (!refusal.empty()) return std::nullopt;
  const auto fraction = [](int64_t taken, int64_t whole) {
    return whole > 0 ? std::max(0.0, 1.0 - static_cast<double>(taken) / static_cast<double>(whole)) : 0.0;
  };
  const double fit = fit_score({fraction(after.cpu + ask.cpu, capacity.cpu),
                                fraction(after.memory + ask.memory, capacity.memory)}, rules_.algorithm);
  const double eviction = preemption_score(priorities);
  const CandidateTable::Parts parts = table_.explain(position);
  std::vector<double> appended{fit, eviction};
  for (const double part : {parts.anti_affinity, parts.penalty, parts.boost}) {
    if (part != 0) appended.push_back(part);
  }
  if (!ask_.affinities.empty()) appended.push_back(parts.fixed);
  score = mean_score(appended);
  chosen.metrics = base_metric_;
  auto& meta = *chosen.metrics.add_score_meta_data();
  meta.set_node_id(proposed_.cluster().columns().id(ordinal).text());
  (*meta.mutable_scores())["binpack"] = fit;
  (*meta.mutable_scores())["preemption"] = eviction;
  meta.set_norm_score(score);
  return chosen;
}

std::optional<Chosen> GroupTable::preempt(const Request& request, Rng& rng) {
  std::optional<Chosen> best;
  double highest = CandidateTable::kNoFit;
  for (uint32_t position = 0; position < table_.size(); ++position) {
    double score = 0;
    auto chosen = preempt_on(position, request, rng, score);
    if (!chosen || score <= highest) continue;
    highest = score;
    best = std::move(chosen);
  }
  return best;
}

}  // namespace steppe::scheduler
