#include "agent/scheduler/spread_score.h"

#include <algorithm>
#include <limits>

namespace steppe::scheduler {

SpreadCounter::SpreadCounter(const schema::Spread& spread, double weight_sum, int64_t group_count)
    : attribute_(spread.attribute()),
      share_(weight_sum > 0 ? static_cast<double>(spread.weight()) / weight_sum : 0),
      targeted_(spread.spread_target_size() > 0),
      names_{""},
      used_{0},
      seen_{false} {
  double covered = 0;
  const auto count = static_cast<double>(group_count);
  for (const auto& target : spread.spread_target()) {
    const double wanted = static_cast<double>(target.percent()) / 100.0 * count;
    covered += wanted;
    if (target.value() == "*") {
      remainder_ = wanted;
    } else {
      targets_[target.value()] = wanted;
    }
  }
  // Percentages that leave something over leave it to every other value.
  if (targeted_ && !remainder_ && covered > 0 && covered < count) remainder_ = count - covered;
}

uint32_t SpreadCounter::intern(std::optional<std::string_view> value) {
  if (!value) return kMissing;
  if (const auto it = ids_.find(*value); it != ids_.end()) return it->second;
  const auto id = static_cast<uint32_t>(names_.size());
  ids_.emplace(std::string(*value), id);
  names_.emplace_back(*value);
  used_.push_back(0);
  seen_.push_back(false);
  return id;
}

void SpreadCounter::add(uint32_t value, int64_t allocs) {
  used_[value] += allocs;
  if (allocs > 0) seen_[value] = true;
}

std::optional<double> SpreadCounter::desired(const std::string& value) const {
  if (const auto it = targets_.find(value); it != targets_.end()) return it->second;
  return remainder_;
}

void SpreadCounter::gains(std::vector<double>& out) const {
  out.assign(used_.size(), 0.0);
  if (!targeted_) {
    even_gains(out);
    return;
  }
  double lowest = -1.0;
  for (uint32_t id = 0; id < used_.size(); ++id) {
    if (id == kMissing) {
      out[id] = -1.0;
      continue;
    }
    const auto wanted = desired(names_[id]);
    if (!wanted) {
      out[id] = -1.0;
    } else if (*wanted > 0) {
      out[id] = (*wanted - static_cast<double>(used_[id] + 1)) / *wanted * share_;
      lowest = std::min(lowest, out[id]);
    }
  }
  for (uint32_t id = 1; id < used_.size(); ++id) {
    const auto wanted = desired(names_[id]);
    if (wanted && *wanted <= 0) out[id] = lowest;
  }
}

void SpreadCounter::even_gains(std::vector<double>& out) const {
  int64_t least = std::numeric_limits<int64_t>::max();
  int64_t most = 0;
  bool any = false;
  for (uint32_t id = 1; id < used_.size(); ++id) {
    if (!seen_[id]) continue;
    any = true;
    least = std::min(least, used_[id]);
    most = std::max(most, used_[id]);
  }
  out[kMissing] = -1.0;
  if (!any) return;
  for (uint32_t id = 1; id < used_.size(); ++id) {
    const int64_t mine = used_[id];
    if (mine != least) {
      out[id] = least == 0 ? -1.0 : static_cast<double>(least - mine) / static_cast<double>(least);
    } else if (least == most) {
      out[id] = -1.0;
    } else if (least == 0) {
      out[id] = 1.0;
    } else {
      out[id] = static_cast<double>(most - least) / static_cast<double>(least);
    }
  }
}

}  // namespace steppe::scheduler
