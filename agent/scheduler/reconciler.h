#pragma once

#include <optional>

#include "agent/scheduler/alloc_sort.h"
#include "agent/scheduler/reconcile.h"

// The working state of one reconcile() call. Only reconcile*.cc include this.
namespace steppe::scheduler {

class Reconciler {
 public:
  Reconciler(const ReconcileInput& input, Rng& rng) : in_(input), rng_(rng) {}
  ReconcileResult run();

 private:
  // What compute_group knows about one group on its way.
  struct GroupState {
    std::string name;
    const schema::TaskGroup* group = nullptr;
    schema::DesiredUpdates* desired = nullptr;
    bool existing_deployment = false;
    schema::DeploymentState deployment;
    AllocSet all, canaries, untainted, migrate, lost, lost_held;
    std::vector<DueNow> reschedule_now;
    std::vector<DueLater> reschedule_later;
    std::vector<JobAlloc> in_place;
    AllocSet destructive;
    std::vector<PlacementAsk> place;
    bool require_canary = false;
    bool canarying = false;

    uint64_t count() const { return static_cast<uint64_t>(group->count()); }
    bool has_update() const { return group->has_update() && group->update().max_parallel() > 0; }
  };

  // reconcile.cc
  void cancel_unneeded_deployments();
  void stop_whole_job();
  void stop_group(const std::string& name, const AllocSet& allocs);
  bool compute_group(const std::string& name, const AllocSet& all);  // true: its deployment part is complete
  void sort_group(GroupState& g, const AllocSet& all);
  void compute_updates(GroupState& g);
  void compute_placements(GroupState& g, NameIndex& names);
  void commit_placements(GroupState& g);
  void commit_destructive(GroupState& g, uint64_t limit);
  void commit_migrations(GroupState& g);
  void finish_deployments(bool complete);
  PlacementAsk replacement(const GroupState& g, const JobAlloc& previous) const;
  const schema::Job* newest_old_job(const GroupState& g) const;

  // reconcile_stops.cc
  void stop_canaries(GroupState& g);
  void stop_excess(GroupState& g, NameIndex& names);
  uint64_t stop_named(GroupState& g, AllocSet& from, const std::vector<std::string>& names, uint64_t most,
                      NameIndex& index);
  uint64_t stop_duplicates(GroupState& g, uint64_t most, NameIndex& index);  // of two with one name, the younger
  void handle_disconnecting(GroupState& g, const AllocSet& disconnecting);
  void handle_reconnecting(GroupState& g, const AllocSet& reconnecting);
  bool keeps_original(const JobAlloc& original, const JobAlloc& replacement) const;
  void make_followups(const std::vector<DueLater>& later, std::string_view trigger, std::string_view description);
  void stop(const JobAlloc& item, std::string_view description, std::string_view client_status = {},
            std::string followup = {});
  void stop_all(const AllocSet& allocs, std::string_view description, std::string_view client_status = {});

  // reconcile_deployment.cc
  void begin_deployment_state(GroupState& g);
  void place_canaries(GroupState& g, NameIndex& names);
  uint64_t update_limit(const GroupState& g) const;
  void create_deployment(const GroupState& g);
  bool group_complete(const GroupState& g) const;

  const ReconcileInput& in_;
  Rng& rng_;
  ReconcileResult out_;
  const schema::Deployment* current_ = nullptr;  // of this version, not terminal or failed
  const schema::Deployment* old_ = nullptr;
  bool paused_ = false;
  bool failed_ = false;
};

}  // namespace steppe::scheduler
