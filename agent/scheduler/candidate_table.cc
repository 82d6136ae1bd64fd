#include "agent/scheduler/candidate_table.h"

#include <algorithm>

#include "agent/scheduler/multiversion.h"
#include "agent/scheduler/pow10.h"
#include "init/base/assert.h"

namespace steppe::scheduler {
namespace {

constexpr double kNoFit = CandidateTable::kNoFit;
constexpr size_t kLanes = 8;

struct Columns {
  const double *cpu_total, *memory_total, *disk_total;
  const double *cpu_used, *memory_used, *disk_used, *cpu_ask;
  const double *fixed_sum, *fixed_count, *collisions, *penalty, *refused;
  double *sum, *appended;
};

struct Ask {
  double memory, disk, desired_count;
  double base, sign;  // raw = base + sign * t: 20 - t or t - 2
};

[[gnu::always_inline]] inline double clamp_raw(double raw) {
  raw = raw < 0.0 ? 0.0 : raw;
  return raw > 18.0 ? 18.0 : raw;
}

[[gnu::always_inline]] inline void sum_range(const Columns& c, const Ask& ask, size_t from, size_t to) {
  for (size_t i = from; i < to; ++i) {
    const double cpu = c.cpu_used[i] + c.cpu_ask[i];
    const double memory = c.memory_used[i] + ask.memory;
    const double disk = c.disk_used[i] + ask.disk;
    const bool fits = (cpu <= c.cpu_total[i]) & (memory <= c.memory_total[i]) & (disk <= c.disk_total[i]) &
                      (c.refused[i] == 0.0);
    // A node without any cpu or memory takes groups that ask for none; dividing by 1 keeps 0/0 away.
    const double cpu_whole = c.cpu_total[i] > 0.0 ? c.cpu_total[i] : 1.0;
    const double memory_whole = c.memory_total[i] > 0.0 ? c.memory_total[i] : 1.0;
    double free_cpu = 1.0 - cpu / cpu_whole;
    double free_memory = 1.0 - memory / memory_whole;
    free_cpu = free_cpu < 0.0 ? 0.0 : free_cpu;
    free_memory = free_memory < 0.0 ? 0.0 : free_memory;
    const double total = pow10_inline(free_cpu) + pow10_inline(free_memory);
    const double fit = clamp_raw(ask.base + ask.sign * total) / 18.0;
    const double crowd = c.collisions[i] > 0.0 ? -(c.collisions[i] + 1.0) / ask.desired_count : 0.0;
    const double extra = (c.collisions[i] > 0.0 ? 1.0 : 0.0) + (c.penalty[i] != 0.0 ? 1.0 : 0.0);
    const double sum = fit + c.fixed_sum[i] + crowd + c.penalty[i];
    c.appended[i] = 1.0 + c.fixed_count[i] + extra;
    c.sum[i] = fits ? sum : kNoFit;
  }
}

STEPPE_MULTIVERSION void sum_all(const Columns& c, const Ask& ask, size_t count) { sum_range(c, ask, 0, count); }

// score = mean with the bucket's boost; kNoFit stays kNoFit.
STEPPE_MULTIVERSION void mean_all(const double* sum, const double* appended, const uint32_t* bucket,
                                  const double* boosts, double* score, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const double boost = boosts[bucket[i]];
    score[i] = (sum[i] + boost) / (appended[i] + (boost != 0.0 ? 1.0 : 0.0));
  }
}

STEPPE_MULTIVERSION void mean_plain(const double* sum, const double* appended, double* score, size_t count) {
  for (size_t i = 0; i < count; ++i) score[i] = sum[i] / appended[i];
}

[[gnu::always_inline]] inline double block_maximum(const double* score) {
  double lane[kLanes];
  for (size_t j = 0; j < kLanes; ++j) lane[j] = score[j];
  for (size_t i = kLanes; i < CandidateTable::kBlock; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lane[j] = score[i + j] > lane[j] ? score[i + j] : lane[j];
  }
  double highest = lane[0];
  for (size_t j = 1; j < kLanes; ++j) highest = lane[j] > highest ? lane[j] : highest;
  return highest;
}

STEPPE_MULTIVERSION void maxima_all(const double* score, double* block_best, size_t blocks) {
  for (size_t b = 0; b < blocks; ++b) block_best[b] = block_maximum(score + b * CandidateTable::kBlock);
}

size_t padded(size_t count) { return (count + CandidateTable::kBlock - 1) / CandidateTable::kBlock * CandidateTable::kBlock; }

}  // namespace

void CandidateTable::reserve(size_t count) {
  const size_t room = padded(count);
  node_.reserve(room);
  bucket_.reserve(room);
  for (auto* column : {&cpu_total_, &memory_total_, &disk_total_, &cpu_used_, &memory_used_, &disk_used_, &cpu_ask_,
                       &fixed_sum_, &fixed_count_, &collisions_, &penalty_, &refused_}) {
    column->reserve(room);
  }
}

void CandidateTable::add(const Candidate& candidate) {
  node_.push_back(candidate.node);
  cpu_total_.push_back(candidate.cpu_total);
  memory_total_.push_back(candidate.memory_total);
  disk_total_.push_back(candidate.disk_total);
  cpu_used_.push_back(candidate.cpu_used);
  memory_used_.push_back(candidate.memory_used);
  disk_used_.push_back(candidate.disk_used);
  cpu_ask_.push_back(candidate.cpu_ask);
  fixed_sum_.push_back(candidate.fixed_sum);
  fixed_count_.push_back(candidate.fixed_count);
  collisions_.push_back(candidate.collisions);
  penalty_.push_back(0);
  refused_.push_back(0);
  bucket_.push_back(candidate.bucket);
  ++size_;
}

void CandidateTable::seal() {
  const size_t room = padded(size_);
  for (auto* column : {&cpu_total_, &memory_total_, &disk_total_, &cpu_used_, &memory_used_, &disk_used_, &cpu_ask_,
                       &fixed_sum_, &fixed_count_, &collisions_, &penalty_}) {
    column->resize(room, 0);
  }
  refused_.resize(room, 1);  // the padding of the last block never fits
  bucket_.resize(room, 0);
  node_.resize(room, kNone);
  sum_.resize(room);
  appended_.resize(room);
  score_.resize(room);
  block_best_.resize(room / kBlock);
  refresh_all();
}

void CandidateTable::refresh_all() {
  const Columns columns{cpu_total_.data(),   memory_total_.data(), disk_total_.data(), cpu_used_.data(),
                        memory_used_.data(), disk_used_.data(),    cpu_ask_.data(),    fixed_sum_.data(),
                        fixed_count_.data(), collisions_.data(),   penalty_.data(),    refused_.data(),
                        sum_.data(),         appended_.data()};
  const bool binpack = demand_.algorithm == Algorithm::kBinpack;
  const Ask ask{demand_.memory_mb, demand_.disk_mb, static_cast<double>(demand_.desired_count), binpack ? 20.0 : -2.0,
                binpack ? -1.0 : 1.0};
  sum_all(columns, ask, score_.size());
  if (boosts_.empty()) {
    mean_plain(sum_.data(), appended_.data(), score_.data(), score_.size());
  } else {
    mean_all(sum_.data(), appended_.data(), bucket_.data(), boosts_.data(), score_.data(), score_.size());
  }
  maxima_all(score_.data(), block_best_.data(), block_best_.size());
}

void CandidateTable::rescore_one(uint32_t position) {
  const Columns columns{cpu_total_.data(),   memory_total_.data(), disk_total_.data(), cpu_used_.data(),
                        memory_used_.data(), disk_used_.data(),    cpu_ask_.data(),    fixed_sum_.data(),
                        fixed_count_.data(), collisions_.data(),   penalty_.data(),    refused_.data(),
                        sum_.data(),         appended_.data()};
  const bool binpack = demand_.algorithm == Algorithm::kBinpack;
  const Ask ask{demand_.memory_mb, demand_.disk_mb, static_cast<double>(demand_.desired_count), binpack ? 20.0 : -2.0,
                binpack ? -1.0 : 1.0};
  sum_range(columns, ask, position, position + 1);
  const double boost = boosts_.empty() ? 0.0 : boosts_[bucket_[position]];
  score_[position] = (sum_[position] + boost) / (appended_[position] + (boost != 0.0 ? 1.0 : 0.0));
  refresh_block(position / kBlock);
}

void CandidateTable::refresh_block(size_t block) { block_best_[block] = block_maximum(score_.data() + block * kBlock); }

void CandidateTable::set_used(uint32_t position, double cpu, double memory, double disk) {
  cpu_used_[position] = cpu;
  memory_used_[position] = memory;
  disk_used_[position] = disk;
  rescore_one(position);
}

void CandidateTable::set_collisions(uint32_t position, uint32_t collisions) {
  collisions_[position] = collisions;
  rescore_one(position);
}

void CandidateTable::set_refused(uint32_t position, bool refused) {
  if ((refused_[position] != 0.0) == refused) return;
  refused_[position] = refused ? 1.0 : 0.0;
  rescore_one(position);
}

void CandidateTable::set_penalty(uint32_t position, double penalty) {
  penalty_[position] = penalty;
  rescore_one(position);
}

void CandidateTable::set_boosts(std::span<const double> boosts) {
  if (std::ranges::equal(boosts, boosts_)) return;
  boosts_.assign(boosts.begin(), boosts.end());
  if (score_.empty()) return;
  mean_all(sum_.data(), appended_.data(), bucket_.data(), boosts_.data(), score_.data(), score_.size());
  maxima_all(score_.data(), block_best_.data(), block_best_.size());
}

uint32_t CandidateTable::best() const {
  double highest = kNoFit;
  size_t block = 0;
  for (size_t b = 0; b < block_best_.size(); ++b) {
    if (block_best_[b] > highest) {
      highest = block_best_[b];
      block = b;
    }
  }
  if (highest == kNoFit) return kNone;
  const auto begin = score_.begin() + static_cast<ptrdiff_t>(block * kBlock);
  return static_cast<uint32_t>(std::find(begin, begin + kBlock, highest) - score_.begin());
}

void CandidateTable::top(size_t count, std::vector<uint32_t>& out) const {
  out.clear();
  if (count == 0) return;
  // The best `count` nodes stand in the `count` blocks with the highest maxima: a node outside them is beaten, or tied by a lower
  // position, by one node of each.
  std::vector<uint32_t>& kept = out;
  const auto insert = [&](uint32_t index, const std::vector<double>& value) {
    const auto better = [&](uint32_t a, uint32_t b) {
      return value[a] > value[b] || (value[a] == value[b] && a < b);
    };
    if (kept.size() == count && !better(index, kept.back())) return;
    if (kept.size() == count) kept.pop_back();
    kept.insert(std::upper_bound(kept.begin(), kept.end(), index, better), index);
  };
  for (uint32_t b = 0; b < block_best_.size(); ++b) {
    if (block_best_[b] != kNoFit) insert(b, block_best_);
  }
  const std::vector<uint32_t> blocks = std::move(kept);
  kept.clear();
  for (const uint32_t block : blocks) {
    for (size_t i = block * kBlock; i < (block + 1) * kBlock; ++i) {
      if (score_[i] != kNoFit) insert(static_cast<uint32_t>(i), score_);
    }
  }
}

const char* CandidateTable::lacking(uint32_t position) const {
  if (cpu_used_[position] + cpu_ask_[position] > cpu_total_[position]) return "cpu";
  if (memory_used_[position] + demand_.memory_mb > memory_total_[position]) return "memory";
  if (disk_used_[position] + demand_.disk_mb > disk_total_[position]) return "disk";
  return "";
}

CandidateTable::Parts CandidateTable::explain(uint32_t position) const {
  const double cpu_whole = cpu_total_[position] > 0 ? cpu_total_[position] : 1.0;
  const double memory_whole = memory_total_[position] > 0 ? memory_total_[position] : 1.0;
  const double free_cpu = 1.0 - (cpu_used_[position] + cpu_ask_[position]) / cpu_whole;
  const double free_memory = 1.0 - (memory_used_[position] + demand_.memory_mb) / memory_whole;
  Parts parts;
  parts.fit = fit_score({std::max(free_cpu, 0.0), std::max(free_memory, 0.0)}, demand_.algorithm);
  if (collisions_[position] > 0) {
    parts.anti_affinity = anti_affinity_score(static_cast<int64_t>(collisions_[position]), demand_.desired_count);
  }
  parts.penalty = penalty_[position];
  parts.fixed = fixed_sum_[position];
  parts.boost = boosts_.empty() ? 0.0 : boosts_[bucket_[position]];
  parts.final = score_[position];
  return parts;
}

}  // namespace steppe::scheduler
