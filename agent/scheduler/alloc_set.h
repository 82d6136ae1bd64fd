#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace steppe::schema {
class Allocation;
class Job;
}

namespace steppe::scheduler {

// An allocation with the version of the job that it runs under. Neither is owned.
struct JobAlloc {
  const schema::Allocation* alloc = nullptr;
  const schema::Job* job = nullptr;  // null: that version is kept no more
  friend bool operator==(const JobAlloc& a, const JobAlloc& b) { return a.alloc == b.alloc; }
};

// Allocations in a fixed order: by name index, then creation, then id. All set functions keep it, so that no result
// depends on the order in which the state keeps its rows.
using AllocSet = std::vector<JobAlloc>;

void sort_allocs(AllocSet& allocs);
AllocSet without(const AllocSet& from, const AllocSet& taken);
AllocSet merged(const AllocSet& a, const AllocSet& b);
bool contains(const AllocSet& set, const schema::Allocation& alloc);

// The indexes 0..count-1 of one group's alloc names, and which are in use. Holes are filled first.
class NameIndex {
 public:
  // `used`: the allocs that keep their names.
  NameIndex(std::string_view job, std::string_view group, uint64_t count, const AllocSet& used);

  // n names for new allocs: free ones below count in ascending order; past that, from 0 again.
  std::vector<std::string> next(uint64_t n);
  // n names for canaries: first those of the allocs that are to be replaced, then free ones, then from count upwards.
  std::vector<std::string> next_canaries(uint64_t n, const AllocSet& existing_canaries, const AllocSet& destructive);
  // Takes the n highest used names out of use and returns them.
  std::vector<std::string> highest(uint64_t n);
  void release(std::string_view name);

 private:
  std::string name(uint64_t index) const;

  std::string job_, group_;
  uint64_t count_;
  std::map<uint64_t, uint32_t> used_;  // index -> holders
};

}  // namespace steppe::scheduler
