#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "agent/model/constraint.h"

namespace steppe::schema {
class AllocatedDeviceResource;
class AllocatedResources;
class Attribute;
class Constraint;
class Node;
class NodeDeviceResource;
class RequestedDevice;
class Task;
}

namespace steppe::scheduler {

// A literal of a device constraint: "10", "1.5", "true", "4 GiB", "1200 MHz", or text. The unit is a known suffix.
schema::Attribute parse_attribute(std::string_view text);

// Typed comparison of device attributes. Numbers are compared after conversion to one base; units of different kinds make
// every comparison false. `!=` holds when exactly one side is missing and fails when both are.
bool check_attribute(model::ConstraintChecker& checker, std::string_view operand,
                     const std::optional<schema::Attribute>& left, const std::optional<schema::Attribute>& right);

// "type", "vendor/type" or "vendor/type/name" of a request against a device group.
bool device_id_matches(std::string_view requested, const schema::NodeDeviceResource& group);

// Name and constraints match.
bool device_group_matches(model::ConstraintChecker& checker, const schema::RequestedDevice& ask,
                          const schema::NodeDeviceResource& group);

// Could a node give all devices that the tasks ask for, if no other alloc held any: the feasibility check, which is the same for
// all nodes of a class (health is looked at when a device is picked).
bool node_has_devices(model::ConstraintChecker& checker, const std::vector<const schema::Task*>& tasks,
                      const schema::Node& node);

// The device instances of one node: which exist, are healthy, and are held.
class DeviceLedger {
 public:
  explicit DeviceLedger(const schema::Node& node);

  void hold(const schema::AllocatedResources& resources);

  struct Pick {
    std::vector<schema::AllocatedDeviceResource> devices;  // one per request, in order
    double matched_weight = 0;  // of the affinities that the chosen groups match
    double total_weight = 0;    // sum of the absolute weights of all affinities
    std::string refusal;        // "no devices match request", "no devices available: all are in use", ...
    bool ok() const { return refusal.empty(); }
  };
  // Instances for every request of the task, without holding them. Where several groups match, the one with the higher affinity,
  // then the first.
  Pick pick(model::ConstraintChecker& checker, const schema::Task& task) const;
  // Marks what was picked as held, for the next task of the same group.
  void hold_pick(const Pick& pick);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // vendor, type, name
  const schema::Node* node_;
  std::map<Key, std::set<std::string>> held_;
};

}  // namespace steppe::scheduler
