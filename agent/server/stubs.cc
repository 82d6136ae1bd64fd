#include "agent/server/stubs.h"

#include <algorithm>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"

namespace steppe::server {

void job_stub(const state::JobView& view, bool with_meta, schema::JobListStub* out) {
  const schema::Job job = view.decode();
  out->set_id(job.id());
  out->set_parent_id(job.parent_id());
  out->set_name(job.name());
  out->set_namespace_(job.namespace_());
  *out->mutable_datacenters() = job.datacenters();
  out->set_node_pool(job.node_pool());
  if (job.has_multiregion()) *out->mutable_multiregion() = job.multiregion();
  out->set_type(job.type());
  out->set_priority(job.priority());
  out->set_periodic(view.periodic());
  out->set_parameterized_job(view.parameterized());
  out->set_stop(job.stop());
  out->set_status(job.status());
  out->set_status_description(job.status_description());
  *out->mutable_job_summary() = view.summary();
  out->set_create_index(job.create_index());
  out->set_modify_index(job.modify_index());
  out->set_job_modify_index(job.job_modify_index());
  out->set_submit_time(job.submit_time());
  out->set_version(job.version());
  if (with_meta) *out->mutable_meta() = job.meta();
}

void alloc_stub(const schema::Allocation& alloc, const AllocStubParts& parts, schema::AllocListStub* out) {
  out->set_id(alloc.id());
  out->set_eval_id(alloc.eval_id());
  out->set_name(alloc.name());
  out->set_namespace_(alloc.namespace_());
  out->set_node_id(alloc.node_id());
  out->set_node_name(alloc.node_name());
  out->set_job_id(alloc.job_id());
  out->set_job_type(alloc.job().type());
  out->set_job_version(alloc.job().version());
  out->set_task_group(alloc.task_group());
  out->set_desired_status(alloc.desired_status());
  out->set_desired_description(alloc.desired_description());
  out->set_client_status(alloc.client_status());
  out->set_client_description(alloc.client_description());
  if (alloc.has_desired_transition()) *out->mutable_desired_transition() = alloc.desired_transition();
  if (parts.task_states) *out->mutable_task_states() = alloc.task_states();
  if (parts.resources) *out->mutable_allocated_resources() = alloc.allocated_resources();
  if (alloc.has_deployment_status()) *out->mutable_deployment_status() = alloc.deployment_status();
  out->set_followup_eval_id(alloc.followup_eval_id());
  out->set_next_allocation(alloc.next_allocation());
  if (alloc.has_reschedule_tracker()) *out->mutable_reschedule_tracker() = alloc.reschedule_tracker();
  *out->mutable_preempted_allocations() = alloc.preempted_allocations();
  out->set_preempted_by_allocation(alloc.preempted_by_allocation());
  out->set_create_index(alloc.create_index());
  out->set_modify_index(alloc.modify_index());
  out->set_create_time(alloc.create_time());
  out->set_modify_time(alloc.modify_time());
}

void alloc_stub(const state::AllocView& alloc, const AllocStubParts& parts, schema::AllocListStub* out) {
  alloc_stub(alloc.decode(state::WithJob::kNo), parts, out);
  out->set_job_type(std::string(state::text(alloc.job().type())));
  out->set_job_version(alloc.job().version());
}

void node_stub(const schema::Node& node, bool resources, bool os, schema::NodeListStub* out) {
  const std::string& address = node.http_addr();
  out->set_address(address.substr(0, address.rfind(':')));
  out->set_id(node.id());
  if (os) {
    if (const auto name = node.attributes().find("os.name"); name != node.attributes().end()) (*out->mutable_attributes())["os.name"] = name->second;
  }
  out->set_datacenter(node.datacenter());
  out->set_name(node.name());
  out->set_node_class(node.node_class());
  out->set_node_pool(node.node_pool());
  if (const auto version = node.attributes().find("nomad.version"); version != node.attributes().end()) out->set_version(version->second);
  out->set_drain(node.has_drain_strategy());
  out->set_scheduling_eligibility(node.scheduling_eligibility());
  out->set_status(node.status());
  out->set_status_description(node.status_description());
  *out->mutable_drivers() = node.drivers();
  *out->mutable_host_volumes() = node.host_volumes();
  if (resources) {
    *out->mutable_node_resources() = node.node_resources();
    *out->mutable_reserved_resources() = node.reserved_resources();
  }
  if (node.has_last_drain()) *out->mutable_last_drain() = node.last_drain();
  out->set_create_index(node.create_index());
  out->set_modify_index(node.modify_index());
}

void eval_stub(const schema::Evaluation& eval, schema::EvaluationStub* out) {
  out->set_id(eval.id());
  out->set_namespace_(eval.namespace_());
  out->set_priority(eval.priority());
  out->set_type(eval.type());
  out->set_triggered_by(eval.triggered_by());
  out->set_job_id(eval.job_id());
  out->set_node_id(eval.node_id());
  out->set_deployment_id(eval.deployment_id());
  out->set_status(eval.status());
  out->set_status_description(eval.status_description());
  out->set_wait_until(eval.wait_until());
  out->set_next_eval(eval.next_eval());
  out->set_previous_eval(eval.previous_eval());
  out->set_blocked_eval(eval.blocked_eval());
  out->set_create_index(eval.create_index());
  out->set_modify_index(eval.modify_index());
  out->set_create_time(eval.create_time());
  out->set_modify_time(eval.modify_time());
}

void show_alloc(schema::Allocation* alloc) {
  if (!alloc->has_allocated_resources()) return;
  const schema::AllocatedResources& allocated = alloc->allocated_resources();
  schema::Resources* total = alloc->mutable_resources();
  schema::Resources* shared = alloc->mutable_shared_resources();
  shared->set_disk_mb(allocated.shared().disk_mb());
  *shared->mutable_networks() = allocated.shared().networks();
  total->set_disk_mb(allocated.shared().disk_mb());
  *total->mutable_networks() = allocated.shared().networks();
  for (const auto& [name, task] : allocated.tasks()) {
    schema::Resources& one = (*alloc->mutable_task_resources())[name];
    one.set_cpu(task.cpu().cpu_shares());
    one.set_memory_mb(task.memory().memory_mb());
    one.set_memory_max_mb(task.memory().memory_max_mb());
    *one.mutable_networks() = task.networks();
    total->set_cpu(total->cpu() + task.cpu().cpu_shares());
    total->set_memory_mb(total->memory_mb() + task.memory().memory_mb());
    total->set_memory_max_mb(total->memory_max_mb() + task.memory().memory_max_mb());
    for (const auto& network : task.networks()) *total->add_networks() = network;
  }
}

void show_node(schema::Node* node) {
  node->clear_secret_id();
  node->set_drain(node->has_drain_strategy());
}

}  // namespace steppe::server
