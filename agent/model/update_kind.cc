#include "agent/model/update_kind.h"

#include <map>
#include <string>

#include "agent/model/equality.h"
#include "agent/schema/job.pb.h"

namespace steppe::model {
namespace {

// What the servers add to a policy when they store it.
void forget_stored(schema::ScalingPolicy* policy) {
  policy->clear_id();
  policy->clear_create_index();
  policy->clear_modify_index();
}

// The job as its author wrote it.
schema::Job specification(const schema::Job& job) {
  schema::Job spec = job;
  spec.clear_status();
  spec.clear_status_description();
  spec.clear_stable();
  spec.clear_version();
  spec.clear_version_tag();
  spec.clear_submit_time();
  spec.clear_create_index();
  spec.clear_modify_index();
  spec.clear_job_modify_index();
  spec.clear_nomad_token_id();
  for (auto& group : *spec.mutable_task_groups()) {
    if (group.has_scaling()) forget_stored(group.mutable_scaling());
    for (auto& task : *group.mutable_tasks()) {
      for (auto& scaling : *task.mutable_scaling_policies()) forget_stored(&scaling);
    }
  }
  return spec;
}

// What only a new alloc can take on, of a group without its tasks.
schema::TaskGroup fixed_part(const schema::TaskGroup& group) {
  schema::TaskGroup fixed;
  *fixed.mutable_ephemeral_disk() = group.ephemeral_disk();
  *fixed.mutable_networks() = group.networks();
  *fixed.mutable_volumes() = group.volumes();
  if (group.has_consul()) *fixed.mutable_consul() = group.consul();
  if (group.has_restart_policy()) {
    fixed.mutable_restart_policy()->set_render_templates(group.restart_policy().render_templates());
  }
  // A mesh service has a proxy running beside the tasks.
  for (const auto& service : group.services()) {
    if (!service.has_connect()) continue;
    auto* mesh = fixed.add_services();
    mesh->set_name(service.name());
    mesh->set_port_label(service.port_label());
    *mesh->mutable_connect() = service.connect();
  }
  return fixed;
}

// The same of a task, with the meta that it sees: job, group and task, the innermost winning.
schema::Task fixed_part(const schema::Job& job, const schema::TaskGroup& group, const schema::Task& task) {
  schema::Task fixed;
  fixed.set_driver(task.driver());
  fixed.set_user(task.user());
  *fixed.mutable_config() = task.config();
  *fixed.mutable_env() = task.env();
  *fixed.mutable_artifacts() = task.artifacts();
  if (task.has_vault()) *fixed.mutable_vault() = task.vault();
  if (task.has_consul()) *fixed.mutable_consul() = task.consul();
  *fixed.mutable_secrets() = task.secrets();
  *fixed.mutable_templates() = task.templates();
  if (task.has_csi_plugin_config()) *fixed.mutable_csi_plugin_config() = task.csi_plugin_config();
  *fixed.mutable_volume_mounts() = task.volume_mounts();
  if (task.has_resources()) *fixed.mutable_resources() = task.resources();
  if (task.has_identity()) *fixed.mutable_identity() = task.identity();
  *fixed.mutable_identities() = task.identities();
  fixed.mutable_log_config()->set_disabled(task.log_config().disabled());
  fixed.mutable_restart_policy()->set_render_templates(task.restart_policy().render_templates());
  auto& meta = *fixed.mutable_meta();
  for (const auto* level : {&job.meta(), &group.meta(), &task.meta()}) {
    for (const auto& [key, value] : *level) meta[key] = value;
  }
  return fixed;
}

}  // namespace

bool spec_changed(const schema::Job& old_job, const schema::Job& new_job) {
  return !same(specification(old_job), specification(new_job));
}

const schema::TaskGroup* find_group(const schema::Job& job, std::string_view name) {
  for (const auto& group : job.task_groups()) {
    if (group.name() == name) return &group;
  }
  return nullptr;
}

UpdateKind update_kind(const schema::Job& old_job, const schema::Job& new_job, std::string_view group) {
  const schema::TaskGroup* old_group = find_group(old_job, group);
  const schema::TaskGroup* new_group = find_group(new_job, group);
  if (old_group == nullptr || new_group == nullptr) return UpdateKind::kDestructive;
  if (old_group->tasks_size() != new_group->tasks_size()) return UpdateKind::kDestructive;
  if (!same(fixed_part(*old_group), fixed_part(*new_group))) return UpdateKind::kDestructive;
  std::map<std::string_view, const schema::Task*> old_tasks;
  for (const auto& task : old_group->tasks()) old_tasks.emplace(task.name(), &task);
  for (const auto& task : new_group->tasks()) {
    const auto found = old_tasks.find(task.name());
    if (found == old_tasks.end()) return UpdateKind::kDestructive;
    if (!same(fixed_part(old_job, *old_group, *found->second), fixed_part(new_job, *new_group, task))) {
      return UpdateKind::kDestructive;
    }
  }
  return spec_changed(old_job, new_job) ? UpdateKind::kInPlace : UpdateKind::kNone;
}

}  // namespace steppe::model
