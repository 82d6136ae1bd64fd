#include <algorithm>
#include <format>

#include "agent/schema/job.pb.h"
#include "agent/state/entry.h"
#include "agent/state/job_key.h"

namespace steppe::state {
namespace {

constexpr size_t kMaxJobId = 1024;

void strip(schema::Job& job) {
  job.clear_status();
  job.clear_status_description();
  job.clear_stable();
  job.clear_version();
  job.clear_version_tag();
  job.clear_create_index();
  job.clear_modify_index();
  job.clear_job_modify_index();
}

std::string comparable(schema::Job job) {
  strip(job);
  job.clear_submit_time();
  return encode(job);
}

void step_child(int64_t& bucket, int by) { bucket = std::max<int64_t>(0, bucket + by); }

}  // namespace

JobSpec* make_spec(schema::Job job, uint64_t version, uint64_t create_index, uint64_t job_modify_index) {
  strip(job);
  if (job.namespace_().empty()) job.set_namespace_("default");
  job.set_version(version);
  job.set_create_index(create_index);
  job.set_job_modify_index(job_modify_index);
  auto* spec = new JobSpec();
  spec->ns = job.namespace_();
  spec->id = job.id();
  spec->parent_id = job.parent_id();
  spec->node_pool = job.node_pool();
  spec->version = version;
  spec->create_index = create_index;
  spec->job_modify_index = job_modify_index;
  spec->submit_time = job.submit_time();
  spec->priority = static_cast<int32_t>(std::clamp<int64_t>(job.priority(), 0, INT32_MAX));
  Result<JobType> type = parse_job_type(job.type());
  spec->type = type.ok() ? *type : JobType::kService;
  spec->stop = job.stop();
  spec->periodic = job.has_periodic();
  spec->parameterized = job.has_parameterized_job() && !job.dispatched();
  for (const schema::TaskGroup& group : job.task_groups()) spec->groups.push_back(group.name());
  spec->bytes = encode(job);
  spec->digest = spec->compute_digest();
  return spec;
}

bool same_spec(const JobSpec& spec, const schema::Job& job) {
  return comparable(decode<schema::Job>(spec.bytes)) == comparable(job);
}

void count_rows(const Root& root, JobRow& row) {
  const JobSpec& spec = row.spec();
  uint64_t owner = owner_of(spec.ns, spec.id);
  row.allocs = row.live_allocs = row.evals = row.live_evals = row.live_deployments = 0;
  each_of_owner(
      root.allocs_by_job, root.allocs, owner,
      [&](const AllocRow& a) { return a.placement->spec->id == spec.id && a.placement->spec->ns == spec.ns; },
      [&](const AllocRow& a, uint32_t) { ++row.allocs, row.live_allocs += a.terminal() ? 0 : 1; });
  each_of_owner(
      root.evals_by_job, root.evals, owner, [&](const EvalRow& e) { return e.job_id == spec.id && e.ns == spec.ns; },
      [&](const EvalRow& e, uint32_t) { ++row.evals, row.live_evals += terminal(e.status) ? 0 : 1; });
  each_of_owner(
      root.deployments_by_job, root.deployments, owner,
      [&](const DeploymentRow& d) { return d.job_id == spec.id && d.ns == spec.ns; },
      [&](const DeploymentRow& d, uint32_t) { row.live_deployments += terminal(d.status) ? 0 : 1; });
}

Entry::Entry(Writer& writer, uint64_t index, const Limits& limits, bool collect_keys)
    : writer_(writer), index_(index), limits_(limits) {
  writer_.begin(index, collect_keys);
  outcome_.index = index;
}

Entry::~Entry() {
  for (auto& [key, draft] : jobs_) {
    if (draft.row != nullptr) writer_.reclaimer().release(Reclaimer::retain(draft.row));
  }
  for (auto& [key, spec] : specs_) writer_.reclaimer().release(spec);
}

void Entry::finish() {
  for (const auto& [id, draft] : deployments_) {
    if (draft.changed) write_deployment(draft.deployment);
  }
  deployments_.clear();
  // Settling a child edits its parent: parents are settled last. Parents have no parents of their own.
  for (bool parents : {false, true}) {
    std::vector<std::string> keys;
    for (auto& [key, draft] : jobs_) {
      if (draft.row != nullptr && draft.row->spec().parent_id.empty() == parents) keys.push_back(key);
    }
    for (const std::string& key : keys) {
      JobDraft& draft = jobs_.at(key);
      settle_job(draft);
      JobRow* row = std::exchange(draft.row, nullptr);
      writer_.put_job(row, draft.parts);
    }
  }
}

Entry::JobDraft* Entry::edit_job(std::string_view ns, std::string_view job_id) {
  std::string key = job_key(ns, job_id);
  if (auto known = jobs_.find(key); known != jobs_.end()) {
    return known->second.row != nullptr ? &known->second : nullptr;
  }
  const JobRow* row = root().jobs.find(key);
  if (row == nullptr) return nullptr;
  JobDraft draft;
  draft.row = new JobRow(*row);
  draft.old_status = row->status;
  return &jobs_.emplace(std::move(key), draft).first->second;
}

Result<> Entry::check_job(const schema::Job& job) const {
  auto bad = [&](std::string_view why) { return Error(Code::kInvalid, std::format("job \"{}\": {}", job.id(), why)); };
  if (job.id().empty()) return bad("the id is missing");
  if (job.id().size() > kMaxJobId) return bad("the id is longer than 1024 bytes");
  if (job.id().find('\0') != std::string::npos || job.namespace_().find('\0') != std::string::npos) {
    return bad("id and namespace must not hold a zero byte");
  }
  STEPPE_TRY_VOID(parse_job_type(job.type()).wrap(std::format("job \"{}\"", job.id())));
  std::set<std::string_view> names;
  for (const schema::TaskGroup& group : job.task_groups()) {
    if (!names.insert(group.name()).second) return bad(std::format("two task groups \"{}\"", group.name()));
  }
  return {};
}

Result<> Entry::run(const schema::LogJobRegister& command) {
  if (!command.has_job()) return Error(Code::kInvalid, "job register: no job");
  STEPPE_TRY_VOID(check_job(command.job()));
  if (command.has_eval()) STEPPE_TRY_VOID(check_eval(command.eval()));
  now_ = command.unix_ns();
  JobDraft& draft = register_job(command.job(), command.has_submission() ? &command.submission() : nullptr);
  outcome_.job_modify_index = draft.row->spec().job_modify_index;
  if (command.has_eval()) {
    schema::Evaluation eval = command.eval();
    eval.set_job_modify_index(outcome_.job_modify_index);
    upsert_eval(std::move(eval));
  }
  return {};
}

Entry::JobDraft& Entry::register_job(schema::Job job, const schema::JobSubmission* submission) {
  if (job.namespace_().empty()) job.set_namespace_("default");
  JobDraft* draft = edit_job(job.namespace_(), job.id());
  if (draft != nullptr && same_spec(draft->row->spec(), job)) return *draft;
  if (draft == nullptr) {
    draft = &jobs_[job_key(job.namespace_(), job.id())];
    *draft = JobDraft{.row = new JobRow(), .created = true};
    draft->row->create_index = index_;
    draft->row->summary_create_index = index_;
  }
  draft->registered = true;
  uint64_t version = draft->created ? 0 : draft->row->spec().version + 1;
  uint64_t create_index = draft->row->create_index;
  add_version(*draft, make_spec(std::move(job), version, create_index, index_), submission);
  if (draft->created) count_rows(root(), *draft->row);
  return *draft;
}

void Entry::add_version(JobDraft& draft, JobSpec* spec, const schema::JobSubmission* submission) {
  JobRow& row = *draft.row;
  JobVersion version{.spec = Reclaimer::retain(spec)};
  if (submission != nullptr) {
    schema::JobSubmission stored = *submission;
    stored.set_namespace_(spec->ns);
    stored.set_job_id(spec->id);
    stored.set_version(spec->version);
    stored.set_job_modify_index(index_);
    version.submission = encode(stored);
    draft.parts |= Writer::kSubmission;
  }
  row.versions.insert(row.versions.begin(), std::move(version));
  row.modify_index = index_;
  draft.parts |= Writer::kRow | Writer::kVersions;
  bool new_group = draft.created;
  for (const std::string& name : spec->groups) {
    if (row.group(name) != nullptr) continue;
    auto at = std::ranges::lower_bound(row.groups, name, {}, &GroupSummary::name);
    row.groups.insert(at, GroupSummary{.name = name});
    new_group = true;
  }
  if (new_group) {
    row.summary_modify_index = index_;
    draft.parts |= Writer::kSummary;
  }
  prune_versions(row);
}

// Beyond the limit the oldest untagged version goes; but where it is the newest stable one, which a failed deployment
// would go back to, the next oldest goes instead.
void Entry::prune_versions(JobRow& row) const {
  std::vector<size_t> untagged;
  for (size_t i = 0; i < row.versions.size(); ++i) {
    if (row.versions[i].tag.empty()) untagged.push_back(i);
  }
  if (untagged.size() <= limits_.job_versions || untagged.size() < 2) return;
  auto stable = std::ranges::find_if(untagged, [&](size_t i) { return row.versions[i].stable; });
  size_t drop = untagged.back();
  if (stable != untagged.end() && *stable == drop && untagged.size() > 2) drop = untagged[untagged.size() - 2];
  writer_.reclaimer().release(row.versions[drop].spec);
  row.versions.erase(row.versions.begin() + static_cast<ptrdiff_t>(drop));
}

Result<> Entry::run(const schema::LogJobDeregister& command) {
  std::string ns = command.namespace_().empty() ? "default" : command.namespace_();
  const JobRow* existing = root().jobs.find(job_key(ns, command.job_id()));
  if (existing == nullptr) return Error(Code::kNotFound, "job not found");
  if (command.has_eval()) STEPPE_TRY_VOID(check_eval(command.eval()));
  now_ = command.unix_ns();
  if (command.no_shutdown_delay()) {
    schema::DesiredTransition transition;
    transition.set_no_shutdown_delay(true);
    std::vector<std::string> ids;
    each_of_owner(
        root().allocs_by_job, root().allocs, owner_of(ns, command.job_id()),
        [&](const AllocRow& row) {
          const JobSpec& spec = *row.placement->spec;
          return spec.id == command.job_id() && spec.ns == ns && !client_terminal(row.client);
        },
        [&](const AllocRow& row, uint32_t) { ids.push_back(row.placement->id.text()); });
    for (const std::string& id : ids) merge_transition(id, transition);
  }
  if (command.purge()) {
    delete_job(ns, command.job_id());
  } else {
    schema::Job job = decode<schema::Job>(existing->spec().bytes);
    job.set_stop(true);
    if (command.submit_time() != 0) job.set_submit_time(command.submit_time());
    register_job(std::move(job), nullptr);
  }
  if (command.has_eval()) {
    schema::Evaluation eval = command.eval();
    eval.set_job_modify_index(index_);
    upsert_eval(std::move(eval));
  }
  outcome_.job_modify_index = index_;
  return {};
}

void Entry::delete_job(std::string_view ns, std::string_view job_id) {
  std::string key = job_key(ns, job_id);
  if (auto known = jobs_.find(key); known != jobs_.end() && known->second.row != nullptr) {
    // An edit under way is dropped with the job; what it counted concerns rows that stay.
    writer_.reclaimer().release(Reclaimer::retain(known->second.row));
    known->second.row = nullptr;
  }
  const JobRow* row = root().jobs.find(key);
  if (row == nullptr) return;
  if (row->status != JobStatus::kDead) move_child(row->spec(), row->status, JobStatus::kDead);
  writer_.erase_job(*row);
}

Result<> Entry::run(const schema::LogJobStability& command) {
  std::string ns = command.namespace_().empty() ? "default" : command.namespace_();
  const JobRow* row = root().jobs.find(job_key(ns, command.job_id()));
  if (row == nullptr) return Error(Code::kNotFound, "job not found");
  auto version =
      std::ranges::find(row->versions, command.job_version(), [](const JobVersion& v) { return v.spec->version; });
  if (version == row->versions.end()) {
    return Error(Code::kNotFound,
                 std::format("job \"{}\" version {} not found", command.job_id(), command.job_version()));
  }
  set_stable(ns, command.job_id(), command.job_version(), command.stable());
  return {};
}

void Entry::set_stable(std::string_view ns, std::string_view job_id, uint64_t version, bool stable) {
  JobDraft* draft = edit_job(ns, job_id);
  if (draft == nullptr) return;
  for (size_t i = 0; i < draft->row->versions.size(); ++i) {
    JobVersion& kept = draft->row->versions[i];
    if (kept.spec->version != version || kept.stable == stable) continue;
    kept.stable = stable;
    draft->parts |= Writer::kVersions;
    if (i == 0) {
      draft->row->modify_index = index_;
      draft->parts |= Writer::kRow;
    }
  }
}

// ---- status ----

JobStatus Entry::derive_status(const JobDraft& draft) const {
  const JobRow& row = *draft.row;
  const JobSpec& spec = row.spec();
  if (spec.type == JobType::kSystem || spec.periodic || spec.parameterized) {
    return spec.stop ? JobStatus::kDead : JobStatus::kRunning;
  }
  if (row.live_allocs > 0 || row.live_deployments > 0) return JobStatus::kRunning;
  if (row.live_evals > 0) return JobStatus::kPending;
  // Nothing was ever done for it: it waits for its first eval. Where evals or allocs were collected, it is over.
  bool untouched = row.evals == 0 && row.allocs == 0 && !draft.lost_rows && !spec.stop;
  bool waits = draft.registered || row.status == JobStatus::kPending;
  return untouched && waits ? JobStatus::kPending : JobStatus::kDead;
}

void Entry::settle_job(JobDraft& draft) {
  JobRow& row = *draft.row;
  if (!draft.recount && !draft.registered) return;
  JobStatus status = derive_status(draft);
  if (draft.old_status.has_value() && *draft.old_status == status) return;
  row.status = status;
  row.modify_index = index_;
  draft.parts |= Writer::kRow;
  move_child(row.spec(), draft.old_status, status);
}

void Entry::move_child(const JobSpec& child, std::optional<JobStatus> from, std::optional<JobStatus> to) {
  if (child.parent_id.empty()) return;
  JobDraft* parent = edit_job(child.ns, child.parent_id);
  if (parent == nullptr) return;
  JobRow& row = *parent->row;
  auto bucket = [&](JobStatus status) -> int64_t& {
    if (status == JobStatus::kPending) return row.children_pending;
    return status == JobStatus::kRunning ? row.children_running : row.children_dead;
  };
  if (from.has_value()) step_child(bucket(*from), -1);
  if (to.has_value()) step_child(bucket(*to), +1);
  row.summary_modify_index = index_;
  parent->parts |= Writer::kSummary;
}

// ---- summaries ----

Result<> Entry::run(const schema::LogReconcileSummaries&) {
  std::vector<std::pair<std::string, std::string>> all;
  for (auto c = root().jobs.keys.first(); c.valid(); c.next()) {
    const JobSpec& spec = root().jobs.at(c.value())->spec();
    all.emplace_back(spec.ns, spec.id);
  }
  for (const auto& [ns, id] : all) reconcile(*edit_job(ns, id));
  return {};
}

void Entry::reconcile(JobDraft& draft) {
  JobRow& row = *draft.row;
  const JobSpec& spec = row.spec();
  for (GroupSummary& group : row.groups) group = GroupSummary{.name = group.name, .queued = group.queued};
  each_of_owner(
      root().allocs_by_job, root().allocs, owner_of(spec.ns, spec.id),
      [&](const AllocRow& a) {
        const JobSpec& of = *a.placement->spec;
        return of.id == spec.id && of.ns == spec.ns && of.create_index == row.create_index;
      },
      [&](const AllocRow& a, uint32_t) {
        GroupSummary* group = row.group(task_group(*a.placement));
        if (group == nullptr) return;
        int64_t* const buckets[] = {&group->starting, &group->running, &group->complete,
                                    &group->failed,   &group->lost,    &group->unknown};
        ++*buckets[static_cast<size_t>(a.client)];
      });
  row.children_pending = row.children_running = row.children_dead = 0;
  each_of_owner(
      root().jobs_by_parent, root().jobs, owner_of(spec.ns, spec.id),
      [&](const JobRow& child) { return child.spec().parent_id == spec.id && child.spec().ns == spec.ns; },
      [&](const JobRow& child, uint32_t) {
        int64_t* const buckets[] = {&row.children_pending, &row.children_running, &row.children_dead};
        ++*buckets[static_cast<size_t>(child.status)];
      });
  row.summary_modify_index = index_;
  draft.parts |= Writer::kSummary;
}

// ---- specifications of allocs ----

JobSpec* Entry::find_spec(const SpecKey& key) const {
  const auto& [ns, id, version, create_index, modify_index] = key;
  auto matches = [&](const JobSpec& spec) {
    return spec.version == std::get<2>(key) && spec.create_index == std::get<3>(key) &&
           spec.job_modify_index == std::get<4>(key);
  };
  const std::string of = job_key(ns, id);
  auto draft = jobs_.find(of);
  const JobRow* row = draft != jobs_.end() ? draft->second.row : root().jobs.find(of);
  if (row != nullptr) {
    for (const JobVersion& kept : row->versions) {
      if (matches(*kept.spec)) return kept.spec;
    }
  }
  // The version was pruned or the job purged: an alloc may still hold it.
  const Postings& postings = root().allocs_by_job;
  uint64_t owner = owner_of(ns, id);
  for (auto c = postings.lower_bound(Posting::of(owner, 0)); c.valid() && c.key().owner() == owner; c.next()) {
    JobSpec* spec = root().allocs.at(c.key().ordinal)->placement->spec;
    if (spec->id == id && spec->ns == ns && matches(*spec)) return spec;
  }
  return nullptr;
}

JobSpec* Entry::spec_of(const schema::Job& job) {
  std::string ns = job.namespace_().empty() ? "default" : job.namespace_();
  SpecKey key{ns, job.id(), job.version(), job.create_index(), job.job_modify_index()};
  auto known = specs_.find(key);
  if (known == specs_.end()) {
    JobSpec* spec = find_spec(key);
    if (spec == nullptr) spec = make_spec(job, job.version(), job.create_index(), job.job_modify_index());
    known = specs_.emplace(key, Reclaimer::retain(spec)).first;
  }
  return known->second;
}

}  // namespace steppe::state
