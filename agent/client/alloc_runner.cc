#include "agent/client/alloc_runner.h"

#include <algorithm>
#include <format>
#include <map>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::client {
namespace {

constexpr Duration kPreviousPeriod = std::chrono::milliseconds(200);
constexpr Duration kDiskCheckPeriod = std::chrono::seconds(30);

TaskRole role_of(const schema::Task& task) {
  TaskRole role;
  role.name = task.name();
  role.leader = task.leader();
  if (!task.has_lifecycle()) return role;
  role.sidecar = task.lifecycle().sidecar();
  const std::string& hook = task.lifecycle().hook();
  if (hook == "prestart") role.hook = Hook::kPrestart;
  if (hook == "poststart") role.hook = Hook::kPoststart;
  if (hook == "poststop") role.hook = Hook::kPoststop;
  return role;
}

HealthPolicy health_policy(const schema::UpdateStrategy& update) {
  HealthPolicy out;
  out.manual = update.health_check() == "manual";
  if (update.has_min_healthy_time()) out.min_healthy_time = Duration(update.min_healthy_time());
  if (update.has_healthy_deadline()) out.healthy_deadline = Duration(update.healthy_deadline());
  return out;
}

StoredTask guess_from_server(const std::string& name, const schema::TaskState& state) {
  StoredTask out;
  out.name = name;
  out.snapshot.phase = state.state() == "dead" ? TaskPhase::kDead : TaskPhase::kStarting;
  out.snapshot.failed = state.failed();
  out.snapshot.restarts = state.restarts();
  out.snapshot.attempt = state.restarts() + 1;
  out.snapshot.started_at = {state.started_at()};
  out.snapshot.finished_at = {state.finished_at()};
  for (const schema::TaskEvent& event : state.events()) {
    if (out.snapshot.events.size() < kMaxTaskEvents) out.snapshot.events.push_back(TaskEvent::from_schema(event));
  }
  return out;
}

bool runs_on_server(const schema::Allocation& alloc) { return alloc.desired_status() == "run" || alloc.desired_status().empty(); }

bool seen_running(const schema::Allocation& alloc) { return !alloc.client_status().empty() && alloc.client_status() != "pending"; }

}  // namespace

const schema::TaskGroup* group_of(const schema::Allocation& alloc) {
  for (const schema::TaskGroup& group : alloc.job().task_groups()) {
    if (group.name() == alloc.task_group()) return &group;
  }
  return nullptr;
}

uint64_t disk_limit_mb(const schema::Allocation& alloc) {
  const schema::TaskGroup* group = group_of(alloc);
  if (group == nullptr || !group->has_ephemeral_disk() || !group->ephemeral_disk().has_size_mb()) return 300;
  return static_cast<uint64_t>(std::max<int64_t>(10, group->ephemeral_disk().size_mb()));
}

AllocRunner::AllocRunner(ClientContext& context, std::unique_ptr<schema::Allocation> alloc, std::function<void()> changed)
    : context_(context),
      alloc_(std::move(alloc)),
      changed_(std::move(changed)),
      scope_(context.loop),
      logger_(context.logger.with({{"alloc_id", alloc_->id()}})),
      finished_event_(context.loop) {}

AllocRunner::~AllocRunner() = default;

void AllocRunner::start() { scope_.spawn(run(std::nullopt)); }
void AllocRunner::restore(StoredAlloc stored) {
  recovering_ = true;
  scope_.spawn(run(std::move(stored)));
}

io::Task<void> AllocRunner::run(std::optional<StoredAlloc> stored) {
  const schema::TaskGroup* group = group_of(*alloc_);
  if (group == nullptr) {
    fail_setup(Error(Code::kInvalid, std::format("the job has no group \"{}\"", alloc_->task_group())));
    co_return;
  }
  std::vector<AllocDir::TaskSpec> specs;
  std::vector<TaskRole> roles;
  for (const schema::Task& task : group->tasks()) {
    uint64_t secrets_mb = static_cast<uint64_t>(std::max<int64_t>(0, task.resources().secrets_mb()));
    specs.push_back({task.name(), Bytes::mib(secrets_mb)});
    roles.push_back(role_of(task));
  }
  machine_.emplace(std::move(roles));
  std::string id = alloc_->id();
  std::string sticky_from;
  bool begun = stored && std::ranges::any_of(stored->tasks, [](const StoredTask& task) { return task.snapshot.attempt > 0; });
  if (group->ephemeral_disk().sticky() && !begun && !seen_running(*alloc_)) sticky_from = alloc_->previous_allocation();
  // Before it takes a place: the one before may need one to be recovered.
  if (!sticky_from.empty()) co_await wait_for_previous();
  auto place = co_await context_.setting_up.take({.stop = scope_.token()});
  if (!place.ok()) co_return;  // detached
  auto build = [this, id, specs = std::move(specs), sticky_from]() -> Result<AllocDir> {
    STEPPE_TRY(AllocDir made, AllocDir::build(context_.alloc_root, context_.alloc_root_path, id, specs));
    if (!sticky_from.empty()) STEPPE_TRY_VOID(AllocDir::take_over(context_.alloc_root, sticky_from, id, specs));
    return made;
  };
  Result<AllocDir> built = co_await io::run_blocking(context_.loop, std::move(build));
  if (!built.ok()) {
    fail_setup(built.error());
    co_return;
  }
  directory_.emplace(*std::move(built));
  for (const std::string& warning : directory_->warnings()) logger_.debug(warning);
  for (const schema::Task& task : group_of(*alloc_)->tasks()) {
    tasks_.push_back(std::make_unique<TaskRunner>(context_, *this, scope_, task));
  }
  // The servers saw it run here, but we have no record of it: ask the drivers before anything is started twice.
  bool guess = !stored && seen_running(*alloc_);
  recovering_ = recovering_ || guess;
  if (stored || guess) co_await recover_tasks(stored ? std::move(*stored) : StoredAlloc{});
  if (detached_) co_return;
  for (auto& task : tasks_) {
    if (task->snapshot().events.empty()) task->record(event::plain(event::kReceived));
  }
  ready_ = true;
  recovering_ = false;
  if (stop_asked_) machine_->request_stop(*stop_asked_);
  start_timers();
  schedule_step();
}

// A sticky disk moves once nobody writes to it any more.
io::Task<void> AllocRunner::wait_for_previous() {
  const std::string previous = alloc_->previous_allocation();
  while (!detached_ && !stop_asked_ && context_.unfinished && context_.unfinished(previous)) {
    Result<> slept = co_await io::sleep_for(context_.loop, kPreviousPeriod, scope_.token());
    if (!slept.ok()) co_return;
  }
}

// Each task by its record; one without a record by what the servers know of it.
io::Task<void> AllocRunner::recover_tasks(StoredAlloc stored) {
  healthy_ = stored.health;
  std::map<std::string, StoredTask> records;
  for (StoredTask& task : stored.tasks) records.emplace(task.name, std::move(task));
  for (auto& task : tasks_) {
    if (detached_) co_return;
    auto found = records.find(task->name());
    if (found != records.end()) {
      co_await task->restore(std::move(found->second), TaskRunner::Record::kStored);
      continue;
    }
    auto known = alloc_->task_states().find(task->name());
    StoredTask guess = guess_from_server(task->name(), known != alloc_->task_states().end() ? known->second : schema::TaskState());
    co_await task->restore(std::move(guess), TaskRunner::Record::kGuessed);
  }
}

void AllocRunner::start_timers() {
  const schema::TaskGroup* group = group_of(*alloc_);
  if (!finished()) scope_.spawn(watch_disk());
  if (!alloc_->deployment_id().empty() && group->has_update() && !healthy_) {
    health_.emplace(health_policy(group->update()), machine_->roles(), context_.loop.now());
  }
  bool batch = alloc_->job().type() == "batch" || alloc_->job().type() == "sysbatch";
  if (batch && group->max_run_duration() > 0 && !finished()) {
    WallTime first{};
    for (const auto& task : tasks_) {
      WallTime at = task->snapshot().started_at;
      if (at.unix_ns != 0 && (first.unix_ns == 0 || at < first)) first = at;
    }
    Duration limit(group->max_run_duration());
    // A recovered alloc has used up a part of its time already.
    if (first.unix_ns != 0) limit -= context_.loop.wall() - first;
    scope_.spawn(limit_run_time(std::max(limit, Duration(0))));
  }
}

void AllocRunner::fail_setup(const Error& error) {
  logger_.error("alloc cannot be set up", {{"error", error}});
  setup_error_ = error.message();
  recovering_ = false;
  finished_event_.set();
  changed_();
}

std::vector<TaskView> AllocRunner::views() const {
  std::vector<TaskView> out;
  for (const auto& task : tasks_) {
    out.push_back({task->snapshot().phase, task->snapshot().failed, task->ever_started()});
  }
  return out;
}

bool AllocRunner::finished() const {
  if (setup_error_) return true;
  return ready_ && machine_->finished(views());
}

WallTime AllocRunner::finished_at() const {
  WallTime last{};
  for (const auto& task : tasks_) last = std::max(last, task->snapshot().finished_at);
  return last;
}

bool AllocRunner::desired_to_run() const { return runs_on_server(*alloc_); }

void AllocRunner::task_changed() {
  schedule_step();
  changed_();
}

void AllocRunner::schedule_step() {
  if (step_scheduled_ || !ready_ || detached_) return;
  step_scheduled_ = true;
  // From the loop: a task machine is in the middle of telling us.
  auto later = [](AllocRunner& self) -> io::Task<void> {
    self.step();
    co_return;
  };
  scope_.spawn(later(*this));
}

void AllocRunner::step() {
  step_scheduled_ = false;
  if (detached_) return;
  for (AllocEffect& effect : machine_->step(views())) {
    TaskRunner& task = *tasks_[effect.task];
    if (effect.kind == AllocEffect::Kind::kOpenGate) {
      task.open_gate();
    } else {
      task.kill(std::move(effect.why), effect.mode, effect.meaning);
    }
  }
  step_health();
  if (finished()) {
    finished_event_.set();
    if (!std::exchange(secrets_dropped_, true)) scope_.spawn(drop_secrets());
  }
  changed_();
}

io::Task<void> AllocRunner::drop_secrets() {
  std::string id = alloc_->id();
  auto work = [this, id] { return AllocDir::drop_secrets(context_.alloc_root, id); };
  Result<> dropped = co_await io::run_blocking(context_.loop, std::move(work));
  if (!dropped.ok()) logger_.warn("secrets stay mounted", {{"error", dropped.error()}});
}

void AllocRunner::step_health() {
  if (!health_ || healthy_) return;
  std::vector<uint64_t> restarts;
  for (const auto& task : tasks_) restarts.push_back(task->snapshot().restarts);
  std::optional<bool> verdict = health_->step(views(), restarts, context_.loop.now());
  if (verdict) {
    healthy_ = verdict;
    healthy_at_ = context_.loop.wall();
    logger_.info(*verdict ? "alloc is healthy" : "alloc is unhealthy");
    context_.state.post(StateWrite::health(alloc_->id(), *verdict));
    changed_();
    return;
  }
  if (auto wake = health_->wake()) scope_.spawn(wake_health(++health_serial_, *wake));
}

io::Task<void> AllocRunner::wake_health(uint64_t serial, MonoTime at) {
  Result<> slept = co_await io::sleep_until(context_.loop, at, scope_.token());
  if (slept.ok() && serial == health_serial_ && !detached_) step_health();
}

io::Task<void> AllocRunner::limit_run_time(Duration limit) {
  Result<> slept = co_await io::sleep_for(context_.loop, limit, scope_.token());
  if (!slept.ok() || detached_ || finished()) co_return;
  logger_.info("max_run_duration is over");
  machine_->run_time_over();
  schedule_step();
}

io::Task<void> AllocRunner::watch_disk() {
  const uint64_t limit_mb = disk_limit_mb(*alloc_);
  while (!finished() && !detached_) {
    Result<> slept = co_await io::sleep_for(context_.loop, kDiskCheckPeriod, scope_.token());
    if (!slept.ok()) co_return;
    auto work = [this] { return directory_->usage(); };
    Result<Bytes> usage = co_await io::run_blocking(context_.loop, std::move(work));
    if (!usage.ok() || detached_ || finished() || *usage <= Bytes::mib(limit_mb)) continue;
    logger_.warn("alloc is over its ephemeral_disk", {{"used_bytes", usage->count}, {"limit_mb", limit_mb}});
    TaskEvent why = event::with_detail(event::kDiskExceeded, "disk_limit", std::to_string(limit_mb));
    why.message = std::format("the alloc uses {} MiB of its {} MiB ephemeral_disk", usage->count >> 20, limit_mb);
    for (auto& task : tasks_) {
      task->kill(why, TaskMachine::KillMode::kNoDelay, TaskMachine::KillMeaning::kFail);
    }
    co_return;
  }
}

void AllocRunner::update(std::unique_ptr<schema::Allocation> alloc) {
  bool was_running = runs_on_server(*alloc_);
  bool new_deployment = alloc->deployment_id() != alloc_->deployment_id();
  // The server sends the job only where it differs from what we hold.
  if (!alloc->has_job() && alloc_->has_job()) *alloc->mutable_job() = alloc_->job();
  alloc_ = std::move(alloc);
  context_.state.post(StateWrite::alloc(*alloc_));
  bool hurry = alloc_->desired_transition().no_shutdown_delay();
  if (!runs_on_server(*alloc_)) {
    if (was_running || hurry) request_stop(hurry ? TaskMachine::KillMode::kNoDelay : TaskMachine::KillMode::kOrderly);
    return;
  }
  const schema::TaskGroup* group = group_of(*alloc_);
  if (group == nullptr || !ready_) return;
  for (const schema::Task& task : group->tasks()) {
    if (TaskRunner* runner = this->task(task.name())) runner->update(task);
  }
  if (new_deployment && group->has_update() && !alloc_->deployment_id().empty()) {
    healthy_.reset();
    health_.emplace(health_policy(group->update()), machine_->roles(), context_.loop.now());
    step_health();
  }
}

void AllocRunner::request_stop(TaskMachine::KillMode mode) {
  stop_asked_ = mode;
  if (!ready_) return;
  machine_->request_stop(mode);
  schedule_step();
}

io::Task<Result<>> AllocRunner::wait_finished(io::Deadline deadline) { return finished_event_.wait(std::move(deadline)); }

io::Task<Result<>> AllocRunner::destroy() {
  if (std::exchange(destroyed_, true)) co_return Result<>();
  if (!setup_error_) {
    while (!ready_ && !setup_error_) STEPPE_CO_TRY_VOID(co_await io::sleep_for(context_.loop, std::chrono::milliseconds(5), {}));
  }
  if (ready_ && !finished()) {
    machine_->destroy();
    schedule_step();
    STEPPE_CO_TRY_VOID(co_await finished_event_.wait());
  }
  co_await detach();
  for (auto& task : tasks_) co_await task->release();
  std::string id = alloc_->id();
  STEPPE_CO_TRY_VOID(co_await context_.state.write(StateWrite::forget(id)));
  auto work = [this, id] { return AllocDir::remove(context_.alloc_root, id); };
  co_return co_await io::run_blocking(context_.loop, std::move(work));
}

io::Task<void> AllocRunner::detach() {
  detached_ = true;
  for (auto& task : tasks_) task->detach();
  scope_.request_stop();
  co_await scope_.join();
}

TaskRunner* AllocRunner::task(std::string_view name) {
  for (auto& task : tasks_) {
    if (task->name() == name) return task.get();
  }
  return nullptr;
}

Result<> AllocRunner::restart_all(std::string reason) {
  if (!ready_) return Error(Code::kUnavailable, "the alloc is still being set up");
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (machine_->roles()[i].hook == Hook::kPoststop) continue;
    if (tasks_[i]->snapshot().phase == TaskPhase::kDead) {
      machine_->revive(i);
      tasks_[i]->revive();
    } else {
      tasks_[i]->restart(reason);
    }
  }
  finished_event_.reset();
  schedule_step();
  return {};
}

std::unique_ptr<schema::Allocation> AllocRunner::status() const {
  auto out = std::make_unique<schema::Allocation>();
  out->set_id(alloc_->id());
  out->set_namespace_(alloc_->namespace_());
  out->set_job_id(alloc_->job_id());
  out->set_node_id(context_.node->id());
  out->set_modify_time(context_.loop.wall().unix_ns);
  if (setup_error_) {
    out->set_client_status("failed");
    out->set_client_description("failed to set up the alloc: " + *setup_error_);
    if (const schema::TaskGroup* group = group_of(*alloc_)) {
      for (const schema::Task& task : group->tasks()) {
        schema::TaskState& state = (*out->mutable_task_states())[task.name()];
        state.set_state("dead");
        state.set_failed(true);
        TaskEvent why = event::with_detail(event::kSetupFailure, "setup_error", *setup_error_);
        why.time = context_.loop.wall();
        why.to_schema(*state.add_events());
      }
    }
    return out;
  }
  ClientStatus status = tasks_.empty() ? ClientStatus::kPending : client_status(views());
  out->set_client_status(std::string(client_status_name(status)));
  out->set_client_description(std::string(client_status_description(status)));
  if (machine_ && machine_->timed_out()) out->set_client_description("allocation exceeded max_run_duration");
  for (const auto& task : tasks_) task->snapshot().to_schema((*out->mutable_task_states())[task->name()]);
  if (healthy_) {
    out->mutable_deployment_status()->set_healthy(*healthy_);
    out->mutable_deployment_status()->set_timestamp(healthy_at_.unix_ns);
    out->mutable_deployment_status()->set_canary(alloc_->deployment_status().canary());
  }
  return out;
}

}  // namespace steppe::client
