#include "agent/client/client_api.h"

#include <algorithm>
#include <format>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::client {
namespace {

using endpoint::bad_request;
using endpoint::Failure;
using endpoint::Method;
using endpoint::not_found;
using endpoint::Outcome;

constexpr Duration kRestartPatience = std::chrono::seconds(30);
constexpr Duration kRestartLook = std::chrono::milliseconds(20);

double core_mhz(const schema::Node& node) {
  const schema::LegacyNodeCpuResources& cpu = node.node_resources().cpu();
  return cpu.total_cpu_cores() == 0 ? 0 : static_cast<double>(cpu.cpu_shares()) / static_cast<double>(cpu.total_cpu_cores());
}

// Writes frames as the body that the HTTP API shows: JSON objects one after another, or the bytes alone.
class StreamSink final : public FrameSink {
 public:
  enum class Form : uint8_t { kFrames, kBytes };
  StreamSink(endpoint::Stream& stream, Form form, io::Deadline deadline)
      : stream_(stream), form_(form), deadline_(std::move(deadline)) {}

  io::Task<Result<>> put(FileFrame frame) override {
    auto piece = std::make_unique<schema::StreamReply>();
    if (form_ == Form::kBytes) {
      if (frame.data.empty()) co_return Result<>();
      piece->set_payload(std::move(frame.data));
    } else {
      schema::StreamFrame message;
      message.set_offset(static_cast<int64_t>(frame.offset));
      message.set_data(std::move(frame.data));
      message.set_file(std::move(frame.file));
      message.set_file_event(std::move(frame.event));
      piece->set_payload(schema::write_json(message));
    }
    auto sent = co_await stream_.send(std::move(piece), deadline_);
    if (!sent.ok()) co_return Error(sent.error());
    co_return Result<>();
  }

 private:
  endpoint::Stream& stream_;
  Form form_;
  io::Deadline deadline_;
};

Failure file_failure(const Error& error, const std::string& path) {
  if (error.code() == Code::kNotFound) return {404, Code::kNotFound, std::format("file not found: {}", path)};
  if (error.code() == Code::kDenied) return {403, Code::kDenied, error.message()};
  return error;
}

Outcome<Origin> origin_of(const std::string& text) {
  if (text.empty() || text == "start") return Origin::kStart;
  if (text == "end") return Origin::kEnd;
  return bad_request("origin must be start or end");
}

// A stream that the reader left is over, not failed.
Outcome<> finish(Result<> done, const std::string& path) {
  if (done.ok() || done.error().code() == Code::kCancelled) return {};
  return file_failure(done.error(), path);
}

}  // namespace

ClientApi::ClientApi(Client& client, io::Loop& loop) : client_(client), loop_(loop), meter_(0) {}

void ClientApi::serve(endpoint::Dispatcher& d) {
  d.add<Method::kAllocationsRestart>(loop_, [this](const auto& q, const Call& c, auto& r) { return restart(q, c, r); });
  d.add<Method::kAllocationsSignal>(loop_, [this](const auto& q, const Call& c, auto& r) { return signal(q, c, r); });
  d.add<Method::kAllocationsStats>(loop_, [this](const auto& q, const Call& c, auto& r) { return stats(q, c, r); });
  d.add<Method::kAllocationsGarbageCollect>(loop_, [this](const auto& q, const Call& c, auto& r) { return collect(q, c, r); });
  d.add<Method::kAllocationsGarbageCollectAll>(loop_, [this](const auto& q, const Call& c, auto& r) { return collect_all(q, c, r); });
  d.add<Method::kClientStatsStats>(loop_, [this](const auto& q, const Call& c, auto& r) { return node_stats(q, c, r); });
  d.add<Method::kFileSystemList>(loop_, [this](const auto& q, const Call& c, auto& r) { return list(q, c, r); });
  d.add<Method::kFileSystemStat>(loop_, [this](const auto& q, const Call& c, auto& r) { return stat(q, c, r); });
  d.add_stream<Method::kFileSystemReadAt>(loop_, [this](const auto& q, const Call& c, endpoint::Stream& s) { return read(q, c, s); });
  d.add_stream<Method::kFileSystemStream>(loop_, [this](const auto& q, const Call& c, endpoint::Stream& s) { return stream(q, c, s); });
  d.add_stream<Method::kFileSystemLogs>(loop_, [this](const auto& q, const Call& c, endpoint::Stream& s) { return logs(q, c, s); });
  d.add_stream<Method::kAllocationsExec>(loop_, [this](const auto& q, const Call& c, endpoint::Stream& s) { return exec(q, c, s); });
}

Outcome<AllocRunner*> ClientApi::find(const std::string& id, const Call& call) {
  AllocRunner* alloc = client_.find(id);
  if (alloc == nullptr) {
    call.absent();
    return not_found("alloc");
  }
  Outcome<> allowed = call.authorise(alloc->alloc().namespace_());
  if (!allowed.ok()) return allowed.error();
  return alloc;
}

Outcome<AllocRunner*> ClientApi::find_with_files(const std::string& id, const Call& call) {
  auto alloc = find(id, call);
  if (alloc.ok() && !(*alloc)->has_directory()) return not_found("alloc directory");
  return alloc;
}

// What is asked of a task next (a signal, a command inside) finds the new one: restarts are answered when each task runs
// anew, has ended, or waits out its delay. Those that take longer are answered while they are under way.
io::Task<void> ClientApi::await_restart(std::string alloc_id, std::map<std::string, uint64_t> attempts_before, io::Deadline deadline) {
  deadline.at = std::min(deadline.at, loop_.now() + kRestartPatience);
  const auto under_way = [&] {
    const AllocRunner* alloc = client_.find(alloc_id);
    if (alloc == nullptr) return false;
    return std::ranges::any_of(alloc->tasks(), [&](const auto& task) {
      const auto before = attempts_before.find(task->name());
      const TaskSnapshot& now = task->snapshot();
      if (before == attempts_before.end() || now.phase == TaskPhase::kDead || now.phase == TaskPhase::kBackoff) return false;
      const bool starts = now.phase == TaskPhase::kWaiting || now.phase == TaskPhase::kPreparing || now.phase == TaskPhase::kStarting;
      return starts || now.attempt == before->second;
    });
  };
  while (under_way() && loop_.now() < deadline.at) {
    Result<> slept = co_await io::sleep_for(loop_, kRestartLook, deadline.stop);
    if (!slept.ok()) co_return;
  }
}

io::Task<Outcome<>> ClientApi::restart(const schema::AllocRestartRequest& request, const Call& call, schema::GenericReply&) {
  auto alloc = find(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  if (request.all_tasks() && !request.task_name().empty()) {
    co_return bad_request("cannot restart a single task and all tasks at once");
  }
  std::map<std::string, uint64_t> attempts;
  if (request.all_tasks()) {
    for (const auto& task : (*alloc)->tasks()) {
      if (task->snapshot().state() == "running") attempts.emplace(task->name(), task->snapshot().attempt);
    }
    Result<> done = (*alloc)->restart_all("User requested all tasks to restart");
    if (!done.ok()) co_return done.error();
    co_await await_restart(request.alloc_id(), std::move(attempts), call.deadline());
    co_return Outcome<>();
  }
  for (const auto& task : (*alloc)->tasks()) {
    if (!request.task_name().empty() && task->name() != request.task_name()) continue;
    bool runs = task->snapshot().state() == "running";
    if (!request.task_name().empty() && !runs) co_return endpoint::rpc_error("Task not running");
    if (!runs) continue;
    attempts.emplace(task->name(), task->snapshot().attempt);
    task->restart(request.task_name().empty() ? "User requested running tasks to restart" : "User requested task to restart");
  }
  if (attempts.empty()) {
    if (!request.task_name().empty()) co_return Failure(400, Code::kInvalid, "Could not find task runner for task: " + request.task_name());
    co_return endpoint::rpc_error("Task not running");
  }
  co_await await_restart(request.alloc_id(), std::move(attempts), call.deadline());
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::signal(const schema::AllocSignalRequest& request, const Call& call, schema::GenericReply&) {
  auto alloc = find(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string name = request.signal().empty() ? "SIGKILL" : request.signal();
  Result<int> number = signal_number(name);
  if (!number.ok()) co_return bad_request(number.error().message());
  bool known = request.task().empty(), any = false;
  for (const auto& task : (*alloc)->tasks()) {
    if (!request.task().empty() && task->name() != request.task()) continue;
    known = true;
    if (request.task().empty() && task->snapshot().state() != "running") continue;
    Result<> sent = task->signal(*number, name);
    if (!sent.ok()) co_return endpoint::rpc_error(sent.error().message());
    any = true;
  }
  if (!known) co_return Failure(404, Code::kNotFound, "Could not find task: " + request.task());
  if (!any) co_return endpoint::rpc_error("Task not running");
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::stats(const schema::AllocStatsRequest& request, const Call& call, schema::AllocStatsReply& reply) {
  auto alloc = find(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string id = request.alloc_id(), only = request.task();
  std::vector<std::string> names;
  for (const auto& task : (*alloc)->tasks()) {
    if (only.empty() || task->name() == only) names.push_back(task->name());
  }
  if (names.empty()) co_return Failure(404, Code::kNotFound, std::format("allocation \"{}\" has no task \"{}\"", id, only));
  schema::AllocResourceUsage& out = *reply.mutable_stats();
  out.set_timestamp(loop_.wall().unix_ns);
  out.mutable_resource_usage()->mutable_memory_stats();
  for (const std::string& name : names) {
    AllocRunner* still = client_.find(id);
    TaskRunner* task = still == nullptr ? nullptr : still->task(name);
    if (task == nullptr) continue;
    auto measured = co_await task->stats();
    if (!measured.ok()) continue;  // it does not run
    schema::TaskResourceUsage& usage = (*out.mutable_tasks())[name];
    usage.set_timestamp(loop_.wall().unix_ns);
    meter_.set_mhz(core_mhz(client_.node()));
    meter_.task(id + "/" + name, *measured, loop_.now(), *usage.mutable_resource_usage());
    add_usage(usage.resource_usage(), *out.mutable_resource_usage());
  }
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::collect(const schema::AllocGarbageCollectRequest& request, const Call& call, schema::GenericReply&) {
  auto alloc = find(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  Result<> done = co_await client_.collect(request.alloc_id());
  if (!done.ok()) co_return endpoint::rpc_error(done.error().message());
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::collect_all(const schema::ClientGarbageCollectRequest&, const Call&, schema::GenericReply&) {
  co_await client_.collect_all();
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::node_stats(const schema::ClientStatsRequest& request, const Call&, schema::ClientStatsReply& reply) {
  if (!request.node_id().empty() && request.node_id() != client_.node().id()) co_return not_found("node");
  std::string alloc_dir = client_.alloc_dir();
  struct Looked {
    HostSample sample;
    std::optional<kernel::FileSystemUsage> disk;
  };
  auto work = [alloc_dir]() -> Looked {
    Looked out;
    out.sample.meminfo = kernel::read_host_file("/proc/meminfo").value_or("");
    out.sample.stat = kernel::read_host_file("/proc/stat", Bytes::mib(1)).value_or("");
    out.sample.uptime = kernel::read_host_file("/proc/uptime").value_or("");
    auto root = kernel::Beneath::at(alloc_dir);
    if (!root.ok()) return out;
    auto fd = root->open_directory(".");
    if (!fd.ok()) return out;
    auto usage = kernel::file_system_usage(*fd);
    if (usage.ok()) out.disk = *usage;
    return out;
  };
  Looked looked = co_await io::run_blocking(loop_, std::move(work));
  looked.sample.at = loop_.now();
  schema::HostStats& out = *reply.mutable_host_stats();
  out.set_timestamp(loop_.wall().unix_ns);
  host_stats(looked.sample, host_before_, static_cast<double>(client_.node().node_resources().cpu().cpu_shares()), out);
  host_before_ = std::move(looked.sample);
  if (looked.disk) {
    schema::HostDiskStats& disk = *out.mutable_alloc_dir_stats();
    disk.set_mountpoint(alloc_dir);
    disk.set_size(looked.disk->total);
    disk.set_used(looked.disk->used);
    disk.set_available(looked.disk->available);
    disk.set_used_percent(looked.disk->used_percent);
    disk.set_inodes_used_percent(looked.disk->inodes_used_percent);
    *out.add_disk_stats() = disk;
  }
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::list(const schema::FsListRequest& request, const Call& call, schema::FsListReply& reply) {
  auto alloc = find_with_files(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string path = request.path();
  auto root = (*alloc)->directory().root().sub(".");  // its own descriptor: the alloc may vanish meanwhile
  if (!root.ok()) co_return root.error();
  auto work = [&root, path, &reply]() -> Result<> {
    STEPPE_TRY_VOID(check_readable_path(path));
    std::string_view inner = path;
    while (inner.starts_with('/')) inner.remove_prefix(1);
    while (inner.ends_with('/')) inner.remove_suffix(1);
    STEPPE_TRY(std::vector<kernel::DirectoryEntry> entries, root->list(inner));
    for (const kernel::DirectoryEntry& entry : entries) {
      schema::AllocFileInfo info;
      std::string full = inner.empty() ? entry.name : std::string(inner) + "/" + entry.name;
      if (describe_file(*root, full, info).ok()) *reply.add_files() = std::move(info);
    }
    return {};
  };
  Result<> done = co_await io::run_blocking(loop_, std::move(work));
  if (!done.ok()) co_return file_failure(done.error(), path);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::stat(const schema::FsStatRequest& request, const Call& call, schema::FsStatReply& reply) {
  auto alloc = find_with_files(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string path = request.path();
  auto root = (*alloc)->directory().root().sub(".");
  if (!root.ok()) co_return root.error();
  auto work = [&root, path, &reply]() -> Result<> {
    STEPPE_TRY_VOID(check_readable_path(path));
    return describe_file(*root, path, *reply.mutable_info());
  };
  Result<> done = co_await io::run_blocking(loop_, std::move(work));
  if (!done.ok()) co_return file_failure(done.error(), path);
  co_return Outcome<>();
}

io::Task<Outcome<>> ClientApi::read(const schema::FsReadRequest& request, const Call& call, endpoint::Stream& stream) {
  auto alloc = find_with_files(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string path = request.path();
  if (path.empty()) co_return bad_request("must provide a file name");
  if (request.offset() < 0 || request.limit() < 0) co_return bad_request("offset and limit must not be negative");
  auto root = (*alloc)->directory().root().sub(".");
  if (!root.ok()) co_return root.error();
  StreamRequest range;
  range.offset = static_cast<uint64_t>(request.offset());
  STEPPE_CO_TRY(range.origin, origin_of(request.origin()));
  if (request.limit() > 0) range.limit = static_cast<uint64_t>(request.limit());
  StreamSink sink(stream, StreamSink::Form::kBytes, call.deadline());
  Result<> done = co_await stream_file(loop_, *root, path, range, {}, sink, call.deadline());
  co_return finish(std::move(done), path);
}

io::Task<Outcome<>> ClientApi::stream(const schema::FsReadRequest& request, const Call& call, endpoint::Stream& stream) {
  auto alloc = find_with_files(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string path = request.path();
  if (path.empty()) co_return bad_request("must provide a file name");
  if (request.offset() < 0) co_return bad_request("offset must not be negative");
  auto root = (*alloc)->directory().root().sub(".");
  if (!root.ok()) co_return root.error();
  StreamRequest range;
  range.offset = static_cast<uint64_t>(request.offset());
  STEPPE_CO_TRY(range.origin, origin_of(request.origin()));
  range.follow = request.follow() ? Follow::kYes : Follow::kNo;
  auto form = request.plain_text() ? StreamSink::Form::kBytes : StreamSink::Form::kFrames;
  StreamSink sink(stream, form, call.deadline());
  std::string id = request.alloc_id();
  auto gone = [this, id] {
    AllocRunner* runner = client_.find(id);
    return runner == nullptr || runner->finished();
  };
  Result<> done = co_await stream_file(loop_, *root, path, range, gone, sink, call.deadline());
  co_return finish(std::move(done), path);
}

io::Task<Outcome<>> ClientApi::logs(const schema::FsLogsRequest& request, const Call& call, endpoint::Stream& stream) {
  auto alloc = find_with_files(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  std::string task = request.task(), type = request.log_type();
  if (task.empty()) co_return bad_request("must provide task name");
  if (type != "stdout" && type != "stderr") co_return bad_request("log type must be stdout or stderr");
  if (request.offset() < 0) co_return bad_request("offset must not be negative");
  TaskRunner* runner = (*alloc)->task(task);
  if (runner == nullptr) co_return Failure(404, Code::kNotFound, std::format("unknown task name \"{}\"", task));
  if (runner->snapshot().state() == "pending" && !runner->ever_started() && !request.follow()) {
    co_return Failure(404, Code::kNotFound, std::format("task \"{}\" not started yet. No logs available", task));
  }
  auto root = (*alloc)->directory().root().sub(".");
  if (!root.ok()) co_return root.error();
  StreamRequest range;
  range.offset = static_cast<uint64_t>(request.offset());
  STEPPE_CO_TRY(range.origin, origin_of(request.origin()));
  range.follow = request.follow() ? Follow::kYes : Follow::kNo;
  auto form = request.plain_text() ? StreamSink::Form::kBytes : StreamSink::Form::kFrames;
  StreamSink sink(stream, form, call.deadline());
  std::string id = request.alloc_id();
  // Following ends with the task, so that scripts that follow do not hang for ever.
  auto gone = [this, id, task] {
    AllocRunner* holder = client_.find(id);
    TaskRunner* one = holder == nullptr ? nullptr : holder->task(task);
    return one == nullptr || one->snapshot().state() == "dead";
  };
  Result<> done = co_await stream_logs(loop_, *root, task, type, range, gone, sink, call.deadline());
  co_return finish(std::move(done), task);
}

io::Task<Outcome<>> ClientApi::exec(const schema::AllocExecRequest& request, const Call& call, endpoint::Stream& stream) {
  auto alloc = find(request.alloc_id(), call);
  if (!alloc.ok()) co_return alloc.error();
  TaskRunner* task = (*alloc)->task(request.task());
  if (task == nullptr) co_return Failure(404, Code::kNotFound, std::format("unknown task name \"{}\"", request.task()));
  // A command in a task without isolation runs on the node itself.
  if (!task->isolated() && !call.identity().allows(endpoint::Capability::kAllocNodeExec, (*alloc)->alloc().namespace_())) {
    co_return endpoint::permission_denied();
  }
  drivers::ExecRequest command;
  command.argv = {request.cmd().begin(), request.cmd().end()};
  command.tty = request.tty();
  if (command.argv.empty()) co_return bad_request("command is not present");
  bool tty = command.tty;
  auto session = co_await task->exec(std::move(command));
  if (!session.ok()) co_return session.error();
  co_return co_await run_exec(loop_, **session, tty, stream, call.deadline());
}

}  // namespace steppe::client
