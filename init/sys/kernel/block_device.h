#pragma once

#include <cstdint>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// A whole disk or a partition by its path below /dev; a regular file too (its blocks are 512 bytes then, and it has no partitions).
// Blocking; one thread.
class BlockDevice {
 public:
  // kWriteAlone: only while nothing is mounted from it or its partitions in any namespace, made of it, or opened so by others
  // (O_EXCL of a block device): kUnavailable otherwise, and nobody else can begin as long as it is open.
  enum class Access : uint8_t { kRead, kWrite, kWriteAlone };
  // The name is the administrator's (host_file.h). kDenied also for a disk that is read-only.
  static Result<BlockDevice> open(const std::string& path, Access access);

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  uint32_t block_bytes() const { return block_bytes_; }

  // All of `into`, or an error; also past the end.
  Result<> read(uint64_t offset, ByteSpan into) const;
  Result<> write(uint64_t offset, ByteView from) const;
  // What was written is on the disk (its own cache too), and the next read comes from there.
  Result<> flush() const;

  // The kernel forgets the partitions that it knew and reads the table anew, as far as nothing of them is in use.
  void read_table_again() const;

  // Tells the kernel of partitions, as the table on the disk has them now: other partitions of the disk may be in use meanwhile
  // (BLKPG, linux/blkpg.h). `number` from 1; offset and length in bytes, multiples of 512. kExists when there is one of that number.
  // A grown one keeps its place.
  Result<> add_partition(int number, uint64_t offset, uint64_t length) const;
  Result<> grow_partition(int number, uint64_t offset, uint64_t length) const;
  // kUnavailable: it is in use.
  Result<> forget_partition(int number) const;

 private:
  BlockDevice(Fd fd, std::string path, uint64_t bytes, uint32_t block_bytes)
      : fd_(std::move(fd)), path_(std::move(path)), bytes_(bytes), block_bytes_(block_bytes) {}
  Result<> partition(int operation, int number, uint64_t offset, uint64_t length) const;

  Fd fd_;
  std::string path_;
  uint64_t bytes_;
  uint32_t block_bytes_;
};

}  // namespace steppe::kernel
