#pragma once

#include <cstdint>
#include <string_view>

#include "init/base/result.h"

namespace steppe::state {

// The words that rows hold as one byte. text() gives the API's spelling ("canceled" of evaluations has one l,
// "cancelled" of deployments two); parse_*() refuses every other word with kInvalid.

enum class JobStatus : uint8_t { kPending, kRunning, kDead };
enum class JobType : uint8_t { kService, kBatch, kSystem, kSysBatch, kCore };
enum class DesiredStatus : uint8_t { kRun, kStop, kEvict };
enum class ClientStatus : uint8_t { kPending, kRunning, kComplete, kFailed, kLost, kUnknown };
enum class EvalStatus : uint8_t { kBlocked, kPending, kComplete, kFailed, kCanceled };
enum class NodeStatus : uint8_t { kInitializing, kReady, kDown, kDisconnected };
enum class DeploymentStatus : uint8_t {
  kRunning,
  kPaused,
  kFailed,
  kSuccessful,
  kCancelled,
  kInitializing,
  kPending,
  kBlocked,
  kUnblocking,
};

std::string_view text(JobStatus status);
std::string_view text(JobType type);
std::string_view text(DesiredStatus status);
std::string_view text(ClientStatus status);
std::string_view text(EvalStatus status);
std::string_view text(NodeStatus status);
std::string_view text(DeploymentStatus status);

Result<JobStatus> parse_job_status(std::string_view text);
Result<JobType> parse_job_type(std::string_view text);
Result<DesiredStatus> parse_desired_status(std::string_view text);
Result<ClientStatus> parse_client_status(std::string_view text);
Result<EvalStatus> parse_eval_status(std::string_view text);
Result<NodeStatus> parse_node_status(std::string_view text);
Result<DeploymentStatus> parse_deployment_status(std::string_view text);

// The client will change nothing more: its resources and ports are free.
constexpr bool client_terminal(ClientStatus status) {
  return status == ClientStatus::kComplete || status == ClientStatus::kFailed || status == ClientStatus::kLost;
}
// Terminal for the scheduler: told to stop, or ended by itself.
constexpr bool terminal(DesiredStatus desired, ClientStatus client) {
  return desired != DesiredStatus::kRun || client_terminal(client);
}
constexpr bool terminal(EvalStatus status) {
  return status == EvalStatus::kComplete || status == EvalStatus::kFailed || status == EvalStatus::kCanceled;
}
constexpr bool terminal(DeploymentStatus status) {
  return status == DeploymentStatus::kFailed || status == DeploymentStatus::kSuccessful ||
         status == DeploymentStatus::kCancelled;
}

}  // namespace steppe::state
