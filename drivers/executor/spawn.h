#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "drivers/executor/connection.h"
#include "drivers/isolate/plan_builder.h"
#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"
#include "init/sys/kernel/process.h"

// How an executor comes to be: spawned for a plan, or spawned before its plan is known.
namespace steppe::executor {

// A running executor as its start report gave it.
struct Started {
  Connection connection;
  kernel::Process executor, task;
  kernel::Fd ended;  // readable once the exit record is complete or the executor is dead; not after recovery
};

// Spawns the executor with the finished plan and waits for its start report.
Result<Started> spawn_executor(int program, isolate::PlanBuilder& plan, const std::string& title, Duration limit);

// What an executor can do before it knows its task. Equal preparations are interchangeable.
struct Preparation {
  int mount_namespace = -1;   // entered; -1: none
  uint64_t namespaces = 0;    // CLONE_NEW* made after that, for the task and its executor
  uint64_t bounding = ~0ull;  // capabilities that the task may have; the executor keeps its own
  bool stage = false;         // isolate::stage_mounts

  void add_to(isolate::PlanBuilder& plan) const;
  bool operator==(const Preparation&) const = default;
};

// An executor that has done its preparation and waits for a plan. It ends with this object, or with the agent.
class Standby {
 public:
  static Result<Standby> spawn(int program, int dev_null, const Preparation& preparation);
  Standby(Standby&&) = default;
  Standby& operator=(Standby&& other);
  ~Standby() { end(); }

  const Preparation& preparation() const { return preparation_; }
  // False once it has ended or said anything, which it does only when its preparation failed.
  bool ready() const;

  // As spawn_executor, for a plan without the preparation. Uses this object up.
  Result<Started> launch(isolate::PlanBuilder& plan, const std::string& title, Duration limit);

 private:
  Standby(Connection connection, kernel::Process executor, Preparation preparation)
      : connection_(std::move(connection)), executor_(std::move(executor)), preparation_(preparation) {}
  void end();
  Connection connection_;
  kernel::Process executor_;
  Preparation preparation_;
};

// Room for one executor on standby. Thread-safe.
class StandbySlot {
 public:
  StandbySlot(int program, int dev_null, Preparation preparation) : program_(program), dev_null_(dev_null), preparation_(preparation) {}
  const Preparation& preparation() const { return preparation_; }
  // Starts the plan, to which the preparation has not been added, under the waiting executor or a new one.
  Result<Started> launch(isolate::PlanBuilder& plan, const std::string& title, Duration limit);
  // Makes the next one, where none waits.
  Result<> refill();

 private:
  std::optional<Standby> take();
  int program_, dev_null_;
  Preparation preparation_;
  std::mutex mutex_;
  std::optional<Standby> waiting_;
};

}  // namespace steppe::executor
