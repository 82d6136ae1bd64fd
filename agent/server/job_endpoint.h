#pragma once

#include <optional>
#include <string>

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

// The Job.* methods. Lives as long as the dispatcher that it registered with.
class JobEndpoint {
 public:
  explicit JobEndpoint(Core& core) : core_(core) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  template <endpoint::Method M>
  using Request = typename endpoint::Messages<M>::Request;
  using Done = io::Task<endpoint::Outcome<>>;
  using Call = endpoint::Call;

  // job_writes.cc
  Done register_job(const schema::JobRegisterRequest& request, const Call& call, schema::JobRegisterReply& reply);
  Done register_prepared(schema::Job job, const schema::JobRegisterRequest& request, const Call& call, schema::JobRegisterReply& reply);
  Done deregister(const schema::JobDeregisterRequest& request, const Call& call, schema::JobDeregisterReply& reply);
  Done evaluate(const schema::JobEvaluateRequest& request, const Call& call, schema::JobRegisterReply& reply);
  Done revert(const schema::JobRevertRequest& request, const Call& call, schema::JobRegisterReply& reply);
  Done stable(const schema::JobStabilityRequest& request, const Call& call, schema::JobStabilityReply& reply);
  // job_plan.cc
  Done plan(const schema::JobPlanRequest& request, const Call& call, schema::JobPlanReply& reply);
  Done validate(const schema::JobValidateRequest& request, const Call& call, schema::JobValidateReply& reply);
  // job_reads.cc
  Done get_job(const schema::JobSpecificRequest& request, const Call& call, schema::SingleJobReply& reply);
  Done list(const schema::JobListRequest& request, const Call& call, schema::JobListReply& reply);
  Done versions(const schema::JobVersionsRequest& request, const Call& call, schema::JobVersionsReply& reply);
  Done submission(const schema::JobSubmissionRequest& request, const Call& call, schema::JobSubmissionReply& reply);
  Done allocations(const schema::JobSpecificRequest& request, const Call& call, schema::JobAllocationsReply& reply);
  Done evaluations(const schema::JobSpecificRequest& request, const Call& call, schema::JobEvaluationsReply& reply);
  Done summary(const schema::JobSpecificRequest& request, const Call& call, schema::JobSummaryReply& reply);
  Done deployments(const schema::JobSpecificRequest& request, const Call& call, schema::DeploymentListReply& reply);
  Done latest_deployment(const schema::JobSpecificRequest& request, const Call& call, schema::SingleDeploymentReply& reply);

  Core& core_;
};

struct Admission {
  std::string warnings;  // one block, empty when there are none
};

// What every job passes before it is planned or registered: canonical form, region, validation, the rules against the
// version that is registered now. Changes `job`. 500 with Nomad's text when it may not be.
endpoint::Outcome<Admission> admit_job(const Core& core, const state::Snapshot& snapshot, schema::Job* job);
// "Enforcing job modify index ..." when EnforceIndex is given and does not match.
endpoint::Outcome<> check_index(const std::optional<state::JobView>& existing, bool enforce, uint64_t want);
// Keeps the registered counts of groups that still exist.
void preserve_counts(const std::optional<state::JobView>& existing, schema::Job* job);
// Periodic and parameterized parents run nothing themselves.
bool has_own_work(const schema::Job& job);

}  // namespace steppe::server
