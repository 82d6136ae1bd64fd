#include "agent/client/file_view.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <format>
#include <memory>

#include "agent/schema/stats.pb.h"
#include "init/base/text.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {
namespace {

constexpr Duration kPollPeriod = std::chrono::milliseconds(200);
constexpr Duration kHeartbeat = std::chrono::seconds(1);

// Paths are TASK/secrets/... or TASK/private/...; the shared directory has neither.
bool in_private_place(const std::vector<std::string_view>& parts) {
  return parts.size() >= 2 && (parts[1] == "secrets" || parts[1] == "private") && parts[0] != "alloc";
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  for (std::string_view part : split(path, '/')) {
    if (!part.empty() && part != ".") out.push_back(part);
  }
  return out;
}

Error prohibited(std::string_view path) {
  return Error(Code::kDenied, std::format("Reading secret file prohibited: {}", path));
}

// Where an open descriptor really is, beneath which directory: links were followed to get there.
Result<> check_resolved(const kernel::Beneath& alloc, const kernel::Fd& fd, std::string_view path) {
  std::error_code failed;
  auto root = std::filesystem::read_symlink(std::format("/proc/self/fd/{}", alloc.fd()), failed);
  if (failed) return Error(Code::kIo, std::format("resolve {}: {}", path, failed.message()));
  auto real = std::filesystem::read_symlink(std::format("/proc/self/fd/{}", fd.get()), failed);
  if (failed) return Error(Code::kIo, std::format("resolve {}: {}", path, failed.message()));
  std::string_view inner = real.native();
  if (!inner.starts_with(root.native())) return Error(Code::kDenied, std::format("{}: leads out of the alloc", path));
  inner.remove_prefix(root.native().size());
  if (in_private_place(components(inner))) return prohibited(path);
  return {};
}

// One pread, on the pool.
struct Piece {
  std::string data;
  uint64_t file_size = 0;
};
io::Task<Result<Piece>> read_piece(io::Loop& loop, std::shared_ptr<kernel::Fd> fd, uint64_t offset, size_t most) {
  auto work = [fd, offset, most]() -> Result<Piece> {
    Piece out;
    out.data.resize(most);
    STEPPE_TRY(size_t n, kernel::read_at(*fd, offset, {reinterpret_cast<std::byte*>(out.data.data()), most}));
    out.data.resize(n);
    STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(*fd, "file"));
    out.file_size = info.size.count;
    return out;
  };
  co_return co_await io::run_blocking(loop, std::move(work));
}

// Sends what the file holds from `offset` on; moves `offset` and `left`. Returns whether anything was sent.
io::Task<Result<bool>> drain(io::Loop& loop, std::shared_ptr<kernel::Fd> fd, std::string name, uint64_t& offset,
                             uint64_t& left, FrameSink& sink) {
  bool sent = false;
  while (left > 0) {
    size_t most = static_cast<size_t>(std::min<uint64_t>(left, kFrameSize));
    STEPPE_CO_TRY(Piece piece, co_await read_piece(loop, fd, offset, most));
    if (piece.data.empty() && piece.file_size < offset) {
      STEPPE_CO_TRY_VOID(co_await sink.put({0, "", name, "file truncated"}));
      offset = 0;
      continue;
    }
    if (piece.data.empty()) break;
    uint64_t at = offset;
    offset += piece.data.size();
    left -= piece.data.size();
    STEPPE_CO_TRY_VOID(co_await sink.put({at, std::move(piece.data), name, ""}));
    sent = true;
  }
  co_return sent;
}

// Waits for more; heartbeats when it has been quiet for a second.
class Quiet {
 public:
  explicit Quiet(io::Loop& loop) : loop_(loop), since_(loop.now()) {}
  void heard() { since_ = loop_.now(); }
  io::Task<Result<>> wait(FrameSink& sink, io::Deadline deadline) {
    if (loop_.now() - since_ >= kHeartbeat) {
      since_ = loop_.now();
      STEPPE_CO_TRY_VOID(co_await sink.put({}));
    }
    if (deadline.at <= loop_.now()) co_return Error(Code::kTimeout, "the stream's time is over");
    co_return co_await io::sleep_for(loop_, kPollPeriod, deadline.stop);
  }

 private:
  io::Loop& loop_;
  MonoTime since_;
};

bool is_deleted(const kernel::Fd& fd) {
  auto info = kernel::stat_fd(fd, "file");
  return info.ok() && info->links == 0;
}

}  // namespace

Result<> check_readable_path(std::string_view path) {
  if (in_private_place(components(path))) return prohibited(path);
  return {};
}

Result<kernel::Fd> open_alloc_file(const kernel::Beneath& alloc, std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  STEPPE_TRY_VOID(check_readable_path(path));
  STEPPE_TRY(kernel::Fd fd, alloc.open_file(path));
  STEPPE_TRY_VOID(check_resolved(alloc, fd, path));
  return fd;
}

std::string go_file_mode(kernel::FileType type, uint32_t mode) {
  std::string out;
  switch (type) {
    case kernel::FileType::kDirectory: out += 'd'; break;
    case kernel::FileType::kSymlink: out += 'L'; break;
    case kernel::FileType::kFifo: out += 'p'; break;
    case kernel::FileType::kSocket: out += 'S'; break;
    case kernel::FileType::kBlockDevice: out += 'D'; break;
    case kernel::FileType::kCharDevice: out += "Dc"; break;
    default: break;
  }
  if (mode & 04000) out += 'u';
  if (mode & 02000) out += 'g';
  if (mode & 01000) out += 't';
  if (out.empty()) out += '-';
  for (int bit = 8; bit >= 0; --bit) out += mode & (1u << bit) ? "xwr"[bit % 3] : '-';
  return out;
}

Result<> describe_file(const kernel::Beneath& alloc, std::string_view path, schema::AllocFileInfo& out) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  STEPPE_TRY(kernel::FileInfo info, alloc.stat(path));
  std::vector<std::string_view> parts = components(path);
  out.set_name(std::string(parts.empty() ? "" : parts.back()));
  out.set_is_dir(info.type == kernel::FileType::kDirectory);
  out.set_size(static_cast<int64_t>(info.size.count));
  out.set_file_mode(go_file_mode(info.type, info.mode));
  out.set_mod_time(info.modified_ns);
  if (info.type == kernel::FileType::kFile) out.set_content_type("text/plain; charset=utf-8");
  if (info.type != kernel::FileType::kFile && info.type != kernel::FileType::kDirectory) out.set_content_type("application/octet-stream");
  return {};
}

LogPosition find_log_position(const std::map<uint64_t, uint64_t>& sizes, uint64_t offset, Origin origin) {
  if (sizes.empty()) return {};
  uint64_t total = 0;
  for (const auto& [index, size] : sizes) total += size;
  uint64_t from_start = origin == Origin::kStart ? offset : total - std::min(offset, total);
  for (const auto& [index, size] : sizes) {
    if (from_start < size) return {index, from_start};
    from_start -= size;
  }
  return {sizes.rbegin()->first, sizes.rbegin()->second};
}

io::Task<Result<>> stream_file(io::Loop& loop, const kernel::Beneath& alloc, std::string path, StreamRequest request,
                               std::function<bool()> writer_gone, FrameSink& sink, io::Deadline deadline) {
  auto work = [&alloc, path]() { return open_alloc_file(alloc, path); };
  STEPPE_CO_TRY(kernel::Fd opened, co_await io::run_blocking(loop, std::move(work)));
  auto fd = std::make_shared<kernel::Fd>(std::move(opened));
  uint64_t offset = request.offset, left = request.limit;
  STEPPE_CO_TRY(kernel::FileInfo info, kernel::stat_fd(*fd, path));
  // Past the end is the end; from there on, a shorter file was truncated.
  offset = std::min<uint64_t>(request.offset, info.size.count);
  if (request.origin == Origin::kEnd) offset = info.size.count - offset;
  Quiet quiet(loop);
  while (true) {
    bool over = writer_gone && writer_gone();
    STEPPE_CO_TRY(bool sent, co_await drain(loop, fd, path, offset, left, sink));
    if (request.follow == Follow::kNo || left == 0) co_return Result<>();
    if (sent) quiet.heard();
    if (is_deleted(*fd)) {
      co_return co_await sink.put({offset, "", path, "file deleted"});
    }
    if (over && !sent) co_return Result<>();
    STEPPE_CO_TRY_VOID(co_await quiet.wait(sink, deadline));
  }
}

namespace {

// Index to size of the log files of one stream.
Result<std::map<uint64_t, uint64_t>> log_files(const kernel::Beneath& alloc, const std::string& prefix) {
  STEPPE_TRY(std::vector<kernel::DirectoryEntry> entries, alloc.list("alloc/logs"));
  std::map<uint64_t, uint64_t> out;
  for (const kernel::DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with(prefix)) continue;
    auto index = parse_uint(std::string_view(entry.name).substr(prefix.size()));
    if (!index.ok()) continue;
    auto info = alloc.stat("alloc/logs/" + entry.name);
    if (info.ok() && info->type == kernel::FileType::kFile) out[*index] = info->size.count;
  }
  return out;
}

}  // namespace

io::Task<Result<>> stream_logs(io::Loop& loop, const kernel::Beneath& alloc, std::string task, std::string type,
                               StreamRequest request, std::function<bool()> writer_gone, FrameSink& sink, io::Deadline deadline) {
  std::string prefix = task + "." + type + ".";
  auto scan = [&loop, &alloc, prefix]() -> io::Task<Result<std::map<uint64_t, uint64_t>>> {
    auto work = [&alloc, prefix] { return log_files(alloc, prefix); };
    co_return co_await io::run_blocking(loop, std::move(work));
  };
  Quiet quiet(loop);
  std::map<uint64_t, uint64_t> files;
  while (true) {
    STEPPE_CO_TRY(files, co_await scan());
    if (!files.empty()) break;
    if (request.follow == Follow::kNo || writer_gone()) co_return Result<>();
    STEPPE_CO_TRY_VOID(co_await quiet.wait(sink, deadline));
  }
  LogPosition position = find_log_position(files, request.offset, request.origin);
  uint64_t left = request.limit;
  while (true) {
    std::string name = prefix + std::to_string(position.index), path = "alloc/logs/" + name;
    auto open = [&alloc, path] { return open_alloc_file(alloc, path); };
    Result<kernel::Fd> opened = co_await io::run_blocking(loop, std::move(open));
    auto fd = opened.ok() ? std::make_shared<kernel::Fd>(*std::move(opened)) : nullptr;
    bool advanced = false;
    while (!advanced) {
      // Asked before the last read: what was written before the rotation, or the end, is then in it.
      bool over = writer_gone();
      STEPPE_CO_TRY(files, co_await scan());
      auto next = files.upper_bound(position.index);
      bool sent = false;
      if (fd) {
        STEPPE_CO_TRY(sent, co_await drain(loop, fd, name, position.offset, left, sink));
      }
      if (sent) quiet.heard();
      if (next != files.end()) {
        position = {next->first, 0};
        advanced = true;
        continue;
      }
      if (request.follow == Follow::kNo || left == 0 || (over && !sent)) co_return Result<>();
      STEPPE_CO_TRY_VOID(co_await quiet.wait(sink, deadline));
    }
  }
}

}  // namespace steppe::client
