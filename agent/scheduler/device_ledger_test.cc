#include "agent/scheduler/device_ledger.h"

#include <gtest/gtest.h>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

struct CompareCase {
  const char* left;  // null: missing
  const char* operand;
  const char* right;
  bool want;
};

TEST(DeviceAttributes, TypedComparison) {
  const CompareCase cases[] = {
      {"10", "=", "10", true},
      {"10", "=", "10.0", true},
      {"9", "<", "10", true},  // numbers, not text
      {"10", ">=", "10", true},
      {"11 GiB", ">", "10 GiB", true},
      {"1024 MiB", "=", "1 GiB", true},
      {"1 GiB", ">", "1 GB", true},
      {"1500 MHz", "=", "1.5 GHz", true},
      {"250 W", "<", "0.3 kW", true},
      {"500 mW", "<", "1 W", true},
      {"1 GiB/s", ">", "1000 MiB/s", true},
      {"1 GiB", ">", "1 MHz", false},  // units of different kinds
      {"1 GiB", "!=", "1 MHz", false},
      {"1 GiB", "=", "1073741824", false},  // one has a unit, the other has none
      {"true", "=", "true", true},
      {"true", "!=", "false", true},
      {"true", "<", "false", false},
      {"abc", "=", "abc", true},
      {"abc", "<", "abd", true},
      {"abc", "=", "1", false},
      {nullptr, "=", "1", false},
      {nullptr, "!=", "1", true},   // exactly one side missing
      {"1", "!=", nullptr, true},
      {nullptr, "!=", nullptr, false},
      {nullptr, "is_set", nullptr, false},
      {"1", "is_set", nullptr, true},
      {nullptr, "is_not_set", nullptr, true},
      {"Tesla V100", "regexp", "V[0-9]+", true},
      {"3.5.1", "version", ">= 3.0", true},
      {"a,b,c", "set_contains", "a,c", true},
      {"a,b,c", "set_contains_any", "x,c", true},
      {"a,b,c", "set_contains", "x,c", false},
  };
  model::ConstraintChecker checker;
  for (const CompareCase& c : cases) {
    std::optional<schema::Attribute> left, right;
    if (c.left != nullptr) left = parse_attribute(c.left);
    if (c.right != nullptr) right = parse_attribute(c.right);
    EXPECT_EQ(check_attribute(checker, c.operand, left, right), c.want)
        << (c.left ? c.left : "-") << " " << c.operand << " " << (c.right ? c.right : "-");
  }
}

schema::Node gpus() {
  schema::Node node;
  auto& small = *node.mutable_node_resources()->add_devices();
  small.set_vendor("nvidia");
  small.set_type("gpu");
  small.set_name("1080ti");
  (*small.mutable_attributes())["memory"] = parse_attribute("11 GiB");
  for (const char* id : {"s0", "s1", "s2"}) {
    auto& instance = *small.add_instances();
    instance.set_id(id);
    instance.set_healthy(std::string_view(id) != "s1");
  }
  auto& large = *node.mutable_node_resources()->add_devices();
  large.set_vendor("nvidia");
  large.set_type("gpu");
  large.set_name("v100");
  (*large.mutable_attributes())["memory"] = parse_attribute("32 GiB");
  large.add_instances()->set_id("l0");
  large.mutable_instances(0)->set_healthy(true);
  return node;
}

schema::Task asking(std::string_view name, uint64_t count) {
  schema::Task task;
  auto& ask = *task.mutable_resources()->add_devices();
  ask.set_name(std::string(name));
  ask.set_count(count);
  return task;
}

TEST(DeviceLedger, NamesMatchByParts) {
  const schema::Node node = gpus();
  const auto& group = node.node_resources().devices(0);
  EXPECT_TRUE(device_id_matches("gpu", group));
  EXPECT_TRUE(device_id_matches("nvidia/gpu", group));
  EXPECT_TRUE(device_id_matches("nvidia/gpu/1080ti", group));
  EXPECT_FALSE(device_id_matches("amd/gpu", group));
  EXPECT_FALSE(device_id_matches("nvidia/gpu/v100", group));
  EXPECT_FALSE(device_id_matches("fpga", group));
}

TEST(DeviceLedger, TakesHealthyFreeInstancesOnce) {
  const schema::Node node = gpus();
  model::ConstraintChecker checker;
  DeviceLedger ledger(node);
  const auto pick = ledger.pick(checker, asking("nvidia/gpu/1080ti", 2));
  ASSERT_TRUE(pick.ok()) << pick.refusal;
  EXPECT_EQ(pick.devices[0].device_ids(0), "s0");
  EXPECT_EQ(pick.devices[0].device_ids(1), "s2");  // s1 is ill
  ledger.hold_pick(pick);
  EXPECT_FALSE(ledger.pick(checker, asking("nvidia/gpu/1080ti", 1)).ok());
  const auto other = ledger.pick(checker, asking("gpu", 1));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other.devices[0].name(), "v100");
  EXPECT_EQ(ledger.pick(checker, asking("fpga", 1)).refusal, "devices: no devices match request");
}

TEST(DeviceLedger, ConstraintsAndAffinitiesChooseTheGroup) {
  const schema::Node node = gpus();
  model::ConstraintChecker checker;
  DeviceLedger ledger(node);
  schema::Task task = asking("gpu", 1);
  auto& affinity = *task.mutable_resources()->mutable_devices(0)->add_affinities();
  affinity.set_l_target("${device.attr.memory}");
  affinity.set_operand(">=");
  affinity.set_r_target("20 GiB");
  affinity.set_weight(50);
  auto pick = ledger.pick(checker, task);
  ASSERT_TRUE(pick.ok());
  EXPECT_EQ(pick.devices[0].name(), "v100");
  EXPECT_DOUBLE_EQ(pick.matched_weight, 50);
  EXPECT_DOUBLE_EQ(pick.total_weight, 50);
  auto& constraint = *task.mutable_resources()->mutable_devices(0)->add_constraints();
  constraint.set_l_target("${device.model}");
  constraint.set_operand("=");
  constraint.set_r_target("1080ti");
  pick = ledger.pick(checker, task);
  ASSERT_TRUE(pick.ok());
  EXPECT_EQ(pick.devices[0].name(), "1080ti");
  EXPECT_TRUE(node_has_devices(checker, {&task}, node));
  const schema::Task too_many = asking("nvidia/gpu/v100", 2);
  EXPECT_FALSE(node_has_devices(checker, {&too_many}, node));
}

}  // namespace
}  // namespace steppe::scheduler
