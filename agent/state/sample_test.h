#pragma once

#include <format>
#include <string>

#include "agent/schema/log.pb.h"
#include "agent/state/store.h"
#include "init/base/rng.h"

// Messages as the other parts make them, for tests and benches.
namespace steppe::state::sample {

inline std::string uuid(Rng& rng) { return Uuid::random(rng).text(); }

inline schema::Job job(const std::string& id, int groups = 1, int64_t count = 1) {
  schema::Job job;
  job.set_id(id);
  job.set_name(id);
  job.set_namespace_("default");
  job.set_type("service");
  job.set_priority(50);
  job.set_node_pool("default");
  job.add_datacenters("dc1");
  for (int i = 0; i < groups; ++i) {
    schema::TaskGroup& group = *job.add_task_groups();
    group.set_name(std::format("group{}", i));
    group.set_count(count);
    schema::Task& task = *group.add_tasks();
    task.set_name("web");
    task.set_driver("exec");
    (*task.mutable_env())["PORT"] = "8080";
    task.mutable_resources()->set_cpu(500);
    task.mutable_resources()->set_memory_mb(256);
  }
  return job;
}

inline schema::Node node(const std::string& id, const std::string& name) {
  schema::Node node;
  node.set_id(id);
  node.set_secret_id("6b8b4567-327b-43c6-83e2-bd3f6de1e3d6");
  node.set_name(name);
  node.set_datacenter("dc1");
  node.set_node_pool("default");
  node.set_node_class("linux");
  node.set_computed_class("v1:1");
  node.set_status("ready");
  node.mutable_node_resources()->mutable_cpu()->set_cpu_shares(14000);
  node.mutable_node_resources()->mutable_memory()->set_memory_mb(32000);
  node.mutable_node_resources()->mutable_disk()->set_disk_mb(100000);
  node.mutable_node_resources()->set_min_dynamic_port(20000);
  node.mutable_node_resources()->set_max_dynamic_port(32000);
  node.mutable_reserved_resources()->mutable_cpu()->set_cpu_shares(100);
  node.mutable_reserved_resources()->mutable_memory()->set_memory_mb(256);
  (*node.mutable_attributes())["kernel.name"] = "linux";
  return node;
}

inline schema::Evaluation eval(const std::string& id, const std::string& job_id) {
  schema::Evaluation eval;
  eval.set_id(id);
  eval.set_namespace_("default");
  eval.set_job_id(job_id);
  eval.set_type("service");
  eval.set_priority(50);
  eval.set_triggered_by("job-register");
  eval.set_status("pending");
  return eval;
}

// As the scheduler places it: five scored nodes, one task, one port. No job.
inline schema::Allocation alloc(Rng& rng, const std::string& job_id, const std::string& group, uint64_t index,
                                const std::string& node_id, const std::string& eval_id) {
  schema::Allocation alloc;
  alloc.set_id(uuid(rng));
  alloc.set_namespace_("default");
  alloc.set_eval_id(eval_id);
  alloc.set_name(std::format("{}.{}[{}]", job_id, group, index));
  alloc.set_node_id(node_id);
  alloc.set_node_name("node-" + node_id.substr(0, 8));
  alloc.set_job_id(job_id);
  alloc.set_task_group(group);
  alloc.set_desired_status("run");
  alloc.set_client_status("pending");
  schema::AllocatedTaskResources& task = (*alloc.mutable_allocated_resources()->mutable_tasks())["web"];
  task.mutable_cpu()->set_cpu_shares(500);
  task.mutable_memory()->set_memory_mb(256);
  alloc.mutable_allocated_resources()->mutable_shared()->set_disk_mb(300);
  schema::AllocatedPortMapping& port = *alloc.mutable_allocated_resources()->mutable_shared()->add_ports();
  port.set_label("http");
  port.set_value(20000 + static_cast<int64_t>(rng.below(12000)));
  port.set_host_ip("10.0.0.12");
  schema::AllocMetric& metrics = *alloc.mutable_metrics();
  metrics.set_nodes_evaluated(10000);
  metrics.set_nodes_in_pool(10000);
  (*metrics.mutable_nodes_available())["dc1"] = 10000;
  metrics.set_allocation_time(43210);
  for (int i = 0; i < 5; ++i) {
    schema::NodeScoreMeta& meta = *metrics.add_score_meta_data();
    meta.set_node_id(uuid(rng));
    (*meta.mutable_scores())["binpack"] = static_cast<double>(rng.below(1000)) / 1001;
    (*meta.mutable_scores())["job-anti-affinity"] = -0.25;
    meta.set_norm_score(static_cast<double>(rng.below(1000)) / 1003);
  }
  return alloc;
}

// As the client reports a task that runs.
inline schema::Allocation running(const std::string& alloc_id, int64_t now) {
  schema::Allocation update;
  update.set_id(alloc_id);
  update.set_client_status("running");
  update.set_client_description("Tasks are running");
  schema::TaskState& task = (*update.mutable_task_states())["web"];
  task.set_state("running");
  task.set_started_at(now);
  for (const char* type : {"Received", "Task Setup", "Started"}) {
    schema::TaskEvent& event = *task.add_events();
    event.set_type(type);
    event.set_time(now);
    if (std::string_view(type) == "Task Setup") event.set_message("Building Task Directory");
  }
  update.set_modify_time(now);
  return update;
}

template <class Command>
Result<Outcome> apply(Store& store, uint64_t index, schema::LogType type, const Command& command) {
  return store.apply(index, type, as_bytes(command.SerializeAsString()));
}

}  // namespace steppe::state::sample
