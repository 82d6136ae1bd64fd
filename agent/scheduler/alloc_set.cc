#include "agent/scheduler/alloc_set.h"

#include <algorithm>
#include <tuple>
#include <unordered_set>

#include "agent/model/alloc_status.h"
#include "agent/schema/alloc.pb.h"

namespace steppe::scheduler {
namespace {

constexpr uint64_t kNoIndex = ~uint64_t{0};

struct SortKey {
  uint64_t index;
  uint64_t created;
  std::string_view id;
  auto operator<=>(const SortKey&) const = default;
};

SortKey key_of(const JobAlloc& item) {
  return {model::alloc_index(item.alloc->name()).value_or(kNoIndex), item.alloc->create_index(), item.alloc->id()};
}

}  // namespace

void sort_allocs(AllocSet& allocs) {
  std::vector<std::pair<SortKey, JobAlloc>> keyed;
  keyed.reserve(allocs.size());
  for (const JobAlloc& item : allocs) keyed.emplace_back(key_of(item), item);
  std::ranges::sort(keyed, {}, [](const auto& pair) -> const SortKey& { return pair.first; });
  for (size_t i = 0; i < allocs.size(); ++i) allocs[i] = keyed[i].second;
}

AllocSet without(const AllocSet& from, const AllocSet& taken) {
  if (taken.empty()) return from;
  std::unordered_set<const schema::Allocation*> gone;
  for (const JobAlloc& item : taken) gone.insert(item.alloc);
  AllocSet out;
  for (const JobAlloc& item : from) {
    if (!gone.contains(item.alloc)) out.push_back(item);
  }
  return out;
}

AllocSet merged(const AllocSet& a, const AllocSet& b) {
  if (b.empty()) return a;
  AllocSet out = a;
  std::unordered_set<const schema::Allocation*> have;
  for (const JobAlloc& item : a) have.insert(item.alloc);
  for (const JobAlloc& item : b) {
    if (have.insert(item.alloc).second) out.push_back(item);
  }
  sort_allocs(out);
  return out;
}

bool contains(const AllocSet& set, const schema::Allocation& alloc) {
  return std::ranges::any_of(set, [&](const JobAlloc& item) { return item.alloc == &alloc; });
}

NameIndex::NameIndex(std::string_view job, std::string_view group, uint64_t count, const AllocSet& used)
    : job_(job), group_(group), count_(count) {
  for (const JobAlloc& item : used) {
    if (const auto index = model::alloc_index(item.alloc->name())) ++used_[*index];
  }
}

std::string NameIndex::name(uint64_t index) const { return model::alloc_name(job_, group_, index); }

std::vector<std::string> NameIndex::next(uint64_t n) {
  std::vector<std::string> out;
  for (uint64_t i = 0; i < count_ && out.size() < n; ++i) {
    if (used_.contains(i)) continue;
    used_[i] = 1;
    out.push_back(name(i));
  }
  for (uint64_t i = 0; out.size() < n; ++i) {
    ++used_[i];
    out.push_back(name(i));
  }
  return out;
}

std::vector<std::string> NameIndex::next_canaries(uint64_t n, const AllocSet& existing_canaries,
                                                  const AllocSet& destructive) {
  std::vector<std::string> out;
  std::map<uint64_t, uint32_t> canary_names;
  for (const JobAlloc& item : existing_canaries) {
    if (const auto index = model::alloc_index(item.alloc->name())) ++canary_names[*index];
  }
  for (const JobAlloc& item : destructive) {
    if (out.size() == n) return out;
    const auto index = model::alloc_index(item.alloc->name());
    if (!index || *index >= count_ || canary_names.contains(*index)) continue;
    canary_names[*index] = 1;
    ++used_[*index];
    out.push_back(name(*index));
  }
  for (uint64_t i = 0; i < count_ && out.size() < n; ++i) {
    if (used_.contains(i) || canary_names.contains(i)) continue;
    used_[i] = 1;
    out.push_back(name(i));
  }
  for (uint64_t i = count_; out.size() < n; ++i) {
    if (used_.contains(i)) continue;
    used_[i] = 1;
    out.push_back(name(i));
  }
  return out;
}

std::vector<std::string> NameIndex::highest(uint64_t n) {
  std::vector<std::string> out;
  while (out.size() < n && !used_.empty()) {
    const auto last = std::prev(used_.end());
    out.push_back(name(last->first));
    used_.erase(last);
  }
  return out;
}

void NameIndex::release(std::string_view name) {
  const auto index = model::alloc_index(name);
  if (!index) return;
  const auto it = used_.find(*index);
  if (it == used_.end()) return;
  if (--it->second == 0) used_.erase(it);
}

}  // namespace steppe::scheduler
