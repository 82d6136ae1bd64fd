#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/server/blocked_evals.h"
#include "agent/server/commands.h"
#include "agent/server/eval_broker.h"
#include "agent/server/heartbeat_table.h"
#include "agent/state/store.h"
#include "agent/telemetry/registry.h"
#include "init/base/log.h"
#include "init/base/rng.h"
#include "init/io/scope.h"
#include "init/io/wait.h"

namespace steppe::schema {
class Evaluation;
class SchedulerConfiguration;
}

namespace steppe::server {

// After how long garbage collection removes what is over, and how often it looks.
struct GcThresholds {
  Duration interval = std::chrono::minutes(5);
  Duration eval = std::chrono::hours(1);
  Duration batch_eval = std::chrono::hours(24);
  Duration job = std::chrono::hours(4);
  Duration node = std::chrono::hours(24);
  Duration deployment = std::chrono::hours(1);
};

struct Settings {
  std::string region = "global";
  std::string datacenter = "dc1";
  std::string name = "server";      // as members show it: "name.region"
  std::string rpc_address;          // "127.0.0.1:4647"
  std::string node_address;         // IP of the advertised serf address
  uint16_t serf_port = 4648;
  size_t workers = 2;
  size_t max_plans = 4096;          // plans that wait; more are refused and their evaluations given back
  size_t max_updates = 65536;       // alloc updates that wait for their batch; more are answered with 429
  Duration update_batch = std::chrono::milliseconds(50);
  int64_t default_priority = 50;
  int64_t max_priority = 100;
  state::Limits state;
  EvalBroker::Settings broker;
  HeartbeatTable::Settings heartbeats;
  GcThresholds gc;
};

// What the parts of the server share. Loop thread only.
struct Core {
  Core(io::Loop& loop, Rng& rng, log::Logger log, telemetry::Registry& metrics, Settings settings);

  io::Loop& loop;
  Rng& rng;
  log::Logger log;
  telemetry::Registry& metrics;
  const Settings settings;

  state::Store store;
  Commands commands;
  EvalBroker broker;
  BlockedEvals blocked;
  HeartbeatTable heartbeats;

  bool leader = false;        // the leader's duties run here
  bool leader_known = false;  // somebody is the leader
  std::string leader_address;
  size_t blocking_queries = 0;
  bool broker_overflowed = false;  // an enqueue was refused: scan the state when there is room

  io::Event evals_ready;    // the broker has something for a worker, or its deadlines changed
  io::Event failed_ready;   // something reached its delivery limit
  io::Event beats_changed;  // heartbeat deadlines changed
};

// Adds an evaluation that the state holds to the broker or the blocked ones, by its status. Leader only.
void track_eval(Core& core, const schema::Evaluation& eval);
// Moves unblocked evaluations to the broker.
void enqueue_unblocked(Core& core, const std::vector<EvalId>& ids);
// The stored configuration, or the default one.
schema::SchedulerConfiguration scheduler_config(const state::Snapshot& snapshot);

// A new evaluation: id, times, pending.
schema::Evaluation new_eval(Core& core, std::string_view ns, std::string_view job_id, std::string_view type, int64_t priority, std::string_view trigger);

}  // namespace steppe::server
