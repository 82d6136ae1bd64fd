#include "agent/scheduler/group_ask.h"

#include <algorithm>

#include "agent/model/constraint.h"

namespace steppe::scheduler {
namespace {

struct Amount {
  int64_t cpu = 0, cores = 0, memory = 0;
  void add(const Amount& other) {
    cpu += other.cpu;
    cores += other.cores;
    memory += other.memory;
  }
  void at_least(const Amount& other) {
    cpu = std::max(cpu, other.cpu);
    cores = std::max(cores, other.cores);
    memory = std::max(memory, other.memory);
  }
};

Amount amount_of(const schema::Task& task) {
  const auto& resources = task.resources();
  Amount out;
  out.cores = resources.cores();
  out.cpu = out.cores > 0 ? 0 : resources.cpu();
  out.memory = resources.memory_mb();
  return out;
}

void gather_constraint(const schema::Constraint& constraint, bool job_wide, GroupAsk& ask) {
  if (constraint.operand() == model::kDistinctHosts) {
    const bool on = model::distinct_hosts_enabled(constraint.r_target());
    (job_wide ? ask.distinct_hosts.job : ask.distinct_hosts.group) |= on;
  } else if (constraint.operand() == model::kDistinctProperty) {
    const auto limit = model::distinct_property_limit(constraint.r_target());
    // A limit that is no number was refused at registration; 1 is the strictest reading.
    ask.distinct_properties.push_back({constraint.l_target(), limit.ok() ? *limit : 1, job_wide});
  } else {
    ask.constraints.push_back(&constraint);
  }
}

}  // namespace

GroupAsk::GroupAsk(const schema::Job& of_job, const schema::TaskGroup& of_group) : job(&of_job), group(&of_group) {
  for (const auto& c : job->constraints()) gather_constraint(c, true, *this);
  job_constraints = constraints.size();
  for (const auto& c : group->constraints()) gather_constraint(c, false, *this);
  for (const auto& a : job->affinities()) affinities.push_back(&a);
  for (const auto& a : group->affinities()) affinities.push_back(&a);
  for (const auto& s : group->spreads()) spreads.push_back(&s);
  for (const auto& s : job->spreads()) spreads.push_back(&s);
  if (group->networks_size() > 0) network = &group->networks(0);
  disk_mb = group->ephemeral_disk().size_mb();

  Amount prestart, main, poststop, sidecars;
  for (const auto& task : group->tasks()) {
    for (const auto& c : task.constraints()) gather_constraint(c, false, *this);
    for (const auto& a : task.affinities()) affinities.push_back(&a);
    drivers.push_back(task.driver());
    if (task.resources().devices_size() > 0) device_tasks.push_back(&task);
    const Amount amount = amount_of(task);
    if (!task.has_lifecycle()) {
      main.add(amount);
    } else if (task.lifecycle().sidecar()) {
      sidecars.add(amount);
    } else if (task.lifecycle().hook() == "prestart") {
      prestart.add(amount);
    } else if (task.lifecycle().hook() == "poststop") {
      poststop.add(amount);
    } else {
      main.add(amount);
    }
  }
  Amount total = main;
  total.at_least(prestart);
  total.at_least(poststop);
  total.add(sidecars);
  cpu_mhz = total.cpu;
  cores = total.cores;
  memory_mb = total.memory;
  std::ranges::sort(drivers);
  drivers.erase(std::ranges::unique(drivers).begin(), drivers.end());
}

bool GroupAsk::has_ports() const {
  return network != nullptr && (network->reserved_ports_size() > 0 || network->dynamic_ports_size() > 0);
}

bool GroupAsk::has_device_affinities() const {
  return std::ranges::any_of(device_tasks, [](const schema::Task* task) {
    return std::ranges::any_of(task->resources().devices(),
                               [](const schema::RequestedDevice& d) { return d.affinities_size() > 0; });
  });
}

}  // namespace steppe::scheduler
