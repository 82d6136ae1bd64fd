#include <algorithm>
#include <format>

#include "agent/schema/plan.pb.h"
#include "agent/state/entry.h"
#include "agent/state/job_key.h"

namespace steppe::state {
namespace {

bool needs_promotion(const schema::Deployment& deployment) {
  return std::ranges::any_of(deployment.task_groups(), [](const auto& entry) {
    return entry.second.desired_canaries() > 0 && !entry.second.promoted();
  });
}

}  // namespace

DeploymentRow* make_deployment_row(const schema::Deployment& deployment) {
  auto* row = new DeploymentRow();
  row->id = DeploymentId(*Uuid::parse(deployment.id()));
  row->ns = deployment.namespace_();
  row->job_id = deployment.job_id();
  row->job_version = deployment.job_version();
  row->job_create_index = deployment.job_create_index();
  row->status = *parse_deployment_status(deployment.status());
  row->create_index = deployment.create_index();
  row->modify_index = deployment.modify_index();
  row->bytes = encode(deployment);
  return row;
}

Entry::DeploymentDraft* Entry::draft_deployment(const Uuid& id) {
  if (auto known = deployments_.find(id); known != deployments_.end()) return &known->second;
  const DeploymentRow* row = root().deployments.find(id);
  if (row == nullptr) return nullptr;
  return &deployments_.emplace(id, DeploymentDraft{decode<schema::Deployment>(row->bytes), false}).first->second;
}

schema::Deployment* Entry::edit_deployment(const Uuid& id) {
  DeploymentDraft* draft = draft_deployment(id);
  if (draft == nullptr) return nullptr;
  draft->changed = true;
  return &draft->deployment;
}

Result<const DeploymentRow*> Entry::active_deployment(std::string_view id) const {
  Result<Uuid> uuid = Uuid::parse(id);
  const DeploymentRow* row = uuid.ok() ? root().deployments.find(*uuid) : nullptr;
  if (row == nullptr) return Error(Code::kNotFound, std::format("deployment \"{}\" does not exist", id));
  if (terminal(row->status)) {
    return Error(Code::kInvalid, std::format("deployment \"{}\" has terminal status \"{}\"", id, text(row->status)));
  }
  return row;
}

Result<> Entry::check_deployment(const schema::Deployment& deployment) const {
  Result<Uuid> id = Uuid::parse(deployment.id());
  if (!id.ok()) return std::move(id).error().wrap("deployment ID");
  STEPPE_TRY_VOID(parse_deployment_status(deployment.status()).wrap(std::format("deployment {}", deployment.id())));
  const DeploymentRow* old = root().deployments.find(*id);
  std::string_view ns = deployment.namespace_().empty() ? std::string_view("default") : deployment.namespace_();
  if (old != nullptr && (old->ns != ns || old->job_id != deployment.job_id())) {
    return Error(Code::kInvalid, std::format("deployment {} belongs to another job", deployment.id()));
  }
  return {};
}

Result<> Entry::check_status_update(const schema::DeploymentStatusUpdate& update) const {
  STEPPE_TRY_VOID(active_deployment(update.deployment_id()));
  STEPPE_TRY_VOID(parse_deployment_status(update.status()));
  return {};
}

void Entry::upsert_deployment(const schema::Deployment& deployment) {
  Uuid id = *Uuid::parse(deployment.id());
  const DeploymentRow* old = root().deployments.find(id);
  deployments_[id] = DeploymentDraft{deployment, true};
  schema::Deployment& draft = deployments_[id].deployment;
  draft.set_id(id.text());
  if (draft.namespace_().empty()) draft.set_namespace_("default");
  draft.set_create_index(old != nullptr ? old->create_index : index_);
  draft.set_modify_index(index_);
  if (draft.create_time() == 0) draft.set_create_time(now_);
  if (now_ != 0) draft.set_modify_time(now_);
  if (draft.status() == text(DeploymentStatus::kSuccessful)) {
    set_stable(draft.namespace_(), draft.job_id(), draft.job_version(), true);
  }
}

void Entry::update_deployment_status(const schema::DeploymentStatusUpdate& update) {
  schema::Deployment* deployment = edit_deployment(*Uuid::parse(update.deployment_id()));
  deployment->set_status(update.status());
  deployment->set_status_description(update.status_description());
  deployment->set_modify_index(index_);
  int64_t at = update.updated_at() != 0 ? update.updated_at() : now_;
  if (at != 0) deployment->set_modify_time(at);
  // A version that a deployment brought up whole is one to go back to.
  if (update.status() == text(DeploymentStatus::kSuccessful)) {
    set_stable(deployment->namespace_(), deployment->job_id(), deployment->job_version(), true);
  }
}

void Entry::write_deployment(const schema::Deployment& deployment) {
  DeploymentRow* row = make_deployment_row(deployment);
  const DeploymentRow* old = root().deployments.find(row->id);
  if (JobDraft* job = edit_job(row->ns, row->job_id); job != nullptr) {
    job->row->live_deployments += terminal(row->status) ? 0 : 1;
    job->row->live_deployments -= old == nullptr || terminal(old->status) ? 0 : 1;
    job->recount = true;
  }
  writer_.put_deployment(row);
}

void Entry::delete_deployment(const std::string& id) {
  Result<Uuid> uuid = Uuid::parse(id);
  const DeploymentRow* row = uuid.ok() ? root().deployments.find(*uuid) : nullptr;
  if (row == nullptr) return;
  if (JobDraft* job = edit_job(row->ns, row->job_id); job != nullptr) {
    job->row->live_deployments -= terminal(row->status) ? 0 : 1;
    job->recount = true;
  }
  writer_.erase_deployment(*row);
}

Result<> Entry::run(const schema::LogDeploymentStatus& command) {
  STEPPE_TRY_VOID(check_status_update(command.update()));
  if (command.has_job()) STEPPE_TRY_VOID(check_job(command.job()));
  if (command.has_eval()) STEPPE_TRY_VOID(check_eval(command.eval()));
  now_ = command.unix_ns();
  update_deployment_status(command.update());
  if (command.has_job()) register_job(command.job(), nullptr);
  if (command.has_eval()) upsert_eval(command.eval());
  return {};
}

// Names the groups of `deployment` that have fewer healthy canaries than they want.
Result<> Entry::check_canaries(const schema::Deployment& deployment, const Promotion& promotion) const {
  std::map<std::string, int64_t> wanted;  // a protobuf map has no order
  for (const auto& [name, state] : deployment.task_groups()) {
    if (promotion.meant(name)) wanted.emplace(name, state.desired_canaries());
  }
  std::string lacking;
  for (const auto& [name, count] : wanted) {
    auto healthy = promotion.healthy.find(name);
    int64_t have = healthy == promotion.healthy.end() ? 0 : healthy->second;
    if (have >= count) continue;
    if (!lacking.empty()) lacking += "; ";
    lacking += std::format("Task group \"{}\" has {}/{} healthy allocations", name, have, count);
  }
  if (!lacking.empty()) return Error(Code::kInvalid, lacking);
  return {};
}

bool Entry::Promotion::meant(std::string_view group) const {
  return command->all() || std::ranges::find(command->groups(), group) != command->groups().end();
}

Entry::Promotion Entry::promotion_of(const DeploymentRow& row, const schema::LogDeploymentPromote& command) const {
  Promotion promotion{.command = &command, .canaries = {}, .healthy = {}};
  each_of_owner(
      root().allocs_by_deployment, root().allocs, owner_of(row.id),
      [&](const AllocRow& a) { return a.placement->deployment_id == row.id; },
      [&](const AllocRow& a, uint32_t) {
        std::string group(task_group(*a.placement));
        if ((a.flags & AllocRow::kCanary) == 0 || !promotion.meant(group)) return;
        promotion.canaries.push_back(a.placement->id.text());
        if (!a.terminal() && (a.flags & AllocRow::kHealthy) != 0) ++promotion.healthy[group];
      });
  return promotion;
}

Result<> Entry::run(const schema::LogDeploymentPromote& command) {
  STEPPE_TRY(const DeploymentRow* row, active_deployment(command.deployment_id()));
  if (command.has_eval()) STEPPE_TRY_VOID(check_eval(command.eval()));
  auto before = decode<schema::Deployment>(row->bytes);
  for (const std::string& group : command.groups()) {
    if (!before.task_groups().contains(group)) {
      return Error(Code::kInvalid, std::format("deployment has no task group \"{}\"", group));
    }
  }
  Promotion promotion = promotion_of(*row, command);
  STEPPE_TRY_VOID(check_canaries(before, promotion));
  now_ = command.unix_ns();
  schema::Deployment* deployment = edit_deployment(row->id);
  deployment->set_modify_index(index_);
  if (now_ != 0) deployment->set_modify_time(now_);
  for (auto& [name, state] : *deployment->mutable_task_groups()) {
    if (!promotion.meant(name)) continue;
    if (state.progress_deadline() > 0 && state.require_progress_by() != 0) {
      state.set_require_progress_by(now_ + state.progress_deadline());
    }
    state.set_promoted(true);
  }
  if (!needs_promotion(*deployment) && deployment->status() == text(DeploymentStatus::kRunning)) {
    deployment->set_status_description("Deployment is running");
  }
  for (const std::string& id : promotion.canaries) {
    const AllocRow* old = find_alloc(id);
    AllocDraft draft = draft_of(*old);
    draft.fields.mutable_deployment_status()->set_canary(false);
    draft.fields.mutable_deployment_status()->set_modify_index(index_);
    draft.modify_index = draft.alloc_modify_index = index_;
    store_alloc(draft, old);
  }
  if (command.has_eval()) upsert_eval(command.eval());
  return {};
}

Result<> Entry::run(const schema::LogDeploymentAllocHealth& command) {
  STEPPE_TRY(const DeploymentRow* row, active_deployment(command.deployment_id()));
  for (const auto* ids : {&command.healthy_allocation_ids(), &command.unhealthy_allocation_ids()}) {
    for (const std::string& id : *ids) {
      const AllocRow* alloc = find_alloc(id);
      if (alloc == nullptr) return Error(Code::kNotFound, std::format("unknown alloc \"{}\"", id));
      if (alloc->placement->deployment_id != row->id) {
        return Error(Code::kInvalid, std::format("alloc \"{}\" is not part of deployment \"{}\"", id, row->id.text()));
      }
    }
  }
  if (command.has_update()) STEPPE_TRY_VOID(check_status_update(command.update()));
  if (command.has_job()) STEPPE_TRY_VOID(check_job(command.job()));
  if (command.has_eval()) STEPPE_TRY_VOID(check_eval(command.eval()));
  now_ = command.unix_ns();
  int64_t at = command.timestamp() != 0 ? command.timestamp() : now_;
  auto set_health = [&](const std::string& id, bool healthy) {
    const AllocRow* old = find_alloc(id);
    AllocDraft draft = draft_of(*old);
    schema::AllocDeploymentStatus& status = *draft.fields.mutable_deployment_status();
    status.set_healthy(healthy);
    status.set_timestamp(at);
    status.set_modify_index(index_);
    draft.modify_index = index_;
    store_alloc(draft, old);
  };
  for (const std::string& id : command.healthy_allocation_ids()) set_health(id, true);
  for (const std::string& id : command.unhealthy_allocation_ids()) set_health(id, false);
  if (command.has_update()) update_deployment_status(command.update());
  if (command.has_job()) register_job(command.job(), nullptr);
  if (command.has_eval()) upsert_eval(command.eval());
  return {};
}

Result<> Entry::run(const schema::LogDeploymentDelete& command) {
  for (const std::string& id : command.deployment_ids()) delete_deployment(id);
  return {};
}

}  // namespace steppe::state
