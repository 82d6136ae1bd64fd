#include "agent/scheduler/preemption.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace steppe::scheduler {
namespace {

constexpr double kBeyondMaxParallel = 50.0;

double part(int64_t ask, int64_t has) {
  if (ask <= 0) return 0;
  const double relative = static_cast<double>(ask - has) / static_cast<double>(ask);
  return relative * relative;
}

double distance(const Preemptible& victim, const Cluster::Room& missing) {
  const double apart = std::sqrt(part(missing.memory, victim.holds.memory) + part(missing.cpu, victim.holds.cpu) +
                                 part(missing.disk, victim.holds.disk));
  const int64_t beyond = victim.max_parallel > 0 ? victim.already_evicted + 1 - victim.max_parallel : 0;
  return apart + (beyond > 0 ? kBeyondMaxParallel * static_cast<double>(beyond) : 0.0);
}

bool covers(const Cluster::Room& free, const Cluster::Room& ask) {
  return free.cpu >= ask.cpu && free.memory >= ask.memory && free.disk >= ask.disk;
}

void add(Cluster::Room& room, const Cluster::Room& other, int64_t sign) {
  room.cpu += sign * other.cpu;
  room.memory += sign * other.memory;
  room.disk += sign * other.disk;
}

}  // namespace

std::optional<std::vector<size_t>> choose_victims(const std::vector<Preemptible>& candidates, const Cluster::Room& free,
                                                  const Cluster::Room& ask) {
  Cluster::Room have = free;
  std::vector<size_t> chosen;
  std::vector<bool> taken(candidates.size(), false);
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].required) continue;
    taken[i] = true;
    chosen.push_back(i);
    add(have, candidates[i].holds, 1);
  }
  while (!covers(have, ask)) {
    const Cluster::Room missing{std::max<int64_t>(ask.cpu - have.cpu, 0), std::max<int64_t>(ask.memory - have.memory, 0),
                                std::max<int64_t>(ask.disk - have.disk, 0)};
    int64_t lowest = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!taken[i]) lowest = std::min(lowest, candidates[i].priority);
    }
    double nearest = std::numeric_limits<double>::infinity();
    size_t pick = candidates.size();
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (taken[i] || candidates[i].priority != lowest) continue;
      if (const double d = distance(candidates[i], missing); d < nearest) {
        nearest = d;
        pick = i;
      }
    }
    if (pick == candidates.size()) return std::nullopt;
    taken[pick] = true;
    chosen.push_back(pick);
    add(have, candidates[pick].holds, 1);
  }
  // The most important of the chosen are given back first if the rest suffices.
  std::vector<size_t> order = chosen;
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return candidates[a].priority > candidates[b].priority; });
  for (const size_t i : order) {
    if (candidates[i].required) continue;
    Cluster::Room without = have;
    add(without, candidates[i].holds, -1);
    if (!covers(without, ask)) continue;
    have = without;
    std::erase(chosen, i);
  }
  return chosen;
}

}  // namespace steppe::scheduler
