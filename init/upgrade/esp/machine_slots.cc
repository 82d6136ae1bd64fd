#include "init/upgrade/esp/machine_slots.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "init/base/text.h"
#include "init/machine/layout.h"
#include "init/sys/fat/volume.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::esp {

namespace {

#if defined(__aarch64__)
constexpr const char* kArch = "arm64";
#else
constexpr const char* kArch = "x86-64";
#endif

class BlockDevice final : public fat::Device {
 public:
  // O_EXCL: whoever has it mounted elsewhere keeps it, and we leave it alone.
  static Result<BlockDevice> open(const std::string& path) {
    STEPPE_TRY(kernel::Fd file, kernel::open_host(path, O_RDWR | O_EXCL));
    const off_t size = ::lseek(file.get(), 0, SEEK_END);
    if (size < 0) return Error::from_errno(errno, "size of " + path);
    return BlockDevice(std::move(file), static_cast<uint64_t>(size));
  }
  uint64_t size() const override { return size_; }
  Result<> read(uint64_t offset, ByteSpan into) override {
    if (::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(into.size())) return {};
    return Error::from_errno(errno != 0 ? errno : EIO, "read the ESP's device");
  }
  Result<> write(uint64_t offset, ByteView bytes) override {
    if (::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size())) return {};
    return Error::from_errno(errno != 0 ? errno : EIO, "write the ESP's device");
  }
  Result<> sync() override {
    if (::fsync(file_.get()) != 0) return Error::from_errno(errno, "sync the ESP's device");
    return {};
  }

 private:
  BlockDevice(kernel::Fd file, uint64_t size) : file_(std::move(file)), size_(size) {}
  kernel::Fd file_;
  uint64_t size_;
};

// mount(2)'s flags and data from what mountinfo shows.
struct MountWords {
  unsigned long flags = 0;
  std::string data;
};
MountWords mount_words(const kernel::MountEntry& entry) {
  static constexpr std::pair<std::string_view, unsigned long> kFlags[] = {
      {"ro", MS_RDONLY}, {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV}, {"noexec", MS_NOEXEC}, {"noatime", MS_NOATIME}, {"nodiratime", MS_NODIRATIME},
      {"dirsync", MS_DIRSYNC}, {"sync", MS_SYNCHRONOUS}, {"relatime", MS_RELATIME}, {"rw", 0}, {"nosymfollow", MS_NOSYMFOLLOW}};
  MountWords words;
  for (const std::string& options : {entry.options, entry.super_options}) {
    for (const std::string_view option : split(options, ',')) {
      const auto* flag = std::ranges::find(kFlags, option, &std::pair<std::string_view, unsigned long>::first);
      if (flag != std::end(kFlags)) words.flags |= flag->second;
      else if (&options != &entry.options && !option.empty()) words.data.append(words.data.empty() ? "" : ",").append(option);
    }
  }
  // Both lists hold dirsync and ro where they apply; what super_options alone says of one mount is for all.
  return words;
}

Result<> forget_on(const std::string& device, const std::string& name) {
  STEPPE_TRY(BlockDevice bytes, BlockDevice::open(device));
  STEPPE_TRY(fat::Volume volume, fat::Volume::open(bytes));
  STEPPE_TRY_VOID(volume.forget(machine::kImageDirectory, name));
  return bytes.sync();
}

}  // namespace

bool needs_recovery(const std::vector<upgrade::DirectoryEntry>& entries) {
  std::set<std::string> versions;
  return std::ranges::any_of(entries, [&](const upgrade::DirectoryEntry& entry) {
    if (upgrade::is_part_name(entry.name)) return true;
    const auto name = upgrade::parse_slot_name(entry.name);
    return name && (entry.size == 0 || name->bad() || !versions.insert(name->version).second);
  });
}

std::optional<std::string> running_trial(const std::vector<upgrade::DirectoryEntry>& entries, std::string_view running_version) {
  for (const upgrade::DirectoryEntry& entry : entries) {
    const auto name = upgrade::parse_slot_name(entry.name);
    if (name && name->version == running_version && name->counter && name->counter->done > 0) return entry.name;
  }
  return std::nullopt;
}

Result<> forget_unmounted(const std::string& efi, const std::string& name) {
  STEPPE_TRY(const std::vector<kernel::MountEntry> mounts, kernel::read_mountinfo());
  const auto mounted = std::ranges::find_last(mounts, efi, &kernel::MountEntry::target);
  if (mounted.empty()) return {Code::kNotFound, efi + " is not mounted"};
  const kernel::MountEntry& entry = mounted.front();
  const MountWords words = mount_words(entry);
  if (::umount2(efi.c_str(), UMOUNT_NOFOLLOW) != 0) return Error::from_errno(errno, "unmount " + efi);
  Result<> done = forget_on(entry.source, name);
  if (::mount(entry.source.c_str(), efi.c_str(), entry.type.c_str(), words.flags, words.data.c_str()) != 0)
    return Error::from_errno(errno, "mount " + efi + " again, with \"" + words.data + "\"" + (done.ok() ? "" : ", after: " + done.error().message()));
  return done;
}

Result<MachineSlots> MachineSlots::open(const Places& places, std::vector<std::string>& problems) {
  Result<kernel::Fd> lock = kernel::lock_file(places.lock);
  if (!lock.ok()) {
    const bool other = lock.error().code() == Code::kUnavailable;
    return std::move(lock).error().wrap(other ? "another change of the slots is under way" : "the lock of the slots");
  }
  MachineSlots slots(places, *std::move(lock));
  const std::string images = places.efi + "/" + std::string(machine::kImageDirectory);
  struct stat status;
  if (::stat(images.c_str(), &status) != 0)
    return {Code::kNotFound, "this machine has no slots: there is no " + images + " (it was started over the network, or from a medium without an EFI system partition)"};
  auto forget = [efi = places.efi](const std::string& name) { return forget_unmounted(efi, name); };
  STEPPE_TRY(fat::MountedDirectory directory, fat::MountedDirectory::open(images, std::move(forget)));
  slots.images_ = std::make_unique<fat::MountedDirectory>(std::move(directory));
  slots.keys_ = read_keys(places.keys, problems);
  slots.judge_ = std::make_unique<ConfinedJudge>(images, verify::Requirements{.keys = slots.keys_, .arch = kArch});
  return slots;
}

Result<upgrade::Facts> MachineSlots::survey() {
  upgrade::Store store{*images_, *images_, *judge_};
  return upgrade::survey(store, read_boot_facts(places_.efivars, places_.manifest));
}

Result<> MachineSlots::carry_out(const upgrade::Plan& plan, upgrade::ImageSource* source) {
  upgrade::Store store{*images_, *images_, *judge_};
  return upgrade::carry_out(plan, store, source);
}

Result<upgrade::Candidate> MachineSlots::judge_new(const std::string& path, uint64_t security_floor) const {
  STEPPE_TRY_VOID(judge_->require_keys());
  const ConfinedJudge judge("", verify::Requirements{.keys = keys_, .arch = kArch, .security_floor = security_floor});
  STEPPE_TRY(ImageFile file, ImageFile::open(path));
  STEPPE_TRY(verify::Fit fit, judge.judge_file(path));
  upgrade::Candidate candidate{.manifest = std::move(fit.manifest), .section = fit.section, .size = file.size()};
  STEPPE_TRY(candidate.digest, file.digest());
  return candidate;
}

Result<ImageFile> ImageFile::open(const std::string& path) {
  STEPPE_TRY(kernel::Fd file, kernel::open_host(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status;
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {Code::kInvalid, path + " is no regular file"};
  if (static_cast<uint64_t>(status.st_size) > upgrade::kMaxImage)
    return {Code::kInvalid, path + " has " + std::to_string(status.st_size) + " bytes, an image at most " + std::to_string(upgrade::kMaxImage)};
  return ImageFile(std::move(file), static_cast<uint64_t>(status.st_size));
}

Result<size_t> ImageFile::read(uint64_t offset, ByteSpan into) {
  for (;;) {
    const ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return Error::from_errno(errno, "read the image");
  }
}

Result<upgrade::Digest> ImageFile::digest() {
  upgrade::Sha256 hash;
  std::string piece(256 << 10, '\0');
  for (uint64_t offset = 0; offset < size_;) {
    STEPPE_TRY(const size_t got, read(offset, std::as_writable_bytes(std::span(piece))));
    if (got == 0) return {Code::kCorrupt, "the image ends at byte " + std::to_string(offset)};
    hash.add(as_bytes(std::string_view(piece).substr(0, got)));
    offset += got;
  }
  return hash.finish();
}

}  // namespace steppe::esp
