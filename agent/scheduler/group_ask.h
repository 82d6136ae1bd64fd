#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/schema/job.pb.h"

namespace steppe::scheduler {

// Everything that one task group asks of a node, gathered once per evaluation. Points into the job, which must outlive it.
struct GroupAsk {
  GroupAsk(const schema::Job& job, const schema::TaskGroup& group);

  const schema::Job* job;
  const schema::TaskGroup* group;

  // Phases do not add up: what runs one after the other counts with its maximum, sidecars all along. MHz of tasks that ask for
  // whole cores depend on the node: `cores` counts those, and the node's speed turns them into MHz.
  int64_t cpu_mhz = 0;
  int64_t cores = 0;
  int64_t memory_mb = 0;
  int64_t disk_mb = 0;

  std::vector<const schema::Constraint*> constraints;  // of job, group and tasks; without distinct_*
  size_t job_constraints = 0;                          // how many of them are the job's: they come first
  std::vector<const schema::Affinity*> affinities;     // of job, group and tasks
  std::vector<const schema::Spread*> spreads;          // of group and job
  std::vector<std::string> drivers;                    // sorted, distinct
  std::vector<const schema::Task*> device_tasks;       // tasks that ask for devices
  const schema::NetworkResource* network = nullptr;    // the group's first: only that one counts

  struct DistinctHosts {
    bool job = false, group = false;
  } distinct_hosts;
  struct DistinctProperty {
    std::string attribute;
    uint64_t limit = 1;
    bool job_wide = false;
  };
  std::vector<DistinctProperty> distinct_properties;

  bool has_ports() const;
  bool has_device_affinities() const;
  // Something that the columns cannot answer: the node's own allocs must be looked at.
  bool needs_ledger() const { return has_ports() || cores > 0 || !device_tasks.empty(); }
};

}  // namespace steppe::scheduler
