#include <format>
#include <string>

#include "agent/model/canonicalize_parts.h"
#include "agent/model/interpolate.h"
#include "agent/schema/job.pb.h"

namespace steppe::model::parts {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

// "a-b-C" -> "A-B-C": the one spelling of an HTTP header (Go's CanonicalMIMEHeaderKey).
std::string header_name(std::string name) {
  bool start = true;
  for (char& c : name) {
    if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!start && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    start = c == '-';
  }
  return name;
}

void canonicalize_resources(schema::Resources* resources) {
  // Whoever asks for cores gets their cycles: shares then say nothing.
  if (!resources->has_cores()) {
    resources->set_cores(0);
    if (!resources->has_cpu()) resources->set_cpu(100);
  }
  if (!resources->has_cpu()) resources->set_cpu(resources->cores() > 0 ? 0 : 100);
  if (!resources->has_memory_mb()) resources->set_memory_mb(300);
  if (!resources->has_memory_max_mb()) resources->set_memory_max_mb(0);
  if (!resources->has_disk_mb()) resources->set_disk_mb(0);
  if (!resources->has_iops()) resources->set_iops(0);
  if (!resources->has_secrets_mb()) resources->set_secrets_mb(0);
  for (auto& network : *resources->mutable_networks()) canonicalize(&network);
  for (auto& device : *resources->mutable_devices()) {
    if (!device.has_count()) device.set_count(1);
    for (auto& constraint : *device.mutable_constraints()) canonicalize(&constraint);
    for (auto& affinity : *device.mutable_affinities()) canonicalize(&affinity);
  }
  if (resources->has_numa() && resources->numa().affinity().empty()) resources->mutable_numa()->set_affinity("none");
}

void canonicalize_logs(schema::LogConfig* logs) {
  if (!logs->has_max_files()) logs->set_max_files(10);
  if (!logs->has_max_file_size_mb()) logs->set_max_file_size_mb(10);
  if (!logs->has_disabled()) logs->set_disabled(false);
}

void canonicalize_artifact(schema::TaskArtifact* artifact) {
  if (!artifact->has_getter_source()) artifact->set_getter_source("");
  if (artifact->getter_mode().empty()) artifact->set_getter_mode("any");
  if (!artifact->has_getter_insecure()) artifact->set_getter_insecure(false);
  if (!artifact->relative_dest().empty()) return;
  std::string destination = "local/";
  if (artifact->getter_mode() == "file") {
    const std::string& source = artifact->getter_source();
    destination += source.substr(source.find_last_of('/') + 1);
  }
  artifact->set_relative_dest(destination);
}

void canonicalize_script(schema::ChangeScript* script) {
  if (!script->has_command()) script->set_command("");
  if (!script->has_timeout()) script->set_timeout(5 * kSecond);
  if (!script->has_fail_on_error()) script->set_fail_on_error(false);
  if (!script->has_run_on_first_render()) script->set_run_on_first_render(false);
}

void canonicalize_template(schema::Template* item) {
  if (!item->has_source_path()) item->set_source_path("");
  if (!item->has_dest_path()) item->set_dest_path("");
  if (!item->has_embedded_tmpl()) item->set_embedded_tmpl("");
  if (item->change_mode().empty()) item->set_change_mode("restart");
  if (!item->has_change_signal()) item->set_change_signal(item->change_mode() == "signal" ? "SIGHUP" : "");
  item->set_change_signal(upper(item->change_signal()));
  if (item->has_change_script()) canonicalize_script(item->mutable_change_script());
  if (!item->has_splay()) item->set_splay(5 * kSecond);
  if (item->perms().empty()) item->set_perms("0644");
  if (item->left_delim().empty()) item->set_left_delim("{{");
  if (item->right_delim().empty()) item->set_right_delim("}}");
  if (!item->has_envvars()) item->set_envvars(false);
  if (!item->has_vault_grace()) item->set_vault_grace(0);
  if (!item->has_err_missing_key()) item->set_err_missing_key(false);
  if (!item->has_once()) item->set_once(false);
}

void canonicalize_vault(schema::Vault* vault) {
  if (!vault->has_namespace_()) vault->set_namespace_("");
  if (vault->cluster().empty()) vault->set_cluster("default");
  if (!vault->has_env()) vault->set_env(true);
  if (!vault->has_disable_file()) vault->set_disable_file(false);
  if (vault->change_mode().empty()) vault->set_change_mode("restart");
  if (!vault->has_change_signal()) vault->set_change_signal("SIGHUP");
  vault->set_change_signal(upper(vault->change_signal()));
  if (!vault->has_allow_token_expiration()) vault->set_allow_token_expiration(false);
}

void canonicalize_identity(schema::WorkloadIdentity* identity) {
  if (identity->name().empty()) identity->set_name("default");
  if (identity->name() == "default" && identity->audience().empty()) identity->add_audience("nomadproject.io");
  identity->set_change_signal(upper(identity->change_signal()));
}

// The identity without a name, or named default, has a field of its own.
void canonicalize_identities(schema::Task* task) {
  google::protobuf::RepeatedPtrField<schema::WorkloadIdentity> named;
  for (auto& identity : *task->mutable_identities()) {
    canonicalize_identity(&identity);
    if (identity.name() == "default") {
      *task->mutable_identity() = identity;
    } else {
      named.Add()->Swap(&identity);
    }
  }
  task->mutable_identities()->Swap(&named);
  canonicalize_identity(task->mutable_identity());
}

void canonicalize_csi_plugin(schema::TaskCSIPluginConfig* plugin) {
  if (plugin->mount_dir().empty()) plugin->set_mount_dir("/csi");
  if (plugin->stage_publish_base_dir().empty()) plugin->set_stage_publish_base_dir("/local/csi");
  if (plugin->health_timeout() == 0) plugin->set_health_timeout(30 * kSecond);
}

// What the job says for all its tasks.
void inherit_from_job(const schema::Job& job, schema::Task* task) {
  if (job.has_vault() && !task->has_vault()) *task->mutable_vault() = job.vault();
  for (const auto& secret : job.secrets()) *task->add_secrets() = secret;
}

}  // namespace

void canonicalize(schema::Constraint* constraint) {
  if (constraint->operand().empty()) constraint->set_operand("=");
}

void canonicalize(schema::Affinity* affinity) {
  if (affinity->operand().empty()) affinity->set_operand("=");
  if (!affinity->has_weight()) affinity->set_weight(50);
}

void canonicalize(schema::Spread* spread) {
  if (!spread->has_weight()) spread->set_weight(50);
}

void canonicalize(schema::NetworkResource* network) {
  if (!network->has_m_bits()) network->set_m_bits(0);
  for (auto* ports : {network->mutable_reserved_ports(), network->mutable_dynamic_ports()}) {
    for (auto& port : *ports) {
      if (port.host_network().empty()) port.set_host_network("default");
    }
  }
}

void canonicalize_task(const schema::Job& job, const schema::TaskGroup& group, schema::Task* task) {
  inherit_from_job(job, task);
  canonicalize_resources(task->mutable_resources());
  if (!task->has_kill_timeout()) task->set_kill_timeout(5 * kSecond);
  canonicalize_logs(task->mutable_log_config());
  merge_under(task->mutable_restart_policy(), group.restart_policy());
  if (task->has_lifecycle() && task->lifecycle().hook().empty() && !task->lifecycle().sidecar()) task->clear_lifecycle();
  if (task->has_vault()) canonicalize_vault(task->mutable_vault());
  if (task->has_consul() && task->consul().cluster().empty()) task->mutable_consul()->set_cluster("default");
  if (task->has_csi_plugin_config()) canonicalize_csi_plugin(task->mutable_csi_plugin_config());
  canonicalize_identities(task);
  for (auto& artifact : *task->mutable_artifacts()) canonicalize_artifact(&artifact);
  for (auto& item : *task->mutable_templates()) canonicalize_template(&item);
  for (auto& constraint : *task->mutable_constraints()) canonicalize(&constraint);
  for (auto& affinity : *task->mutable_affinities()) canonicalize(&affinity);
  for (auto& mount : *task->mutable_volume_mounts()) {
    if (!mount.has_volume()) mount.set_volume("");
    if (!mount.has_destination()) mount.set_destination("");
    if (!mount.has_read_only()) mount.set_read_only(false);
    if (mount.propagation_mode().empty()) mount.set_propagation_mode("private");
    if (!mount.has_selinux_label()) mount.set_selinux_label("");
  }
  for (auto& scaling : *task->mutable_scaling_policies()) {
    if (!scaling.has_enabled()) scaling.set_enabled(true);
    if (!scaling.has_min()) scaling.set_min(0);
    auto& target = *scaling.mutable_target();
    target["Namespace"] = job.namespace_();
    target["Job"] = job.id();
    target["Group"] = group.name();
    target["Task"] = task->name();
  }
  for (auto& service : *task->mutable_services()) canonicalize_service(job, group, task, &service);
}

namespace {

// The check's own settings over those of its service.
void canonicalize_check(const schema::Service& service, schema::ServiceCheck* check) {
  if (check->name().empty()) check->set_name(std::format("service: \"{}\" check", service.name()));
  if (check->on_update().empty()) check->set_on_update(service.on_update());
  if (service.has_check_restart()) {
    // Numbers that are no pointers merge as Go does it: the check's wins where it is not zero.
    schema::CheckRestart merged = service.check_restart();
    merged.MergeFrom(check->check_restart());
    *check->mutable_check_restart() = merged;
  }
  if (check->has_check_restart() && !check->check_restart().has_grace()) {
    check->mutable_check_restart()->set_grace(kSecond);
  }
  google::protobuf::Map<std::string, schema::StringList> headers;
  for (auto& [name, values] : *check->mutable_header()) headers[header_name(name)].MergeFrom(values);
  check->mutable_header()->swap(headers);
}

}  // namespace

void canonicalize_service(const schema::Job& job, const schema::TaskGroup& group, const schema::Task* task,
                          schema::Service* service) {
  const std::string task_name = task != nullptr ? task->name() : std::string();
  if (service->name().empty()) {
    service->set_name(task != nullptr ? std::format("{}-{}-{}", job.name(), group.name(), task_name)
                                      : std::format("{}-{}", job.name(), group.name()));
  }
  service->set_name(interpolate_service_name(service->name(), job.name(), group.name(), task_name));
  if (service->provider().empty()) service->set_provider("consul");
  if (service->cluster().empty()) service->set_cluster("default");
  if (service->address_mode().empty()) service->set_address_mode("auto");
  if (service->on_update().empty()) service->set_on_update("require_healthy");
  if (service->namespace_().empty()) {
    service->set_namespace_(service->provider() == "nomad" ? job.namespace_() : "default");
  }
  if (service->has_weights()) {
    if (service->weights().passing() == 0) service->mutable_weights()->set_passing(1);
    if (service->weights().warning() == 0) service->mutable_weights()->set_warning(1);
  }
  for (auto& check : *service->mutable_checks()) {
    check.set_name(interpolate_service_name(check.name(), job.name(), group.name(), task_name));
    canonicalize_check(*service, &check);
  }
  service->clear_check_restart();
}

}  // namespace steppe::model::parts
