#pragma once

// A server with an instant log on a simulated loop, for this room's tests.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/endpoint/dispatcher.h"
#include "agent/schema/agent.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/server.h"
#include "agent/state/snapshot.h"
#include "init/io/scope.h"
#include "tests/sim/sim_loop.h"

namespace steppe::server {

// Commits everything in order, a little later, and hands it to the server. Contract of Proposer; may be told to fail.
class InstantLog final : public Proposer {
 public:
  explicit InstantLog(io::Loop& loop) : loop_(loop) {}
  void attach(Server* server) { server_ = server; }
  io::Task<Result<uint64_t>> propose(std::string entry, Patience) override {
    static_cast<void>(co_await io::sleep_for(loop_, delay, {}));
    if (failing) co_return Error(Code::kUnavailable, "not the leader");
    const uint64_t index = ++index_;
    entries.push_back(entry);
    Result<> applied = server_->apply(index, as_bytes(entry));
    EXPECT_TRUE(applied.ok()) << (applied.ok() ? "" : applied.error().message());
    co_return index;
  }
  bool failing = false;
  Duration delay = std::chrono::milliseconds(1);
  std::vector<std::string> entries;  // as committed: a second server replays them

 private:
  io::Loop& loop_;
  Server* server_ = nullptr;
  uint64_t index_ = 0;
};

class TestCluster {
 public:
  explicit TestCluster(uint64_t seed = 1, Settings settings = {});
  ~TestCluster();

  // Runs the task to its end, with time passing as it needs; a task that takes longer than an hour of it fails the test.
  void run(io::Task<void> task);
  void run_for(Duration duration) { loop.run_for(duration); }

  endpoint::CallContext context() { return {.home = &loop, .peer = {endpoint::CertificateRole::kServer, ""}}; }
  state::Snapshot snapshot() { return server->store().snapshot(); }

  // Calls a method and waits for it; a failure is recorded as the test's, and gives an empty reply.
  template <endpoint::Method M>
  typename endpoint::Messages<M>::Reply call(const typename endpoint::Messages<M>::Request& request) {
    typename endpoint::Messages<M>::Reply out;
    run(call_into<M>(*dispatcher, context(), request, out));
    return out;
  }
  // The failure of a call that must fail.
  template <endpoint::Method M>
  endpoint::Failure failure(const typename endpoint::Messages<M>::Request& request) {
    std::optional<endpoint::Failure> out;
    run(fail_into<M>(*dispatcher, context(), request, out));
    return out.value_or(endpoint::Failure(0, Code::kIo, "the call did not fail"));
  }

  // A ready node with room for ten allocs of test_job().
  std::string add_node(const std::string& name = "n");
  // Sends the node's status; the returned TTL.
  Duration heartbeat(const std::string& node_id);
  // A client that does what it is told: every pending alloc of the node runs, every stopped one completes.
  void obey(const std::string& node_id);
  void report(const std::string& node_id, const std::string& alloc_id, const std::string& status, std::optional<bool> healthy = std::nullopt);
  std::vector<schema::Allocation> allocs(const std::string& job_id);
  // Runs the loop until all evaluations are over or blocked.
  void settle();

  SeededRng rng;
  sim::SimLoop loop;
  telemetry::Registry metrics;
  InstantLog log;
  std::unique_ptr<endpoint::Resolver> resolver = endpoint::open_resolver();
  std::unique_ptr<Server> server;
  std::unique_ptr<endpoint::Dispatcher> dispatcher;

 private:
  template <endpoint::Method M>
  static io::Task<void> call_into(endpoint::Dispatcher& dispatcher, endpoint::CallContext context, const typename endpoint::Messages<M>::Request& request,
                                  typename endpoint::Messages<M>::Reply& out) {
    auto reply = co_await dispatcher.call<M>(request, std::move(context));
    EXPECT_TRUE(reply.ok()) << (reply.ok() ? "" : reply.error().message());
    if (reply.ok()) out = std::move(**reply);
  }
  template <endpoint::Method M>
  static io::Task<void> fail_into(endpoint::Dispatcher& dispatcher, endpoint::CallContext context, const typename endpoint::Messages<M>::Request& request,
                                  std::optional<endpoint::Failure>& out) {
    auto reply = co_await dispatcher.call<M>(request, std::move(context));
    if (!reply.ok()) out = std::move(reply).error();
  }
};

// A service job with one group "web" of one task, as a user would write it.
schema::Job test_job(const std::string& id, int64_t count = 1, const std::string& type = "service");

schema::JobRegisterRequest registration(const schema::Job& job);

}  // namespace steppe::server
