#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/update_kind.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/scheduler/alloc_set.h"
#include "init/base/clock.h"
#include "init/base/rng.h"

// What a service or batch job needs: compares the allocations that it has with those that it should have. Pure; places nothing.
//
// Every alloc of a group falls into exactly one set:
//   untainted     keeps its slot (also: failed and not to be rescheduled; a batch alloc that is done)
//   migrate       its node drains and its turn has come; stopped, and placed elsewhere
//   lost          its node is down or gone, or it was unknown for too long
//   disconnecting its node went silent and the group allows that: becomes unknown, may get a replacement
//   reconnecting  was unknown and reports again: it or its replacement goes
//   expired       unknown for longer than lost_after: lost
//   ignored       terminal and replaced, or unknown with a replacement: neither counts nor is touched
// Guards: desired stop/evict and client-terminal allocs never migrate; a batch alloc that ran successfully under this
// version is untainted for ever, whatever its node does; `expired` is looked at before `disconnected`.
namespace steppe::scheduler {

// Texts that programs match on.
inline constexpr std::string_view kAllocNotNeeded = "alloc not needed due to job update";
inline constexpr std::string_view kAllocMigrating = "alloc is being migrated";
inline constexpr std::string_view kAllocRescheduled = "alloc was rescheduled because it failed";
inline constexpr std::string_view kAllocLost = "alloc is lost since its node is down";
inline constexpr std::string_view kAllocUnknown = "alloc is unknown since its node is disconnected";
inline constexpr std::string_view kAllocReconnected = "alloc not needed due to disconnected client reconnect";
inline constexpr std::string_view kAllocNodeTainted = "alloc not needed as node is tainted";

// Follow-up evaluations that are due within one window share one evaluation; what is due within the lead is due now.
inline constexpr Duration kFollowupWindow = std::chrono::seconds(5);

enum class NodeFate : uint8_t { kFine, kDisconnected, kDown };

struct ReconcileInput {
  const schema::Evaluation* eval = nullptr;
  const schema::Job* job = nullptr;  // null: purged
  AllocSet allocs;                   // all of the job, terminal ones included
  const schema::Deployment* deployment = nullptr;  // the newest of the job, or null
  std::map<std::string, NodeFate> tainted;          // nodes of the allocs that are not fine
  bool batch = false;                               // batch semantics: what is done is never run again
  WallTime now;
  // What an untainted alloc needs to come under `job`; in-place is already known to fit its node.
  std::function<model::UpdateKind(const JobAlloc&, const schema::TaskGroup&)> update_kind;
};

// One alloc to place.
struct PlacementAsk {
  std::string group;
  std::string name;
  JobAlloc previous;          // replaced, or empty
  bool reschedule = false;    // the previous one failed: penalise its node, extend the tracker
  bool lost = false;
  bool canary = false;
  bool stop_previous = false;  // tell the failed one to stop (kAllocRescheduled) if this one finds a node
  // A replacement for an alloc of the old version while canaries are not promoted: placed with this job instead of the new one.
  const schema::Job* old_job = nullptr;
  Duration reschedule_delay{};
};

struct StopAsk {
  JobAlloc alloc;
  std::string_view description;
  std::string_view client_status;  // empty: as it is
  std::string followup_eval_id;
};

// Stopped and placed together: if the placement fails, the stop is taken back.
struct DestructiveAsk {
  StopAsk stop;
  PlacementAsk place;
};

struct ReconcileResult {
  bool new_deployment = false;
  schema::Deployment deployment;  // set when new_deployment
  std::vector<schema::DeploymentStatusUpdate> deployment_updates;
  std::vector<PlacementAsk> place;
  std::vector<DestructiveAsk> destructive;
  std::vector<JobAlloc> in_place;
  std::vector<StopAsk> stop;
  std::map<std::string, std::string> followup_of;  // alloc id -> follow-up eval id to remember on it
  std::vector<schema::Allocation> disconnect_updates;  // becoming unknown
  std::vector<schema::Allocation> reconnect_updates;   // known again
  std::vector<schema::Evaluation> followup_evals;
  std::map<std::string, schema::DesiredUpdates> desired;
};

// `rng` makes the ids of deployments and evaluations: seed it from the evaluation. Requires canonical jobs.
ReconcileResult reconcile(const ReconcileInput& input, Rng& rng);

// A deployment that still does something: running, paused, pending, initializing, blocked, unblocking.
bool deployment_active(const schema::Deployment& deployment);

}  // namespace steppe::scheduler
