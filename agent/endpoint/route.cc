#include "agent/endpoint/route.h"

#include <algorithm>
#include <array>

#include "init/base/text.h"

namespace steppe::endpoint {
namespace {

constexpr Verbs kGet{1};
constexpr Verbs kPutOnly{2};
constexpr Verbs kWrites{2 | 4};
constexpr Verbs kDelete{8};
constexpr Verbs kGetOrWrite{1 | 2 | 4};
constexpr Verbs kAny{1 | 2 | 4 | 8};

using enum Method;
using enum RequestBody;
using enum ResponseShape;

// clang-format off
constexpr HttpRoute kRoutes[] = {
    // Jobs
    {kGet, "/v1/jobs", kJobList, kNone, kField, "jobs", "", "meta=meta_fields"},
    {kWrites, "/v1/jobs", kJobRegister, kJson},
    {kWrites, "/v1/jobs/parse", kJobParse, kJson, kField, "job"},
    {kWrites, "/v1/validate/job", kJobValidate, kJson},
    {kGet, "/v1/job/:job_id", kJobGetJob, kNone, kField, "job", "job not found"},
    {kWrites, "/v1/job/:job_id", kJobRegister, kJson, kReply, "", "", "", "job.id"},
    {kDelete, "/v1/job/:job_id", kJobDeregister, kNone, kReply, "", "", "purge global eval_priority no_shutdown_delay"},
    {kWrites, "/v1/job/:job_id/evaluate", kJobEvaluate, kOptional, kReply, "", "", "", "job_id"},
    {kGet, "/v1/job/:job_id/allocations", kJobAllocations, kNone, kField, "allocations", "", "all"},
    {kGet, "/v1/job/:job_id/evaluations", kJobEvaluations, kNone, kField, "evaluations"},
    {kWrites, "/v1/job/:job_id/periodic/force", kPeriodicForce, kOptional},
    {kWrites, "/v1/job/:job_id/plan", kJobPlan, kJson, kReply, "", "", "", "job.id"},
    {kAny, "/v1/job/:job_id/summary", kJobSummary, kNone, kField, "job_summary", "job not found"},
    {kGet, "/v1/job/:job_id/versions", kJobGetJobVersions, kNone, kReply, "versions", "job versions not found", "diffs diff_version diff_tag=diff_tag_name"},
    {kWrites, "/v1/job/:job_id/revert", kJobRevert, kJson, kReply, "", "", "", "job_id"},
    {kWrites, "/v1/job/:job_id/stable", kJobStable, kJson, kReply, "", "", "", "job_id"},
    {kGet, "/v1/job/:job_id/deployments", kJobDeployments, kNone, kField, "deployments", "", "all"},
    {kGet, "/v1/job/:job_id/deployment", kJobLatestDeployment, kNone, kField, "deployment"},
    {kGet, "/v1/job/:job_id/submission", kJobGetJobSubmission, kNone, kField, "submission", "job source not found", "version"},
    // Nodes
    {kGet, "/v1/nodes", kNodeList, kNone, kField, "nodes", "", "resources os"},
    {kGet, "/v1/node/:node_id", kNodeGetNode, kNone, kField, "node", "node not found"},
    {kWrites, "/v1/node/:node_id/evaluate", kNodeEvaluate, kOptional},
    {kGet, "/v1/node/:node_id/allocations", kNodeGetAllocs, kNone, kField, "allocs"},
    {kWrites, "/v1/node/:node_id/drain", kNodeUpdateDrain, kJson},
    {kWrites, "/v1/node/:node_id/eligibility", kNodeUpdateEligibility, kJson},
    {kWrites, "/v1/node/:node_ids/purge", kNodeDeregister, kOptional},
    // Allocations
    {kGet, "/v1/allocations", kAllocList, kNone, kField, "allocations", "", "resources task_states"},
    {kGet, "/v1/allocation/:alloc_id", kAllocGetAlloc, kNone, kField, "alloc", "alloc not found"},
    {kWrites, "/v1/allocation/:alloc_id/stop", kAllocStop, kOptional, kReply, "", "", "no_shutdown_delay reschedule"},
    {kGet, "/v1/client/allocation/:alloc_id/stats", kAllocationsStats, kNone, kField, "stats", "", "task"},
    {kGet, "/v1/client/allocation/:alloc_id/exec", kAllocationsExec, kNone, kWebSocket, "", "", "task command=cmd tty"},
    {kWrites, "/v1/client/allocation/:alloc_id/restart", kAllocationsRestart, kOptional},
    {kWrites, "/v1/client/allocation/:alloc_id/signal", kAllocationsSignal, kJson},
    {kGetOrWrite, "/v1/client/allocation/:alloc_id/gc", kAllocationsGarbageCollect, kNone, kEmpty},
    // A client's files and numbers
    {kGet, "/v1/client/fs/ls/:alloc_id", kFileSystemList, kNone, kField, "files", "", "path"},
    {kGet, "/v1/client/fs/stat/:alloc_id", kFileSystemStat, kNone, kField, "info", "", "path"},
    {kGet, "/v1/client/fs/readat/:alloc_id", kFileSystemReadAt, kNone, kBytes, "", "", "path offset limit"},
    {kGet, "/v1/client/fs/cat/:alloc_id", kFileSystemReadAt, kNone, kBytes, "", "", "path"},
    {kGet, "/v1/client/fs/stream/:alloc_id", kFileSystemStream, kNone, kFrames, "", "", "path offset origin follow"},
    {kGet, "/v1/client/fs/logs/:alloc_id", kFileSystemLogs, kNone, kFrames, "", "", "task type=log_type follow plain=plain_text offset origin"},
    {kGetOrWrite, "/v1/client/gc", kAllocationsGarbageCollectAll, kNone, kEmpty, "", "", "node_id"},
    {kGet, "/v1/client/stats", kClientStatsStats, kNone, kField, "host_stats", "", "node_id"},
    // Evaluations
    {kGet, "/v1/evaluations", kEvalList, kNone, kField, "evaluations", "", "status=filter_eval_status job=filter_job_id"},
    {kGet, "/v1/evaluations/count", kEvalCount, kNone, kReply, "", "", "status=filter_eval_status job=filter_job_id"},
    {kGet, "/v1/evaluation/:eval_id", kEvalGetEval, kNone, kField, "eval", "eval not found", "related=include_related"},
    {kGet, "/v1/evaluation/:eval_id/allocations", kEvalAllocations, kNone, kField, "allocations"},
    // Deployments
    {kGet, "/v1/deployments", kDeploymentList, kNone, kField, "deployments"},
    {kGet, "/v1/deployment/:deployment_id", kDeploymentGetDeployment, kNone, kField, "deployment", "deployment not found"},
    {kGet, "/v1/deployment/allocations/:deployment_id", kDeploymentAllocations, kNone, kField, "allocations"},
    {kWrites, "/v1/deployment/fail/:deployment_id", kDeploymentFail, kOptional},
    {kWrites, "/v1/deployment/pause/:deployment_id", kDeploymentPause, kJson},
    {kWrites, "/v1/deployment/promote/:deployment_id", kDeploymentPromote, kJson},
    {kWrites, "/v1/deployment/allocation-health/:deployment_id", kDeploymentSetAllocHealth, kJson},
    // The agent, the cluster
    {kGet, "/v1/agent/self", kAgentSelf, kNone, kAgent},
    {kGet, "/v1/agent/health", kAgentHealth, kNone, kAgent, "", "", "type"},
    {kGet, "/v1/agent/members", kStatusMembers},
    {kGet, "/v1/metrics", kAgentMetrics, kNone, kAgent, "", "", "format"},
    {kGet, "/v1/regions", kRegionList, kNone, kField, "regions"},
    {kGet, "/v1/status/leader", kStatusLeader, kNone, kField, "leader"},
    {kGet, "/v1/status/peers", kStatusPeers, kNone, kField, "peers"},
    {kPutOnly, "/v1/system/gc", kSystemGarbageCollect, kNone, kEmpty},
    {kPutOnly, "/v1/system/reconcile/summaries", kSystemReconcileJobSummaries, kNone, kEmpty},
    {kGet, "/v1/operator/scheduler/configuration", kOperatorSchedulerGetConfiguration},
    // The machine
    {kGet, "/v1/machine/info", kMachineInfo},
    {kGet, "/v1/machine/dmesg", kMachineDmesg, kNone, kReply, "", "", "lines"},
    {kGet, "/v1/machine/logs", kMachineLogs, kNone, kReply, "", "", "lines"},
    {kGet, "/v1/machine/services", kMachineServices},
    {kGet, "/v1/machine/disks", kMachineDisks},
    {kGet, "/v1/machine/mounts", kMachineMounts},
    {kGet, "/v1/machine/processes", kMachineProcesses},
    {kGet, "/v1/machine/time", kMachineTime},
    {kGet, "/v1/machine/slots", kMachineSlots},
    {kWrites, "/v1/machine/reboot", kMachineReboot, kOptional},
    {kWrites, "/v1/machine/poweroff", kMachinePoweroff, kOptional},
    {kWrites, "/v1/machine/upload/:digest", kMachineUpload, kData, kReply, "", "", "offset size"},
    {kWrites, "/v1/machine/stage", kMachineStage, kJson},
    {kWrites, "/v1/machine/try", kMachineTry, kJson},
    {kWrites, "/v1/machine/bless", kMachineBless, kOptional},
    {kWrites, "/v1/machine/revert", kMachineRevert, kOptional},
    {kWrites, "/v1/machine/forgive", kMachineForgive, kJson},
    {kWrites, "/v1/operator/scheduler/configuration", kOperatorSchedulerSetConfiguration, kJson, kReply, "", "", "cas=cas"},
};
// clang-format on

// Prefixes that only the enterprise product answers.
constexpr std::string_view kEnterprise[] = {
    "/v1/sentinel/",      "/v1/quotas",          "/v1/quota-usages",        "/v1/quota",
    "/v1/recommendation", "/v1/recommendations", "/v1/operator/utilization",
};

// Below a job, and not built: without their own lines they would be taken for the ends of greedy job ids.
constexpr std::string_view kUnserved[] = {
    "/v1/job/:job_id/dispatch", "/v1/job/:job_id/dispatch/payload", "/v1/job/:job_id/scale",
    "/v1/job/:job_id/services", "/v1/job/:job_id/actions",          "/v1/job/:job_id/action",
};

struct Found {
  size_t literal = 0;  // bytes of the pattern that matched as they stand
  std::vector<Parameter> parameters;
};

// Matches the rest of a path against the rest of a pattern. A parameter takes one segment, `:job_id` as much as it can.
bool match_rest(std::string_view pattern, std::string_view path, Found& found) {
  const size_t colon = pattern.find(':');
  const std::string_view literal = pattern.substr(0, colon);
  if (!path.starts_with(literal)) return false;
  found.literal += literal.size();
  path.remove_prefix(literal.size());
  if (colon == std::string_view::npos) return path.empty();
  pattern.remove_prefix(colon + 1);
  const size_t end = std::min(pattern.find('/'), pattern.size());
  const std::string_view name = pattern.substr(0, end);
  const std::string_view rest = pattern.substr(end);
  size_t length = path.size();
  if (name != "job_id") length = std::min(path.find('/'), path.size());
  if (!rest.empty() && name == "job_id") {
    if (!path.ends_with(rest)) return false;  // every :job_id pattern ends in literals
    length = path.size() - rest.size();
  }
  if (length == 0) return false;
  found.parameters.push_back({name, std::string(path.substr(0, length))});
  return match_rest(rest, path.substr(length), found);
}

}  // namespace

std::optional<Verb> parse_verb(std::string_view text) {
  if (text == "GET") return Verb::kGet;
  if (text == "PUT") return Verb::kPut;
  if (text == "POST") return Verb::kPost;
  if (text == "DELETE") return Verb::kDelete;
  return std::nullopt;
}

std::span<const HttpRoute> http_routes() { return kRoutes; }

RouteMatch match_route(Verb verb, std::string_view path) {
  RouteMatch best;
  size_t best_literal = 0;
  bool known = false;
  for (const HttpRoute& route : kRoutes) {
    Found found;
    if (!match_rest(route.pattern, path, found)) continue;
    if (known && found.literal < best_literal) continue;
    if (!known || found.literal > best_literal) {
      best.route = nullptr;
      best_literal = found.literal;
      known = true;
    }
    if (route.verbs.has(verb)) {
      best.route = &route;
      best.parameters = std::move(found.parameters);
    }
  }
  best.unserved = std::ranges::any_of(kUnserved, [&](std::string_view pattern) {
    Found found;
    return match_rest(pattern, path, found) && found.literal > best_literal;
  });
  if (best.unserved) best.route = nullptr;
  best.wrong_verb = known && best.route == nullptr && !best.unserved;
  best.enterprise = !known && std::ranges::any_of(kEnterprise, [&](std::string_view prefix) {
    return path.starts_with(prefix) && (path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/');
  });
  return best;
}

std::vector<std::pair<std::string_view, std::string_view>> query_fields(const HttpRoute& route) {
  std::vector<std::pair<std::string_view, std::string_view>> fields;
  for (const std::string_view item : split(route.query, ' ')) {
    if (item.empty()) continue;
    const size_t equals = item.find('=');
    fields.emplace_back(item.substr(0, equals), equals == std::string_view::npos ? item : item.substr(equals + 1));
  }
  return fields;
}

}  // namespace steppe::endpoint
