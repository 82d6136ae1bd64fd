#include <algorithm>

#include "agent/model/diff.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/job_endpoint.h"
#include "agent/server/query.h"
#include "agent/server/stubs.h"
#include "agent/state/job_key.h"

namespace steppe::server {

using endpoint::Method;
using endpoint::Outcome;
using state::Snapshot;
using state::Table;
using state::WatchKey;
using Keys = std::vector<WatchKey>;

namespace {

state::Incarnation incarnation(const schema::JobSpecificRequest& request) {
  return request.all() ? state::Incarnation::kAny : state::Incarnation::kCurrent;
}

// "namespace.id" as the API's token; namespaces hold no dot.
std::string job_token(const state::JobView& job) { return std::string(job.ns()) + "." + std::string(job.id()); }
std::string key_of_job_token(std::string_view token) {
  const size_t dot = std::min(token.find('.'), token.size());
  return state::job_key(token.substr(0, dot), dot == token.size() ? "" : token.substr(dot + 1));
}

}  // namespace

io::Task<Outcome<>> JobEndpoint::get_job(const schema::JobSpecificRequest& request, const Call& call, schema::SingleJobReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys.push_back(WatchKey::job(call.space(), request.job_id()));
    reply.clear_job();
    const auto job = snapshot.job(call.space(), request.job_id());
    if (!job) return snapshot.table_index(Table::kJobs);
    *reply.mutable_job() = job->decode();
    return job->modify_index();
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::list(const schema::JobListRequest& request, const Call& call, schema::JobListReply& reply) {
  const bool everywhere = call.space() == "*";
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kJobs), WatchKey::whole(Table::kJobSummary)};
    reply.clear_jobs();
    STEPPE_TRY(Page page, Page::open(request.query(), key_of_job_token));
    const auto visit = [&](const state::JobView& job) {
      if (!everywhere && job.ns() != call.space()) return page.reverse() ? job.ns() > call.space() : job.ns() < call.space();
      if (!job.id().starts_with(request.query().prefix()) || !call.allows(job.ns())) return true;
      if (page.take(state::job_key(job.ns(), job.id()), job_token(job))) job_stub(job, request.meta_fields(), reply.add_jobs());
      return !page.done();
    };
    const bool from_namespace = !everywhere && !page.reverse();
    const std::string from = from_namespace ? state::job_key(call.space(), request.query().prefix()) : std::string();
    snapshot.each_job(from, page.reverse() ? state::Order::kReverse : state::Order::kForward, visit);
    reply.mutable_meta()->set_next_token(page.next_token());
    return std::max(snapshot.table_index(Table::kJobs), snapshot.table_index(Table::kJobSummary));
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

namespace {

// Diffs of each version against the one before it, or of all against one version.
Outcome<> add_diffs(const schema::JobVersionsRequest& request, schema::JobVersionsReply& reply) {
  const auto& versions = reply.versions();
  const schema::Job* fixed = nullptr;
  if (request.has_diff_version() || !request.diff_tag_name().empty()) {
    for (const schema::Job& version : versions) {
      const bool by_tag = !request.diff_tag_name().empty() && version.version_tag().name() == request.diff_tag_name();
      if (by_tag || (request.has_diff_version() && version.version() == request.diff_version())) fixed = &version;
    }
    if (fixed == nullptr) return endpoint::rpc_error("failed to find job version to compare against");
  }
  for (int i = 0; i < versions.size(); ++i) {
    const schema::Job* before = fixed != nullptr ? fixed : i + 1 < versions.size() ? &versions.Get(i + 1) : nullptr;
    if (before == nullptr || before == &versions.Get(i)) continue;
    STEPPE_TRY_VOID(model::diff_jobs(before, &versions.Get(i), model::DiffContext::kContextual, reply.add_diffs()));
  }
  return {};
}

}  // namespace

io::Task<Outcome<>> JobEndpoint::versions(const schema::JobVersionsRequest& request, const Call& call, schema::JobVersionsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kJobVersions, call.space(), request.job_id())};
    reply.clear_versions();
    reply.clear_diffs();
    uint64_t index = 0;
    for (const state::JobVersionView& version : snapshot.job_versions(call.space(), request.job_id())) {
      *reply.add_versions() = version.decode();
      index = std::max(index, reply.versions().rbegin()->modify_index());
    }
    if (reply.versions().empty()) return snapshot.table_index(Table::kJobVersions);
    if (request.diffs()) STEPPE_TRY_VOID(add_diffs(request, reply));
    return index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::submission(const schema::JobSubmissionRequest& request, const Call& call, schema::JobSubmissionReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kJobSubmission, call.space(), request.job_id())};
    reply.clear_submission();
    if (auto found = snapshot.job_submission(call.space(), request.job_id(), request.version())) *reply.mutable_submission() = *std::move(found);
    return snapshot.table_index(Table::kJobSubmission);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::allocations(const schema::JobSpecificRequest& request, const Call& call, schema::JobAllocationsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kAllocs, call.space(), request.job_id())};
    reply.clear_allocations();
    uint64_t index = 0;
    for (const state::AllocView& alloc : snapshot.allocs_by_job(call.space(), request.job_id(), incarnation(request))) {
      alloc_stub(alloc, {}, reply.add_allocations());
      index = std::max(index, alloc.modify_index());
    }
    return reply.allocations().empty() ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::evaluations(const schema::JobSpecificRequest& request, const Call& call, schema::JobEvaluationsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kEvals, call.space(), request.job_id())};
    reply.clear_evaluations();
    uint64_t index = 0;
    for (const state::EvalView& eval : snapshot.evals_by_job(call.space(), request.job_id())) {
      *reply.add_evaluations() = eval.decode();
      index = std::max(index, eval.modify_index());
    }
    return reply.evaluations().empty() ? snapshot.table_index(Table::kEvals) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::summary(const schema::JobSpecificRequest& request, const Call& call, schema::JobSummaryReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kJobSummary, call.space(), request.job_id()), WatchKey::whole(Table::kJobSummary)};
    reply.clear_job_summary();
    const auto job = snapshot.job(call.space(), request.job_id());
    if (!job) return snapshot.table_index(Table::kJobSummary);
    *reply.mutable_job_summary() = job->summary();
    return job->summary_modify_index();
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::deployments(const schema::JobSpecificRequest& request, const Call& call, schema::DeploymentListReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kDeployments, call.space(), request.job_id())};
    reply.clear_deployments();
    uint64_t index = 0;
    for (const state::DeploymentView& deployment : snapshot.deployments_by_job(call.space(), request.job_id(), incarnation(request))) {
      *reply.add_deployments() = deployment.decode();
      index = std::max(index, deployment.modify_index());
    }
    return reply.deployments().empty() ? snapshot.table_index(Table::kDeployments) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> JobEndpoint::latest_deployment(const schema::JobSpecificRequest& request, const Call& call, schema::SingleDeploymentReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::of_job(Table::kDeployments, call.space(), request.job_id())};
    reply.clear_deployment();
    const auto latest = snapshot.latest_deployment(call.space(), request.job_id());
    const auto job = snapshot.job(call.space(), request.job_id());
    if (!latest || (job && latest->job_create_index() != job->create_index())) return snapshot.table_index(Table::kDeployments);
    *reply.mutable_deployment() = latest->decode();
    return latest->modify_index();
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

void JobEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  const auto add = [&]<Method M>(auto member) {
    dispatcher.add<M>(core_.loop, [this, member](const auto& request, const Call& call, auto& reply) { return (this->*member)(request, call, reply); });
  };
  add.operator()<Method::kJobRegister>(&JobEndpoint::register_job);
  add.operator()<Method::kJobDeregister>(&JobEndpoint::deregister);
  add.operator()<Method::kJobEvaluate>(&JobEndpoint::evaluate);
  add.operator()<Method::kJobRevert>(&JobEndpoint::revert);
  add.operator()<Method::kJobStable>(&JobEndpoint::stable);
  add.operator()<Method::kJobPlan>(&JobEndpoint::plan);
  add.operator()<Method::kJobValidate>(&JobEndpoint::validate);
  add.operator()<Method::kJobGetJob>(&JobEndpoint::get_job);
  add.operator()<Method::kJobList>(&JobEndpoint::list);
  add.operator()<Method::kJobGetJobVersions>(&JobEndpoint::versions);
  add.operator()<Method::kJobGetJobSubmission>(&JobEndpoint::submission);
  add.operator()<Method::kJobAllocations>(&JobEndpoint::allocations);
  add.operator()<Method::kJobEvaluations>(&JobEndpoint::evaluations);
  add.operator()<Method::kJobSummary>(&JobEndpoint::summary);
  add.operator()<Method::kJobDeployments>(&JobEndpoint::deployments);
  add.operator()<Method::kJobLatestDeployment>(&JobEndpoint::latest_deployment);
}

}  // namespace steppe::server
