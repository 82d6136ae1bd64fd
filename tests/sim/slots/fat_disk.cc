#include "tests/sim/slots/fat_disk.h"

#include <algorithm>
#include <set>

namespace steppe::sim {

FatDisk::FatDisk(Rng& rng, size_t clusters, size_t cluster_bytes) : rng_(&rng), cluster_(cluster_bytes) {
  disk_.fat.assign(clusters + 2, 0);
  disk_.data.assign(clusters + 2, std::string(cluster_, '\0'));
  cache_ = disk_;
}

FatDisk FatDisk::fork(Rng& rng) const {
  FatDisk copy = *this;
  copy.rng_ = &rng;
  return copy;
}

bool FatDisk::tick() {
  if (off_) return false;
  if (cut_in_ > 0 && --cut_in_ == 0) power_cut();
  return !off_;
}

void FatDisk::apply(Volume& volume, const Change& change) {
  switch (change.kind) {
    case Change::Kind::kPut: volume.names[change.number] = change.name; break;
    case Change::Kind::kErase: volume.names.erase(change.number); break;
    case Change::Kind::kFat: volume.fat[change.number] = change.next; break;
    case Change::Kind::kData: {
      volume.data[change.number] = change.bytes;
      bool medium = &volume == &disk_;
      if (medium && faults.bad_write_per_million && rng_->chance(faults.bad_write_per_million, 1'000'000))
        volume.data[change.number][rng_->below(cluster_)] ^= 1;
      break;
    }
  }
}

void FatDisk::later(Change change) {
  apply(cache_, change);
  // One buffer holds each cluster and each entry: what is written last is what may reach the disk.
  std::erase_if(pending_, [&](const Change& old) { return old.kind == change.kind && old.number == change.number; });
  pending_.push_back(std::move(change));
}

bool FatDisk::now(Change change) {
  if (faults.unordered_names) {
    later(std::move(change));
    return tick();
  }
  apply(cache_, change);
  if (!tick()) return false;
  apply(disk_, change);
  return true;
}

void FatDisk::power_cut() {
  if (off_) return;
  off_ = true;
  cut_in_ = 0;
  uint64_t luck = rng_->below(5);  // none, few, half, most, all
  for (Change& change : pending_) {
    if (!rng_->chance(luck, 4)) continue;
    if (change.kind == Change::Kind::kData && !faults.whole_sectors && rng_->chance(1, 8)) {
      size_t kept = rng_->below(cluster_);
      change.bytes.replace(kept, cluster_ - kept, disk_.data[change.number], kept, cluster_ - kept);
    }
    apply(disk_, change);
  }
  pending_.clear();
}

void FatDisk::power_on() {
  off_ = false;
  cut_in_ = 0;
  pending_.clear();
  cache_ = disk_;
}

void FatDisk::reclaim() {
  std::set<uint32_t> used;
  for (const auto& [place, name] : disk_.names)
    for (uint32_t at = name.first; at >= 2 && at < disk_.fat.size() && used.insert(at).second;) at = disk_.fat[at];
  for (uint32_t at = 2; at < disk_.fat.size(); at++)
    if (!used.contains(at)) disk_.fat[at] = 0;
  power_on();
}

Result<uint32_t> FatDisk::place_of(const std::string& name) const {
  for (const auto& [place, there] : cache_.names)
    if (there.name == name) return place;
  return {Code::kNotFound, name + ": no such file"};
}

Result<std::vector<uint32_t>> FatDisk::chain_of(uint32_t place) const {
  const Name& name = cache_.names.at(place);
  std::vector<uint32_t> chain;
  for (uint64_t got = 0; got < name.size; got += cluster_) {
    uint32_t at = chain.empty() ? name.first : cache_.fat[chain.back()];
    if (at < 2 || at >= cache_.fat.size() || cache_.fat[at] == 0) return {Code::kIo, name.name + ": its cluster chain is broken"};
    chain.push_back(at);
  }
  return chain;
}

Result<std::vector<upgrade::DirectoryEntry>> FatDisk::list() {
  if (off_) return dead();
  std::vector<upgrade::DirectoryEntry> entries;
  for (const auto& [place, name] : cache_.names) entries.push_back({name.name, name.size, name.first});
  std::ranges::sort(entries, {}, &upgrade::DirectoryEntry::name);
  return entries;
}

Result<upgrade::Space> FatDisk::space() {
  if (off_) return dead();
  uint64_t free = static_cast<uint64_t>(std::count(cache_.fat.begin() + 2, cache_.fat.end(), 0u));
  return upgrade::Space{(cache_.fat.size() - 2) * cluster_, free * cluster_, cluster_};
}

Result<> FatDisk::create(const std::string& name) {
  if (off_) return dead();
  if (place_of(name).ok()) return {Code::kExists, name + ": exists"};
  uint32_t place = next_place_++;
  if (!now({.kind = Change::Kind::kPut, .owner = place, .number = place, .name = {name, 0, 0}})) return dead();
  return {};
}

Result<> FatDisk::append(const std::string& name, ByteView bytes) {
  STEPPE_TRY(uint32_t place, place_of(name));
  STEPPE_TRY(std::vector<uint32_t> chain, chain_of(place));
  for (size_t done = 0; done < bytes.size();) {
    if (!tick()) return dead();
    Name entry = cache_.names[place];
    size_t inside = entry.size % cluster_;
    if (inside == 0) {
      auto free = std::find(cache_.fat.begin() + 2, cache_.fat.end(), 0u);
      if (free == cache_.fat.end()) return {Code::kExhausted, name + ": no space left"};
      uint32_t fresh = static_cast<uint32_t>(free - cache_.fat.begin());
      later({.kind = Change::Kind::kFat, .owner = place, .number = fresh, .next = kEnd});
      if (chain.empty()) entry.first = fresh;
      else later({.kind = Change::Kind::kFat, .owner = place, .number = chain.back(), .next = fresh});
      chain.push_back(fresh);
    }
    size_t length = std::min(cluster_ - inside, bytes.size() - done);
    std::string data = cache_.data[chain.back()];
    data.replace(inside, length, as_text(bytes.subspan(done, length)));
    later({.kind = Change::Kind::kData, .owner = place, .number = chain.back(), .bytes = data});
    entry.size += length;
    later({.kind = Change::Kind::kPut, .owner = place, .number = place, .name = entry});
    done += length;
  }
  return {};
}

Result<> FatDisk::overwrite(const std::string& name, uint64_t offset, ByteView bytes) {
  STEPPE_TRY(uint32_t place, place_of(name));
  STEPPE_TRY(std::vector<uint32_t> chain, chain_of(place));
  if (offset + bytes.size() > cache_.names[place].size) return {Code::kInvalid, name + ": past its end"};
  for (size_t done = 0; done < bytes.size();) {
    if (!tick()) return dead();
    uint32_t cluster = chain[(offset + done) / cluster_];
    size_t inside = (offset + done) % cluster_, length = std::min(cluster_ - inside, bytes.size() - done);
    std::string data = cache_.data[cluster];
    data.replace(inside, length, as_text(bytes.subspan(done, length)));
    later({.kind = Change::Kind::kData, .owner = place, .number = cluster, .bytes = data});
    done += length;
  }
  return {};
}

Result<size_t> FatDisk::read(const std::string& name, uint64_t offset, ByteSpan into) {
  if (off_) return dead();
  STEPPE_TRY(std::string bytes, content(name));
  if (offset >= bytes.size()) return size_t{0};
  size_t length = std::min<size_t>(into.size(), bytes.size() - offset);
  std::ranges::copy(as_bytes(bytes).subspan(offset, length), into.begin());
  return length;
}

Result<std::string> FatDisk::content(const std::string& name) {
  STEPPE_TRY(uint32_t place, place_of(name));
  STEPPE_TRY(std::vector<uint32_t> chain, chain_of(place));
  std::string bytes;
  for (uint32_t cluster : chain) bytes += cache_.data[cluster];
  bytes.resize(cache_.names.at(place).size);
  return bytes;
}

Result<> FatDisk::flush(bool everything, uint32_t owner) {
  for (size_t i = 0; i < pending_.size();) {
    if (!everything && pending_[i].owner != owner) {
      i++;
      continue;
    }
    Change change = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(i));
    if (!tick()) return dead();
    apply(disk_, change);
  }
  return {};
}

// A directory entry goes: what was still to be written into it has nowhere to go.
void FatDisk::forget_entry_writes(uint32_t place) {
  std::erase_if(pending_, [&](const Change& change) { return change.kind == Change::Kind::kPut && change.number == place; });
}

Result<> FatDisk::sync_file(const std::string& name) {
  if (off_) return dead();
  STEPPE_TRY(uint32_t place, place_of(name));
  if (faults.file_sync_lies) return tick() ? Result<>() : Result<>(dead());
  return flush(false, place);
}

Result<> FatDisk::drop_caches(const std::string& name) {
  if (off_) return dead();
  STEPPE_TRY(uint32_t place, place_of(name));
  STEPPE_TRY(std::vector<uint32_t> chain, chain_of(place));
  for (uint32_t cluster : chain) {
    bool dirty = std::ranges::any_of(pending_, [&](const Change& change) { return change.kind == Change::Kind::kData && change.number == cluster; });
    if (!dirty) cache_.data[cluster] = disk_.data[cluster];
  }
  return {};
}

Result<> FatDisk::rename(const std::string& from, const std::string& to) {
  if (off_) return dead();
  STEPPE_TRY(uint32_t old, place_of(from));
  if (place_of(to).ok()) return {Code::kExists, to + ": exists"};
  Name entry = cache_.names[old];
  entry.name = to;
  uint32_t fresh = next_place_++;
  forget_entry_writes(old);
  for (Change& change : pending_)
    if (change.owner == old) change.owner = fresh;
  if (!now({.kind = Change::Kind::kPut, .owner = fresh, .number = fresh, .name = {to, 0, 0}})) return dead();
  if (!now({.kind = Change::Kind::kPut, .owner = fresh, .number = fresh, .name = entry})) return dead();
  if (!now({.kind = Change::Kind::kErase, .owner = fresh, .number = old})) return dead();
  return {};
}

void FatDisk::give_back(uint32_t place, const std::vector<uint32_t>& chain) {
  for (uint32_t cluster : chain) later({.kind = Change::Kind::kFat, .owner = place, .number = cluster, .next = 0});
}

Result<> FatDisk::unname(const std::string& name, bool free_clusters) {
  if (off_) return dead();
  STEPPE_TRY(uint32_t place, place_of(name));
  Result<std::vector<uint32_t>> chain = chain_of(place);
  forget_entry_writes(place);
  if (!now({.kind = Change::Kind::kErase, .owner = place, .number = place})) return dead();
  if (free_clusters && chain.ok()) give_back(place, *chain);
  return {};
}

Result<> FatDisk::remove(const std::string& name) { return unname(name, true); }
Result<> FatDisk::forget(const std::string& name) { return unname(name, faults.forget_frees); }

Result<> FatDisk::sync_directory() {
  if (off_) return dead();
  return flush(true, 0);
}

Result<> FatDisk::firmware_rename(const std::string& from, const std::string& to) {
  if (off_) return dead();
  STEPPE_TRY(uint32_t old, place_of(from));
  Name entry = cache_.names[old];
  entry.name = to;
  uint32_t fresh = next_place_++;
  later({.kind = Change::Kind::kErase, .owner = fresh, .number = old});
  later({.kind = Change::Kind::kPut, .owner = fresh, .number = fresh, .name = entry});
  return flush(true, 0);
}

}  // namespace steppe::sim
