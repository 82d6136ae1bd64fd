#include "agent/state/status.h"

#include <array>
#include <format>

namespace steppe::state {
namespace {

constexpr std::array<std::string_view, 3> kJobStatus{"pending", "running", "dead"};
constexpr std::array<std::string_view, 5> kJobType{"service", "batch", "system", "sysbatch", "_core"};
constexpr std::array<std::string_view, 3> kDesired{"run", "stop", "evict"};
constexpr std::array<std::string_view, 6> kClient{"pending", "running", "complete", "failed", "lost", "unknown"};
constexpr std::array<std::string_view, 5> kEval{"blocked", "pending", "complete", "failed", "canceled"};
constexpr std::array<std::string_view, 4> kNode{"initializing", "ready", "down", "disconnected"};
constexpr std::array<std::string_view, 9> kDeployment{"running",      "paused",  "failed",  "successful", "cancelled",
                                                      "initializing", "pending", "blocked", "unblocking"};

template <class Enum, size_t n>
Result<Enum> parse(const std::array<std::string_view, n>& words, std::string_view what, std::string_view text) {
  for (size_t i = 0; i < n; ++i) {
    if (words[i] == text) return static_cast<Enum>(i);
  }
  return Error(Code::kInvalid, std::format("unknown {} \"{}\"", what, text));
}

template <size_t n, class Enum>
std::string_view word(const std::array<std::string_view, n>& words, Enum value) {
  return words[static_cast<size_t>(value)];
}

}  // namespace

std::string_view text(JobStatus status) { return word(kJobStatus, status); }
std::string_view text(JobType type) { return word(kJobType, type); }
std::string_view text(DesiredStatus status) { return word(kDesired, status); }
std::string_view text(ClientStatus status) { return word(kClient, status); }
std::string_view text(EvalStatus status) { return word(kEval, status); }
std::string_view text(NodeStatus status) { return word(kNode, status); }
std::string_view text(DeploymentStatus status) { return word(kDeployment, status); }

Result<JobStatus> parse_job_status(std::string_view text) { return parse<JobStatus>(kJobStatus, "job status", text); }
Result<JobType> parse_job_type(std::string_view text) { return parse<JobType>(kJobType, "job type", text); }
Result<DesiredStatus> parse_desired_status(std::string_view text) {
  return parse<DesiredStatus>(kDesired, "desired status", text);
}
Result<ClientStatus> parse_client_status(std::string_view text) {
  return parse<ClientStatus>(kClient, "client status", text);
}
Result<EvalStatus> parse_eval_status(std::string_view text) {
  return parse<EvalStatus>(kEval, "evaluation status", text);
}
Result<NodeStatus> parse_node_status(std::string_view text) { return parse<NodeStatus>(kNode, "node status", text); }
Result<DeploymentStatus> parse_deployment_status(std::string_view text) {
  return parse<DeploymentStatus>(kDeployment, "deployment status", text);
}

}  // namespace steppe::state
