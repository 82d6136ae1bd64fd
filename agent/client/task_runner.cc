#include "agent/client/task_runner.h"

#include <fcntl.h>

#include <algorithm>
#include <format>

#include "agent/client/alloc_runner.h"
#include "agent/client/leftovers.h"
#include "agent/client/template_render.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::client {
namespace {

using Kind = TaskEffect::Kind;

constexpr int kRecoverTries = 20;
constexpr Duration kRecoverPause = std::chrono::seconds(1);

// Whether another try may help. What the job says wrongly stays wrong.
bool may_improve(const Error& error) {
  switch (error.code()) {
    case Code::kUnavailable:
    case Code::kIo:
    case Code::kExhausted:
    case Code::kTimeout:
    case Code::kCancelled: return true;
    default: return false;
  }
}

}  // namespace

TaskRunner::TaskRunner(ClientContext& context, TaskOwner& owner, io::Scope& scope, const schema::Task& task)
    : context_(context),
      owner_(owner),
      scope_(scope),
      name_(task.name()),
      task_(std::make_unique<schema::Task>(task)),
      machine_(task_policy(owner.alloc(), task, context.max_kill_timeout), context.rng),
      logger_(context.logger.with({{"alloc_id", owner.alloc().id()}, {"task", task.name()}})) {
  auto found = context.drivers.find(task.driver());
  if (found != context.drivers.end()) driver_ = found->second;
}

TaskRunner::~TaskRunner() = default;

Moment TaskRunner::now() const { return {context_.loop.wall()}; }

std::string TaskRunner::attempt_id() const {
  return std::format("{}.{}.{}", owner_.alloc().id(), name_, machine_.snapshot().attempt);
}

bool TaskRunner::isolated() const {
  return driver_ != nullptr && driver_->capabilities().isolation != drivers::Isolation::kNone;
}

void TaskRunner::persist() {
  StoredTask stored{name_, machine_.snapshot(), handle_, prepared_once_};
  context_.state.post(StateWrite::task(owner_.alloc().id(), stored));
}

void TaskRunner::apply(TaskEffects effects) {
  for (const TaskEffect& effect : effects) carry_out(effect);
}

void TaskRunner::carry_out(const TaskEffect& effect) {
  switch (effect.kind) {
    case Kind::kPrepare:
      prepare_stop_ = std::stop_source();
      scope_.spawn(prepare());
      break;
    case Kind::kCancelPrepare: prepare_stop_.request_stop(); break;
    case Kind::kStart: scope_.spawn(start()); break;
    case Kind::kStop:
      if (running_) scope_.spawn(stop(effect.signal, effect.delay));
      break;
    case Kind::kKill:
      if (running_) (void)running_->kill();
      break;
    case Kind::kRelease: scope_.spawn(release_ended()); break;
    case Kind::kTimer: scope_.spawn(run_timer(++timer_serial_, effect.delay)); break;
    case Kind::kCancelTimer: ++timer_serial_; break;
    case Kind::kChanged:
    case Kind::kFinished:
      persist();
      owner_.task_changed();
      break;
  }
}

io::Task<void> TaskRunner::run_timer(uint64_t serial, Duration delay) {
  Result<> slept = co_await io::sleep_for(context_.loop, delay, scope_.token());
  if (!slept.ok() || serial != timer_serial_ || detached_) co_return;
  apply(machine_.timer(now()));
}

void TaskRunner::open_gate() { apply(machine_.open_gate(now())); }
void TaskRunner::kill(TaskEvent why, TaskMachine::KillMode mode, TaskMachine::KillMeaning meaning) {
  apply(machine_.kill(std::move(why), mode, meaning, now()));
}
void TaskRunner::restart(std::string reason) { apply(machine_.restart(std::move(reason), now())); }
void TaskRunner::revive() { apply(machine_.revive(now())); }
void TaskRunner::record(TaskEvent event) { apply(machine_.record(std::move(event), now())); }

void TaskRunner::update(const schema::Task& task) {
  *task_ = task;
  machine_.set_policy(task_policy(owner_.alloc(), task, context_.max_kill_timeout));
}

// ---- Hooks ----

io::Task<void> TaskRunner::prepare() {
  HookResult failure = co_await run_hooks();
  if (detached_) co_return;
  if (failure) {
    logger_.info("hooks failed", {{"event", failure->event.type}, {"why", failure->event.display()}});
    apply(machine_.prepare_failed(std::move(failure->event), failure->recoverable, now()));
  } else {
    prepared_once_ = true;
    apply(machine_.prepared(now()));
  }
}

io::Task<TaskRunner::HookResult> TaskRunner::run_hooks() {
  if (!prepared_once_ && machine_.snapshot().attempt == 0 && machine_.snapshot().restarts == 0) {
    record(event::with_message(event::kTaskSetup, "Building Task Directory"));
  }
  HookResult failure = validate();
  if (failure) co_return failure;
  failure = co_await write_dispatch_payload();
  if (failure) co_return failure;
  if (!prepared_once_) {
    failure = co_await fetch_artifacts();
    if (failure) co_return failure;
  }
  co_return co_await render_templates();
}

TaskRunner::HookResult TaskRunner::validate() const {
  if (driver_ == nullptr) {
    return HookFailure{event::with_detail(event::kFailedValidation, "validation_error",
                                          std::format("driver \"{}\" is not on this node", task_->driver())), false};
  }
  // The config is checked after ${...} is replaced: before, a number may still be text.
  Result<> good = driver_->validate(environment().config(*task_));
  if (good.ok()) return std::nullopt;
  return HookFailure{event::with_detail(event::kFailedValidation, "validation_error", good.error().message()), false};
}

io::Task<TaskRunner::HookResult> TaskRunner::write_dispatch_payload() {
  std::string file = task_->has_dispatch_payload() ? task_->dispatch_payload().file() : "";
  if (file.empty()) co_return std::nullopt;
  // Interpolated first, resolved beneath local/ after.
  file = environment().replace(file);
  std::string content = owner_.alloc().job().payload();
  std::string local = name_ + "/local";
  const kernel::Beneath root = owner_.directory().root();
  auto work = [&root, local, file, content]() -> Result<> {
    STEPPE_TRY(kernel::Beneath tree, root.sub(local));
    if (size_t slash = file.rfind('/'); slash != file.npos && slash > 0) STEPPE_TRY_VOID(tree.make_directories(file.substr(0, slash), 0755));
    return tree.write(file, as_bytes(content), 0644);
  };
  Result<> done = co_await io::run_blocking(context_.loop, std::move(work));
  if (done.ok()) co_return std::nullopt;
  co_return HookFailure{event::with_message(event::kHookFailed, "dispatch_payload: " + done.error().message()),
                        may_improve(done.error())};
}

io::Task<TaskRunner::HookResult> TaskRunner::fetch_artifacts() {
  if (task_->artifacts().empty()) co_return std::nullopt;
  record(event::plain(event::kDownloadingArtifacts));
  std::vector<schema::TaskArtifact> artifacts(task_->artifacts().begin(), task_->artifacts().end());
  // What does not fit there would cost the alloc its life a moment later.
  const Bytes disk_bytes = Bytes::mib(disk_limit_mb(owner_.alloc()));
  for (const schema::TaskArtifact& artifact : artifacts) {
    if (artifact.chown()) {
      co_return HookFailure{event::with_detail(event::kArtifactFailed, "download_error", "artifact: chown is not supported yet"), false};
    }
    TaskEnv env = environment();
    Place target = place(artifact.relative_dest());
    auto directory = owner_.directory().root().sub(target.directory);
    if (!directory.ok()) {
      co_return HookFailure{event::with_detail(event::kArtifactFailed, "download_error", directory.error().message()), true};
    }
    ArtifactFetcher::Request request;
    request.source = env.replace(artifact.getter_source());
    request.destination = std::move(target.path);
    request.mode = artifact.getter_mode().empty() ? "any" : artifact.getter_mode();
    for (const auto& [key, value] : artifact.getter_options()) request.options[key] = env.replace(value);
    for (const auto& [key, value] : artifact.getter_headers()) request.headers[key] = env.replace(value);
    request.insecure = artifact.getter_insecure();
    request.max_bytes = disk_bytes;
    io::Deadline deadline = io::Deadline::in(context_.loop, std::chrono::minutes(30), prepare_stop_.get_token());
    Result<> fetched = co_await context_.artifacts.fetch(*directory, std::move(request), deadline);
    if (!fetched.ok()) {
      std::string why = fetched.error().message();
      if (why.ends_with(std::format("{} bytes", disk_bytes.count))) why += ", the group's ephemeral_disk";
      co_return HookFailure{event::with_detail(event::kArtifactFailed, "download_error", std::move(why)), may_improve(fetched.error())};
    }
  }
  co_return std::nullopt;
}

io::Task<TaskRunner::HookResult> TaskRunner::render_templates() {
  template_env_.clear();
  std::vector<schema::Template> templates(task_->templates().begin(), task_->templates().end());
  for (const schema::Template& entry : templates) {
    TaskEnv env = environment();
    TemplateSyntax syntax;
    if (!entry.left_delim().empty()) syntax.left = entry.left_delim();
    if (!entry.right_delim().empty()) syntax.right = entry.right_delim();
    syntax.missing_is_error = entry.err_missing_key();
    Place source = place(entry.source_path()), target = place(entry.dest_path());
    std::string inline_text = entry.embedded_tmpl();
    uint32_t mode = 0644;
    if (!entry.perms().empty()) mode = static_cast<uint32_t>(std::strtoul(entry.perms().c_str(), nullptr, 8)) & 0777;
    bool as_env = entry.envvars();
    const kernel::Beneath root = owner_.directory().root();
    auto work = [&root, &env, source, target, inline_text, syntax, mode, as_env]() -> Result<EnvMap> {
      std::string text = inline_text;
      if (!source.path.empty()) {
        STEPPE_TRY(kernel::Beneath from, root.sub(source.directory));
        STEPPE_TRY(text, from.read(source.path, Bytes::mib(4)));
      }
      STEPPE_TRY(std::string rendered, render_template(text, env, syntax));
      STEPPE_TRY(kernel::Beneath tree, root.sub(target.directory));
      if (size_t slash = target.path.rfind('/'); slash != target.path.npos && slash > 0) {
        STEPPE_TRY_VOID(tree.make_directories(target.path.substr(0, slash), 0755));
      }
      STEPPE_TRY_VOID(tree.write(target.path, as_bytes(rendered), mode));
      if (!as_env) return EnvMap{};
      return parse_env_file(rendered);
    };
    Result<EnvMap> done = co_await io::run_blocking(context_.loop, std::move(work));
    if (!done.ok()) {
      co_return HookFailure{event::with_message(event::kHookFailed, std::format("template {}: {}", entry.dest_path(), done.error().message())),
                            may_improve(done.error())};
    }
    for (auto& [key, value] : *done) template_env_[key] = std::move(value);
  }
  co_return std::nullopt;
}

// ---- Environment and the driver's view ----

TaskPaths TaskRunner::task_paths() const {
  if (isolated()) return {"/alloc", "/local", "/secrets"};
  std::string own = owner_.directory().task_path(name_);
  return {owner_.directory().shared_path(), own + "/local", own + "/secrets"};
}

TaskEnv TaskRunner::environment() const {
  return TaskEnv({owner_.alloc(), *task_, *context_.node, context_.region, task_paths(),
                  isolated() ? EnvMap{} : context_.host_env, {}, template_env_});
}

TaskRunner::Place TaskRunner::place(std::string_view destination) const {
  const std::string shared = owner_.directory().shared_path(), own = owner_.directory().task_path(name_);
  const TaskEnv env({owner_.alloc(), *task_, *context_.node, context_.region, {shared, own + "/local", own + "/secrets"},
                     isolated() ? EnvMap{} : context_.host_env, {}, template_env_});
  std::string path = env.replace(destination);
  Place out{name_, path};
  for (const auto& [host, directory] : {std::pair(shared + "/", std::string("alloc")), std::pair(own + "/", name_)}) {
    if (path.starts_with(host)) out = {directory, path.substr(host.size())};
  }
  // What begins with a slash is meant from the task's directory on, as Nomad has it.
  out.path.erase(0, std::min(out.path.find_first_not_of('/'), out.path.size()));
  return out;
}

Result<drivers::TaskConfig> TaskRunner::driver_config() const {
  const schema::Allocation& alloc = owner_.alloc();
  const AllocDir& dir = owner_.directory();
  TaskEnv env = environment();
  drivers::TaskConfig out;
  out.id = attempt_id();
  out.alloc_id = alloc.id();
  out.job_id = alloc.job_id();
  out.group = alloc.task_group();
  out.task = name_;
  out.env = env.list();
  out.user = env.replace(task_->user());
  out.config = env.config(*task_);
  if (auto found = alloc.allocated_resources().tasks().find(name_); found != alloc.allocated_resources().tasks().end()) {
    const schema::AllocatedTaskResources& resources = found->second;
    out.resources.cpu_mhz = resources.cpu().cpu_shares();
    const auto& cores = resources.cpu().reserved_cores();
    out.resources.cores = cpuset_text({cores.begin(), cores.end()});
    out.resources.memory = Bytes::mib(static_cast<uint64_t>(std::max<int64_t>(0, resources.memory().memory_mb())));
    out.resources.memory_max = Bytes::mib(static_cast<uint64_t>(std::max<int64_t>(0, resources.memory().memory_max_mb())));
  }
  if (task_->has_log_config()) {
    const schema::LogConfig& logs = task_->log_config();
    if (logs.has_max_files() && logs.max_files() > 0) out.logs.max_files = logs.max_files();
    if (logs.has_max_file_size_mb() && logs.max_file_size_mb() > 0) {
      out.logs.max_file_size = Bytes::mib(static_cast<uint64_t>(logs.max_file_size_mb()));
    }
    out.logs.disabled = logs.disabled();
  }
  const kernel::Beneath root = dir.root();
  STEPPE_TRY(out.task_dir, root.open_directory(name_));
  STEPPE_TRY(out.alloc_dir, root.open_directory("alloc"));
  STEPPE_TRY(out.log_dir, root.open("alloc/logs", O_RDONLY | O_DIRECTORY));
  STEPPE_TRY(out.local_dir, root.open_directory(name_ + "/local"));
  STEPPE_TRY(out.secrets_dir, root.open_directory(name_ + "/secrets"));
  STEPPE_TRY(out.tmp_dir, root.open_directory(name_ + "/tmp"));
  out.task_dir_path = dir.task_path(name_);
  out.alloc_dir_path = dir.shared_path();
  const schema::TaskGroup* group = nullptr;
  for (const schema::TaskGroup& candidate : alloc.job().task_groups()) {
    if (candidate.name() == alloc.task_group()) group = &candidate;
  }
  for (const schema::VolumeMount& mount : task_->volume_mounts()) {
    if (group == nullptr || !group->volumes().contains(mount.volume())) {
      return Error(Code::kInvalid, std::format("volume_mount \"{}\": the group has no such volume", mount.volume()));
    }
    const schema::VolumeRequest& volume = group->volumes().at(mount.volume());
    if (volume.type() != "host") return Error(Code::kUnsupported, std::format("volume \"{}\": type \"{}\" is not supported yet", mount.volume(), volume.type()));
    auto host = context_.host_volumes.find(volume.source());
    if (host == context_.host_volumes.end()) return Error(Code::kNotFound, std::format("host volume \"{}\" is not on this node", volume.source()));
    if (!driver_->capabilities().mounts) return Error(Code::kUnsupported, std::format("driver \"{}\" cannot mount volumes", task_->driver()));
    STEPPE_TRY(kernel::Beneath source, kernel::Beneath::at(host->second));
    STEPPE_TRY(kernel::Fd fd, source.open_directory("."));
    out.mounts.push_back({std::move(fd), env.replace(mount.destination()), volume.read_only() || mount.read_only()});
  }
  return out;
}

// ---- The driver's task ----

io::Task<void> TaskRunner::start() {
  std::string id = attempt_id();
  // The attempt is on record before it may exist: the next agent asks the driver for it by this id.
  StoredTask stored{name_, machine_.snapshot(), std::nullopt, prepared_once_};
  std::vector<StateWrite> writes;
  writes.push_back(StateWrite::task(owner_.alloc().id(), stored));
  Result<> written = co_await context_.state.write(std::move(writes));
  if (detached_) co_return;
  if (!written.ok()) {
    apply(machine_.start_failed(written.error().message(), true, now()));
    co_return;
  }
  Result<drivers::TaskConfig> config = driver_config();
  if (!config.ok()) {
    apply(machine_.start_failed(config.error().message(), may_improve(config.error()), now()));
    co_return;
  }
  drivers::Driver* driver = driver_;
  auto work = [driver, config = *std::move(config)]() mutable { return driver->start(std::move(config)); };
  auto started = co_await io::run_blocking(context_.loop, std::move(work));
  if (!started.ok()) {
    if (detached_) co_return;
    apply(machine_.start_failed(started.error().message(), may_improve(started.error()), now()));
    co_return;
  }
  running_ = *std::move(started);
  handle_ = running_->handle();
  context_.started.pulse();
  if (detached_) {
    persist();
    running_.reset();
    co_return;
  }
  for (const std::string& warning : running_->warnings()) {
    (void)machine_.record(event::with_detail(event::kDriver, "driver_message", warning), now());
  }
  apply(machine_.started(now()));
  scope_.spawn(watch_exit(machine_.snapshot().attempt));
}

io::Task<void> TaskRunner::watch_exit(uint64_t attempt) {
  std::shared_ptr<drivers::Task> task = running_;
  io::Deadline deadline;
  deadline.stop = scope_.token();
  Result<> ready = co_await io::wait_ready(context_.loop, task->wait_fd(), io::Readiness::kReadable, deadline);
  if (detached_ || !ready.ok() || attempt != machine_.snapshot().attempt) co_return;
  Result<drivers::ExitResult> exit = task->reap();
  TaskExit seen;
  if (exit.ok()) {
    seen = {exit->code, exit->signal, exit->oom_killed, exit->error};
  } else {
    seen = {1, 0, false, exit.error().message()};
  }
  apply(machine_.exited(seen, now()));
}

io::Task<void> TaskRunner::stop(int signal, Duration grace) {
  std::shared_ptr<drivers::Task> task = running_;
  // Why it ends is in the store before it can end, unless the store has no room.
  (void)co_await context_.state.flush();
  if (detached_ || !task) co_return;
  if (Result<> done = task->stop(signal, grace); !done.ok()) {
    logger_.warn("stop failed; killing", {{"error", done.error()}});
    (void)task->kill();
  }
}

io::Task<void> TaskRunner::release_ended() {
  std::shared_ptr<drivers::Task> ended = std::exchange(running_, nullptr);
  handle_.reset();
  if (!ended) co_return;
  auto work = [ended] { return ended->destroy(); };
  // The exit is in the store before the driver forgets it. While there is no room for it, the driver keeps what it has.
  Result<> stored = co_await context_.state.flush();
  while (!stored.ok() && !detached_) stored = co_await context_.state.flush();
  if (!stored.ok()) co_return;
  Result<> done = co_await io::run_blocking(context_.loop, std::move(work));
  if (!done.ok()) logger_.warn("driver could not clean up", {{"error", done.error()}});
}

// Asks the driver what is left of an attempt. An executor that is too busy to answer is asked again: a task that cannot
// be reached may still run, and must not get a twin.
io::Task<Result<std::unique_ptr<drivers::Task>>> TaskRunner::find_attempt(std::string id, bool ended_before) {
  drivers::Driver* driver = driver_;
  std::optional<drivers::TaskHandle> handle = handle_;
  auto work = [driver, handle, id, ended_before]() -> Result<std::unique_ptr<drivers::Task>> {
    auto found = handle ? driver->recover(*handle) : driver->recover_attempt(id);
    if (!found.ok() || !ended_before) return found;
    STEPPE_TRY_VOID((*found)->destroy());
    return Error(Code::kNotFound, "its end is on record; what was left is cleared away");
  };
  for (int tries = 1;; ++tries) {
    auto found = co_await io::run_blocking(context_.loop, work);
    if (found.ok() || found.error().code() == Code::kNotFound || !may_improve(found.error()) || tries == kRecoverTries || detached_) {
      co_return found;
    }
    logger_.warn("task is not recovered yet", {{"try", tries}, {"error", found.error()}});
    (void)co_await io::sleep_for(context_.loop, kRecoverPause, scope_.token());
  }
}

io::Task<void> TaskRunner::restore(StoredTask stored, Record record) {
  if (record == Record::kGuessed && driver_ != nullptr) {
    auto ask = [driver = driver_, alloc = owner_.alloc().id(), task = name_] { return last_attempt(*driver, alloc, task); };
    stored.snapshot.attempt = std::max(stored.snapshot.attempt, co_await io::run_blocking(context_.loop, std::move(ask)));
  }
  prepared_once_ = stored.prepared_once;
  handle_ = stored.handle;
  TaskPhase phase = stored.snapshot.phase;
  bool may_live = phase == TaskPhase::kStarting || phase == TaskPhase::kRunning || phase == TaskPhase::kStopDelay ||
                  phase == TaskPhase::kStopping;
  if (driver_ != nullptr && (may_live || handle_)) {
    std::string id = std::format("{}.{}.{}", owner_.alloc().id(), name_, stored.snapshot.attempt);
    auto found = co_await find_attempt(std::move(id), !may_live);
    if (found.ok()) {
      running_ = *std::move(found);
      handle_ = running_->handle();
    } else if (found.error().code() != Code::kNotFound) {
      logger_.error("task is not recovered", {{"error", found.error()}});
    }
  }
  if (detached_) co_return;  // the record stands as it was: the next client asks again
  if (!running_) handle_.reset();
  apply(machine_.restore(std::move(stored.snapshot), running_ != nullptr, now()));
  if (running_) scope_.spawn(watch_exit(machine_.snapshot().attempt));
}

Result<> TaskRunner::signal(int number, std::string name) {
  if (!running_ || machine_.phase() != TaskPhase::kRunning) {
    return Error(Code::kUnavailable, std::format("Task not running: {}", name_));
  }
  TaskEvent told = event::with_detail(event::kSignaling, "task_signal", std::move(name));
  told.details["task_signal_reason"] = "User requested";
  record(std::move(told));
  return running_->signal(number);
}

io::Task<Result<drivers::TaskStats>> TaskRunner::stats() {
  std::shared_ptr<drivers::Task> task = running_;
  if (!task) co_return Error(Code::kUnavailable, "task \"" + name_ + "\" is not running");
  auto work = [task] { return task->stats(); };
  co_return co_await io::run_blocking(context_.loop, std::move(work));
}

io::Task<Result<std::unique_ptr<drivers::ExecSession>>> TaskRunner::exec(drivers::ExecRequest request) {
  std::shared_ptr<drivers::Task> task = running_;
  if (!task) co_return Error(Code::kUnavailable, "task \"" + name_ + "\" is not running");
  auto work = [task, request = std::move(request)]() mutable { return task->exec(std::move(request)); };
  co_return co_await io::run_blocking(context_.loop, std::move(work));
}

void TaskRunner::detach() {
  detached_ = true;
  prepare_stop_.request_stop();
}

io::Task<void> TaskRunner::release() { co_await release_ended(); }

}  // namespace steppe::client
