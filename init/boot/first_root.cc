#include "init/boot/first_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "init/boot/module_file.h"
#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

constexpr const char* kImage = "/root.sqfs";
constexpr const char* kNewRoot = "/newroot";
constexpr int kMaxDepth = 32;
constexpr size_t kMaxEntries = 100'000;
// Another process of this early moment does not exist, but a driver may take the number between asking and using.
constexpr int kLoopTries = 8;

// The path of a free loop device that now shows the image, read-only. It lets go of the file when the last mount is gone.
Result<std::string> attach_loop(const kernel::Fd& image) {
  kernel::Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.valid()) return Error::from_errno(errno, "open /dev/loop-control (is the loop module in /modules?)");
  for (int attempt = 0; attempt < kLoopTries; ++attempt) {
    int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Error::from_errno(errno, "find a free loop device");
    std::string path = "/dev/loop" + std::to_string(number);
    kernel::Fd device(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!device.valid()) return Error::from_errno(errno, "open " + path);
    loop_config config = {};
    config.fd = static_cast<uint32_t>(image.get());
    config.info.lo_flags = LO_FLAGS_READ_ONLY;
    std::snprintf(reinterpret_cast<char*>(config.info.lo_file_name), LO_NAME_SIZE, "%s", kImage);
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return path;
    if (errno != EBUSY) return Error::from_errno(errno, "attach " + std::string(kImage) + " to " + path);
  }
  return {Code::kUnavailable, "no loop device stays free long enough"};
}

Result<> mount_image() {
  kernel::Fd modules(::open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A kernel with loop and squashfs built in needs none: whether something is missing shows at the mount.
  Result<> loaded = modules.valid() ? load_modules_in_order(modules.get()) : Result<>();
  kernel::Fd image(::open(kImage, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!image.valid()) return Error::from_errno(errno, "open the image's root /root.sqfs in the initrd");
  Result<std::string> device = attach_loop(image);
  if (!device.ok()) return loaded.ok() ? std::move(device).error() : std::move(loaded).error();
  if (::mkdir(kNewRoot, 0755) != 0 && errno != EEXIST) return Error::from_errno(errno, "make the mount point of the root");
  if (::mount(device->c_str(), kNewRoot, "squashfs", MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0) {
    Error error = Error::from_errno(errno, "mount the image's root from " + *device);
    return loaded.ok() ? std::move(error) : std::move(loaded).error();
  }
  return {};
}

// What children of PID 1 read once the initrd is gone: the builder's default arguments, and what the image says of itself.
// Copied, not read.
struct Kept {
  const char* from;
  const char* to;
};
constexpr Kept kKept[] = {{"cmdline.default", "/run/steppe/cmdline.default"}, {"steppe.manifest", "/run/steppe/manifest"}};
constexpr size_t kMaxKept = 16 << 10;  // bytes of a file; longer ones are cut, which their readers notice

void keep_files(int first_root) {
  for (const Kept& one : kKept) {
    kernel::Fd from(::openat(first_root, one.from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!from.valid()) continue;
    char bytes[kMaxKept];
    ssize_t size = ::read(from.get(), bytes, sizeof bytes);
    if (size <= 0) continue;
    (void)::mkdir("/run/steppe", 0711);
    kernel::Fd to(::open(one.to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400));
    if (to.valid()) (void)!::write(to.get(), bytes, static_cast<size_t>(size));
  }
}

size_t delete_below(kernel::Fd directory, dev_t device, int depth, size_t budget) {
  DIR* listing = ::fdopendir(directory.get());
  if (listing == nullptr) return 0;
  int fd = directory.release();  // the listing owns it now
  size_t gone = 0;
  while (gone < budget) {
    dirent* entry = ::readdir(listing);
    if (entry == nullptr) break;
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    struct stat st;
    if (::fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != device) continue;
    bool directory_entry = S_ISDIR(st.st_mode);
    if (directory_entry && depth < kMaxDepth) {
      kernel::Fd below(::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below.valid()) gone += delete_below(std::move(below), device, depth + 1, budget - gone);
    }
    if (::unlinkat(fd, entry->d_name, directory_entry ? AT_REMOVEDIR : 0) == 0) ++gone;
  }
  ::closedir(listing);
  return gone;
}

}  // namespace

size_t delete_tree(int root) {
  struct stat st;
  if (::fstat(root, &st) != 0) return 0;
  kernel::Fd copy(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return copy.valid() ? delete_below(std::move(copy), st.st_dev, 0, kMaxEntries) : 0;
}

Result<> enter_image_root() {
  STEPPE_TRY_VOID(mount_image());
  kernel::Fd first(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!first.valid()) return Error::from_errno(errno, "open the first root");
  keep_files(first.get());
  for (const char* name : {"/dev", "/proc", "/sys", "/run"}) {
    std::string to = std::string(kNewRoot) + name;
    if (::mount(name, to.c_str(), nullptr, MS_MOVE, nullptr) != 0) return Error::from_errno(errno, "move " + std::string(name) + " to the image's root");
  }
  if (::chdir(kNewRoot) != 0) return Error::from_errno(errno, "enter the image's root");
  if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return Error::from_errno(errno, "move the image's root over the first one");
  if (::chroot(".") != 0 || ::chdir("/") != 0) return Error::from_errno(errno, "change to the image's root");
  delete_tree(first.get());
  return {};
}

}  // namespace steppe::boot
