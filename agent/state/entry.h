#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "agent/schema/log.pb.h"
#include "agent/state/alloc_codec.h"
#include "agent/state/store.h"
#include "agent/state/writer.h"

namespace steppe::state {

// One entry of the log being applied. Each run() first checks all that may refuse the command, then changes rows; a
// refusal has changed nothing. Jobs and deployments that the entry touches are edited as drafts and written once, in
// finish(), where job statuses are derived. The rules are Nomad's; a rule that needs the time takes the command's.
class Entry {
 public:
  Entry(Writer& writer, uint64_t index, const Limits& limits, bool collect_keys);
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry();

  Result<> run(const schema::LogJobRegister& command);
  Result<> run(const schema::LogJobDeregister& command);
  Result<> run(const schema::LogJobStability& command);
  Result<> run(const schema::LogReconcileSummaries& command);
  Result<> run(const schema::LogEvalUpsert& command);
  Result<> run(const schema::LogEvalDelete& command);
  Result<> run(const schema::LogPlanApply& command);
  Result<> run(const schema::LogAllocClientUpdate& command);
  Result<> run(const schema::LogAllocDesiredTransition& command);
  Result<> run(const schema::LogNodeRegister& command);
  Result<> run(const schema::LogNodeDeregister& command);
  Result<> run(const schema::LogNodeStatus& command);
  Result<> run(const schema::LogNodeDrain& command);
  Result<> run(const schema::LogNodeEligibility& command);
  Result<> run(const schema::LogNodeEvents& command);
  Result<> run(const schema::LogDeploymentStatus& command);
  Result<> run(const schema::LogDeploymentPromote& command);
  Result<> run(const schema::LogDeploymentAllocHealth& command);
  Result<> run(const schema::LogDeploymentDelete& command);
  Result<> run(const schema::LogGcReap& command);
  Result<> run(const schema::LogSchedulerConfig& command);
  Result<> run(const schema::LogNodePoolUpsert& command);
  Result<> run(const schema::LogNodePoolDelete& command);
  Result<> run(const schema::LogClusterVersion& command);

  // Writes the drafts; to be called after a run() that was not refused.
  void finish();
  Outcome& outcome() { return outcome_; }

 private:
  struct JobDraft {
    JobRow* row = nullptr;  // the entry's own until finish()
    uint8_t parts = 0;      // Writer::JobParts that changed
    bool created = false;
    bool registered = false;
    bool lost_rows = false;  // evals or allocs were deleted
    bool recount = false;
    std::optional<JobStatus> old_status;
  };
  struct DeploymentDraft {
    schema::Deployment deployment;
    bool changed = false;
  };
  struct Promotion {
    const schema::LogDeploymentPromote* command;
    std::vector<std::string> canaries;       // of the groups that are meant
    std::map<std::string, int64_t> healthy;  // by group, of these
    bool meant(std::string_view group) const;
  };
  using SpecKey = std::tuple<std::string, std::string, uint64_t, uint64_t, uint64_t>;

  // ---- jobs (entry_jobs.cc)
  JobDraft* edit_job(std::string_view ns, std::string_view job_id);
  Result<> check_job(const schema::Job& job) const;
  // Stores a job; the rules of versions. Requires check_job().
  JobDraft& register_job(schema::Job job, const schema::JobSubmission* submission);
  void add_version(JobDraft& draft, JobSpec* spec, const schema::JobSubmission* submission);
  void prune_versions(JobRow& row) const;
  void delete_job(std::string_view ns, std::string_view job_id);
  void set_stable(std::string_view ns, std::string_view job_id, uint64_t version, bool stable);
  JobStatus derive_status(const JobDraft& draft) const;
  void settle_job(JobDraft& draft);
  void move_child(const JobSpec& child, std::optional<JobStatus> from, std::optional<JobStatus> to);
  void reconcile(JobDraft& draft);
  // The specification that an alloc's job names: shared if the state has it, else made.
  JobSpec* spec_of(const schema::Job& job);
  JobSpec* find_spec(const SpecKey& key) const;

  // ---- evals (entry_evals.cc)
  Result<> check_eval(const schema::Evaluation& eval) const;
  Result<> check_evals(const google::protobuf::RepeatedPtrField<schema::Evaluation>& evals) const;
  void upsert_eval(schema::Evaluation eval);
  void put_eval(const schema::Evaluation& eval);
  void cancel_blocked(const schema::Evaluation& done);
  void delete_eval(const std::string& id);
  void delete_alloc(const std::string& id);

  // ---- allocs (entry_allocs.cc)
  const AllocRow* find_alloc(std::string_view id) const;
  Result<> check_plan_allocs(const schema::LogPlanApply& command) const;
  void stop_alloc(const schema::Allocation& stop);
  void preempt_alloc(const schema::Allocation& victim);
  void place_alloc(const schema::Allocation& alloc, const schema::Job* plan_job);
  void link_previous(const schema::Allocation& alloc);
  void update_from_client(const schema::Allocation& update);
  void merge_transition(std::string_view id, const schema::DesiredTransition& transition);
  // Writes the alloc, and what follows from it: deployment, summary, counts. `old` is its row before, if any.
  void store_alloc(AllocDraft& draft, const AllocRow* old);
  void count_in_summary(const AllocDraft& draft, const AllocRow* old);
  void count_in_deployment(AllocDraft& draft, const AllocRow* old);

  // ---- deployments (entry_deployments.cc)
  DeploymentDraft* draft_deployment(const Uuid& id);
  schema::Deployment* edit_deployment(const Uuid& id);
  Result<const DeploymentRow*> active_deployment(std::string_view id) const;
  Result<> check_deployment(const schema::Deployment& deployment) const;
  Result<> check_status_update(const schema::DeploymentStatusUpdate& update) const;
  Promotion promotion_of(const DeploymentRow& row, const schema::LogDeploymentPromote& command) const;
  Result<> check_canaries(const schema::Deployment& deployment, const Promotion& promotion) const;
  void upsert_deployment(const schema::Deployment& deployment);
  void update_deployment_status(const schema::DeploymentStatusUpdate& update);
  void delete_deployment(const std::string& id);
  void write_deployment(const schema::Deployment& deployment);

  // ---- nodes (entry_nodes.cc)
  Result<const NodeRow*> find_node(std::string_view id) const;
  void append_event(schema::Node& node, schema::NodeEvent event) const;
  void put_node(schema::Node node);
  void delete_node(const NodeRow& row) { writer_.erase_node(row); }
  void ensure_pool(const std::string& name);

  Root& root() { return writer_.root(); }
  const Root& root() const { return writer_.root(); }

  Writer& writer_;
  const uint64_t index_;
  const Limits& limits_;
  int64_t now_ = 0;  // of the command, Unix nanoseconds
  Outcome outcome_;
  std::map<std::string, JobDraft> jobs_;
  std::map<Uuid, DeploymentDraft> deployments_;
  std::map<SpecKey, JobSpec*> specs_;
};

// The specification row of a job. `job` is stripped of what does not belong to a version.
JobSpec* make_spec(schema::Job job, uint64_t version, uint64_t create_index, uint64_t job_modify_index);
// Equal but for status, stability, version, tag, indexes and submit time.
bool same_spec(const JobSpec& spec, const schema::Job& job);
// Counts what hangs on the job's namespace and id.
void count_rows(const Root& root, JobRow& row);
EvalRow* make_eval_row(const schema::Evaluation& eval);
DeploymentRow* make_deployment_row(const schema::Deployment& deployment);
NodeRow* make_node_row(const schema::Node& node);

}  // namespace steppe::state
