#include "agent/model/canonicalize.h"

#include <string>

#include "agent/model/canonicalize_parts.h"
#include "agent/schema/job.pb.h"

namespace steppe::model {
namespace {

using parts::merge_under;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

schema::UpdateStrategy default_update() {
  schema::UpdateStrategy update;
  update.set_stagger(30 * kSecond);
  update.set_max_parallel(1);
  update.set_health_check("checks");
  update.set_min_healthy_time(10 * kSecond);
  update.set_healthy_deadline(5 * kMinute);
  update.set_progress_deadline(10 * kMinute);
  update.set_auto_revert(false);
  update.set_auto_promote(false);
  update.set_canary(0);
  return update;
}

schema::MigrateStrategy default_migrate() {
  schema::MigrateStrategy migrate;
  migrate.set_max_parallel(1);
  migrate.set_health_check("checks");
  migrate.set_min_healthy_time(10 * kSecond);
  migrate.set_healthy_deadline(5 * kMinute);
  return migrate;
}

schema::ReschedulePolicy default_reschedule(const std::string& type) {
  schema::ReschedulePolicy policy;
  policy.set_attempts(0);
  policy.set_interval(0);
  policy.set_delay(0);
  policy.set_delay_function("");
  policy.set_max_delay(0);
  policy.set_unlimited(false);
  if (type == "service") {
    policy.set_delay(30 * kSecond);
    policy.set_delay_function("exponential");
    policy.set_max_delay(kHour);
    policy.set_unlimited(true);
  } else if (type == "batch") {
    policy.set_attempts(1);
    policy.set_interval(24 * kHour);
    policy.set_delay(5 * kSecond);
    policy.set_delay_function("constant");
  }
  return policy;
}

schema::RestartPolicy default_restart(const std::string& type) {
  const bool long_running = type == "service" || type == "system";
  schema::RestartPolicy policy;
  policy.set_attempts(long_running ? 2 : 3);
  policy.set_interval(long_running ? 30 * kMinute : 24 * kHour);
  policy.set_delay(15 * kSecond);
  policy.set_mode("fail");
  policy.set_render_templates(false);
  return policy;
}

void canonicalize_periodic(schema::PeriodicConfig* periodic) {
  if (!periodic->has_enabled()) periodic->set_enabled(true);
  if (!periodic->has_spec()) periodic->set_spec("");
  if (!periodic->has_spec_type()) periodic->set_spec_type("cron");
  if (!periodic->has_prohibit_overlap()) periodic->set_prohibit_overlap(false);
  if (!periodic->has_time_zone() || periodic->time_zone().empty()) periodic->set_time_zone("UTC");
}

void canonicalize_multiregion(schema::Multiregion* multiregion) {
  auto* strategy = multiregion->mutable_strategy();
  if (!strategy->has_max_parallel()) strategy->set_max_parallel(0);
  if (!strategy->has_on_failure()) strategy->set_on_failure("");
  for (auto& region : *multiregion->mutable_regions()) {
    if (!region.has_count()) region.set_count(1);
  }
}

void canonicalize_job_fields(schema::Job* job, const JobDefaults& defaults) {
  if (!job->has_stop()) job->set_stop(false);
  if (!job->has_region()) job->set_region("");
  if (job->namespace_().empty()) job->set_namespace_("default");
  if (!job->has_id()) job->set_id("");
  if (job->name().empty()) job->set_name(job->id());
  if (job->type().empty()) job->set_type("service");
  if (!job->has_priority() || job->priority() == 0) job->set_priority(defaults.priority);
  if (!job->has_all_at_once()) job->set_all_at_once(false);
  if (job->datacenters().empty() && !job->has_multiregion()) job->add_datacenters("*");
  if (job->node_pool().empty()) job->set_node_pool("default");
  if (job->has_periodic()) canonicalize_periodic(job->mutable_periodic());
  if (job->has_parameterized_job() && job->parameterized_job().payload().empty()) {
    job->mutable_parameterized_job()->set_payload("optional");
  }
  if (job->has_multiregion()) canonicalize_multiregion(job->mutable_multiregion());
  for (auto& constraint : *job->mutable_constraints()) parts::canonicalize(&constraint);
  for (auto& affinity : *job->mutable_affinities()) parts::canonicalize(&affinity);
  for (auto& spread : *job->mutable_spreads()) parts::canonicalize(&spread);
}

void canonicalize_disconnect(schema::DisconnectStrategy* disconnect) {
  if (!disconnect->has_lost_after()) disconnect->set_lost_after(0);
  if (!disconnect->has_replace()) disconnect->set_replace(true);
  if (disconnect->reconcile().empty()) disconnect->set_reconcile("best_score");
}

void canonicalize_scaling(const schema::Job& job, schema::TaskGroup* group) {
  auto* scaling = group->mutable_scaling();
  if (!scaling->has_enabled()) scaling->set_enabled(true);
  if (!scaling->has_min()) scaling->set_min(group->count());
  if (scaling->type().empty()) scaling->set_type("horizontal");
  auto& target = *scaling->mutable_target();
  target["Namespace"] = job.namespace_();
  target["Job"] = job.id();
  target["Group"] = group->name();
}

// Update, migrate, reschedule and restart: the group's over the job's over the default of the job's type.
void canonicalize_policies(const schema::Job& job, schema::TaskGroup* group) {
  const std::string& type = job.type();
  const bool takes_update = type == "service" || type == "system";
  if (takes_update || group->has_update() || job.has_update()) {
    if (job.has_update()) merge_under(group->mutable_update(), job.update());
    // A batch job without an update block keeps none; one that has it is told so by validate().
    if (takes_update || group->update().ByteSizeLong() > 0) merge_under(group->mutable_update(), default_update());
  }
  if (job.has_migrate()) merge_under(group->mutable_migrate(), job.migrate());
  if (type == "service" || group->has_migrate()) merge_under(group->mutable_migrate(), default_migrate());
  if (job.has_reschedule()) merge_under(group->mutable_reschedule_policy(), job.reschedule());
  const bool rescheduled = type != "system" && type != "sysbatch";
  if (rescheduled || group->has_reschedule_policy()) {
    merge_under(group->mutable_reschedule_policy(), default_reschedule(type));
  }
  merge_under(group->mutable_restart_policy(), default_restart(type));
}

void canonicalize_group(const schema::Job& job, schema::TaskGroup* group) {
  if (!group->has_name()) group->set_name("");
  if (!group->has_count()) {
    group->set_count(group->has_scaling() && group->scaling().has_min() ? group->scaling().min() : 1);
  }
  if (group->has_scaling()) canonicalize_scaling(job, group);
  auto* disk = group->mutable_ephemeral_disk();
  if (!disk->has_sticky()) disk->set_sticky(false);
  if (!disk->has_size_mb()) disk->set_size_mb(300);
  if (!disk->has_migrate()) disk->set_migrate(false);
  if (group->has_disconnect()) canonicalize_disconnect(group->mutable_disconnect());
  if (!group->has_prevent_reschedule_on_lost()) group->set_prevent_reschedule_on_lost(false);
  if (group->has_consul() && group->consul().cluster().empty()) group->mutable_consul()->set_cluster("default");
  for (auto& [name, volume] : *group->mutable_volumes()) {
    if (volume.name().empty()) volume.set_name(name);
  }
  for (auto& constraint : *group->mutable_constraints()) parts::canonicalize(&constraint);
  for (auto& affinity : *group->mutable_affinities()) parts::canonicalize(&affinity);
  for (auto& spread : *group->mutable_spreads()) parts::canonicalize(&spread);
  for (auto& network : *group->mutable_networks()) parts::canonicalize(&network);
  canonicalize_policies(job, group);
  for (auto& service : *group->mutable_services()) parts::canonicalize_service(job, *group, nullptr, &service);
  for (auto& task : *group->mutable_tasks()) parts::canonicalize_task(job, *group, &task);
}

// The servers keep two fields of the job's update block; the groups have all of it.
void reduce_update(schema::Job* job) {
  schema::UpdateStrategy kept;
  const bool given = job->has_update();
  kept.set_stagger(given ? job->update().stagger() : 0);
  kept.set_max_parallel(given ? job->update().max_parallel() : 0);
  kept.set_health_check("");
  kept.set_min_healthy_time(0);
  kept.set_healthy_deadline(0);
  kept.set_progress_deadline(0);
  kept.set_auto_revert(false);
  kept.set_auto_promote(false);
  kept.set_canary(0);
  *job->mutable_update() = kept;
}

// A block of zeros is what an earlier canonicalisation left: it says nothing to the groups.
bool is_reduced(const schema::UpdateStrategy& update) {
  return update.has_canary() && update.has_health_check() && update.health_check().empty() &&
         update.progress_deadline() == 0 && update.healthy_deadline() == 0 && update.min_healthy_time() == 0;
}

}  // namespace

void canonicalize(schema::Job* job, const JobDefaults& defaults) {
  canonicalize_job_fields(job, defaults);
  const bool takes_update = job->type() == "service" || job->type() == "system";
  schema::UpdateStrategy kept;
  const bool reduced = job->has_update() && is_reduced(job->update());
  if (reduced) {
    kept = job->update();
    job->clear_update();
  } else if (job->has_update() || takes_update) {
    merge_under(job->mutable_update(), default_update());
  }
  for (auto& group : *job->mutable_task_groups()) canonicalize_group(*job, &group);
  if (reduced) *job->mutable_update() = kept;
  reduce_update(job);
  job->clear_migrate();
  job->clear_reschedule();
  job->clear_vault();
  job->clear_secrets();
}

}  // namespace steppe::model
