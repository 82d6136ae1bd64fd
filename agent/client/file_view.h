#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/task.h"
#include "init/io/wait.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::schema {
class AllocFileInfo;
}

// Reading the files of an alloc for people: lists, ranges, streams that follow, logs across rotation.
namespace steppe::client {

// What a stream of a file or log produces. `data` at `offset` of `file`, or an event about it, or neither: a heartbeat.
struct FileFrame {
  uint64_t offset = 0;
  std::string data;
  std::string file;
  std::string event;  // "file truncated", "file deleted"
};

// Takes frames one by one; an error ends the stream.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual io::Task<Result<>> put(FileFrame frame) = 0;
};

enum class Origin : uint8_t { kStart, kEnd };
enum class Follow : uint8_t { kNo, kYes };

struct StreamRequest {
  uint64_t offset = 0;  // from origin
  Origin origin = Origin::kStart;
  Follow follow = Follow::kNo;
  uint64_t limit = UINT64_MAX;
};

inline constexpr size_t kFrameSize = 64 << 10;

// Refuses what is beneath a task's secrets/ or private/, also by links: kDenied.
Result<kernel::Fd> open_alloc_file(const kernel::Beneath& alloc, std::string_view path);
Result<> check_readable_path(std::string_view path);

// (block) The fields that `alloc fs` shows. Links and special files are shown as what they are, and never opened.
Result<> describe_file(const kernel::Beneath& alloc, std::string_view path, schema::AllocFileInfo& out);
std::string go_file_mode(kernel::FileType type, uint32_t mode);  // "-rw-r--r--", "drwxrwxrwx"

// Sends one file. With follow it goes on as the file grows until the deadline's stop, the file is deleted, or
// `writer_gone` says that nobody writes any more and all was sent. Heartbeats once a second.
io::Task<Result<>> stream_file(io::Loop& loop, const kernel::Beneath& alloc, std::string path, StreamRequest request,
                               std::function<bool()> writer_gone, FrameSink& sink, io::Deadline deadline);

// TASK.stdout.N or TASK.stderr.N in alloc/logs, lowest N first; offset counts through all of them. With follow, goes on
// into the next file when the live one was rotated, and ends after the task has ended.
io::Task<Result<>> stream_logs(io::Loop& loop, const kernel::Beneath& alloc, std::string task, std::string type,
                               StreamRequest request, std::function<bool()> writer_gone, FrameSink& sink, io::Deadline deadline);

// Where reading starts: an index of a log file and an offset in it. Pure.
struct LogPosition {
  uint64_t index = 0;
  uint64_t offset = 0;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};
LogPosition find_log_position(const std::map<uint64_t, uint64_t>& sizes, uint64_t offset, Origin origin);

}  // namespace steppe::client
