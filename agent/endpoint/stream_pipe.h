#pragma once

#include <memory>

#include "agent/endpoint/caller.h"

namespace steppe::endpoint {

struct PipeState;

// One end of an in-process stream between two loops. Destroying it tells the other end.
class PipeEnd final : public Stream {
 public:
  PipeEnd(std::shared_ptr<PipeState> state, size_t side);
  ~PipeEnd() override;

  io::Task<Outcome<std::unique_ptr<schema::StreamReply>>> receive(io::Deadline deadline) override;
  io::Task<Outcome<>> send(std::unique_ptr<schema::StreamReply> message, io::Deadline deadline) override;
  void finish() override;
  // Ends our direction with a failure that the peer receives after what was sent.
  void fail(Failure failure);

  // Never ends by itself; stopped, on this end's loop, when the peer goes.
  io::Deadline deadline() const;

 private:
  std::shared_ptr<PipeState> state_;
  size_t side_;
};

struct StreamPipe {
  std::unique_ptr<PipeEnd> caller;
  std::unique_ptr<PipeEnd> handler;
};

// At most kPipeDepth messages wait in a direction.
inline constexpr size_t kPipeDepth = 16;
StreamPipe make_stream_pipe(io::Loop& caller, io::Loop& handler);

}  // namespace steppe::endpoint
