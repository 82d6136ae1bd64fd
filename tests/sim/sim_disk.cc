#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <set>

#include "init/io/wait.h"

namespace steppe::sim {
namespace {

constexpr size_t kSector = 512;

Error off() { return {Code::kIo, "the machine is off"}; }

void apply_write(std::string& content, uint64_t offset, std::string_view bytes) {
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  content.replace(offset, bytes.size(), bytes);
}

}  // namespace

class SimFile final : public io::File {
 public:
  SimFile(SimDisk& disk, uint64_t life, std::shared_ptr<SimInode> inode) : disk_(disk), life_(life), inode_(std::move(inode)) {}

  io::Task<Result<size_t>> read_at(uint64_t offset, ByteSpan into) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.read_error_per_million));
    if (offset >= inode_->content.size()) co_return size_t{0};
    const size_t count = std::min<size_t>(into.size(), inode_->content.size() - offset);
    std::memcpy(into.data(), inode_->content.data() + offset, count);
    co_return count;
  }
  io::Task<Result<>> write_at(uint64_t offset, ByteView bytes) override {
    // A crash in the middle of the call may leave any part of it: it is in flight from here on.
    if (life_ != disk_.life_) co_return off();
    const uint64_t end = offset + bytes.size();
    if (end > inode_->content.size()) STEPPE_CO_TRY_VOID(disk_.grow(end - inode_->content.size()));
    apply_write(inode_->content, offset, as_text(bytes));
    inode_->unsynced.push_back({offset, std::string(as_text(bytes))});
    co_return co_await disk_.begin(life_, disk_.faults.write_error_per_million);
  }
  io::Task<Result<>> sync() override {
    const size_t covered = inode_->unsynced.size();
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.sync_error_per_million));
    if (disk_.lies.skip_sync && disk_.lies.skip_sync(disk_.name_of(*inode_))) co_return {};
    ++disk_.syncs_;
    for (size_t i = 0; i < covered; ++i) apply_write(inode_->durable, inode_->unsynced[i].offset, inode_->unsynced[i].bytes);
    inode_->unsynced.erase(inode_->unsynced.begin(), inode_->unsynced.begin() + static_cast<ptrdiff_t>(covered));
    inode_->durable.resize(std::max<size_t>(inode_->durable.size(), inode_->durable_size));
    co_return {};
  }
  io::Task<Result<>> truncate(uint64_t size) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.write_error_per_million));
    inode_->content.resize(size);
    inode_->durable.resize(std::min<size_t>(inode_->durable.size(), size));  // as if journaled at once
    inode_->unsynced.clear();
    co_return {};
  }
  io::Task<Result<>> allocate(uint64_t size) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.write_error_per_million));
    if (size > inode_->content.size()) STEPPE_CO_TRY_VOID(disk_.grow(size - inode_->content.size()));
    inode_->content.resize(std::max<size_t>(size, inode_->content.size()));
    inode_->durable_size = std::max(inode_->durable_size, size);
    co_return {};
  }
  io::Task<Result<uint64_t>> size() override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.read_error_per_million));
    co_return inode_->content.size();
  }

 private:
  SimDisk& disk_;
  const uint64_t life_;
  const std::shared_ptr<SimInode> inode_;
};

class SimDirectory final : public io::Directory {
 public:
  SimDirectory(SimDisk& disk, uint64_t life) : disk_(disk), life_(life) {}

  io::Task<Result<std::unique_ptr<io::File>>> open(std::string name, io::OpenMode mode) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, 0));
    auto found = disk_.names_.find(name);
    const bool creates = mode == io::OpenMode::kCreate || mode == io::OpenMode::kCreateNew;
    if (found == disk_.names_.end() && !creates) co_return Error::from_errno(ENOENT, "open " + name);
    if (found != disk_.names_.end() && mode == io::OpenMode::kCreateNew) co_return Error::from_errno(EEXIST, "open " + name);
    if (found == disk_.names_.end()) {
      found = disk_.names_.emplace(name, std::make_shared<SimInode>()).first;
      disk_.changes_.push_back({SimDisk::NameChange::Kind::kCreate, name, "", found->second});
    }
    co_return std::unique_ptr<io::File>(std::make_unique<SimFile>(disk_, life_, found->second));
  }
  io::Task<Result<std::unique_ptr<io::Directory>>> open_directory(std::string) override {
    co_return Error(Code::kUnsupported, "the simulated disk is one flat directory");
  }
  io::Task<Result<>> make_directory(std::string) override {
    co_return Error(Code::kUnsupported, "the simulated disk is one flat directory");
  }
  io::Task<Result<std::vector<Entry>>> list() override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.read_error_per_million));
    std::vector<Entry> entries;
    for (const auto& [name, inode] : disk_.names_) entries.push_back({name, false});
    co_return entries;
  }
  io::Task<Result<>> rename(std::string from, std::string to) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.write_error_per_million));
    const auto found = disk_.names_.find(from);
    if (found == disk_.names_.end()) co_return Error::from_errno(ENOENT, "rename " + from);
    const auto inode = found->second;
    disk_.names_.erase(found);
    disk_.names_[to] = inode;
    disk_.changes_.push_back({SimDisk::NameChange::Kind::kRename, from, to, inode});
    last_renamed_ = from;
    co_return {};
  }
  io::Task<Result<>> remove(std::string name) override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.write_error_per_million));
    const auto found = disk_.names_.find(name);
    if (found == disk_.names_.end()) co_return Error::from_errno(ENOENT, "remove " + name);
    disk_.used_ -= std::min<uint64_t>(disk_.used_, found->second->content.size());
    disk_.changes_.push_back({SimDisk::NameChange::Kind::kRemove, name, "", found->second});
    disk_.names_.erase(found);
    co_return {};
  }
  io::Task<Result<>> sync() override {
    STEPPE_CO_TRY_VOID(co_await disk_.begin(life_, disk_.faults.sync_error_per_million));
    if (disk_.lies.skip_directory_sync && disk_.lies.skip_directory_sync(last_renamed_)) co_return {};
    ++disk_.syncs_;
    disk_.durable_names_ = disk_.names_;
    disk_.changes_.clear();
    co_return {};
  }

 private:
  SimDisk& disk_;
  const uint64_t life_;
  std::string last_renamed_;
};

std::unique_ptr<io::Directory> SimDisk::mount() { return std::make_unique<SimDirectory>(*this, life_); }

io::Task<Result<>> SimDisk::begin(uint64_t life, uint64_t error_per_million) {
  if (life != life_) co_return off();
  ++operations_;
  if (on_operation) on_operation();
  const Duration delay = std::chrono::microseconds(1 + rng_.below(rng_.chance(1, 50) ? 20000 : 300));
  (void)co_await io::sleep_for(loop_, delay, {});
  if (life != life_) co_return off();
  if (on_operation) on_operation();
  if (life != life_) co_return off();
  if (error_per_million != 0 && rng_.chance(error_per_million, 1'000'000)) co_return Error::from_errno(EIO, "simulated");
  co_return {};
}

std::string SimDisk::name_of(const SimInode& inode) const {
  for (const auto& [name, held] : names_) {
    if (held.get() == &inode) return name;
  }
  return {};
}

Result<> SimDisk::grow(uint64_t by) {
  if (used_ + by > faults.capacity) return Error::from_errno(ENOSPC, "simulated");
  used_ += by;
  return {};
}

void SimDisk::crash_file(SimInode& inode) {
  std::string image = inode.durable;
  std::vector<size_t> order(inode.unsynced.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
  for (const size_t i : order) {
    const SimInode::Write& write = inode.unsynced[i];
    const uint64_t fate = rng_.below(4);
    if (fate == 0) continue;  // lost
    for (size_t at = 0; at < write.bytes.size();) {
      // Sectors of the disk, not of the write.
      const size_t piece = std::min(write.bytes.size() - at, kSector - (write.offset + at) % kSector);
      if (fate == 1 || rng_.chance(1, 2)) apply_write(image, write.offset + at, std::string_view(write.bytes).substr(at, piece));
      at += piece;
    }
  }
  inode.unsynced.clear();
  inode.durable = image;
  inode.content = std::move(image);
  inode.durable_size = inode.durable.size();
}

void SimDisk::crash() {
  ++life_;
  Names names = durable_names_;
  for (const NameChange& change : changes_) {
    if (rng_.chance(1, 2)) continue;
    switch (change.kind) {
      case NameChange::Kind::kCreate: names[change.name] = change.inode; break;
      case NameChange::Kind::kRename:
        if (const auto found = names.find(change.name); found != names.end() && found->second == change.inode) {
          names.erase(found);
        }
        names[change.to] = change.inode;
        break;
      case NameChange::Kind::kRemove:
        if (const auto found = names.find(change.name); found != names.end() && found->second == change.inode) names.erase(found);
        break;
    }
  }
  changes_.clear();
  names_ = names;
  durable_names_ = std::move(names);
  std::set<SimInode*> seen;
  used_ = 0;
  for (const auto& [name, inode] : names_) {
    if (!seen.insert(inode.get()).second) continue;
    crash_file(*inode);
    used_ += inode->content.size();
  }
}

void SimDisk::copy_from(const SimDisk& other) {
  ++life_;
  names_.clear();
  changes_.clear();
  for (const auto& [name, inode] : other.names_) {
    auto copy = std::make_shared<SimInode>();
    copy->content = copy->durable = inode->content;
    copy->durable_size = copy->durable.size();
    names_[name] = copy;
  }
  durable_names_ = names_;
}

}  // namespace steppe::sim
