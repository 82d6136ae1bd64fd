#include "init/sys/kernel/block_device.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <format>

namespace steppe::kernel {

Result<BlockDevice> BlockDevice::open(const std::string& path, Access access) {
  const bool writes = access != Access::kRead;
  Fd fd(::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | (access == Access::kWriteAlone ? O_EXCL : 0) | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid() && errno == EBUSY)
    return Error(Code::kUnavailable, path + " is in use: the kernel lets nobody open it alone; something of it may be mounted in another namespace");
  if (!fd.valid()) return Error::from_errno(errno, "open " + path);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return Error::from_errno(errno, "look at " + path);
  if (S_ISREG(st.st_mode)) return BlockDevice(std::move(fd), path, static_cast<uint64_t>(st.st_size), 512);
  if (!S_ISBLK(st.st_mode)) return {Code::kInvalid, path + " is no disk"};
  uint64_t bytes = 0;
  int block = 0, read_only = 0;
  if (::ioctl(fd.get(), BLKGETSIZE64, &bytes) != 0 || ::ioctl(fd.get(), BLKSSZGET, &block) != 0) return Error::from_errno(errno, "ask for the size of " + path);
  if (writes && ::ioctl(fd.get(), BLKROGET, &read_only) == 0 && read_only != 0) return {Code::kDenied, path + " is read-only"};
  return BlockDevice(std::move(fd), path, bytes, static_cast<uint32_t>(block));
}

Result<> BlockDevice::read(uint64_t offset, ByteSpan into) const {
  while (!into.empty()) {
    const ssize_t n = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, std::format("read {} at byte {}", path_, offset));
    if (n == 0) return {Code::kIo, std::format("read {} at byte {}: past its end", path_, offset)};
    into = into.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<> BlockDevice::write(uint64_t offset, ByteView from) const {
  if (offset > bytes_ || bytes_ - offset < from.size()) return {Code::kInvalid, std::format("write {} at byte {}: past its end", path_, offset)};
  while (!from.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), from.data(), from.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error::from_errno(n < 0 ? errno : EIO, std::format("write {} at byte {}", path_, offset));
    from = from.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<> BlockDevice::flush() const {
  if (::fsync(fd_.get()) != 0) return Error::from_errno(errno, "write " + path_ + " out");
  // Only pages that are clean now, which after fsync all of ours are.
  (void)::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  return {};
}

void BlockDevice::read_table_again() const { (void)::ioctl(fd_.get(), BLKRRPART); }

Result<> BlockDevice::partition(int operation, int number, uint64_t offset, uint64_t length) const {
  blkpg_partition what = {};
  what.start = static_cast<long long>(offset);
  what.length = static_cast<long long>(length);
  what.pno = number;
  blkpg_ioctl_arg argument = {};
  argument.op = operation;
  argument.datalen = sizeof what;
  argument.data = &what;
  if (::ioctl(fd_.get(), BLKPG, &argument) == 0) return {};
  if (errno == EBUSY && operation == BLKPG_DEL_PARTITION) return {Code::kUnavailable, std::format("partition {} of {} is in use", number, path_)};
  if (errno == EBUSY) return {Code::kExists, std::format("partition {} of {}: another one is there", number, path_)};
  return Error::from_errno(errno, std::format("tell the kernel of partition {} of {}", number, path_));
}

Result<> BlockDevice::add_partition(int number, uint64_t offset, uint64_t length) const { return partition(BLKPG_ADD_PARTITION, number, offset, length); }
Result<> BlockDevice::grow_partition(int number, uint64_t offset, uint64_t length) const { return partition(BLKPG_RESIZE_PARTITION, number, offset, length); }
Result<> BlockDevice::forget_partition(int number) const { return partition(BLKPG_DEL_PARTITION, number, 0, 0); }

}  // namespace steppe::kernel
