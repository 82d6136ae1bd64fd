#include "init/sys/device/block_use.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <set>

#include "init/base/text.h"
#include "init/sys/device/disks.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::device {
namespace {

constexpr size_t kMaxEntries = 8192, kMaxValue = 4096;
constexpr uint64_t kSector = 512;

class Looking {
 public:
  Looking(kernel::Beneath sys, std::string root) : sys_(std::move(sys)), root_(std::move(root)) {}

  Result<BlockUse> look(const std::string& name) {
    const std::string at = "class/block/" + name;
    if (name.empty() || name.contains('/') || !sys_.stat(at).ok()) return Error(Code::kNotFound, std::format("no block device {}", name));
    BlockUse out{.name = name};
    if (sys_.stat(at + "/partition").ok()) {
      STEPPE_TRY(out.disk, disk_of(name));
    }
    const Result<uint64_t> sectors = parse_uint(value(at + "/size"));
    out.bytes = sectors.ok() ? *sectors * kSector : 0;
    out.removable = value(at + "/removable") == "1";
    out.read_only = value(at + "/ro") == "1";
    out.model = value(at + "/device/model");
    STEPPE_TRY(const auto disks, enumerate_disks(root_));
    for (const Disk& disk : disks) {
      if (disk.name == name) out.serial = disk.serial;
    }
    visit(name, out);
    STEPPE_TRY_VOID(add_mounts(out));
    STEPPE_TRY_VOID(add_swaps(out));
    return out;
  }

 private:
  std::string value(const std::string& path) const {
    const Result<std::string> text = sys_.read(path, Bytes(kMaxValue));
    return text.ok() ? std::string(trim(std::string_view(text->c_str()))) : "";
  }
  std::vector<std::string> names(const std::string& path) const {
    std::vector<std::string> out;
    const auto entries = sys_.list(path, kMaxEntries);
    if (!entries.ok()) return out;
    for (const kernel::DirectoryEntry& entry : *entries) out.push_back(entry.name);
    return out;
  }
  std::vector<std::string> partitions(const std::string& disk) const {
    std::vector<std::string> out;
    for (const std::string& one : names("class/block/" + disk)) {
      if (one.starts_with(disk) && sys_.stat(std::format("class/block/{}/{}/partition", disk, one)).ok()) out.push_back(one);
    }
    return out;
  }
  Result<std::string> disk_of(const std::string& partition) const {
    for (const std::string& disk : names("class/block")) {
      if (disk != partition && partition.starts_with(disk) && std::ranges::contains(partitions(disk), partition)) return disk;
    }
    return Error(Code::kCorrupt, std::format("sysfs names no disk of the partition {}", partition));
  }

  // The device, its partitions, and what the kernel has made of them.
  void visit(const std::string& name, BlockUse& out) {
    if (!parts_.insert(name).second || parts_.size() > kMaxEntries) return;
    for (const std::string& holder : names(std::format("class/block/{}/holders", name))) {
      out.uses.push_back(std::format("{} is a part of {}", name, holder));
      visit(holder, out);
    }
    for (const std::string& partition : partitions(name)) visit(partition, out);
  }

  Result<> add_mounts(BlockUse& out) const {
    STEPPE_TRY(const std::string text, kernel::read_host_file(root_ + "proc/self/mountinfo", Bytes::mib(16)));
    STEPPE_TRY(const auto mounts, kernel::parse_mountinfo(text));
    for (const std::string& part : parts_) {
      const std::string number = value(std::format("class/block/{}/dev", part));
      for (const kernel::MountEntry& mount : mounts) {
        // Some file systems have a number of their own and name the device as their source.
        if (mount.device != number && mount.source != "/dev/" + part) continue;
        out.uses.push_back(std::format("{} is mounted at {}", part, mount.target));
        if (mount.target == "/") out.has_root = true;
      }
    }
    return {};
  }

  Result<> add_swaps(BlockUse& out) const {
    const Result<std::string> text = kernel::read_host_file(root_ + "proc/swaps", Bytes::mib(1));
    if (!text.ok()) return text.error().code() == Code::kNotFound ? Result<>() : Result<>(text.error());
    for (const std::string_view line : split(*text, '\n')) {
      const std::string_view path = line.substr(0, line.find_first_of(" \t"));
      if (path.starts_with("/dev/") && parts_.contains(std::string(path.substr(5)))) out.uses.push_back(std::format("{} is swap", path.substr(5)));
    }
    return {};
  }

  const kernel::Beneath sys_;
  const std::string root_;
  std::set<std::string> parts_;
};

}  // namespace

Result<BlockUse> block_use(const std::string& name, const std::string& root) {
  STEPPE_TRY(kernel::Beneath sys, kernel::Beneath::at(root + "sys", kernel::Beneath::Links::kFollow));
  return Looking(std::move(sys), root).look(name);
}

Result<std::string> block_name(const std::string& path) {
  STEPPE_TRY(const kernel::Fd file, kernel::open_host(path, O_PATH));
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return Error::from_errno(errno, "look at " + path);
  if (!S_ISBLK(st.st_mode)) return Error(Code::kInvalid, path + " is no block device");
  const std::string link = std::format("/sys/dev/block/{}:{}", major(st.st_rdev), minor(st.st_rdev));
  STEPPE_TRY(const std::string uevent, kernel::read_host_file(link + "/uevent", Bytes::kib(64)));
  for (const std::string_view line : split(uevent, '\n')) {
    if (line.starts_with("DEVNAME=")) return std::string(line.substr(8));
  }
  return Error(Code::kCorrupt, std::format("{}/uevent names no device", link));
}

}  // namespace steppe::device
