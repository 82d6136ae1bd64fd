#include "agent/endpoint/capability.h"

#include "init/base/assert.h"

namespace steppe::endpoint {

std::string_view capability_name(Capability capability) {
  switch (capability) {
    case Capability::kListJobs: return "list-jobs";
    case Capability::kParseJob: return "parse-job";
    case Capability::kReadJob: return "read-job";
    case Capability::kRegisterJob: return "register-job";
    case Capability::kSubmitJob: return "submit-job";
    case Capability::kPurgeJob: return "purge-job";
    case Capability::kDeregisterJob: return "deregister-job";
    case Capability::kEvaluateJob: return "evaluate-job";
    case Capability::kPlanJob: return "plan-job";
    case Capability::kRevertJob: return "revert-job";
    case Capability::kStableJob: return "stable-job";
    case Capability::kDispatchJob: return "dispatch-job";
    case Capability::kForcePeriodicJob: return "force-periodic-job";
    case Capability::kAllocLifecycle: return "alloc-lifecycle";
    case Capability::kAllocExec: return "alloc-exec";
    case Capability::kAllocNodeExec: return "alloc-node-exec";
    case Capability::kReadLogs: return "read-logs";
    case Capability::kReadFs: return "read-fs";
    case Capability::kGcAllocation: return "gc-allocation";
    case Capability::kFailDeployment: return "fail-deployment";
    case Capability::kPauseDeployment: return "pause-deployment";
    case Capability::kPromoteDeployment: return "promote-deployment";
    case Capability::kSetAllocHealthDeployment: return "set-alloc-health-deployment";
    case Capability::kNodeRead: return "node:read";
    case Capability::kNodeWrite: return "node:write";
    case Capability::kAgentRead: return "agent:read";
    case Capability::kAgentWrite: return "agent:write";
    case Capability::kOperatorRead: return "operator:read";
    case Capability::kOperatorWrite: return "operator:write";
    case Capability::kNodeSelf: return "node-self";
    case Capability::kManagement: return "management";
    case Capability::kCount: break;
  }
  assertion_failed("capability without a name");
}

}  // namespace steppe::endpoint
