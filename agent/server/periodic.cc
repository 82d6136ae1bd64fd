#include "agent/server/periodic.h"

#include <algorithm>
#include <format>

#include "agent/model/alloc_status.h"
#include "agent/model/cron.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/log.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/state/job_key.h"
#include "init/base/text.h"

namespace steppe::server {

using endpoint::Outcome;
using endpoint::rpc_error;
using state::Snapshot;

namespace {

constexpr std::string_view kInfix = "/periodic-";

bool launches(const state::JobView& job) { return job.periodic() && !job.stop() && !job.parameterized(); }

std::pair<std::string, std::string> split_key(const std::string& key) {
  const size_t zero = key.find('\0');
  return {key.substr(0, zero), key.substr(zero + 1)};
}

}  // namespace

std::optional<int64_t> periodic_launch_of(std::string_view parent, std::string_view child) {
  if (!child.starts_with(parent) || !child.substr(parent.size()).starts_with(kInfix)) return std::nullopt;
  const auto seconds = parse_int(child.substr(parent.size() + kInfix.size()));
  if (!seconds.ok()) return std::nullopt;
  return *seconds;
}

void PeriodicLauncher::track(const state::JobView& job, WallTime after) {
  const std::string key = state::job_key(job.ns(), job.id());
  due_.erase(key);
  if (!launches(job)) return;
  const auto next = model::next_launch(job.decode().periodic(), after);
  if (!next.ok()) {
    core_.log.error("periodic job without a valid schedule", {{"job", job.id()}, {"error", next.error()}});
    return;
  }
  if (*next) due_[key] = **next;
}

void PeriodicLauncher::note(const Snapshot& snapshot, const std::string& job_key) {
  const auto [ns, id] = split_key(job_key);
  const auto job = snapshot.job(ns, id);
  if (!job) {
    due_.erase(job_key);
    return;
  }
  const auto due = due_.find(job_key);
  if (!launches(*job) && due == due_.end()) return;
  // Due and about to be launched: a change of the job at this moment must not move it on.
  if (launches(*job) && due != due_.end() && due->second <= core_.loop.wall()) return;
  track(*job, core_.loop.wall());
  changed_.pulse();
}

void PeriodicLauncher::restore(const Snapshot& snapshot) {
  due_.clear();
  snapshot.each_job({}, state::Order::kForward, [&](const state::JobView& job) {
    if (!launches(job)) return true;
    track(job, core_.loop.wall());
    if (const auto missed = missed_launch(snapshot, job)) due_[state::job_key(job.ns(), job.id())] = *missed;
    return true;
  });
}

std::optional<WallTime> PeriodicLauncher::missed_launch(const Snapshot& snapshot, const state::JobView& job) const {
  const WallTime now = core_.loop.wall();
  WallTime last{std::max(job.submit_time(), now.unix_ns - core_.settings.gc.job.count())};
  for (const state::JobView& child : snapshot.jobs_by_parent(job.ns(), job.id())) {
    if (const auto seconds = periodic_launch_of(job.id(), child.id())) last.unix_ns = std::max(last.unix_ns, *seconds * 1'000'000'000);
  }
  const schema::Job spec = job.decode();
  const auto next = model::next_launch(spec.periodic(), last);
  if (!next.ok() || !*next || **next > now) return std::nullopt;
  return now;  // one launch stands for all that were missed
}

io::Task<void> PeriodicLauncher::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const WallTime now = core_.loop.wall();
    std::optional<WallTime> first;
    std::vector<std::pair<std::string, WallTime>> due;
    for (const auto& [key, at] : due_) {
      if (at <= now) due.emplace_back(key, at);
      if (!first || at < *first) first = at;
    }
    for (const auto& [key, at] : due) {
      const auto [ns, id] = split_key(key);
      auto launched = co_await launch(ns, id, at);
      if (!launched.ok()) core_.log.warn("periodic launch did not happen", {{"job", id}, {"error", launched.error()}});
      const Snapshot snapshot = core_.store.snapshot();
      due_.erase(key);
      if (const auto job = snapshot.job(ns, id)) track(*job, std::max(at, core_.loop.wall()));
    }
    if (!due.empty()) continue;
    io::Deadline deadline{.stop = stop};
    // The wall clock may jump: looked at each minute at least.
    deadline.at = core_.loop.now() + std::chrono::minutes(1);
    if (first) deadline.at = std::min(deadline.at, core_.loop.now() + std::max(Duration::zero(), *first - now));
    static_cast<void>(co_await changed_.wait(deadline));
  }
}

io::Task<Outcome<PeriodicLauncher::Launched>> PeriodicLauncher::launch(std::string ns, std::string job_id, WallTime at) {
  schema::LogJobRegister command;
  {
    const Snapshot snapshot = core_.store.snapshot();
    const auto parent = snapshot.job(ns, job_id);
    if (!parent || !launches(*parent)) co_return rpc_error(std::format("can't force run non-tracked job {} ({})", job_id, ns));
    schema::Job job = parent->decode();
    if (job.periodic().prohibit_overlap()) {
      for (const state::JobView& child : snapshot.jobs_by_parent(ns, job_id)) {
        if (child.status() != state::JobStatus::kDead) co_return rpc_error(std::format("job {} is still running: its periodic block prohibits overlap", child.id()));
      }
    }
    job.set_parent_id(job_id);
    job.set_id(std::format("{}{}{}", job_id, kInfix, at.unix_ns / 1'000'000'000));
    job.set_name(job.id());
    job.clear_periodic();
    job.set_submit_time(core_.loop.wall().unix_ns);
    job.set_stable(false);
    job.set_version(0);
    job.clear_version_tag();
    job.clear_create_index();
    job.clear_modify_index();
    job.clear_job_modify_index();
    job.clear_status();
    job.clear_status_description();
    if (snapshot.job(ns, job.id())) co_return rpc_error(std::format("job {} was launched already", job.id()));
    *command.mutable_eval() = new_eval(core_, ns, job.id(), job.type(), job.priority(), "periodic-job");
    *command.mutable_job() = std::move(job);
  }
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.propose(schema::LOG_JOB_REGISTER, command));
  co_return Launched{done.index, command.eval().id()};
}

io::Task<Outcome<PeriodicLauncher::Launched>> PeriodicLauncher::force(std::string ns, std::string job_id) {
  co_return co_await launch(std::move(ns), std::move(job_id), core_.loop.wall());
}

}  // namespace steppe::server
