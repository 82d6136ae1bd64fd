#pragma once

#include <stddef.h>
#include <stdint.h>

#include "drivers/executor/program/system.h"

namespace steppe::executor {

// One stream's files NAME0, NAME1, ... in a directory that the task itself may write to: nothing found there is
// trusted. A file is continued only when it is a regular file with one name that we could have made; whatever else has
// the name is removed, and a new file is always created exclusively. Symlinks are never followed, FIFOs never opened.
//
// A file ends at a line's end where that can be seen: when the line that would cross the limit came in one read. Bytes
// go out in the order they came: the files joined in order are the stream, byte for byte.
class LogFile {
 public:
  static constexpr size_t kMaxName = 200;

  // `name` is copied. Opens file `index`, or goes on in it.
  long open(int directory, const char* name, uint32_t index, uint32_t max_files, uint64_t max_size) {
    directory_ = directory;
    max_files_ = max_files == 0 ? 1 : max_files;
    max_size_ = max_size == 0 ? 1 : max_size;
    name_length_ = 0;
    while (name[name_length_] != '\0' && name_length_ < kMaxName) {
      name_[name_length_] = name[name_length_];
      ++name_length_;
    }
    index_ = index;
    oldest_ = index_ + 1 > max_files_ ? index_ + 1 - max_files_ : 0;  // those before are the agent's to clear
    long result = resume();
    if (result == -ENOENT) result = create();
    return result < 0 ? result : 0;
  }

  // Writes all of it, over as many files as it takes. What cannot be written (disk full) is counted and given up:
  // a task never blocks on its log.
  void write(const char* data, size_t size) {
    while (size > 0) {
      size_t take = fits(data, size);
      if (take == 0) {
        rotate();
        continue;
      }
      put(data, take);
      data += take;
      size -= take;
    }
  }

  uint64_t lost() const { return lost_; }
  uint32_t index() const { return index_; }
  void close() {
    if (fd_ >= 0) sys_close(fd_);
    fd_ = -1;
  }

 private:
  // How much of `data` belongs into the live file; 0: the next file begins here.
  size_t fits(const char* data, size_t size) {
    if (size_ >= max_size_) return 0;
    uint64_t room = max_size_ - size_;
    if (size <= room) return size;
    auto cut = static_cast<size_t>(room);
    while (cut > 0 && data[cut - 1] != '\n') --cut;
    if (cut > 0) return cut;
    // No line ends within the room. A line that began in an earlier write may continue behind the rotation only when
    // it is longer than a file can be; that is not known yet, so the part that has been written stays and the line is
    // cut at the limit. A line that begins here moves as a whole.
    return size_ > 0 && at_line_start_ ? 0 : static_cast<size_t>(room);
  }

  void put(const char* data, size_t size) {
    size_t done = 0;
    while (fd_ >= 0 && done < size) {
      long n = sys_write(fd_, data + done, size - done);
      if (n == -EINTR) continue;
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    size_ += done;
    lost_ += size - done;
    // Bytes that were lost count as gone by, or a full disk would keep the loop here for ever.
    if (done < size) size_ += size - done;
    at_line_start_ = data[size - 1] == '\n';
  }

  void rotate() {
    close();
    ++index_;
    size_ = 0;
    trim();  // first: on a full disk it is the room that the new file needs
    if (create() >= 0) trim();
  }

  // Removes what is more than `max_files_` with the live one, also behind numbers that create() skipped.
  void trim() {
    for (; oldest_ + max_files_ <= index_; ++oldest_) {
      char path[kMaxName + 16];
      path_of(oldest_, path);
      sys_unlinkat(directory_, path);
    }
  }

  void path_of(uint32_t index, char* out) const {
    for (size_t i = 0; i < name_length_; ++i) *out++ = name_[i];
    *put_number(out, index) = '\0';
  }

  long resume() {
    char path[kMaxName + 16];
    path_of(index_, path);
    long fd = sys_openat(directory_, path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd == -ENOENT) return -ENOENT;
    if (fd >= 0) {
      struct statx st = {};
      long result = syscall(__NR_statx, fd, pointer(""), AT_EMPTY_PATH, STATX_BASIC_STATS, pointer(&st));
      bool ours = result == 0 && (st.stx_mode & 0170000) == 0100000 && st.stx_nlink == 1 &&
                  st.stx_uid == static_cast<uint32_t>(syscall(__NR_geteuid));
      if (ours) {
        fd_ = static_cast<int>(fd);
        size_ = st.stx_size;
        at_line_start_ = true;  // a new attempt's first line is its own, whatever the last one left
        return 0;
      }
      sys_close(static_cast<int>(fd));
    }
    return -ENOENT;  // create() clears the name
  }

  // Makes file `index_`, or the next free one when the name cannot be cleared (a directory, say).
  long create() {
    long fd = -EEXIST;
    for (int tries = 0; tries < 16; ++tries, ++index_) {
      char path[kMaxName + 16];
      path_of(index_, path);
      fd = sys_openat(directory_, path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
      if (fd == -EEXIST && sys_unlinkat(directory_, path) == 0) {
        fd = sys_openat(directory_, path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
      }
      if (fd != -EEXIST) break;
    }
    fd_ = fd < 0 ? -1 : static_cast<int>(fd);
    size_ = 0;
    at_line_start_ = true;
    return fd;
  }

  int directory_ = -1;
  int fd_ = -1;
  uint32_t index_ = 0, oldest_ = 0, max_files_ = 1;
  uint64_t size_ = 0, max_size_ = 1, lost_ = 0;
  bool at_line_start_ = true;
  size_t name_length_ = 0;
  char name_[kMaxName] = {};
};

}  // namespace steppe::executor
