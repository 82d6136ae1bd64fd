#include "agent/server/commands.h"

#include <google/protobuf/message.h>

#include <format>

#include "init/base/assert.h"

namespace steppe::server {

using endpoint::Failure;
using telemetry::Metric;

Commands::Commands(io::Loop& loop, Rng& rng, state::Store& store, telemetry::Registry& metrics)
    : loop_(loop), store_(store), metrics_(metrics), progressed_(loop), next_proposal_(rng.next()) {}

io::Task<endpoint::Outcome<state::Outcome>> Commands::propose(uint32_t log_type, const google::protobuf::Message& command, Proposer::Patience patience) {
  if (proposer_ == nullptr) co_return endpoint::no_cluster_leader();
  std::string entry(kEntryHeader, '\0');
  const uint64_t id = next_proposal_++;
  store_le<uint32_t>(entry.data(), kEntryFormat);
  store_le<uint32_t>(entry.data() + 4, log_type);
  store_le<uint64_t>(entry.data() + 8, id);
  if (!command.AppendToString(&entry)) co_return Failure(Error(Code::kInvalid, "the command cannot be encoded"));
  if (entry.size() > kMaxCommand.count) {
    co_return endpoint::too_large(std::format("the change needs {} bytes of log, at most {} are allowed", entry.size(), kMaxCommand.count));
  }
  const MonoTime began = loop_.now();
  Waiting waiting;
  waiting_.emplace(id, &waiting);
  Result<uint64_t> index = co_await proposer_->propose(std::move(entry), patience);
  if (index.ok()) {
    while (!waiting.outcome && applied_index() < *index) {
      Result<> moved = co_await progressed_.wait(io::Deadline::in(loop_, std::chrono::seconds(30)));
      if (!moved.ok()) break;
    }
  }
  waiting_.erase(id);
  metrics_.sample(Metric::kRaftPropose, loop_.now() - began);
  if (!index.ok()) {
    if (index.error().code() == Code::kUnavailable) co_return endpoint::no_cluster_leader();
    if (patience == Proposer::Patience::kRefuse && index.error().code() == Code::kExhausted) co_return endpoint::rpc_error(index.error().message());
    co_return Failure(std::move(index).error());
  }
  if (!waiting.outcome) co_return Failure(Error(Code::kTimeout, "the change was committed but not applied in time"));
  if (waiting.outcome->refused) co_return endpoint::rpc_error(waiting.outcome->refused->message());
  co_return *std::move(waiting.outcome);
}

Result<> Commands::apply(uint64_t index, ByteView entry) {
  STEPPE_ASSERT(index > applied_index());
  if (entry.empty()) {  // the engine's own: a new term's first entry
    applied_index_ = index;
    progressed_.pulse();
    return {};
  }
  if (entry.size() < kEntryHeader || load_le<uint32_t>(entry.data()) != kEntryFormat) {
    return Error(Code::kCorrupt, std::format("log entry {}: unknown format", index));
  }
  const auto log_type = load_le<uint32_t>(entry.data() + 4);
  const auto id = load_le<uint64_t>(entry.data() + 8);
  const MonoTime began = loop_.now();
  const state::Snapshot before = store_.snapshot();
  auto outcome = store_.apply(index, log_type, entry.subspan(kEntryHeader));
  if (!outcome.ok()) return std::move(outcome).error().wrap(std::format("log entry {}", index));
  applied_index_ = index;
  metrics_.sample(Metric::kFsmApply, loop_.now() - began);
  if (applied_ && !outcome->refused) applied_(before, store_.snapshot(), *outcome);
  if (const auto at = waiting_.find(id); at != waiting_.end()) at->second->outcome = *std::move(outcome);
  progressed_.pulse();
  return {};
}

io::Task<Result<>> Commands::wait_applied(uint64_t index, io::Deadline deadline) {
  while (applied_index() < index) STEPPE_CO_TRY_VOID(co_await progressed_.wait(deadline));
  co_return Result<>();
}

}  // namespace steppe::server
