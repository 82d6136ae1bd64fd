#include "agent/jobspec/normalize.h"

#include "agent/schema/job.pb.h"

namespace steppe::jobspec {
namespace {

constexpr int64_t kFiveSeconds = 5'000'000'000;

void normalize_vault(schema::Vault* vault) {
  if (!vault->has_env()) vault->set_env(true);
  if (!vault->has_disable_file()) vault->set_disable_file(false);
  if (!vault->has_change_mode()) vault->set_change_mode("restart");
}

void normalize_template(schema::Template* file) {
  if (!file->has_change_mode()) file->set_change_mode("restart");
  if (!file->has_perms()) file->set_perms("0644");
  if (!file->has_splay()) file->set_splay(kFiveSeconds);
  if (!file->has_err_missing_key()) file->set_err_missing_key(false);
  if (!file->has_change_script()) return;
  auto* script = file->mutable_change_script();
  if (!script->has_timeout()) script->set_timeout(kFiveSeconds);
  if (!script->has_fail_on_error()) script->set_fail_on_error(false);
  if (!script->has_run_on_first_render()) script->set_run_on_first_render(false);
}

// `port` blocks arrive among the dynamic ones; those with a static number are reserved. Port blocks and the older
// reserved_ports blocks never mix: the former replace the latter, as they do in Nomad.
void normalize_ports(schema::NetworkResource* network) {
  if (network->dynamic_ports().empty()) return;
  google::protobuf::RepeatedPtrField<schema::Port> dynamic, reserved;
  for (schema::Port& port : *network->mutable_dynamic_ports()) {
    (port.value() > 0 ? reserved : dynamic).Add(std::move(port));
  }
  network->mutable_dynamic_ports()->Swap(&dynamic);
  network->mutable_reserved_ports()->Swap(&reserved);
}

// The default identity has a field of its own; named ones stay in the list.
void take_default_identity(schema::Task* task) {
  for (int i = 0; i < task->identities_size(); ++i) {
    const std::string& name = task->identities(i).name();
    if (!name.empty() && name != "default") continue;
    *task->mutable_identity() = std::move(*task->mutable_identities(i));
    task->mutable_identities()->DeleteSubrange(i, 1);
    return;
  }
}

void add_secrets(schema::Task* task, const std::vector<std::unique_ptr<google::protobuf::Message>>& secrets) {
  for (const auto& secret : secrets) task->add_secrets()->CopyFrom(*secret);
}

void normalize_task(schema::Task* task, const schema::Job& job, const TaskDefaults::Group* group) {
  if (task->has_resources()) {
    for (schema::NetworkResource& network : *task->mutable_resources()->mutable_networks()) normalize_ports(&network);
  }
  for (schema::Template& file : *task->mutable_templates()) normalize_template(&file);
  if (!task->has_vault() && group && group->vault) task->mutable_vault()->CopyFrom(*group->vault);
  if (!task->has_vault() && job.has_vault()) *task->mutable_vault() = job.vault();
  if (task->has_vault()) normalize_vault(task->mutable_vault());
  if (group) add_secrets(task, group->secrets);
  for (const schema::Secret& secret : job.secrets()) *task->add_secrets() = secret;
  take_default_identity(task);
}

}  // namespace

void normalize(schema::Job& job, const std::string& label, TaskDefaults defaults) {
  if (!job.has_id()) job.set_id(label);
  if (!job.has_name()) job.set_name(label);
  if (job.has_periodic() && (job.periodic().has_spec() || !job.periodic().specs().empty())) {
    job.mutable_periodic()->set_spec_type("cron");
  }
  for (schema::TaskGroup& group : *job.mutable_task_groups()) {
    for (schema::NetworkResource& network : *group.mutable_networks()) normalize_ports(&network);
    auto own = defaults.groups.find(&group);
    for (schema::Task& task : *group.mutable_tasks()) {
      normalize_task(&task, job, own == defaults.groups.end() ? nullptr : &own->second);
    }
  }
  // Lone tasks come first, each in a group of its own name.
  google::protobuf::RepeatedPtrField<schema::TaskGroup> groups;
  for (auto& message : defaults.lone_tasks) {
    auto* group = groups.Add();
    auto* task = group->add_tasks();
    task->CopyFrom(*message);
    group->set_name(task->name());
    normalize_task(task, job, nullptr);
  }
  for (schema::TaskGroup& group : *job.mutable_task_groups()) groups.Add(std::move(group));
  job.mutable_task_groups()->Swap(&groups);
  job.clear_vault();
  job.clear_secrets();
}

}  // namespace steppe::jobspec
