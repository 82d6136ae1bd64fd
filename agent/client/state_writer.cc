#include "agent/client/client_context.h"

#include <iterator>
#include <set>

namespace steppe::client {

StateWriter::StateWriter(io::Loop& loop, StateStore& store, io::Scope& scope, log::Logger logger, Duration retry)
    : loop_(loop), store_(store), scope_(scope), logger_(std::move(logger)), retry_(retry) {}

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

io::Task<Result<>> StateWriter::flush() {
  // The newest batch: those before it are written first.
  std::shared_ptr<Batch> batch = next_ ? next_ : current_;
  if (!batch) co_return Result<>();
  STEPPE_CO_TRY_VOID(co_await batch->done.wait());
  co_return batch->result;
}

// In front of what waits already, which is newer.
void StateWriter::keep(std::vector<StateWrite> writes) {
  if (!next_) next_ = std::make_shared<Batch>(loop_);
  std::set<std::string_view> newer;
  for (const StateWrite& write : next_->writes) newer.insert(write.key);
  std::erase_if(writes, [&](const StateWrite& write) { return newer.contains(write.key); });
  next_->writes.insert(next_->writes.begin(), std::make_move_iterator(writes.begin()), std::make_move_iterator(writes.end()));
}

// Once each way, not each second.
void StateWriter::tell(const Result<>& result) {
  if (result.ok() == !failing_) return;
  failing_ = !result.ok();
  if (failing_) logger_.error("client state is not written, tried again until it is", {{"error", result.error()}});
  else logger_.info("client state is written again");
}

io::Task<void> StateWriter::run() {
  while (next_) {
    current_ = std::exchange(next_, nullptr);
    auto work = [this] { return store_.write(current_->writes); };
    current_->result = co_await io::run_blocking(loop_, std::move(work));
    const Result<> result = current_->result;
    tell(result);
    if (!result.ok()) keep(std::move(current_->writes));
    current_->done.set();
    current_.reset();
    if (result.ok()) continue;
    if (!(co_await io::sleep_for(loop_, retry_, scope_.token())).ok()) break;  // the client leaves
  }
  if (std::shared_ptr<Batch> left = std::exchange(next_, nullptr)) {
    left->result = Error(Code::kCancelled, "the client left before its state could be written");
    left->done.set();
  }
  running_ = false;
}

}  // namespace steppe::client
