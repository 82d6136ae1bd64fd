#include "agent/state/naive_state_test.h"

#include <algorithm>
#include <format>

#include "agent/state/alloc_codec.h"

namespace steppe::state {
namespace {

bool client_done(const std::string& status) { return status == "complete" || status == "failed" || status == "lost"; }
bool done(const schema::Allocation& alloc) {
  return alloc.desired_status() != "run" || client_done(alloc.client_status());
}
bool done(const schema::Evaluation& eval) {
  return eval.status() == "complete" || eval.status() == "failed" || eval.status() == "canceled";
}
bool done(const schema::Deployment& d) {
  return d.status() == "failed" || d.status() == "successful" || d.status() == "cancelled";
}

int64_t bucket(const schema::TaskGroupSummary& group, const std::string& status) {
  if (status == "pending") return group.starting();
  if (status == "running") return group.running();
  if (status == "complete") return group.complete();
  if (status == "failed") return group.failed();
  return status == "lost" ? group.lost() : group.unknown();
}
void set_bucket(schema::TaskGroupSummary& group, const std::string& status, int64_t value) {
  value = std::max<int64_t>(value, 0);
  if (status == "pending") group.set_starting(value);
  else if (status == "running") group.set_running(value);
  else if (status == "complete") group.set_complete(value);
  else if (status == "failed") group.set_failed(value);
  else if (status == "lost") group.set_lost(value);
  else group.set_unknown(value);
}

schema::Job bare(schema::Job job) {
  for (const char* name : {"status", "status_description", "stable", "version", "version_tag", "submit_time",
                           "create_index", "modify_index", "job_modify_index"}) {
    job.GetReflection()->ClearField(&job, job.GetDescriptor()->FindFieldByName(name));
  }
  return job;
}

int64_t* child_bucket(NaiveState::Job& job, const std::string& status) {
  return status == "pending" ? &job.pending : status == "running" ? &job.running : &job.dead;
}

// A parent that was registered again starts from nothing while its children go on.
void take_child(NaiveState::Job& parent, const std::string& status) {
  int64_t& bucket = *child_bucket(parent, status);
  bucket = std::max<int64_t>(0, bucket - 1);
}

}  // namespace

NaiveState::Job& NaiveState::store_job(schema::Job job) {
  JobId id{job.namespace_(), job.id()};
  Job& stored = jobs[id];
  touched_.try_emplace(id, false);
  if (!stored.versions.empty() && encode(bare(stored.versions.front())) == encode(bare(job))) return stored;
  touched_[id] = true;
  bool fresh = stored.versions.empty();
  if (fresh) stored.create_index = index_;
  job.clear_status();
  job.clear_status_description();
  job.clear_stable();
  job.clear_modify_index();
  job.clear_version_tag();
  job.set_version(fresh ? 0 : stored.versions.front().version() + 1);
  job.set_create_index(stored.create_index);
  job.set_job_modify_index(index_);
  bool new_group = fresh;
  for (const auto& group : job.task_groups()) new_group |= stored.groups.try_emplace(group.name()).second;
  if (new_group) stored.summary_modify_index = index_;
  stored.modify_index = index_;
  stored.versions.insert(stored.versions.begin(), job);
  if (stored.versions.size() > 6) {
    auto stable = std::ranges::find_if(stored.versions, [](const schema::Job& j) { return j.stable(); });
    auto drop = stored.versions.end() - 1;
    if (stable == drop) --drop;
    stored.versions.erase(drop);
  }
  return stored;
}

void NaiveState::store_eval(schema::Evaluation eval) {
  auto old = evals.find(eval.id());
  JobId id{eval.namespace_(), eval.job_id()};
  touched_.try_emplace(id, false);
  if (auto job = jobs.find(id); job != jobs.end()) {
    for (const auto& [name, queued] : eval.queued_allocations()) {
      auto group = job->second.groups.find(name);
      if (group == job->second.groups.end() || group->second.queued() == queued) continue;
      group->second.set_queued(queued);
      job->second.summary_modify_index = index_;
    }
  }
  if (eval.status() == "complete" && eval.failed_tg_allocs().empty()) {
    for (auto& [other_id, other] : evals) {
      if (other_id == eval.id() || other.status() != "blocked" || other.job_id() != eval.job_id()) continue;
      other.set_status("canceled");
      other.set_status_description(std::format("evaluation \"{}\" successful", eval.id()));
      other.set_modify_index(index_);
      other.set_modify_time(now_);
    }
  }
  eval.set_create_index(old != evals.end() ? old->second.create_index() : index_);
  eval.set_modify_index(index_);
  if (eval.create_time() == 0) eval.set_create_time(old != evals.end() ? old->second.create_time() : now_);
  if (eval.modify_time() == 0) eval.set_modify_time(now_);
  evals[eval.id()] = eval;
}

void NaiveState::store_alloc(const schema::Allocation& given) {
  schema::Allocation alloc = given;
  auto old = allocs.find(alloc.id());
  JobId id{alloc.job().namespace_(), alloc.job().id()};
  touched_.try_emplace(id, false);
  auto deployment = deployments.find(alloc.deployment_id());
  if (deployment != deployments.end() && deployment->second.task_groups().contains(alloc.task_group())) {
    schema::DeploymentState& state = (*deployment->second.mutable_task_groups())[alloc.task_group()];
    bool placed = old == allocs.end() || old->second.deployment_id() != alloc.deployment_id();
    bool knew = old != allocs.end() && old->second.deployment_status().has_healthy();
    bool knows = alloc.deployment_status().has_healthy();
    int healthy = 0, unhealthy = 0;
    if (!placed && knows && !knew) (alloc.deployment_status().healthy() ? healthy : unhealthy) = 1;
    if (!placed && knows && knew && old->second.deployment_status().healthy() && !alloc.deployment_status().healthy()) {
      healthy = -1, unhealthy = 1;
    }
    if (placed || healthy != 0 || unhealthy != 0) {
      deployment->second.set_modify_index(index_);
      deployment->second.set_modify_time(now_);
      state.set_placed_allocs(state.placed_allocs() + (placed ? 1 : 0));
      state.set_healthy_allocs(state.healthy_allocs() + healthy);
      state.set_unhealthy_allocs(state.unhealthy_allocs() + unhealthy);
      if (alloc.has_deployment_status() && healthy + unhealthy != 0) {
        alloc.mutable_deployment_status()->set_modify_index(index_);
      }
      if (alloc.deployment_status().canary() &&
          std::ranges::find(state.placed_canaries(), alloc.id()) == state.placed_canaries().end()) {
        state.add_placed_canaries(alloc.id());
      }
      if (state.progress_deadline() != 0) {
        if (placed && state.require_progress_by() == 0) {
          state.set_require_progress_by(alloc.modify_time() + state.progress_deadline());
        } else if (healthy > 0) {
          int64_t by = alloc.deployment_status().timestamp() + state.progress_deadline();
          state.set_require_progress_by(std::max(by, state.require_progress_by()));
        }
      }
    }
  }
  auto job = jobs.find(id);
  if (job != jobs.end() && job->second.create_index == alloc.job().create_index() &&
      job->second.groups.contains(alloc.task_group())) {
    schema::TaskGroupSummary& group = job->second.groups[alloc.task_group()];
    std::string before = old != allocs.end() ? old->second.client_status() : "";
    if (before != alloc.client_status()) {
      set_bucket(group, alloc.client_status(), bucket(group, alloc.client_status()) + 1);
      if (old == allocs.end()) {
        if (alloc.client_status() == "pending" && group.queued() > 0) group.set_queued(group.queued() - 1);
      } else if (before != "complete" && before != "failed") {
        set_bucket(group, before, bucket(group, before) - 1);
      }
      job->second.summary_modify_index = index_;
    }
  }
  allocs[alloc.id()] = alloc;
}

void NaiveState::remove_alloc(const std::string& alloc_id) {
  auto found = allocs.find(alloc_id);
  if (found == allocs.end()) return;
  const schema::Allocation& alloc = found->second;
  JobId id{alloc.job().namespace_(), alloc.job().id()};
  touched_.try_emplace(id, false);
  lost_rows_[id] = true;
  auto job = jobs.find(id);
  if (job != jobs.end() && job->second.create_index == alloc.job().create_index() &&
      !client_done(alloc.client_status()) && job->second.groups.contains(alloc.task_group())) {
    schema::TaskGroupSummary& group = job->second.groups[alloc.task_group()];
    set_bucket(group, alloc.client_status(), bucket(group, alloc.client_status()) - 1);
    job->second.summary_modify_index = index_;
  }
  allocs.erase(found);
}

void NaiveState::mark_stable(const JobId& id, uint64_t version) {
  auto job = jobs.find(id);
  if (job == jobs.end()) return;
  for (size_t i = 0; i < job->second.versions.size(); ++i) {
    schema::Job& kept = job->second.versions[i];
    if (kept.version() != version || kept.stable()) continue;
    kept.set_stable(true);
    if (i == 0) job->second.modify_index = index_;
  }
}

void NaiveState::update_deployment(const schema::DeploymentStatusUpdate& update, int64_t now) {
  schema::Deployment& d = deployments.at(update.deployment_id());
  d.set_status(update.status());
  d.set_status_description(update.status_description());
  d.set_modify_index(index_);
  d.set_modify_time(update.updated_at() != 0 ? update.updated_at() : now);
  touched_.try_emplace({d.namespace_(), d.job_id()}, false);
  if (update.status() == "successful") mark_stable({d.namespace_(), d.job_id()}, d.job_version());
}

void NaiveState::settle() {
  for (const auto& [id, registered] : touched_) {
    auto found = jobs.find(id);
    if (found == jobs.end()) continue;
    Job& job = found->second;
    const schema::Job& spec = job.versions.front();
    bool live_alloc = false, any = false, live_eval = false, live_deployment = false;
    for (const auto& [alloc_id, alloc] : allocs) {
      if (alloc.job().id() != id.second) continue;
      any = true;
      live_alloc |= !done(alloc);
    }
    for (const auto& [eval_id, eval] : evals) {
      if (eval.job_id() != id.second) continue;
      any = true;
      live_eval |= !done(eval);
    }
    for (const auto& [d_id, d] : deployments) live_deployment |= d.job_id() == id.second && !done(d);
    std::string status;
    if (spec.type() == "system" || spec.has_periodic()) status = spec.stop() ? "dead" : "running";
    else if (live_alloc || live_deployment) status = "running";
    else if (live_eval) status = "pending";
    else if (!any && !lost_rows_.contains(id) && !spec.stop() && (registered || job.status == "pending"))
      status = "pending";
    else status = "dead";
    if (status == job.status) continue;
    auto parent = jobs.find({id.first, spec.parent_id()});
    if (!spec.parent_id().empty() && parent != jobs.end()) {
      if (!job.status.empty()) take_child(parent->second, job.status);
      *child_bucket(parent->second, status) += 1;
      parent->second.summary_modify_index = index_;
    }
    job.status = status;
    job.modify_index = index_;
  }
  touched_.clear();
  lost_rows_.clear();
}

void NaiveState::apply(uint64_t index, const schema::LogJobRegister& command) {
  index_ = index, now_ = command.unix_ns();
  Job& job = store_job(command.job());
  if (command.has_eval()) {
    schema::Evaluation eval = command.eval();
    eval.set_job_modify_index(job.versions.front().job_modify_index());
    store_eval(eval);
  }
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogJobDeregister& command) {
  index_ = index, now_ = command.unix_ns();
  JobId id{command.namespace_(), command.job_id()};
  Job& job = jobs.at(id);
  if (command.no_shutdown_delay()) {
    for (auto& [alloc_id, alloc] : allocs) {
      if (alloc.job().id() != command.job_id() || client_done(alloc.client_status())) continue;
      alloc.mutable_desired_transition()->set_no_shutdown_delay(true);
      alloc.set_modify_index(index), alloc.set_alloc_modify_index(index), alloc.set_modify_time(now_);
    }
  }
  if (command.purge()) {
    auto parent = jobs.find({id.first, job.versions.front().parent_id()});
    if (parent != jobs.end() && job.status != "dead") {
      take_child(parent->second, job.status);
      parent->second.dead += 1;
      parent->second.summary_modify_index = index;
    }
    jobs.erase(id);
  } else {
    schema::Job stopped = job.versions.front();
    stopped.set_stop(true);
    if (command.submit_time() != 0) stopped.set_submit_time(command.submit_time());
    store_job(stopped);
  }
  if (command.has_eval()) {
    schema::Evaluation eval = command.eval();
    eval.set_job_modify_index(index);
    store_eval(eval);
  }
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogJobStability& command) {
  index_ = index;
  mark_stable({command.namespace_(), command.job_id()}, command.job_version());
}

void NaiveState::apply(uint64_t index, const schema::LogEvalUpsert& command) {
  index_ = index, now_ = command.unix_ns();
  for (const auto& eval : command.evals()) store_eval(eval);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogPlanApply& command) {
  index_ = index, now_ = command.unix_ns();
  if (command.has_deployment()) {
    schema::Deployment d = command.deployment();
    d.set_create_index(index), d.set_modify_index(index), d.set_create_time(now_), d.set_modify_time(now_);
    deployments[d.id()] = d;
    touched_.try_emplace({d.namespace_(), d.job_id()}, false);
  }
  for (const auto& update : command.deployment_updates()) update_deployment(update, now_);
  for (const auto& stop : command.allocs_stopped()) {
    schema::Allocation alloc = allocs.at(stop.id());
    alloc.set_desired_status("stop");
    alloc.set_desired_description(stop.desired_description());
    if (stop.client_status() == "lost") alloc.set_client_status("lost");
    alloc.set_modify_index(index), alloc.set_alloc_modify_index(index), alloc.set_modify_time(now_);
    store_alloc(alloc);
  }
  for (const auto& victim : command.allocs_preempted()) {
    schema::Allocation alloc = allocs.at(victim.id());
    alloc.set_desired_status("evict");
    alloc.set_preempted_by_allocation(victim.preempted_by_allocation());
    alloc.set_desired_description("Preempted by alloc ID " + victim.preempted_by_allocation());
    alloc.set_modify_index(index), alloc.set_alloc_modify_index(index), alloc.set_modify_time(now_);
    store_alloc(alloc);
  }
  for (schema::Allocation alloc : command.allocs_updated()) {
    if (!alloc.has_job()) *alloc.mutable_job() = command.job();
    auto old = allocs.find(alloc.id());
    bool known = old != allocs.end();
    alloc.set_create_index(known ? old->second.create_index() : index);
    alloc.set_create_time(known ? old->second.create_time() : now_);
    alloc.set_modify_index(index), alloc.set_alloc_modify_index(index), alloc.set_modify_time(now_);
    if (known) {
      *alloc.mutable_task_states() = old->second.task_states();
      alloc.set_client_status(old->second.client_status());
      alloc.set_client_description(old->second.client_description());
    } else if (alloc.has_deployment_status()) {
      alloc.mutable_deployment_status()->set_modify_index(index);
    }
    store_alloc(alloc);
    auto previous = allocs.find(alloc.previous_allocation());
    if (previous != allocs.end() && previous->second.next_allocation() != alloc.id()) {
      previous->second.set_next_allocation(alloc.id());
      previous->second.set_modify_index(index);
    }
  }
  for (const auto& eval : command.preemption_evals()) store_eval(eval);
  if (auto eval = evals.find(command.eval_id()); eval != evals.end()) eval->second.set_modify_index(index);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogAllocClientUpdate& command) {
  index_ = index, now_ = command.unix_ns();
  for (const auto& update : command.allocs()) {
    auto old = allocs.find(update.id());
    if (old == allocs.end()) continue;
    schema::Allocation alloc = old->second;
    alloc.set_client_status(update.client_status());
    alloc.set_client_description(update.client_description());
    *alloc.mutable_task_states() = update.task_states();
    if (update.has_deployment_status()) {
      if (!alloc.has_deployment_status()) {
        *alloc.mutable_deployment_status() = update.deployment_status();
        alloc.mutable_deployment_status()->set_modify_index(index);
      } else if (update.deployment_status().has_healthy() &&
                 (!alloc.deployment_status().has_healthy() ||
                  alloc.deployment_status().healthy() != update.deployment_status().healthy())) {
        alloc.mutable_deployment_status()->set_healthy(update.deployment_status().healthy());
        alloc.mutable_deployment_status()->set_timestamp(update.deployment_status().timestamp());
        alloc.mutable_deployment_status()->set_modify_index(index);
      }
    }
    alloc.set_modify_index(index);
    alloc.set_modify_time(update.modify_time());
    store_alloc(alloc);
    if (auto node = nodes.find(alloc.node_id()); node != nodes.end()) node->second.set_last_alloc_update_index(index);
  }
  for (const auto& eval : command.evals()) store_eval(eval);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogAllocDesiredTransition& command) {
  index_ = index, now_ = command.unix_ns();
  for (const auto& [id, transition] : command.transitions()) {
    auto alloc = allocs.find(id);
    if (alloc == allocs.end()) continue;
    alloc->second.mutable_desired_transition()->MergeFrom(transition);
    alloc->second.set_modify_index(index), alloc->second.set_alloc_modify_index(index);
    alloc->second.set_modify_time(now_);
  }
  for (const auto& eval : command.evals()) store_eval(eval);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogGcReap& command) {
  index_ = index, now_ = command.unix_ns();
  for (const auto& id : command.eval_ids()) {
    auto eval = evals.find(id);
    if (eval == evals.end()) continue;
    JobId job{eval->second.namespace_(), eval->second.job_id()};
    touched_.try_emplace(job, false), lost_rows_[job] = true;
    evals.erase(eval);
  }
  for (const auto& id : command.alloc_ids()) remove_alloc(id);
  for (const auto& id : command.deployment_ids()) {
    auto d = deployments.find(id);
    if (d == deployments.end()) continue;
    touched_.try_emplace({d->second.namespace_(), d->second.job_id()}, false);
    deployments.erase(d);
  }
  for (const auto& id : command.node_ids()) nodes.erase(id);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogNodeRegister& command) {
  schema::Node node = command.node();
  auto old = nodes.find(node.id());
  node.set_modify_index(index);
  auto event = [&](const char* message) {
    schema::NodeEvent& e = *node.add_events();
    e.set_subsystem("Cluster"), e.set_message(message), e.set_create_index(index);
    e.set_timestamp(node.status_updated_at() * 1'000'000'000);
  };
  if (old == nodes.end()) {
    node.set_create_index(index);
    node.set_scheduling_eligibility("eligible");
    event("Node registered");
  } else {
    const schema::Node& former = old->second;
    *node.mutable_events() = former.events();
    node.set_create_index(former.create_index());
    node.set_scheduling_eligibility(former.scheduling_eligibility());
    node.set_last_alloc_update_index(former.last_alloc_update_index());
    node.set_last_missed_heartbeat_index(former.last_missed_heartbeat_index());
    if (former.status() != "down" && former.status() != "disconnected" && node.status() == "down") {
      node.set_last_missed_heartbeat_index(index);
    }
    if (former.status() == "down" && node.status() != "down") event("Node reregistered");
  }
  while (node.events_size() > 10) node.mutable_events()->DeleteSubrange(0, 1);
  nodes[node.id()] = node;
}

void NaiveState::apply(uint64_t index, const schema::LogNodeStatus& command) {
  schema::Node& node = nodes.at(command.node_id());
  bool was_well = node.status() != "down" && node.status() != "disconnected";
  if (was_well && (command.status() == "down" || command.status() == "disconnected")) {
    node.set_last_missed_heartbeat_index(index);
  }
  node.set_status(command.status());
  node.set_status_updated_at(command.updated_at());
  node.set_modify_index(index);
}

void NaiveState::apply(uint64_t index, const schema::LogDeploymentStatus& command) {
  index_ = index, now_ = command.unix_ns();
  update_deployment(command.update(), now_);
  settle();
}

void NaiveState::apply(uint64_t index, const schema::LogDeploymentAllocHealth& command) {
  index_ = index, now_ = command.unix_ns();
  auto set = [&](const std::string& id, bool healthy) {
    schema::Allocation alloc = allocs.at(id);
    alloc.mutable_deployment_status()->set_healthy(healthy);
    alloc.mutable_deployment_status()->set_timestamp(command.timestamp());
    alloc.mutable_deployment_status()->set_modify_index(index);
    alloc.set_modify_index(index);
    store_alloc(alloc);
  };
  for (const auto& id : command.healthy_allocation_ids()) set(id, true);
  for (const auto& id : command.unhealthy_allocation_ids()) set(id, false);
  settle();
}

}  // namespace steppe::state
