#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/node_class.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/scheduler/plan_check.h"
#include "agent/scheduler/scheduler.h"
#include "agent/state/store.h"
#include "init/base/bytes.h"
#include "init/base/rng.h"

// Tests only: a real store with the scheduler in front of it, driven through log entries as the server does.
namespace steppe::scheduler {

class TestCluster {
 public:
  static constexpr int64_t kSecond = 1'000'000'000;

  explicit TestCluster(uint64_t seed = 1) : ids_(seed) {}

  template <class Command>
  state::Outcome apply(schema::LogType type, const Command& command) {
    const std::string bytes = command.SerializeAsString();
    auto outcome = store_.apply(++index_, static_cast<uint32_t>(type), as_bytes(bytes));
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.error().message());
    EXPECT_FALSE(outcome->refused) << (outcome->refused ? outcome->refused->message() : "");
    return *std::move(outcome);
  }

  std::string uuid() { return Uuid::random(ids_).text(); }

  // A ready node: 4000 MHz, 8000 MB, 100 GB, driver exec, one address. `change` may say otherwise.
  std::string add_node(const std::function<void(schema::Node&)>& change = {}) {
    schema::LogNodeRegister command;
    schema::Node& node = *command.mutable_node();
    node.set_id(uuid());
    node.set_secret_id(uuid());
    node.set_name("node-" + node.id().substr(0, 8));
    node.set_datacenter("dc1");
    node.set_node_pool("default");
    node.set_status("ready");
    node.set_scheduling_eligibility("eligible");
    node.mutable_node_resources()->mutable_cpu()->set_cpu_shares(4000);
    node.mutable_node_resources()->mutable_memory()->set_memory_mb(8000);
    node.mutable_node_resources()->mutable_disk()->set_disk_mb(100'000);
    auto& network = *node.mutable_node_resources()->add_node_networks();
    network.set_mode("host");
    network.set_device("eth0");
    auto& address = *network.add_addresses();
    address.set_alias("default");
    address.set_address("10.0.0.1");
    (*node.mutable_attributes())["kernel.name"] = "linux";
    auto& driver = (*node.mutable_drivers())["exec"];
    driver.set_detected(true);
    driver.set_healthy(true);
    if (change) change(node);
    node.set_computed_class(model::computed_class(node));
    apply(schema::LOG_NODE_REGISTER, command);
    // Registration makes a node wait for its first heartbeat; status is what the test asked for.
    set_status(node.id(), node.status());
    return node.id();
  }

  void set_status(const std::string& node, std::string_view status) {
    schema::LogNodeStatus command;
    command.set_node_id(node);
    command.set_status(std::string(status));
    command.set_updated_at(now.unix_ns / kSecond);
    command.set_unix_ns(now.unix_ns);
    apply(schema::LOG_NODE_STATUS, command);
  }

  // One group "web" of `count` tasks under exec: 500 MHz, 256 MB, 300 MB disk.
  static schema::Job job(std::string_view id, int64_t count, std::string_view type = "service") {
    schema::Job job;
    job.set_id(std::string(id));
    job.set_name(std::string(id));
    job.set_namespace_("default");
    job.set_region("global");
    job.set_type(std::string(type));
    job.set_priority(50);
    job.set_node_pool("default");
    job.add_datacenters("*");
    auto& group = *job.add_task_groups();
    group.set_name("web");
    group.set_count(count);
    group.mutable_ephemeral_disk()->set_size_mb(300);
    auto& policy = *group.mutable_reschedule_policy();
    policy.set_unlimited(type == "service");
    policy.set_delay(30 * kSecond);
    policy.set_delay_function("constant");
    policy.set_max_delay(3600 * kSecond);
    auto& task = *group.add_tasks();
    task.set_name("server");
    task.set_driver("exec");
    task.mutable_resources()->set_cpu(500);
    task.mutable_resources()->set_memory_mb(256);
    return job;
  }

  // Stores the job and returns the evaluation that it needs.
  schema::Evaluation submit(const schema::Job& job) {
    schema::LogJobRegister command;
    *command.mutable_job() = job;
    command.set_unix_ns(now.unix_ns);
    apply(schema::LOG_JOB_REGISTER, command);
    return evaluation(job.id(), job.type(), "job-register");
  }

  schema::Evaluation evaluation(std::string_view job_id, std::string_view type, std::string_view trigger) {
    schema::Evaluation eval;
    eval.set_id(uuid());
    eval.set_namespace_("default");
    eval.set_job_id(std::string(job_id));
    eval.set_type(std::string(type));
    eval.set_priority(50);
    eval.set_triggered_by(std::string(trigger));
    eval.set_status("pending");
    return eval;
  }

  state::Snapshot snapshot() { return store_.snapshot(); }

  Options options() const {
    Options out;
    out.now = now;
    out.config = config;
    return out;
  }

  Outcome schedule(const schema::Evaluation& eval) { return scheduler_.schedule(eval, snapshot(), options()); }

  // Checks the plan as the leader does and commits what passed.
  schema::PlanResult commit(const schema::Plan& plan) {
    schema::PlanResult result = evaluate_plan(snapshot(), plan);
    schema::LogPlanApply command;
    *command.mutable_job() = plan.job();
    merge(result.node_update(), *command.mutable_allocs_stopped());
    merge(result.node_allocation(), *command.mutable_allocs_updated());
    merge(result.node_preemptions(), *command.mutable_allocs_preempted());
    if (result.has_deployment()) *command.mutable_deployment() = result.deployment();
    *command.mutable_deployment_updates() = result.deployment_updates();
    command.set_eval_id(plan.eval_id());
    command.set_unix_ns(now.unix_ns);
    apply(schema::LOG_PLAN_APPLY, command);
    return result;
  }

  // Schedules and commits; expects that all of it passes.
  Outcome run(const schema::Evaluation& eval) {
    Outcome outcome = schedule(eval);
    if (!outcome.plan_empty) {
      EXPECT_TRUE(fully_committed(outcome.plan, commit(outcome.plan)));
    }
    return outcome;
  }

  // The client's report about an alloc.
  void report(const std::string& alloc_id, std::string_view status, bool failed = false) {
    schema::LogAllocClientUpdate command;
    auto& update = *command.add_allocs();
    update.set_id(alloc_id);
    update.set_client_status(std::string(status));
    auto& task = (*update.mutable_task_states())["server"];
    const bool over = status == "complete" || status == "failed";
    task.set_state(over ? "dead" : "running");
    task.set_failed(failed);
    task.set_started_at(now.unix_ns);
    if (over) task.set_finished_at(now.unix_ns);
    update.set_modify_time(now.unix_ns);
    command.set_unix_ns(now.unix_ns);
    apply(schema::LOG_ALLOC_CLIENT_UPDATE, command);
  }

  // Allocs of the job that are meant to run and have not ended.
  std::vector<schema::Allocation> live(std::string_view job_id) {
    const state::Snapshot at = snapshot();
    std::vector<schema::Allocation> out;
    for (const auto& view : at.allocs_by_job("default", job_id, state::Incarnation::kAny)) {
      if (!view.terminal()) out.push_back(view.decode(state::WithJob::kYes));
    }
    return out;
  }

  WallTime now{1'800'000'000 * kSecond};
  schema::SchedulerConfiguration config;
  Scheduler& scheduler() { return scheduler_; }

 private:
  // By node: a protobuf map has no order, a log entry must.
  template <class Map, class List>
  static void merge(const Map& lists, List& out) {
    std::vector<std::string> nodes;
    for (const auto& [node, list] : lists) nodes.push_back(node);
    std::ranges::sort(nodes);
    for (const std::string& node : nodes) out.MergeFrom(lists.at(node).items());
  }

  SeededRng ids_;
  state::Store store_;
  Scheduler scheduler_;
  uint64_t index_ = 0;
};

}  // namespace steppe::scheduler
