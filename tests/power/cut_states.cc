#include "tests/power/cut_states.h"

#include <algorithm>
#include <cstring>

#include "init/base/rng.h"

namespace steppe::power {

namespace {

constexpr size_t kSector = 512;  // written whole or not at all

// The first request before `after` that may be lost, by flushes alone.
size_t first_unflushed(const std::vector<LoggedWrite>& log, size_t after, Cache cache) {
  if (cache == Cache::kNeverFlushed) return 0;
  for (size_t i = after; i > 0; i--)
    if (log[i - 1].flush) return i - 1;  // a flush that carries data is one of what came before it
  return 0;
}

}  // namespace

std::vector<Cut> cuts_of(const std::vector<LoggedWrite>& log, size_t count, uint64_t seed, Cache cache) {
  std::vector<Cut> cuts;
  std::vector<size_t> moments;
  for (size_t after = 0; after <= log.size(); after++) {
    cuts.push_back({after, 0});
    if (first_unflushed(log, after, cache) < after) moments.push_back(after);
  }
  SeededRng rng(seed);
  for (size_t i = 0; cuts.size() < count && !moments.empty(); i++) cuts.push_back({moments[i % moments.size()], rng.next() | 1});
  std::ranges::stable_sort(cuts, {}, &Cut::after);
  return cuts;
}

Result<> CutDisk::apply(const LoggedWrite& write) {
  if (write.at > bytes_.size() || bytes_.size() - write.at < write.bytes.size()) return {Code::kInvalid, "a write at " + std::to_string(write.at) + " is outside the disk"};
  std::ranges::copy(write.bytes, bytes_.begin() + static_cast<ptrdiff_t>(write.at));
  return {};
}

std::vector<size_t> CutDisk::unflushed(size_t after) const {
  std::vector<size_t> indexes;
  for (size_t i = first_unflushed(*log_, after, cache_); i < after; i++)
    if (!(*log_)[i].bytes.empty()) indexes.push_back(i);
  return indexes;
}

Result<uint64_t> CutDisk::at(const Cut& cut, const std::function<void(ByteView)>& look) {
  size_t from = first_unflushed(*log_, cut.after, cache_);
  for (; durable_ < from; durable_++) STEPPE_TRY_VOID(apply((*log_)[durable_]));
  SeededRng rng(cut.choice);
  // Some cuts lose whole requests, some tear them by sectors; a few lose nearly all or nearly nothing.
  bool torn = cut.choice != 0 && rng.chance(1, 2);
  uint64_t keep = cut.choice == 0 ? 8 : 1 + rng.below(7);
  struct Saved {
    uint64_t at;
    std::vector<std::byte> bytes;
  };
  std::vector<Saved> saved;
  uint64_t hash = 0xcbf29ce484222325 ^ from;
  auto lay = [&](uint64_t at, ByteView bytes, size_t request) {
    saved.push_back({at, {bytes_.begin() + static_cast<ptrdiff_t>(at), bytes_.begin() + static_cast<ptrdiff_t>(at + bytes.size())}});
    std::ranges::copy(bytes, bytes_.begin() + static_cast<ptrdiff_t>(at));
    for (uint64_t part : {uint64_t{request}, at}) hash = (hash ^ part) * 0x100000001b3;
  };
  for (size_t request : unflushed(cut.after)) {
    const LoggedWrite& write = (*log_)[request];
    if (write.at > bytes_.size() || bytes_.size() - write.at < write.bytes.size()) return {Code::kInvalid, "a write at " + std::to_string(write.at) + " is outside the disk"};
    bool sure = write.durable && cache_ == Cache::kVolatile;
    if (!torn || sure) {
      if (sure || rng.below(8) < keep) lay(write.at, write.bytes, request);
      continue;
    }
    for (size_t offset = 0; offset < write.bytes.size(); offset += kSector)
      if (rng.below(8) < keep) lay(write.at + offset, write.bytes.subspan(offset, std::min(kSector, write.bytes.size() - offset)), request);
  }
  look(bytes_);
  for (auto one = saved.rbegin(); one != saved.rend(); ++one) std::ranges::copy(one->bytes, bytes_.begin() + static_cast<ptrdiff_t>(one->at));
  return hash;
}

}  // namespace steppe::power
