#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>

#include "drivers/executor/host.h"
#include "drivers/executor/limits.h"
#include "drivers/executor/session.h"
#include "drivers/executor/spawn.h"
#include "init/base/text.h"
#include "init/sys/kernel/unix_socket.h"

namespace steppe::executor {
namespace {

using drivers::ExitResult;
using drivers::Task;
using drivers::TaskConfig;
using drivers::TaskHandle;
using kernel::Beneath;
using kernel::Cgroup;
using kernel::Fd;
using kernel::Process;

// The files of a run directory. The order in which they appear is what recovery reasons about: the record and the
// socket before the executor, the handle after its start report.
constexpr const char* kRecordFile = "exit";
constexpr const char* kSocketFile = "control";
constexpr const char* kProfileFile = "profile";
constexpr const char* kHandleFile = "handle";

constexpr Duration kStartLimit = std::chrono::seconds(30);

bool id_fits(std::string_view id) {
  return !id.empty() && id.size() <= 120 && !id.starts_with('.') && std::ranges::all_of(id, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

// Kills and removes a task's cgroup; absent is fine.
Result<> remove_cgroup(const Host& host, const std::string& id) {
  if (host.cgroup_parent() == nullptr) return {};
  // Most often nobody is left in it.
  Result<> removed = host.cgroup_parent()->remove(id);
  if (removed.ok() || removed.error().code() != Code::kUnavailable) return removed;
  auto cgroup = host.cgroup_parent()->open(id);
  if (!cgroup.ok()) return cgroup.error().code() == Code::kNotFound ? Result<>() : Result<>(std::move(cgroup).error());
  (void)cgroup->kill();
  removed = host.cgroup_parent()->remove(id);
  // Killed processes take a moment to be gone; each is waited for through its pidfd.
  for (int tries = 0; tries < 100 && !removed.ok() && removed.error().code() == Code::kUnavailable; ++tries) {
    auto procs = cgroup->read("cgroup.procs");
    size_t waited = 0;
    for (std::string_view line : split(procs.ok() ? *procs : "", '\n')) {
      auto pid = parse_int(line);
      if (!pid.ok()) continue;
      auto process = Process::open(static_cast<int>(*pid));
      if (process.ok() && ++waited) (void)process->wait(std::chrono::milliseconds(200));
    }
    removed = host.cgroup_parent()->remove(id);
  }
  return removed;
}

class ExecutorTask : public Task {
 public:
  ExecutorTask(std::shared_ptr<const Host> host, TaskHandle handle, std::vector<std::string> warnings, Beneath directory)
      : host_(std::move(host)), handle_(std::move(handle)), warnings_(std::move(warnings)), directory_(std::move(directory)) {}

  void running(Started started) {
    connection_ = std::move(started.connection);
    executor_ = std::move(started.executor);
    task_ = std::move(started.task);
    ended_ = std::move(started.ended);
    if (host_->cgroup_parent() != nullptr && !handle_.cgroup.empty()) {
      auto cgroup = host_->cgroup_parent()->open(handle_.id);
      if (cgroup.ok()) cgroup_ = std::move(*cgroup);
    }
  }
  Result<> ended() {
    done_ = Fd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!done_) return Error::from_errno(errno, "make an event descriptor");
    return {};
  }

  const TaskHandle& handle() const override { return handle_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  int wait_fd() const override { return done_.valid() ? done_.get() : ended_.valid() ? ended_.get() : executor_.fd(); }

  Result<ExitResult> reap() override {
    if (!done_.valid()) {
      STEPPE_TRY(bool gone, is_gone());
      if (!gone) return {Code::kUnavailable, std::format("task {} still runs", handle_.id)};
      // Not a child of ours after a restart of the agent; then whoever adopted it reaps. One that is still on its way
      // out is reaped by destroy().
      (void)executor_.reap();
    }
    auto record = directory_.open(kRecordFile, O_RDONLY);
    if (!record.ok()) return lost(std::move(record).error());
    auto result = read_exit_record(*record);
    return result.ok() ? result : lost(std::move(result).error());
  }

  Result<> stop(int signal, Duration grace) override {
    int64_t ms = std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(grace).count());
    return finished(call(Verb::kStop, signal, ms));
  }
  Result<> kill() override { return finished(call(Verb::kKill)); }
  Result<> signal(int number) override {
    if (number < 1 || number > 64) return {Code::kInvalid, std::format("{} is not a signal", number)};
    return call(Verb::kSignal, number);
  }

  Result<drivers::TaskStats> stats() override {
    STEPPE_TRY(bool gone, is_gone());
    if (gone) return {Code::kNotFound, std::format("task {} has ended", handle_.id)};
    return read_stats(*host_, cgroup_ ? &*cgroup_ : nullptr, task_.pid());
  }

  Result<std::unique_ptr<drivers::ExecSession>> exec(drivers::ExecRequest request) override {
    STEPPE_TRY(bool gone, is_gone());
    if (gone) return {Code::kNotFound, std::format("task {} has ended", handle_.id)};
    STEPPE_TRY(std::string bytes, directory_.read(kProfileFile, Bytes::kib(64)));
    STEPPE_TRY(Profile profile, Profile::decode(as_bytes(bytes)));
    return open_session(host_, profile, task_, cgroup_ ? &*cgroup_ : nullptr, std::move(request));
  }

  Result<> destroy() override {
    if (executor_.valid()) {
      (void)kill();
      auto gone = executor_.wait(std::chrono::seconds(6));
      if (!gone.ok() || !*gone) {
        // Its death signal takes the task along.
        (void)executor_.signal(SIGKILL);
        (void)executor_.wait(std::chrono::seconds(5));
      }
      (void)executor_.reap();
    }
    cgroup_.reset();
    STEPPE_TRY_VOID(remove_cgroup(*host_, handle_.id));
    return host_->run_dir().remove_tree(handle_.id);
  }

 private:
  // The exit record is complete, or there will never be one.
  Result<bool> is_gone() const {
    if (done_.valid()) return true;
    if (!ended_.valid()) return executor_.ended();
    pollfd one = {ended_.get(), POLLIN, 0};
    return ::poll(&one, 1, 0) > 0;
  }

  // What is known of a task whose executor left no readable record.
  ExitResult lost(Error why) {
    ExitResult out;
    out.code = -1;
    out.at = host_->clock().wall();
    out.error = why.code() == Code::kUnavailable ? "the task's executor died without a record" : why.message();
    if (!cleaned_) (void)remove_cgroup(*host_, handle_.id);
    cleaned_ = true;
    return out;
  }

  Result<> call(Verb verb, int signal = 0, int64_t grace_ms = 0) {
    STEPPE_TRY(bool gone, is_gone());
    if (gone) return {Code::kNotFound, std::format("task {} has ended", handle_.id)};
    if (!connection_.open()) {
      auto socket = kernel::connect_packets(directory_.fd(), kSocketFile);
      if (!socket.ok()) return {Code::kNotFound, std::format("task {} has ended", handle_.id)};
      connection_ = Connection(std::move(*socket));
    }
    STEPPE_TRY(Reply reply, connection_.call(verb, signal, grace_ms));
    if (reply.error == ESRCH) return {Code::kNotFound, std::format("task {} has ended", handle_.id)};
    if (reply.error != 0) return Error::from_errno(reply.error, std::format("signal task {}", handle_.id));
    return {};
  }
  // Stopping what has ended is no error.
  static Result<> finished(Result<> result) {
    return !result.ok() && result.error().code() == Code::kNotFound ? Result<>() : result;
  }

  std::shared_ptr<const Host> host_;
  TaskHandle handle_;
  std::vector<std::string> warnings_;
  Beneath directory_;
  Connection connection_;
  Process executor_, task_;
  std::optional<Cgroup> cgroup_;
  Fd done_;   // after recovery of what had ended
  Fd ended_;  // the executor's word that its record is complete
  bool cleaned_ = false;
};

// Where NAME0, NAME1, ... go on, and what older files are too many. Names that only look like ours count as well: the
// executor clears what it cannot trust.
uint32_t next_log_index(const Beneath& logs, const std::vector<kernel::DirectoryEntry>& entries, const std::string& prefix, int64_t max_files) {
  std::vector<uint32_t> found;
  for (const kernel::DirectoryEntry& entry : entries) {
    if (!entry.name.starts_with(prefix)) continue;
    auto number = parse_uint(std::string_view(entry.name).substr(prefix.size()));
    if (number.ok() && *number < 1'000'000'000 && std::to_string(*number).size() == entry.name.size() - prefix.size()) {
      found.push_back(static_cast<uint32_t>(*number));
    }
  }
  if (found.empty()) return 0;
  std::ranges::sort(found);
  for (uint32_t index : found) {
    if (static_cast<int64_t>(index) + max_files <= static_cast<int64_t>(found.back())) (void)logs.remove_tree(prefix + std::to_string(index));
  }
  return found.back();
}

Result<> prepare_logs(Launch& launch) {
  const TaskConfig& config = *launch.config;
  if (config.logs.disabled || !config.log_dir.valid()) return {};
  isolate::PlanHead& head = launch.plan.head;
  if (config.task.empty() || config.task.size() > 180 || config.task.find('/') != std::string::npos) {
    return {Code::kInvalid, std::format("task name \"{}\" cannot name a log file", config.task)};
  }
  STEPPE_TRY(Fd directory, config.log_dir.duplicate());
  Beneath logs(std::move(directory), "the log directory");
  int64_t max_files = std::clamp<int64_t>(config.logs.max_files, 1, 10'000);
  STEPPE_TRY(auto entries, logs.list(""));
  const char* streams[] = {"stdout", "stderr"};
  for (int i = 0; i < 2; ++i) {
    std::string prefix = std::format("{}.{}.", config.task, streams[i]);
    head.log_index[i] = next_log_index(logs, entries, prefix, max_files);
    head.log_name[i] = launch.plan.text(prefix);
  }
  head.log_max_files = static_cast<uint32_t>(max_files);
  head.log_max_size = std::max<uint64_t>(config.logs.max_file_size.count, 1024);
  head.log_dir_fd = config.log_dir.get();
  launch.plan.inherit(config.log_dir.get());
  return {};
}

Result<> prepare_cgroup(const Host& host, Launch& launch, std::optional<Cgroup>& cgroup) {
  if (host.cgroup_parent() == nullptr) {
    if (launch.limit_resources) launch.warnings.push_back(host.limits_missing());
    return {};
  }
  // A cgroup of that name can only be left from an attempt that recovery has declared dead.
  STEPPE_TRY_VOID(remove_cgroup(host, launch.config->id));
  STEPPE_TRY(cgroup, host.cgroup_parent()->make(launch.config->id));
  if (launch.limit_resources) {
    for (const auto& [file, value] : cgroup_settings(host, launch.config->resources, launch.oom_group)) {
      STEPPE_TRY_VOID(cgroup->write(file, value).wrap("limit the task"));
    }
    if (!host.limits_missing().empty()) launch.warnings.push_back(host.limits_missing());
  }
  launch.plan.head.cgroup_fd = cgroup->fd();
  launch.plan.inherit(cgroup->fd());
  return {};
}

Result<std::unique_ptr<Task>> start_in(const std::shared_ptr<const Host>& host, Launch& launch) {
  const TaskConfig& config = *launch.config;
  STEPPE_TRY_VOID(host->run_dir().make_directories(config.id, 0700));
  STEPPE_TRY(Beneath directory, host->run_dir().sub(config.id));
  STEPPE_TRY(Fd record, directory.open(kRecordFile, O_RDWR | O_CREAT | O_EXCL, 0600));
  // Room for the result is taken now, as a disk that is full by then would lose it. Where that cannot be done, it is not.
  if (::fallocate(record.get(), FALLOC_FL_KEEP_SIZE, 0, kMaxRecord) != 0 && errno == ENOSPC) {
    return Error::from_errno(ENOSPC, "take room for the exit record");
  }
  STEPPE_TRY_VOID(directory.write(kProfileFile, as_bytes(launch.profile.encode()), 0600));
  STEPPE_TRY(Fd listener, kernel::listen_packets(directory.fd(), kSocketFile));
  STEPPE_TRY_VOID(prepare_logs(launch));
  std::optional<Cgroup> cgroup;
  STEPPE_TRY_VOID(prepare_cgroup(*host, launch, cgroup));
  isolate::PlanHead& head = launch.plan.head;
  head.null_fd = host->dev_null();
  head.listen_fd = listener.get();
  head.record_fd = record.get();
  head.sync_record = host->options().sync_records ? 1 : 0;
  for (int fd : {host->dev_null(), listener.get(), record.get()}) launch.plan.inherit(fd);
  std::string title = std::format("steppe-executor: {} {}", config.alloc_id.substr(0, 8), config.task);
  bool standby = launch.standby != nullptr && launch.preparation == launch.standby->preparation();
  if (launch.preparation && !standby) launch.preparation->add_to(launch.plan);
  STEPPE_TRY(Started started, standby ? launch.standby->launch(launch.plan, title, kStartLimit)
                                      : spawn_executor(host->program(), launch.plan, title, kStartLimit));
  TaskHandle handle;
  handle.driver = launch.driver;
  handle.id = config.id;
  handle.run_dir = std::format("{}/{}", host->run_dir_path(), config.id);
  handle.cgroup = cgroup ? cgroup->path() : "";
  handle.executor_pid = started.executor.pid();
  handle.task_pid = started.task.pid();
  handle.started_at = host->clock().wall();
  handle.data = host->boot_id();
  auto stored = directory.write(kHandleFile, as_bytes(handle.encode()), 0600);
  auto task = std::make_unique<ExecutorTask>(host, std::move(handle), std::move(launch.warnings), std::move(directory));
  task->running(std::move(started));
  if (!stored.ok()) {
    (void)task->destroy();
    return std::move(stored).error();
  }
  return std::unique_ptr<Task>(std::move(task));
}

}  // namespace

Result<std::unique_ptr<Task>> start(std::shared_ptr<const Host> host, Launch launch) {
  const std::string& id = launch.config->id;
  if (!id_fits(id)) return {Code::kInvalid, std::format("task id \"{}\" is not [A-Za-z0-9._-]{{1,120}}", id)};
  if (host->run_dir().stat(id).ok()) {
    return {Code::kExists, std::format("task {} was started before: recover it, or destroy it, first", id)};
  }
  auto task = start_in(host, launch);
  if (task.ok()) return task;
  (void)remove_cgroup(*host, id);
  (void)host->run_dir().remove_tree(id);
  return std::move(task).error().wrap(std::format("start task {}", launch.config->task));
}

Result<std::unique_ptr<Task>> recover_attempt(std::shared_ptr<const Host> host, std::string_view driver, std::string_view id) {
  if (!id_fits(id)) return {Code::kInvalid, std::format("task id \"{}\" is not [A-Za-z0-9._-]{{1,120}}", id)};
  auto directory = host->run_dir().sub(id);
  if (!directory.ok()) return std::move(directory).error().wrap(std::format("recover task {}", id));
  TaskHandle handle;
  auto bytes = directory->read(kHandleFile, Bytes::kib(64));
  auto stored = bytes.ok() ? TaskHandle::decode(as_bytes(*bytes)) : Result<TaskHandle>(std::move(bytes).error());
  if (stored.ok()) {
    handle = std::move(*stored);
  } else {
    // The agent died between the executor's start and its own note of it; all of this can be told anew.
    handle.driver = driver;
    handle.id = id;
    handle.run_dir = std::format("{}/{}", host->run_dir_path(), id);
    if (host->cgroup_parent() != nullptr) handle.cgroup = std::format("{}/{}", host->cgroup_parent()->path(), id);
    handle.data = host->boot_id();
  }
  if (handle.driver != driver) return {Code::kInvalid, std::format("task {} belongs to driver {}, not {}", id, handle.driver, driver)};
  auto socket = kernel::connect_packets(directory->fd(), kSocketFile);
  if (socket.ok()) {
    Connection connection(std::move(*socket));
    auto reply = connection.call(Verb::kStatus);
    if (reply.ok() && reply->fds.size() == 2) {
      handle.executor_pid = reply->executor_pid;
      handle.task_pid = reply->task_pid;
      Started started{std::move(connection), Process(std::move(reply->fds[0]), reply->executor_pid),
                      Process(std::move(reply->fds[1]), reply->task_pid)};
      auto task = std::make_unique<ExecutorTask>(host, std::move(handle), std::vector<std::string>(), std::move(*directory));
      task->running(std::move(started));
      return std::unique_ptr<Task>(std::move(task));
    }
    // It hung up between accepting and answering: it is on its way out, and its record is written before that.
    if (!reply.ok() && reply.error().code() != Code::kNotFound) return std::move(reply).error().wrap(std::format("recover task {}", id));
  }
  auto record = directory->open(kRecordFile, O_RDONLY);
  bool has_record = record.ok() && read_exit_record(*record).ok();
  bool was_started = stored.ok() && handle.data == host->boot_id();
  if (!has_record && !was_started) {
    STEPPE_TRY_VOID(remove_cgroup(*host, std::string(id)));
    STEPPE_TRY_VOID(host->run_dir().remove_tree(id));
    return {Code::kNotFound, std::format("task {} is not running and left no result", id)};
  }
  auto task = std::make_unique<ExecutorTask>(host, std::move(handle), std::vector<std::string>(), std::move(*directory));
  STEPPE_TRY_VOID(task->ended());
  return std::unique_ptr<Task>(std::move(task));
}

Result<std::vector<std::string>> attempts(const Host& host) {
  STEPPE_TRY(std::vector<kernel::DirectoryEntry> entries, host.run_dir().list(""));
  std::vector<std::string> out;
  for (kernel::DirectoryEntry& entry : entries) {
    if (entry.type == kernel::FileType::kDirectory && id_fits(entry.name)) out.push_back(std::move(entry.name));
  }
  return out;
}

Result<std::unique_ptr<Task>> recover(std::shared_ptr<const Host> host, std::string_view driver, const TaskHandle& handle) {
  return recover_attempt(std::move(host), driver, handle.id);
}

}  // namespace steppe::executor
