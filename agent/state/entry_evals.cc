#include <format>

#include "agent/schema/plan.pb.h"
#include "agent/state/entry.h"

namespace steppe::state {
namespace {

Result<> check_uuid(std::string_view what, std::string_view text) {
  Result<Uuid> id = Uuid::parse(text);
  if (!id.ok()) return std::move(id).error().wrap(what);
  return {};
}

}  // namespace

EvalRow* make_eval_row(const schema::Evaluation& eval) {
  auto* row = new EvalRow();
  row->id = EvalId(*Uuid::parse(eval.id()));
  row->ns = eval.namespace_();
  row->job_id = eval.job_id();
  row->type = *parse_job_type(eval.type());
  row->status = *parse_eval_status(eval.status());
  row->priority = static_cast<int32_t>(eval.priority());
  row->wait_until = eval.wait_until();
  row->modify_time = eval.modify_time();
  row->create_index = eval.create_index();
  row->modify_index = eval.modify_index();
  row->bytes = encode(eval);
  return row;
}

Result<> Entry::check_eval(const schema::Evaluation& eval) const {
  STEPPE_TRY_VOID(check_uuid("evaluation ID", eval.id()));
  STEPPE_TRY_VOID(parse_eval_status(eval.status()).wrap(std::format("evaluation {}", eval.id())));
  STEPPE_TRY_VOID(parse_job_type(eval.type()).wrap(std::format("evaluation {}", eval.id())));
  return {};
}

Result<> Entry::check_evals(const google::protobuf::RepeatedPtrField<schema::Evaluation>& evals) const {
  for (const schema::Evaluation& eval : evals) STEPPE_TRY_VOID(check_eval(eval));
  return {};
}

Result<> Entry::run(const schema::LogEvalUpsert& command) {
  STEPPE_TRY_VOID(check_evals(command.evals()));
  now_ = command.unix_ns();
  for (const schema::Evaluation& eval : command.evals()) upsert_eval(eval);
  return {};
}

void Entry::upsert_eval(schema::Evaluation eval) {
  if (eval.namespace_().empty()) eval.set_namespace_("default");
  if (JobDraft* job = edit_job(eval.namespace_(), eval.job_id()); job != nullptr) {
    bool changed = false;
    for (const auto& [name, queued] : eval.queued_allocations()) {
      GroupSummary* group = job->row->group(name);
      if (group == nullptr || group->queued == queued) continue;
      group->queued = queued;
      changed = true;
    }
    if (changed) {
      job->row->summary_modify_index = index_;
      job->parts |= Writer::kSummary;
    }
  }
  if (eval.status() == text(EvalStatus::kComplete) && eval.failed_tg_allocs().empty()) cancel_blocked(eval);
  const EvalRow* old = root().evals.find(*Uuid::parse(eval.id()));
  eval.set_create_index(old != nullptr ? old->create_index : index_);
  eval.set_modify_index(index_);
  if (eval.create_time() == 0) {
    eval.set_create_time(old != nullptr ? decode<schema::Evaluation>(old->bytes).create_time() : now_);
  }
  if (eval.modify_time() == 0) eval.set_modify_time(now_);
  put_eval(eval);
}

// All of the job's allocs are placed: what waited for room has nothing left to do.
void Entry::cancel_blocked(const schema::Evaluation& done) {
  std::vector<schema::Evaluation> blocked;
  each_of_owner(
      root().evals_by_job, root().evals, owner_of(done.namespace_(), done.job_id()),
      [&](const EvalRow& row) {
        return row.status == EvalStatus::kBlocked && row.job_id == done.job_id() && row.ns == done.namespace_() &&
               row.id.text() != done.id();
      },
      [&](const EvalRow& row, uint32_t) { blocked.push_back(decode<schema::Evaluation>(row.bytes)); });
  for (schema::Evaluation& eval : blocked) {
    eval.set_status(std::string(text(EvalStatus::kCanceled)));
    eval.set_status_description(std::format("evaluation \"{}\" successful", done.id()));
    eval.set_modify_index(index_);
    if (now_ != 0) eval.set_modify_time(now_);
    put_eval(eval);
  }
}

void Entry::put_eval(const schema::Evaluation& eval) {
  EvalRow* row = make_eval_row(eval);
  const EvalRow* old = root().evals.find(row->id);
  // An eval stays with its job; the counts of another job would go wrong otherwise.
  if (old != nullptr && (old->ns != row->ns || old->job_id != row->job_id)) {
    if (JobDraft* former = edit_job(old->ns, old->job_id); former != nullptr) {
      --former->row->evals;
      former->row->live_evals -= terminal(old->status) ? 0 : 1;
      former->recount = true;
    }
    old = nullptr;
  }
  if (JobDraft* job = edit_job(row->ns, row->job_id); job != nullptr) {
    job->row->evals += old == nullptr ? 1 : 0;
    job->row->live_evals += terminal(row->status) ? 0 : 1;
    job->row->live_evals -= old == nullptr || terminal(old->status) ? 0 : 1;
    job->recount = true;
  }
  outcome_.evals.push_back(row->id);
  writer_.put_eval(row);
}

void Entry::delete_eval(const std::string& id) {
  Result<Uuid> uuid = Uuid::parse(id);
  const EvalRow* row = uuid.ok() ? root().evals.find(*uuid) : nullptr;
  if (row == nullptr) return;
  if (JobDraft* job = edit_job(row->ns, row->job_id); job != nullptr) {
    --job->row->evals;
    job->row->live_evals -= terminal(row->status) ? 0 : 1;
    job->recount = job->lost_rows = true;
  }
  writer_.erase_eval(*row);
}

void Entry::delete_alloc(const std::string& id) {
  const AllocRow* row = find_alloc(id);
  if (row == nullptr) return;
  const JobSpec& spec = *row->placement->spec;
  if (JobDraft* job = edit_job(spec.ns, spec.id); job != nullptr) {
    --job->row->allocs;
    job->row->live_allocs -= row->terminal() ? 0 : 1;
    job->recount = job->lost_rows = true;
    // Finished ones stay in the summary as its history; one that was never finished is no longer there at all.
    GroupSummary* group =
        spec.create_index == job->row->create_index ? job->row->group(task_group(*row->placement)) : nullptr;
    if (group != nullptr && !client_terminal(row->client)) {
      int64_t& bucket = row->client == ClientStatus::kPending   ? group->starting
                        : row->client == ClientStatus::kRunning ? group->running
                                                                : group->unknown;
      bucket = std::max<int64_t>(0, bucket - 1);
      job->row->summary_modify_index = index_;
      job->parts |= Writer::kSummary;
    }
  }
  writer_.erase_alloc(*row);
}

Result<> Entry::run(const schema::LogEvalDelete& command) {
  for (const std::string& id : command.eval_ids()) delete_eval(id);
  for (const std::string& id : command.alloc_ids()) delete_alloc(id);
  return {};
}

Result<> Entry::run(const schema::LogGcReap& command) {
  now_ = command.unix_ns();
  for (const std::string& id : command.eval_ids()) delete_eval(id);
  for (const std::string& id : command.alloc_ids()) delete_alloc(id);
  for (const std::string& id : command.deployment_ids()) delete_deployment(id);
  for (const std::string& id : command.node_ids()) {
    if (Result<const NodeRow*> node = find_node(id); node.ok()) delete_node(**node);
  }
  for (const schema::JobKey& key : command.jobs()) {
    delete_job(key.namespace_().empty() ? "default" : key.namespace_(), key.job_id());
  }
  return {};
}

}  // namespace steppe::state
