#pragma once

#include <memory>
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

}  // namespace steppe::executor
