#include <algorithm>
#include <format>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/entry.h"
#include "agent/state/job_key.h"

namespace steppe::state {
namespace {

bool has_health(const schema::Allocation& fields) {
  return fields.has_deployment_status() && fields.deployment_status().has_healthy();
}
std::optional<bool> health(const AllocRow& row) {
  if ((row.flags & AllocRow::kHealthKnown) == 0) return std::nullopt;
  return (row.flags & AllocRow::kHealthy) != 0;
}

int64_t* summary_bucket(GroupSummary& group, ClientStatus status) {
  switch (status) {
    case ClientStatus::kPending: return &group.starting;
    case ClientStatus::kRunning: return &group.running;
    case ClientStatus::kComplete: return &group.complete;
    case ClientStatus::kFailed: return &group.failed;
    case ClientStatus::kLost: return &group.lost;
    case ClientStatus::kUnknown: return &group.unknown;
  }
  return nullptr;
}

}  // namespace

const AllocRow* Entry::find_alloc(std::string_view id) const {
  Result<Uuid> uuid = Uuid::parse(id);
  return uuid.ok() ? root().allocs.find(*uuid) : nullptr;
}

// ---- plans ----

Result<> Entry::check_plan_allocs(const schema::LogPlanApply& command) const {
  for (const auto* list : {&command.allocs_stopped(), &command.allocs_preempted()}) {
    for (const schema::Allocation& alloc : *list) {
      if (find_alloc(alloc.id()) == nullptr) {
        return Error(Code::kNotFound, std::format("plan: alloc \"{}\" doesn't exist", alloc.id()));
      }
      if (!alloc.client_status().empty()) STEPPE_TRY_VOID(parse_client_status(alloc.client_status()));
    }
  }
  for (const schema::Allocation& alloc : command.allocs_updated()) {
    STEPPE_TRY_VOID(check_alloc(alloc).wrap(std::format("plan: alloc \"{}\"", alloc.id())));
    const schema::Job* job = alloc.has_job() ? &alloc.job() : command.has_job() ? &command.job() : nullptr;
    if (job != nullptr) {
      STEPPE_TRY_VOID(check_job(*job).wrap(std::format("plan: alloc \"{}\"", alloc.id())));
      continue;
    }
    std::string_view ns = alloc.namespace_().empty() ? std::string_view("default") : alloc.namespace_();
    if (find_alloc(alloc.id()) == nullptr && root().jobs.find(job_key(ns, alloc.job_id())) == nullptr) {
      return Error(Code::kInvalid, std::format("attempting to upsert allocation \"{}\" without a job", alloc.id()));
    }
  }
  return {};
}

Result<> Entry::run(const schema::LogPlanApply& command) {
  STEPPE_TRY_VOID(check_plan_allocs(command));
  STEPPE_TRY_VOID(check_evals(command.preemption_evals()));
  if (command.has_deployment()) STEPPE_TRY_VOID(check_deployment(command.deployment()));
  for (const auto& update : command.deployment_updates()) STEPPE_TRY_VOID(check_status_update(update));
  now_ = command.unix_ns();
  if (command.has_deployment()) upsert_deployment(command.deployment());
  for (const auto& update : command.deployment_updates()) update_deployment_status(update);
  for (const schema::Allocation& stop : command.allocs_stopped()) stop_alloc(stop);
  for (const schema::Allocation& victim : command.allocs_preempted()) preempt_alloc(victim);
  for (const schema::Allocation& alloc : command.allocs_updated()) {
    place_alloc(alloc, command.has_job() ? &command.job() : nullptr);
  }
  for (const schema::Evaluation& eval : command.preemption_evals()) upsert_eval(eval);
  if (Result<Uuid> id = Uuid::parse(command.eval_id()); id.ok()) {
    if (const EvalRow* row = root().evals.find(*id); row != nullptr) {
      auto eval = decode<schema::Evaluation>(row->bytes);
      eval.set_modify_index(index_);
      put_eval(eval);
      outcome_.evals.pop_back();  // its content did not change: nothing for the broker
    }
  }
  return {};
}

void Entry::stop_alloc(const schema::Allocation& stop) {
  const AllocRow* old = find_alloc(stop.id());
  AllocDraft draft = draft_of(*old);
  Result<DesiredStatus> desired = parse_desired_status(stop.desired_status());
  draft.desired = desired.ok() ? *desired : DesiredStatus::kStop;
  draft.fields.set_desired_description(stop.desired_description());
  if (!stop.client_status().empty()) {
    ClientStatus client = *parse_client_status(stop.client_status());
    // Only what the client cannot report itself is the scheduler's to say.
    if (client == ClientStatus::kLost || client == ClientStatus::kUnknown) {
      draft.client = client;
      if (!stop.client_description().empty()) draft.fields.set_client_description(stop.client_description());
    }
  }
  if (!stop.followup_eval_id().empty()) draft.fields.set_followup_eval_id(stop.followup_eval_id());
  if (stop.has_reschedule_tracker()) *draft.fields.mutable_reschedule_tracker() = stop.reschedule_tracker();
  if (stop.alloc_states_size() > 0) *draft.fields.mutable_alloc_states() = stop.alloc_states();
  if (now_ != 0) draft.modify_time = now_;
  draft.modify_index = draft.alloc_modify_index = index_;
  store_alloc(draft, old);
}

void Entry::preempt_alloc(const schema::Allocation& victim) {
  const AllocRow* old = find_alloc(victim.id());
  AllocDraft draft = draft_of(*old);
  draft.desired = DesiredStatus::kEvict;
  draft.fields.set_preempted_by_allocation(victim.preempted_by_allocation());
  draft.fields.set_desired_description(std::format("Preempted by alloc ID {}", victim.preempted_by_allocation()));
  if (now_ != 0) draft.modify_time = now_;
  draft.modify_index = draft.alloc_modify_index = index_;
  store_alloc(draft, old);
}

void Entry::place_alloc(const schema::Allocation& alloc, const schema::Job* plan_job) {
  const AllocRow* old = find_alloc(alloc.id());
  std::string_view ns = alloc.namespace_().empty() ? std::string_view("default") : alloc.namespace_();
  JobSpec* spec;
  if (alloc.has_job()) spec = spec_of(alloc.job());
  else if (plan_job != nullptr) spec = spec_of(*plan_job);
  else if (old != nullptr) spec = old->placement->spec;
  else spec = root().jobs.find(job_key(ns, alloc.job_id()))->versions.front().spec;

  PortRange ports;
  if (const NodeRow* node = root().nodes.find(*Uuid::parse(alloc.node_id())); node != nullptr) {
    ports = {node->port_low, node->port_high};
  }
  int64_t create_time = old != nullptr ? old->placement->create_time : alloc.create_time();
  AllocDraft draft;
  draft.placement = make_placement(alloc, *spec, old != nullptr ? old->placement->create_index : index_,
                                   create_time != 0 ? create_time : now_, ports);
  Reclaimer::retain(draft.placement);
  take_changing_fields(alloc, draft.fields);
  Result<DesiredStatus> desired = parse_desired_status(alloc.desired_status());
  draft.desired = desired.ok() ? *desired : DesiredStatus::kRun;
  Result<ClientStatus> client = parse_client_status(alloc.client_status());
  draft.client = client.ok() ? *client : ClientStatus::kPending;
  draft.modify_index = draft.alloc_modify_index = index_;
  draft.modify_time = now_ != 0 ? now_ : alloc.modify_time();
  if (old == nullptr) {
    if (draft.fields.has_deployment_status()) draft.fields.mutable_deployment_status()->set_modify_index(index_);
  } else {
    // The client is the authority on how its tasks are; what it reported is kept.
    auto former = decode<schema::Allocation>(old->tail());
    *draft.fields.mutable_task_states() = former.task_states();
    if (!alloc.has_network_status() && former.has_network_status()) {
      *draft.fields.mutable_network_status() = former.network_status();
    }
    if (alloc.alloc_states_size() == 0) *draft.fields.mutable_alloc_states() = former.alloc_states();
    if (draft.client != ClientStatus::kLost && draft.client != ClientStatus::kUnknown) {
      draft.client = old->client;
      draft.fields.set_client_description(former.client_description());
    }
  }
  store_alloc(draft, old);
  writer_.reclaimer().release(draft.placement);
  link_previous(alloc);
}

void Entry::link_previous(const schema::Allocation& alloc) {
  if (alloc.previous_allocation().empty()) return;
  const AllocRow* previous = find_alloc(alloc.previous_allocation());
  if (previous == nullptr) return;
  AllocDraft draft = draft_of(*previous);
  if (draft.fields.next_allocation() == alloc.id()) return;
  draft.fields.set_next_allocation(alloc.id());
  draft.modify_index = index_;
  store_alloc(draft, previous);
}

// ---- what the client reports ----

Result<> Entry::run(const schema::LogAllocClientUpdate& command) {
  for (const schema::Allocation& alloc : command.allocs()) {
    STEPPE_TRY_VOID(parse_client_status(alloc.client_status()).wrap(std::format("alloc \"{}\"", alloc.id())));
  }
  STEPPE_TRY_VOID(check_evals(command.evals()));
  now_ = command.unix_ns();
  for (const schema::Allocation& alloc : command.allocs()) update_from_client(alloc);
  for (const schema::Evaluation& eval : command.evals()) upsert_eval(eval);
  return {};
}

void Entry::update_from_client(const schema::Allocation& update) {
  const AllocRow* old = find_alloc(update.id());
  if (old == nullptr) return;  // collected meanwhile
  AllocDraft draft = draft_of(*old);
  draft.client = *parse_client_status(update.client_status());
  draft.fields.set_client_description(update.client_description());
  *draft.fields.mutable_task_states() = update.task_states();
  if (update.has_network_status()) *draft.fields.mutable_network_status() = update.network_status();
  if (update.alloc_states_size() > 0) *draft.fields.mutable_alloc_states() = update.alloc_states();
  if (update.has_deployment_status()) {
    if (!draft.fields.has_deployment_status()) {
      *draft.fields.mutable_deployment_status() = update.deployment_status();
      draft.fields.mutable_deployment_status()->set_modify_index(index_);
    } else if (update.deployment_status().has_healthy()) {
      // Of an existing status the client may set health and its time; canary is the scheduler's.
      schema::AllocDeploymentStatus& status = *draft.fields.mutable_deployment_status();
      if (!status.has_healthy() || status.healthy() != update.deployment_status().healthy()) {
        status.set_healthy(update.deployment_status().healthy());
        status.set_timestamp(update.deployment_status().timestamp());
        status.set_modify_index(index_);
      }
    }
  }
  draft.modify_index = index_;
  draft.modify_time = update.modify_time() != 0 ? update.modify_time() : now_;
  NodeId node = draft.placement->node_id;
  store_alloc(draft, old);
  writer_.mark_alloc_update(node, index_);
}

// ---- desired transitions ----

Result<> Entry::run(const schema::LogAllocDesiredTransition& command) {
  STEPPE_TRY_VOID(check_evals(command.evals()));
  now_ = command.unix_ns();
  std::map<std::string, const schema::DesiredTransition*> sorted;  // a protobuf map has no order
  for (const auto& [id, transition] : command.transitions()) sorted.emplace(id, &transition);
  for (const auto& [id, transition] : sorted) merge_transition(id, *transition);
  for (const schema::Evaluation& eval : command.evals()) upsert_eval(eval);
  return {};
}

void Entry::merge_transition(std::string_view id, const schema::DesiredTransition& transition) {
  const AllocRow* old = find_alloc(id);
  if (old == nullptr) return;
  AllocDraft draft = draft_of(*old);
  // Absent fields leave what is there: protobuf's merge is Nomad's.
  draft.fields.mutable_desired_transition()->MergeFrom(transition);
  draft.modify_index = draft.alloc_modify_index = index_;
  if (now_ != 0) draft.modify_time = now_;
  store_alloc(draft, old);
}

// ---- what follows from a changed alloc ----

void Entry::store_alloc(AllocDraft& draft, const AllocRow* old) {
  count_in_deployment(draft, old);
  count_in_summary(draft, old);
  const JobSpec& spec = *draft.placement->spec;
  if (JobDraft* job = edit_job(spec.ns, spec.id); job != nullptr) {
    job->row->allocs += old == nullptr ? 1 : 0;
    job->row->live_allocs += terminal(draft.desired, draft.client) ? 0 : 1;
    job->row->live_allocs -= old == nullptr || old->terminal() ? 0 : 1;
    job->recount = true;
  }
  writer_.put_alloc(seal(draft));
}

void Entry::count_in_summary(const AllocDraft& draft, const AllocRow* old) {
  const JobSpec& spec = *draft.placement->spec;
  JobDraft* job = edit_job(spec.ns, spec.id);
  // An alloc of an earlier job of the name is not this job's.
  if (job == nullptr || job->row->create_index != spec.create_index) return;
  GroupSummary* group = job->row->group(task_group(*draft.placement));
  if (group == nullptr || (old != nullptr && old->client == draft.client)) return;
  ++*summary_bucket(*group, draft.client);
  if (old == nullptr) {
    if (draft.client == ClientStatus::kPending && group->queued > 0) --group->queued;
  } else if (old->client != ClientStatus::kComplete && old->client != ClientStatus::kFailed) {
    int64_t& bucket = *summary_bucket(*group, old->client);
    bucket = std::max<int64_t>(0, bucket - 1);
  }
  job->row->summary_modify_index = index_;
  job->parts |= Writer::kSummary;
}

void Entry::count_in_deployment(AllocDraft& draft, const AllocRow* old) {
  const Placement& placement = *draft.placement;
  if (placement.deployment_id.nil()) return;
  int placed = 0;
  int healthy = 0;
  int unhealthy = 0;
  std::optional<bool> before = old != nullptr ? health(*old) : std::nullopt;
  if (old == nullptr || old->placement->deployment_id != placement.deployment_id) {
    placed = 1;
  } else if (has_health(draft.fields)) {
    bool now = draft.fields.deployment_status().healthy();
    if (!before.has_value()) {
      (now ? healthy : unhealthy) = 1;
    } else if (*before && !now) {
      healthy = -1;
      unhealthy = 1;
    }
  }
  if (placed == 0 && healthy == 0 && unhealthy == 0) return;
  DeploymentDraft* part_of = draft_deployment(placement.deployment_id);
  if (part_of == nullptr) return;
  schema::Deployment* deployment = &part_of->deployment;
  auto found = deployment->mutable_task_groups()->find(std::string(task_group(placement)));
  if (found == deployment->mutable_task_groups()->end()) return;  // this group does not roll
  part_of->changed = true;
  schema::DeploymentState& state = found->second;
  if (draft.fields.has_deployment_status() && healthy + unhealthy != 0) {
    draft.fields.mutable_deployment_status()->set_modify_index(index_);
  }
  deployment->set_modify_index(index_);
  if (now_ != 0) deployment->set_modify_time(now_);
  state.set_placed_allocs(state.placed_allocs() + placed);
  state.set_healthy_allocs(state.healthy_allocs() + healthy);
  state.set_unhealthy_allocs(state.unhealthy_allocs() + unhealthy);
  std::string id = placement.id.text();
  if (draft.fields.deployment_status().canary() &&
      std::ranges::find(state.placed_canaries(), id) == state.placed_canaries().end()) {
    state.add_placed_canaries(id);
  }
  if (state.progress_deadline() == 0) return;
  if (placed != 0 && state.require_progress_by() == 0) {
    // The time of change, not of creation: an alloc updated in place may be older than the deployment.
    state.set_require_progress_by(draft.modify_time + state.progress_deadline());
  } else if (healthy > 0) {
    int64_t by = draft.fields.deployment_status().timestamp() + state.progress_deadline();
    state.set_require_progress_by(std::max(state.require_progress_by(), by));
  }
}

}  // namespace steppe::state
