#include "agent/endpoint/stream_pipe.h"

#include <array>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>

#include "agent/schema/rpc.pb.h"

namespace steppe::endpoint {

// What both ends share. `queue` and the flags of a side are what that side sent. The events belong to their side's loop.
struct PipeState : std::enable_shared_from_this<PipeState> {
  struct Side {
    explicit Side(io::Loop& loop) : loop(loop), changed(loop) {}
    io::Loop& loop;
    io::Event changed;      // the other side sent, took, finished or left
    std::stop_source stop;  // requested on `loop` when the other side left
    std::deque<std::unique_ptr<schema::StreamReply>> queue;
    bool finished = false;
    bool gone = false;
    std::optional<Failure> failure;
  };

  PipeState(io::Loop& caller, io::Loop& handler) : sides{Side(caller), Side(handler)} {}

  // Wakes whoever waits on `side`, from any thread.
  void wake(size_t side) {
    sides[side].loop.post([self = shared_from_this(), side] { self->sides[side].changed.pulse(); });
  }

  std::mutex mutex;
  std::array<Side, 2> sides;
};

PipeEnd::PipeEnd(std::shared_ptr<PipeState> state, size_t side) : state_(std::move(state)), side_(side) {}

PipeEnd::~PipeEnd() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->sides[side_].gone = true;
    state_->sides[side_].finished = true;
  }
  const size_t other = 1 - side_;
  state_->sides[other].loop.post([state = state_, other] {
    state->sides[other].stop.request_stop();
    state->sides[other].changed.pulse();
  });
}

io::Deadline PipeEnd::deadline() const { return {.stop = state_->sides[side_].stop.get_token()}; }

io::Task<Outcome<std::unique_ptr<schema::StreamReply>>> PipeEnd::receive(io::Deadline deadline) {
  const size_t other = 1 - side_;
  while (true) {
    {
      const std::lock_guard lock(state_->mutex);
      PipeState::Side& peer = state_->sides[other];
      if (!peer.queue.empty()) {
        std::unique_ptr<schema::StreamReply> message = std::move(peer.queue.front());
        peer.queue.pop_front();
        state_->wake(other);
        co_return message;
      }
      if (peer.failure) {
        Failure failure = *std::move(peer.failure);
        peer.failure.reset();
        co_return failure;
      }
      if (peer.finished) co_return std::unique_ptr<schema::StreamReply>();
    }
    // Wakes are posted to this thread: none can come between the check above and this wait.
    STEPPE_CO_TRY_VOID(co_await state_->sides[side_].changed.wait(deadline));
  }
}

io::Task<Outcome<>> PipeEnd::send(std::unique_ptr<schema::StreamReply> message, io::Deadline deadline) {
  const size_t other = 1 - side_;
  while (true) {
    {
      const std::lock_guard lock(state_->mutex);
      PipeState::Side& own = state_->sides[side_];
      if (state_->sides[other].gone) co_return Error(Code::kCancelled, "the other end of the stream is closed");
      STEPPE_ASSERT(!own.finished);
      if (own.queue.size() < kPipeDepth) {
        own.queue.push_back(std::move(message));
        state_->wake(other);
        co_return Outcome<>();
      }
    }
    STEPPE_CO_TRY_VOID(co_await state_->sides[side_].changed.wait(deadline));
  }
}

void PipeEnd::finish() {
  const std::lock_guard lock(state_->mutex);
  state_->sides[side_].finished = true;
  state_->wake(1 - side_);
}

void PipeEnd::fail(Failure failure) {
  const std::lock_guard lock(state_->mutex);
  state_->sides[side_].failure = std::move(failure);
  state_->sides[side_].finished = true;
  state_->wake(1 - side_);
}

StreamPipe make_stream_pipe(io::Loop& caller, io::Loop& handler) {
  auto state = std::make_shared<PipeState>(caller, handler);
  return {std::make_unique<PipeEnd>(state, 0), std::make_unique<PipeEnd>(state, 1)};
}

}  // namespace steppe::endpoint
