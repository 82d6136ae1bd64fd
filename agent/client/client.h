#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/client/alloc_runner.h"
#include "agent/client/client_context.h"
#include "agent/client/state_recovery.h"
#include "agent/client/server_link.h"
#include "agent/client/state_store.h"
#include "init/io/scope.h"

namespace steppe::client {

// Settings of the client part of an agent; the defaults are Nomad's.
struct ClientConfig {
  std::string state_dir;   // exists
  StateReader state_reader;  // reads what an earlier agent left there
  std::string alloc_dir;   // exists
  std::string region = "global";
  EnvMap host_env;         // already filtered
  Duration max_kill_timeout = std::chrono::seconds(30);
  std::map<std::string, std::string> host_volumes;
  size_t gc_max_allocs = 50;
  double gc_disk_usage_threshold = 80;
  double gc_inode_usage_threshold = 70;
  Duration gc_interval = std::chrono::minutes(1);
  size_t gc_parallel_destroys = 2;
};

// The node's part of the cluster: registers, heartbeats, watches its allocs, runs them, reports, collects garbage.
// One loop thread. run() is the client's life; all else is called on that thread.
class Client {
 public:
  // `node` must carry no id and secret: those come from the store. All references outlive the client.
  Client(io::Loop& loop, Rng& rng, log::Logger logger, ClientConfig config, ServerLink& servers,
         const DriverTable& drivers, ArtifactFetcher& artifacts, std::unique_ptr<schema::Node> node);
  ~Client();

  // Opens the store, takes hold of what runs, then talks to the servers until `stop`. Afterwards every task has been
  // let go of, or, with `kStopTasks`, ended (within `stop_limit`).
  enum class Leave : uint8_t { kKeepTasks, kStopTasks };
  io::Task<Result<>> run(std::stop_token stop, Leave leave, Duration stop_limit);

  // Without its id as long as the store is not open: reading that takes a process and its time, and others ask before.
  const schema::Node& node() const { return context_ ? *context_->node : std::as_const(*draft_); }
  // True once the servers know the node as ready.
  bool ready() const { return ready_; }
  bool heartbeating() const { return heartbeat_ok_; }

  AllocRunner* find(std::string_view alloc_id);
  const std::map<std::string, std::unique_ptr<AllocRunner>, std::less<>>& allocs() const { return allocs_; }
  // Forgets one finished alloc (kUnavailable while it runs), or all of them.
  io::Task<Result<>> collect(std::string alloc_id);
  io::Task<void> collect_all();
  const std::string& alloc_dir() const { return config_.alloc_dir; }
  io::Loop& loop() { return loop_; }
  const ClientContext& context() const { return *context_; }

 private:
  io::Task<Result<>> open();
  io::Task<void> restore();
  io::Task<void> serve_registration();
  io::Task<void> watch_allocs();
  io::Task<void> send_updates();
  io::Task<void> collect_garbage();
  io::Task<void> keep_prepared();
  io::Task<Result<>> register_and_report();
  io::Task<Result<>> flush_updates();
  void add(std::unique_ptr<schema::Allocation> alloc);
  void mark(const std::string& alloc_id);
  io::Task<void> drop_gone(std::set<std::string> wanted);
  io::Task<void> clear_leftovers_once(std::set<std::string> wanted);
  io::Task<void> destroy(std::string alloc_id);
  bool reported(const std::string& alloc_id) const;
  std::vector<std::string> finished_oldest_first() const;
  io::Task<void> leave(Leave how, Duration limit);

  io::Loop& loop_;
  Rng& rng_;
  log::Logger logger_;
  ClientConfig config_;
  ServerLink& servers_;
  const DriverTable& drivers_;
  ArtifactFetcher& artifacts_;
  std::unique_ptr<schema::Node> draft_;

  io::Scope scope_, store_scope_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<StateWriter> writer_;
  std::unique_ptr<kernel::Beneath> alloc_root_;
  std::unique_ptr<ClientContext> context_;
  NodeIdentity identity_;
  std::map<std::string, std::unique_ptr<AllocRunner>, std::less<>> allocs_;
  std::map<std::string, uint64_t> seen_;  // alloc id -> the modify index we hold
  std::set<std::string> dirty_, sending_, collecting_;  // changed since the servers were told; being told; being removed
  io::Event dirty_event_, registered_;
  Duration ttl_ = std::chrono::seconds(10);
  bool ready_ = false;
  bool leaving_ = false;  // tasks are being stopped for good: no new alloc is taken
  bool heartbeat_ok_ = false;
  bool leftovers_cleared_ = false;
};

}  // namespace steppe::client
