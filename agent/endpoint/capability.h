#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace steppe::endpoint {

// One right. Those up to kLastNamespaced are held in a namespace; the others hold everywhere.
enum class Capability : uint8_t {
  kListJobs,
  kParseJob,
  kReadJob,
  kRegisterJob,
  kSubmitJob,
  kPurgeJob,
  kDeregisterJob,
  kEvaluateJob,
  kPlanJob,
  kRevertJob,
  kStableJob,
  kDispatchJob,
  kForcePeriodicJob,
  kAllocLifecycle,
  kAllocExec,
  kAllocNodeExec,
  kReadLogs,
  kReadFs,
  kGcAllocation,
  kFailDeployment,
  kPauseDeployment,
  kPromoteDeployment,
  kSetAllocHealthDeployment,
  kLastNamespaced = kSetAllocHealthDeployment,
  kNodeRead,
  kNodeWrite,
  kAgentRead,
  kAgentWrite,
  kOperatorRead,
  kOperatorWrite,
  // A client node acting for itself: it proved to be one (certificate, node identity or, in process, its role).
  kNodeSelf,
  // Everything. Rows that name only this one are for management tokens.
  kManagement,
  kCount,
};

// Nomad's name: "submit-job", "node:read", "management".
std::string_view capability_name(Capability capability);
constexpr bool namespaced(Capability capability) { return capability <= Capability::kLastNamespaced; }

// A set of capabilities. On a row: any one of them suffices; the empty set means that nobody is asked.
class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  constexpr CapabilitySet(std::initializer_list<Capability> members) {
    for (const Capability member : members) bits_ |= bit(member);
  }
  constexpr bool has(Capability capability) const { return (bits_ & bit(capability)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr void add(Capability capability) { bits_ |= bit(capability); }
  friend constexpr bool operator==(CapabilitySet, CapabilitySet) = default;

 private:
  static constexpr uint64_t bit(Capability capability) { return uint64_t{1} << static_cast<unsigned>(capability); }
  uint64_t bits_ = 0;
};
static_assert(static_cast<unsigned>(Capability::kCount) <= 64);

}  // namespace steppe::endpoint
