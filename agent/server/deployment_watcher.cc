#include "agent/server/deployment_watcher.h"

#include <algorithm>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"

namespace steppe::server {

using endpoint::Outcome;
using state::Snapshot;
using Act = DeploymentVerdict::Act;

namespace {

// Changes within this share one look: a rolling update reports its allocs one by one.
constexpr Duration kGather = std::chrono::milliseconds(250);

}  // namespace

schema::Evaluation deployment_eval(Core& core, const schema::Deployment& deployment, const state::JobView& job) {
  const int64_t priority = deployment.eval_priority() > 0 ? deployment.eval_priority() : job.priority();
  schema::Evaluation eval = new_eval(core, job.ns(), job.id(), state::text(job.type()), priority, "deployment-watcher");
  eval.set_deployment_id(deployment.id());
  eval.set_job_modify_index(job.job_modify_index());
  return eval;
}

io::Task<Outcome<FailedDeployment>> fail_deployment(Core& core, DeploymentId id, std::string_view why, bool rollback) {
  schema::LogDeploymentStatus command;
  FailedDeployment failed;
  {
    const Snapshot snapshot = core.store.snapshot();
    const auto view = snapshot.deployment(id);
    if (!view) co_return endpoint::not_found("deployment");
    const schema::Deployment deployment = view->decode();
    const auto job = snapshot.job(view->ns(), view->job_id());
    std::string description(why);
    if (rollback && job) {
      std::vector<schema::Job> versions;
      for (const state::JobVersionView& version : snapshot.job_versions(view->ns(), view->job_id())) versions.push_back(version.decode());
      const Rollback chosen = choose_rollback(why, job->decode(), versions);
      description = chosen.description;
      if (chosen.job != nullptr) {
        failed.reverted_to = chosen.job->version();
        *command.mutable_job() = *chosen.job;
        command.mutable_job()->set_stable(false);
        command.mutable_job()->clear_version_tag();
        command.mutable_job()->set_submit_time(core.loop.wall().unix_ns);
      }
    }
    if (job) *command.mutable_eval() = deployment_eval(core, deployment, *job);
    command.mutable_update()->set_deployment_id(deployment.id());
    command.mutable_update()->set_status("failed");
    command.mutable_update()->set_status_description(description);
  }
  failed.eval_id = command.eval().id();
  command.set_unix_ns(core.loop.wall().unix_ns);
  command.mutable_update()->set_updated_at(command.unix_ns());
  STEPPE_CO_TRY(const state::Outcome done, co_await core.commands.propose(schema::LOG_DEPLOYMENT_STATUS, command));
  failed.index = done.index;
  co_return failed;
}

void DeploymentWatcher::note(const DeploymentId& id) {
  if (id.nil()) return;
  noted_.insert(id);
  changed_.pulse();
}

void DeploymentWatcher::restore(const Snapshot& snapshot) {
  noted_.clear();
  watched_.clear();
  snapshot.each_deployment({}, state::Order::kForward, [&](const state::DeploymentView& deployment) {
    if (deployment.active()) noted_.insert(deployment.id());
    return true;
  });
}

std::optional<MonoTime> DeploymentWatcher::next_deadline() const {
  std::optional<WallTime> first;
  for (const auto& [id, watched] : watched_) {
    if (watched.deadline && (!first || *watched.deadline < *first)) first = watched.deadline;
  }
  if (!first) return std::nullopt;
  return core_.loop.now() + std::max(Duration::zero(), *first - core_.loop.wall());
}

io::Task<void> DeploymentWatcher::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    if (noted_.empty()) {
      io::Deadline deadline{.stop = stop};
      if (const auto next = next_deadline()) deadline.at = *next;
      static_cast<void>(co_await changed_.wait(deadline));
    }
    static_cast<void>(co_await io::sleep_for(core_.loop, kGather, stop));
    const WallTime now = core_.loop.wall();
    for (const auto& [id, watched] : watched_) {
      if (watched.deadline && *watched.deadline <= now) noted_.insert(id);
    }
    while (!noted_.empty() && !stop.stop_requested()) {
      const DeploymentId id = *noted_.begin();
      noted_.erase(noted_.begin());
      co_await look_at(id);
    }
  }
}

struct DeploymentWatcher::Picture {
  schema::Deployment deployment;
  schema::Job job;
  std::vector<schema::Allocation> allocs;
  schema::Evaluation eval;

  // Nullopt when the deployment is over, or its job is gone.
  static std::optional<Picture> take(Core& core, const DeploymentId& id) {
    const Snapshot snapshot = core.store.snapshot();
    const auto view = snapshot.deployment(id);
    if (!view || !view->active()) return std::nullopt;
    const auto job = snapshot.job(view->ns(), view->job_id());
    const auto version = snapshot.job_version(view->ns(), view->job_id(), view->job_version());
    if (!job || !version) return std::nullopt;
    Picture picture{.deployment = view->decode(), .job = version->decode()};
    picture.eval = deployment_eval(core, picture.deployment, *job);
    for (const state::AllocView& alloc : snapshot.allocs_by_deployment(id)) picture.allocs.push_back(alloc.decode(state::WithJob::kNo));
    return picture;
  }
};

io::Task<void> DeploymentWatcher::look_at(DeploymentId id) {
  const auto picture = Picture::take(core_, id);
  if (!picture) {
    watched_.erase(id);
    co_return;
  }
  DeploymentLook look{.deployment = &picture->deployment, .job = &picture->job, .seen_index = watched_[id].seen_index, .now = core_.loop.wall()};
  for (const schema::Allocation& alloc : picture->allocs) look.allocs.push_back(&alloc);
  const DeploymentVerdict verdict = judge_deployment(look);
  Outcome<> done;
  switch (verdict.act) {
    case Act::kNone: break;
    case Act::kFail: {
      core_.log.info("deployment failed", {{"deployment", id}, {"job", picture->deployment.job_id()}, {"why", verdict.description}});
      auto failed = co_await fail_deployment(core_, id, verdict.description, verdict.rollback);
      if (!failed.ok()) done = std::move(failed).error();
      break;
    }
    case Act::kPromote: {
      schema::LogDeploymentPromote command;
      command.set_deployment_id(picture->deployment.id());
      command.set_all(true);
      *command.mutable_eval() = picture->eval;
      command.set_unix_ns(core_.loop.wall().unix_ns);
      auto promoted = co_await core_.commands.propose(schema::LOG_DEPLOYMENT_PROMOTE, command);
      if (!promoted.ok()) done = std::move(promoted).error();
      break;
    }
    case Act::kEvaluate: {
      schema::LogAllocDesiredTransition command;
      for (const std::string& alloc : verdict.reschedule) (*command.mutable_transitions())[alloc].set_reschedule(true);
      *command.add_evals() = picture->eval;
      command.set_unix_ns(core_.loop.wall().unix_ns);
      auto stored = co_await core_.commands.propose(schema::LOG_ALLOC_DESIRED_TRANSITION, command);
      if (!stored.ok()) done = std::move(stored).error();
      break;
    }
  }
  if (!done.ok()) {
    core_.log.warn("deployment step failed, tried again", {{"deployment", id}, {"error", done.error()}});
    watched_[id].deadline = core_.loop.wall() + std::chrono::seconds(1);
    co_return;
  }
  watched_[id].seen_index = verdict.seen_index;
  watched_[id].deadline = verdict.deadline;
}

}  // namespace steppe::server
