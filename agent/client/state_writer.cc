#include "agent/client/client_context.h"

namespace steppe::client {

StateWriter::StateWriter(io::Loop& loop, StateStore& store, io::Scope& scope, log::Logger logger)
    : loop_(loop), store_(store), scope_(scope), logger_(std::move(logger)) {}

void StateWriter::kick() {
  if (running_) return;
  running_ = true;
  scope_.spawn(run());
}

io::Task<Result<>> StateWriter::write(std::vector<StateWrite> writes) {
  if (!next_) next_ = std::make_shared<Batch>(loop_);
  std::shared_ptr<Batch> batch = next_;
  for (StateWrite& write : writes) batch->writes.push_back(std::move(write));
  kick();
  // No deadline: the transaction is bounded, and a caller that left early could not know what is stored.
  STEPPE_CO_TRY_VOID(co_await batch->done.wait());
  co_return batch->result;
}

void StateWriter::post(StateWrite write) {
  if (!next_) next_ = std::make_shared<Batch>(loop_);
  // Only the newest picture of a task matters.
  for (StateWrite& pending : next_->writes) {
    if (pending.key == write.key) {
      pending.value = std::move(write.value);
      return;
    }
  }
  next_->writes.push_back(std::move(write));
  kick();
}

io::Task<void> StateWriter::flush() {
  // The newest batch: those before it are written first.
  std::shared_ptr<Batch> batch = next_ ? next_ : current_;
  if (batch) (void)co_await batch->done.wait();
}

io::Task<void> StateWriter::run() {
  while (next_) {
    current_ = std::exchange(next_, nullptr);
    auto work = [this] { return store_.write(current_->writes); };
    current_->result = co_await io::run_blocking(loop_, std::move(work));
    if (!current_->result.ok()) logger_.error("client state is not written", {{"error", current_->result.error()}});
    current_->done.set();
    current_.reset();
  }
  running_ = false;
}

}  // namespace steppe::client
