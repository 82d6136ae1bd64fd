#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/client/alloc_dir.h"
#include "agent/client/client_context.h"
#include "agent/client/task_env.h"
#include "agent/client/task_machine.h"
#include "drivers/api/driver.h"
#include "init/io/scope.h"

namespace steppe::schema {
class Allocation;
class Task;
}

namespace steppe::client {

// What a task may ask of the alloc it belongs to.
class TaskOwner {
 public:
  virtual ~TaskOwner() = default;
  virtual const schema::Allocation& alloc() const = 0;
  virtual const AllocDir& directory() const = 0;
  virtual void task_changed() = 0;  // called from the loop, never inside a call of the owner
};

// The shell around one TaskMachine: carries out its effects with hooks, driver, timers and store, and feeds back what
// came of them. Loop thread. Its coroutines live in the owner's scope: the owner joins that before it destroys this.
class TaskRunner {
 public:
  TaskRunner(ClientContext& context, TaskOwner& owner, io::Scope& scope, const schema::Task& task);
  ~TaskRunner();

  const std::string& name() const { return name_; }
  const TaskSnapshot& snapshot() const { return machine_.snapshot(); }
  const TaskMachine& machine() const { return machine_; }
  bool ever_started() const { return machine_.snapshot().started_at.unix_ns != 0; }

  // Takes over what a former agent left. Blocks on the pool; before any other call. A guessed record was not in the store:
  // the driver is asked which attempt was the last.
  enum class Record : uint8_t { kStored, kGuessed };
  io::Task<void> restore(StoredTask stored, Record record);

  void open_gate();
  void kill(TaskEvent why, TaskMachine::KillMode mode, TaskMachine::KillMeaning meaning);
  void restart(std::string reason);
  void revive();
  void record(TaskEvent event);
  // A changed job: restart policy, kill timeout and the like apply from now on.
  void update(const schema::Task& task);

  Result<> signal(int number, std::string name);  // kUnavailable when the task does not run
  io::Task<Result<drivers::TaskStats>> stats();
  io::Task<Result<std::unique_ptr<drivers::ExecSession>>> exec(drivers::ExecRequest request);
  bool isolated() const;  // whether the driver contains what runs in it

  // Lets go of the driver's task without ending it: the agent leaves.
  void detach();
  // Destroys what the driver still holds; for an alloc that vanishes.
  io::Task<void> release();

 private:
  void apply(TaskEffects effects);
  void carry_out(const TaskEffect& effect);
  void persist();
  Moment now() const;
  std::string attempt_id() const;

  io::Task<void> prepare();
  io::Task<void> start();
  io::Task<void> watch_exit(uint64_t attempt);
  io::Task<void> stop(int signal, Duration grace);
  io::Task<Result<std::unique_ptr<drivers::Task>>> find_attempt(std::string id, bool ended_before);
  io::Task<void> release_ended();
  io::Task<void> run_timer(uint64_t serial, Duration delay);

  struct HookFailure {
    TaskEvent event;
    bool recoverable = false;
  };
  using HookResult = std::optional<HookFailure>;
  io::Task<HookResult> run_hooks();
  HookResult validate() const;
  io::Task<HookResult> write_dispatch_payload();
  io::Task<HookResult> fetch_artifacts();
  io::Task<HookResult> render_templates();

  TaskEnv environment() const;
  // Where a destination of the job file lies: a directory of the alloc and a path beneath it. ${NOMAD_ALLOC_DIR} and its
  // like are the task's names for them (/secrets in a root of its own); the directories are the host's.
  struct Place {
    std::string directory;
    std::string path;
  };
  Place place(std::string_view destination) const;
  Result<drivers::TaskConfig> driver_config() const;
  TaskPaths task_paths() const;

  ClientContext& context_;
  TaskOwner& owner_;
  io::Scope& scope_;
  std::string name_;
  std::unique_ptr<schema::Task> task_;
  TaskMachine machine_;
  log::Logger logger_;
  drivers::Driver* driver_ = nullptr;  // null: no such driver
  std::shared_ptr<drivers::Task> running_;
  std::optional<drivers::TaskHandle> handle_;
  EnvMap template_env_;
  bool prepared_once_ = false;
  bool detached_ = false;
  uint64_t timer_serial_ = 0;
  std::stop_source prepare_stop_;
};

// Pure translations of the job's words, for the runner and its tests.
TaskPolicy task_policy(const schema::Allocation& alloc, const schema::Task& task, Duration max_kill_timeout);
// "SIGTERM", "TERM", "sigint", "15". kInvalid otherwise.
Result<int> signal_number(std::string_view name);

}  // namespace steppe::client
