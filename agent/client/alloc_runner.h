#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/client/alloc_dir.h"
#include "agent/client/alloc_machine.h"
#include "agent/client/client_context.h"
#include "agent/client/health_machine.h"
#include "agent/client/task_runner.h"
#include "init/io/scope.h"

namespace steppe::schema {
class TaskGroup;
}

namespace steppe::client {

// One alloc on this node: its directory, its tasks in their order, its health, its limits. Loop thread.
class AllocRunner final : public TaskOwner {
 public:
  // `changed` is called whenever status() may differ.
  AllocRunner(ClientContext& context, std::unique_ptr<schema::Allocation> alloc, std::function<void()> changed);
  ~AllocRunner() override;

  // Builds the directory and starts the tasks; or, with what a former agent stored, takes hold of them again.
  void start();
  void restore(StoredAlloc stored);

  // A newer picture from the server: desired status, in-place changes of the job.
  void update(std::unique_ptr<schema::Allocation> alloc);
  void request_stop(TaskMachine::KillMode mode);
  // Ends every task, forgets the alloc and removes its directory. At most once.
  io::Task<Result<>> destroy();
  // Lets go: tasks go on, the object may be destroyed after it returns.
  io::Task<void> detach();
  // Returns once every task is dead.
  io::Task<Result<>> wait_finished(io::Deadline deadline);

  const schema::Allocation& alloc() const override { return *alloc_; }
  const AllocDir& directory() const override { return *directory_; }
  bool has_directory() const { return directory_.has_value(); }
  void task_changed() override;

  // What the server wants to know: id, status, task states, health, times.
  std::unique_ptr<schema::Allocation> status() const;
  bool finished() const;
  // Still finding out what the former agent left: status() would say less than the servers know.
  bool recovering() const { return recovering_; }
  bool desired_to_run() const;
  WallTime finished_at() const;

  TaskRunner* task(std::string_view name);
  const std::vector<std::unique_ptr<TaskRunner>>& tasks() const { return tasks_; }
  Result<> restart_all(std::string reason);

 private:
  io::Task<void> run(std::optional<StoredAlloc> stored);
  io::Task<void> recover_tasks(StoredAlloc stored);
  io::Task<void> wait_for_previous();
  io::Task<void> watch_disk();
  io::Task<void> wake_health(uint64_t serial, MonoTime at);
  io::Task<void> limit_run_time(Duration limit);
  io::Task<void> drop_secrets();
  void step();
  void step_health();
  void fail_setup(const Error& error);
  std::vector<TaskView> views() const;
  void schedule_step();
  void start_timers();

  ClientContext& context_;
  std::unique_ptr<schema::Allocation> alloc_;
  std::function<void()> changed_;
  io::Scope scope_;
  log::Logger logger_;
  std::optional<AllocDir> directory_;
  std::vector<std::unique_ptr<TaskRunner>> tasks_;
  std::optional<AllocMachine> machine_;
  std::optional<HealthMachine> health_;
  std::optional<bool> healthy_;
  WallTime healthy_at_;
  uint64_t health_serial_ = 0;
  io::Event finished_event_;
  std::optional<std::string> setup_error_;
  bool step_scheduled_ = false;
  bool recovering_ = false;
  bool ready_ = false;  // tasks exist and were restored
  bool detached_ = false;
  bool destroyed_ = false;
  bool secrets_dropped_ = false;
  std::optional<TaskMachine::KillMode> stop_asked_;
};

// The group of an alloc in its job; null when the job has no such group.
const schema::TaskGroup* group_of(const schema::Allocation& alloc);
// The group's ephemeral_disk, at least 10 MiB; Nomad's default without one.
uint64_t disk_limit_mb(const schema::Allocation& alloc);

}  // namespace steppe::client
