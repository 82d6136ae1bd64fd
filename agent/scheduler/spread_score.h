#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/schema/job.pb.h"

namespace steppe::scheduler {

// One spread block: how many allocs of the group each value of its attribute has, and what a node of each value would gain. Values are
// interned: kMissing is a node that lacks the attribute.
class SpreadCounter {
 public:
  static constexpr uint32_t kMissing = 0;

  // `weight_sum`: of all spreads that apply to the group.
  SpreadCounter(const schema::Spread& spread, double weight_sum, int64_t group_count);

  const std::string& attribute() const { return attribute_; }
  uint32_t intern(std::optional<std::string_view> value);
  uint32_t values() const { return static_cast<uint32_t>(used_.size()); }
  void add(uint32_t value, int64_t allocs);

  // The gain of every value for the next placement. With targets ((desired - used) / desired) x weight share, used counting
  // the placement itself; -1 for a missing attribute or a value that no target covers; a target of 0 gets the lowest gain
  // of all, -1 at most. Without targets relative to the least and most used value; no opinion while nothing is used.
  void gains(std::vector<double>& out) const;

 private:
  void even_gains(std::vector<double>& out) const;
  std::optional<double> desired(const std::string& value) const;

  std::string attribute_;
  double share_;
  bool targeted_;
  std::map<std::string, double> targets_;   // value -> allocs wanted
  std::optional<double> remainder_;         // wanted of each value that no target names
  std::map<std::string, uint32_t, std::less<>> ids_;
  std::vector<std::string> names_;
  std::vector<int64_t> used_;
  std::vector<bool> seen_;  // had an alloc at some time: takes part in the least and the most
};

}  // namespace steppe::scheduler
