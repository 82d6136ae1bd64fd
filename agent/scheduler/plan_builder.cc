#include "agent/scheduler/plan_builder.h"

#include <format>

namespace steppe::scheduler {
namespace {

schema::Allocation reference_to(const schema::Allocation& alloc) {
  schema::Allocation out;
  out.set_id(alloc.id());
  out.set_namespace_(alloc.namespace_());
  out.set_name(alloc.name());
  out.set_node_id(alloc.node_id());
  out.set_job_id(alloc.job_id());
  out.set_task_group(alloc.task_group());
  return out;
}

}  // namespace

void PlanBuilder::stop(const schema::Allocation& alloc, std::string_view description, std::string_view client_status,
                       std::string_view followup) {
  schema::Allocation update = reference_to(alloc);
  update.set_desired_status("stop");
  update.set_desired_description(std::string(description));
  if (!client_status.empty()) update.set_client_status(std::string(client_status));
  if (!followup.empty()) update.set_followup_eval_id(std::string(followup));
  update.set_modify_time(now_.unix_ns);
  *(*plan_.mutable_node_update())[alloc.node_id()].add_items() = std::move(update);
}

void PlanBuilder::undo_stop(const schema::Allocation& alloc) {
  auto& updates = *plan_.mutable_node_update();
  const auto it = updates.find(alloc.node_id());
  if (it == updates.end() || it->second.items_size() == 0) return;
  auto& items = *it->second.mutable_items();
  if (items.Get(items.size() - 1).id() != alloc.id()) return;
  items.RemoveLast();
  if (items.empty()) updates.erase(it);
}

schema::Allocation& PlanBuilder::add(schema::Allocation alloc) {
  auto& slot = *(*plan_.mutable_node_allocation())[alloc.node_id()].add_items();
  slot = std::move(alloc);
  return slot;
}

void PlanBuilder::preempt(const schema::Allocation& victim, std::string_view by) {
  schema::Allocation update = reference_to(victim);
  update.set_desired_status("evict");
  update.set_desired_description(std::format("Preempted by alloc ID {}", by));
  update.set_preempted_by_allocation(std::string(by));
  update.set_modify_time(now_.unix_ns);
  *(*plan_.mutable_node_preemptions())[victim.node_id()].add_items() = std::move(update);
}

bool PlanBuilder::empty() const {
  return plan_.node_update().empty() && plan_.node_allocation().empty() && plan_.node_preemptions().empty() &&
         !plan_.has_deployment() && plan_.deployment_updates().empty();
}

}  // namespace steppe::scheduler
