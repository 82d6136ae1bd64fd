#pragma once

#include <string>
#include <vector>

#include "drivers/executor/protocol.h"
#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/frame/frame.h"
#include "init/sys/kernel/fd.h"

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

}  // namespace steppe::executor
