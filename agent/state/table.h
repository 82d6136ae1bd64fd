#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steppe::state {

// The tables, each with the index of its last change. The numbers are on disk in snapshots: append only.
enum class Table : uint8_t {
  kNodes = 0,
  kJobs = 1,
  kJobVersions = 2,
  kJobSummary = 3,
  kJobSubmission = 4,
  kEvals = 5,
  kAllocs = 6,
  kDeployments = 7,
  kNodePools = 8,
  kSchedulerConfig = 9,
  kClusterMeta = 10,
};
inline constexpr size_t kTables = 11;

// "nodes", "jobs", "job_version", ...: for people.
std::string_view table_name(Table table);

}  // namespace steppe::state
