#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "agent/scheduler/score.h"

namespace steppe::scheduler {

// What a placement of the group takes from every node, and how nodes compare.
struct GroupDemand {
  double memory_mb = 0;
  double disk_mb = 0;
  int64_t desired_count = 1;  // divides the anti-affinity
  Algorithm algorithm = Algorithm::kBinpack;
};

// One feasible node as the table sees it. Totals are net of reserved resources.
struct Candidate {
  uint32_t node = 0;  // ordinal in the cluster
  double cpu_total = 0, memory_total = 0, disk_total = 0;
  double cpu_used = 0, memory_used = 0, disk_used = 0;
  double cpu_ask = 0;    // MHz; differs by node where whole cores are asked for
  double fixed_sum = 0;  // appended scores that no placement changes: node affinity, device affinity
  uint32_t fixed_count = 0;
  uint32_t collisions = 0;  // allocs of the same job and group there
  uint32_t bucket = 0;      // index into the boosts of set_boosts()
};

// The feasible nodes of one task group, with the score of each of them always up to date: contiguous columns, one vector pass when a
// column changes for all, one node and its block of 64 when a placement changes one. Every feasible node takes part in
// every choice. Positions are the order of add(): the caller shuffles, and equal scores go to the lowest position.
class CandidateTable {
 public:
  static constexpr double kNoFit = -std::numeric_limits<double>::infinity();
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  explicit CandidateTable(const GroupDemand& demand) : demand_(demand) {}

  void reserve(size_t count);
  void add(const Candidate& candidate);
  // Scores everything. Call once, after the last add().
  void seal();

  size_t size() const { return size_; }
  uint32_t node(uint32_t position) const { return node_[position]; }
  double score(uint32_t position) const { return score_[position]; }
  uint32_t collisions(uint32_t position) const { return static_cast<uint32_t>(collisions_[position]); }

  // The node's use or collisions changed.
  void set_used(uint32_t position, double cpu, double memory, double disk);
  void set_collisions(uint32_t position, uint32_t collisions);
  // A node that scores would allow but that ports, cores, devices or a distinct rule refuse (or no longer refuse).
  void set_refused(uint32_t position, bool refused);
  // Added to the sum and the count when not zero: the reschedule penalty. 0 takes it back.
  void set_penalty(uint32_t position, double penalty);
  // One spread boost for each bucket; a boost of 0 is not appended.
  void set_boosts(std::span<const double> boosts);

  // The highest score; kNone when nothing fits.
  uint32_t best() const;
  // The best `count` positions, best first, ties by position; only those that fit.
  void top(size_t count, std::vector<uint32_t>& out) const;
  // Which of cpu, memory, disk lacks at a position that does not fit: the name that metrics use, or empty.
  const char* lacking(uint32_t position) const;

  struct Parts {
    double fit = 0, anti_affinity = 0, penalty = 0, fixed = 0, boost = 0, final = 0;
  };
  // The same numbers, part by part, for metrics.
  Parts explain(uint32_t position) const;

  static constexpr size_t kBlock = 64;

 private:
  void rescore_one(uint32_t position);
  void refresh_block(size_t block);
  void refresh_all();

  GroupDemand demand_;
  size_t size_ = 0;
  std::vector<uint32_t> node_;
  std::vector<double> cpu_total_, memory_total_, disk_total_;
  std::vector<double> cpu_used_, memory_used_, disk_used_, cpu_ask_;
  std::vector<double> fixed_sum_, fixed_count_, collisions_, penalty_;
  std::vector<double> refused_;  // 0 or 1
  std::vector<uint32_t> bucket_;
  std::vector<double> boosts_;
  std::vector<double> sum_, appended_;  // without the boost; sum_ is kNoFit where the node does not fit
  std::vector<double> score_;
  std::vector<double> block_best_;
};

}  // namespace steppe::scheduler
