#include "init/machine/install/install.h"

#include <sys/mount.h>

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/machine/gpt_write.h"
#include "init/machine/layout.h"
#include "init/machine/storage/disk_facts.h"
#include "init/upgrade/slot_name.h"

namespace steppe::install {
namespace {

using machine::BlockWriter;
using machine::Partition;
using storage::Hardware;
using storage::partition_path;

constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_DIRSYNC;
constexpr const char* kOptions = "fmask=0177,dmask=0077,errors=remount-ro,tz=UTC";
constexpr uint64_t kEmptiedMib = 8;  // of the ESP: boot sectors, both tables and the root directory, wherever FAT32 puts them
constexpr const char* kLoaderPart = "loader.part";

class Text final : public upgrade::ImageSource {
 public:
  explicit Text(std::string_view text) : text_(text) {}
  Result<size_t> read(uint64_t offset, ByteSpan into) override {
    const std::string_view rest = offset < text_.size() ? text_.substr(offset).substr(0, into.size()) : "";
    std::ranges::copy(as_bytes(rest), into.begin());
    return rest.size();
  }

 private:
  std::string_view text_;
};

// For what is no image: that it has the right bytes is all there is to say.
class AnyFile final : public upgrade::ImageJudge {
 public:
  Result<upgrade::Judged> judge(upgrade::SlotDirectory&, const std::string&, uint64_t) override { return upgrade::Judged{}; }
};

class Installation {
 public:
  Installation(Hardware& hardware, Files& files, upgrade::ImageJudge& judge, const Request& request) : hardware_(hardware), files_(files), judge_(judge), request_(request) {}

  Result<> run(const std::function<void(std::string_view)>& say) {
    STEPPE_TRY(target_, find_target(hardware_, files_, request_.disk));
    STEPPE_TRY_VOID(check_target(target_, request_.wipe, request_.image.size));
    STEPPE_TRY(partitions_, lay_out(target_.facts, request_.image.size));
    for (Partition& partition : partitions_) {
      partition.unique = storage::random_guid(hardware_.rng());
      partition.attributes = machine::kUnfinished;
    }
    for (const Step step : order()) {
      say(step_name(step));
      Result<> done = perform(step).wrap(std::string(step_name(step)) + " on " + disk());
      if (done.ok()) continue;
      if (mounted_) (void)files_.unmount(kMountedAt);
      return done;
    }
    return {};
  }

 private:
  const std::string& disk() const { return target_.facts.device; }
  std::string esp() const { return partition_path(disk(), partitions_.front().number); }
  std::string below(std::string_view path) const { return std::string(kMountedAt) + "/" + std::string(path); }
  std::string loader_directory() const { return below(machine::kLoaderX64.substr(0, machine::kLoaderX64.rfind('/'))); }

  Result<> perform(Step step) {
    switch (step) {
      case Step::kTable: return write_table();
      case Step::kFormat: return format();
      case Step::kMount: return mount();
      case Step::kImage: return copy(below(machine::kImageDirectory), upgrade::part_name(request_.version), request_.image, judge_);
      case Step::kSettings: return write_settings();
      case Step::kLoader: {
        AnyFile any;
        return copy(loader_directory(), kLoaderPart, request_.loader, any);
      }
      case Step::kTableWhole: return finish_table();
      case Step::kNameImage: return rename(below(machine::kImageDirectory), upgrade::part_name(request_.version), upgrade::slot_file_name({.version = request_.version, .counter = {}}));
      case Step::kNameLoader: return rename(loader_directory(), kLoaderPart, request_.loader_name);
      case Step::kUnmount: mounted_ = false; return files_.unmount(kMountedAt);
    }
    return {};
  }

  Result<> write_table() {
    // Whoever uses a partition still needs it: the kernel says so before anything is gone.
    for (const device::DiskPartition& partition : target_.known) STEPPE_TRY_VOID(hardware_.forget_partition(disk(), partition.number));
    STEPPE_TRY(std::unique_ptr<BlockWriter> writer, hardware_.open(disk(), Hardware::Access::kWrite));
    STEPPE_TRY_VOID(new_gpt(*writer, storage::random_guid(hardware_.rng())));
    // An older installation's ESP began at the same place: its loader and images must not come back with the new table.
    const std::string nothing(1 << 20, '\0');
    const uint64_t piece = nothing.size() / writer->block_bytes();
    for (uint64_t i = 0; i < kEmptiedMib; ++i) STEPPE_TRY_VOID(writer->write(partitions_.front().first + i * piece, as_bytes(nothing)));
    STEPPE_TRY_VOID(writer->flush());
    STEPPE_TRY_VOID(change_gpt(*writer, {.add = {partitions_.front()}}));
    return announce(partitions_.front());
  }

  Result<> finish_table() {
    STEPPE_TRY(std::unique_ptr<BlockWriter> writer, hardware_.open(disk(), Hardware::Access::kWrite));
    STEPPE_TRY_VOID(change_gpt(*writer, {.add = {partitions_.begin() + 1, partitions_.end()}, .finish = {partitions_.front().number}}));
    return {};
  }

  Result<> announce(const Partition& partition) {
    const uint64_t block = target_.facts.block_bytes;
    return hardware_.add_partition(disk(), partition.number, Bytes{partition.first * block}, Bytes{(partition.last - partition.first + 1) * block});
  }

  Result<> format() {
    const std::string serial = std::format("{:08x}", hardware_.rng().next() & 0xffffffff);
    STEPPE_TRY(const storage::ProgramEnd end, hardware_.run(kFatFormatter, {"-F", "32", "-n", std::string(machine::kLabelEsp), "-i", serial, esp()}, kFormatLimit));
    if (end.code == 0 && end.signal == 0) return {};
    return {Code::kIo, std::format("mkfs.fat ended with {}: {}", end.signal != 0 ? end.signal + 128 : end.code, trim(end.text).substr(0, 160))};
  }

  Result<> mount() {
    STEPPE_TRY_VOID(files_.make_directory(kMountedAt));
    STEPPE_TRY_VOID(hardware_.mount({esp(), kMountedAt, "vfat", kFlags, kOptions}));
    mounted_ = true;
    for (const std::string& path : {below(machine::kImageDirectory), loader_directory(), below("loader")}) STEPPE_TRY_VOID(files_.make_directory(path));
    return {};
  }

  Result<> copy(const std::string& path, const std::string& name, const File& file, upgrade::ImageJudge& judge) {
    STEPPE_TRY(const std::unique_ptr<upgrade::SlotDirectory> directory, files_.directory(path));
    const upgrade::Step step{.kind = upgrade::StepKind::kWrite, .name = name, .to = {}, .digest = file.digest, .size = file.size, .record = {}};
    STEPPE_TRY_VOID(upgrade::write_verified(*directory, judge, step, file.bytes));
    return directory->sync_directory();
  }

  Result<> copy_text(const std::string& path, const std::string& name, std::string_view text) {
    Text source(text);
    AnyFile any;
    return copy(path, name, {text.size(), upgrade::sha256(as_bytes(text)), &source}, any);
  }

  Result<> write_settings() {
    STEPPE_TRY_VOID(copy_text(below("loader"), "loader.conf", request_.loader_settings));
    if (!request_.configuration) return {};
    return copy_text(kMountedAt, std::string(machine::kConfigFile), *request_.configuration);
  }

  Result<> rename(const std::string& path, const std::string& from, const std::string& to) {
    STEPPE_TRY(const std::unique_ptr<upgrade::SlotDirectory> directory, files_.directory(path));
    STEPPE_TRY_VOID(directory->rename(from, to));
    return directory->sync_directory();
  }

  Hardware& hardware_;
  Files& files_;
  upgrade::ImageJudge& judge_;
  const Request& request_;
  Target target_;
  std::vector<Partition> partitions_;
  bool mounted_ = false;
};

// Who uses a disk; "" for nobody.
std::string user_of(const device::Disk& disk, const std::vector<kernel::MountEntry>& mounts) {
  for (const kernel::MountEntry& mount : mounts) {
    const bool whole = mount.source == disk.path;
    if (whole || std::ranges::contains(disk.partitions, mount.source, &device::DiskPartition::path)) return mount.source + " is mounted on " + mount.target;
  }
  return "";
}

}  // namespace

Result<Target> find_target(Hardware& hardware, Files& files, const std::string& disk) {
  STEPPE_TRY(const std::vector<device::Disk> disks, hardware.disks());
  STEPPE_TRY(const std::vector<kernel::MountEntry> mounts, files.mounts());
  std::string names;
  for (const device::Disk& one : disks) {
    if (std::ranges::contains(one.partitions, disk, &device::DiskPartition::path)) return Error(Code::kInvalid, disk + " is a partition: an installation takes all of a disk, here " + one.path);
    if (one.path != disk && !std::ranges::contains(one.links, disk)) {
      names += std::format("{}{} of {} MiB", names.empty() ? "" : ", ", one.path, one.bytes >> 20);
      continue;
    }
    return Target{.facts = facts_of(hardware, one, hardware.booted_partition()), .read_only = one.read_only, .used = user_of(one, mounts), .known = one.partitions};
  }
  return Error(Code::kNotFound, std::format("this machine has no disk {}; it has {}", disk, names.empty() ? "none" : names));
}

Result<> install(Hardware& hardware, Files& files, upgrade::ImageJudge& judge, const Request& request, const std::function<void(std::string_view)>& say) {
  return Installation(hardware, files, judge, request).run(say);
}

}  // namespace steppe::install
