#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "drivers/executor/protocol.h"
#include "drivers/isolate/plan_builder.h"
#include "init/base/result.h"
#include "init/frame/frame.h"
#include "init/sys/kernel/fd.h"
#include "init/sys/kernel/process.h"

namespace steppe::executor {

struct Reply {
  int error = 0;
  State state = State::kFailed;
  int executor_pid = 0, task_pid = 0;
  int failed_errno = 0;
  uint32_t failed_step = 0, failed_list = 0;
  std::vector<kernel::Fd> fds;
};

// One packet of the executor; its descriptors come beside it.
Result<Reply> decode_reply(ByteView bytes);

// The agent's end of a control connection.
class Connection {
 public:
  Connection() = default;
  explicit Connection(kernel::Fd socket) : socket_(std::move(socket)) {}
  bool open() const { return socket_.valid(); }
  const kernel::Fd& socket() const { return socket_; }

  // Waits for the next reply. kNotFound: the executor has gone.
  Result<Reply> receive(Duration limit);
  // Sends and waits for the answer. After an error the connection is closed, as a late answer would be taken for the
  // next one's.
  Result<Reply> call(Verb verb, int signal = 0, int64_t grace_ms = 0);

 private:
  kernel::Fd socket_;
};

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
