#include <algorithm>

#include "agent/schema/plan.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/object_endpoint.h"
#include "agent/server/query.h"
#include "agent/server/stubs.h"

namespace steppe::server {

using endpoint::Outcome;
using state::Snapshot;
using state::Table;
using state::WatchKey;
using Keys = std::vector<WatchKey>;

namespace {

bool wanted(const schema::EvalListRequest& request, const endpoint::Call& call, const state::EvalView& eval) {
  if (call.space() != "*" && eval.ns() != call.space()) return false;
  if (!call.allows(eval.ns())) return false;
  if (!request.filter_job_id().empty() && eval.job_id() != request.filter_job_id()) return false;
  return request.filter_eval_status().empty() || state::text(eval.status()) == request.filter_eval_status();
}

void add_related(const Snapshot& snapshot, schema::Evaluation* eval) {
  for (const state::EvalView& other : snapshot.evals_by_job(eval->namespace_(), eval->job_id())) {
    const schema::Evaluation related = other.decode();
    if (related.id() == eval->id()) continue;
    const bool linked = related.id() == eval->next_eval() || related.id() == eval->previous_eval() || related.id() == eval->blocked_eval() ||
                        related.next_eval() == eval->id() || related.previous_eval() == eval->id() || related.blocked_eval() == eval->id();
    if (linked) eval_stub(related, eval->add_related_evals());
  }
}

}  // namespace

io::Task<Outcome<>> ObjectEndpoint::get_eval(const schema::EvalSpecificRequest& request, const Call& call, schema::SingleEvalReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("eval", request.eval_id()));
    keys = {WatchKey::row(Table::kEvals, id)};
    reply.clear_eval();
    return look_at_row(snapshot, call, Table::kEvals, snapshot.eval(EvalId(id)), [&](const state::EvalView& eval) {
      *reply.mutable_eval() = eval.decode();
      if (request.include_related()) add_related(snapshot, reply.mutable_eval());
    });
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ObjectEndpoint::list_evals(const schema::EvalListRequest& request, const Call& call, schema::EvalListReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kEvals)};
    reply.clear_evaluations();
    STEPPE_TRY(const IdPrefix prefix, IdPrefix::parse(request.query().prefix()));
    if (!prefix.hex.empty()) {
      STEPPE_TRY(Page page, Page::open(request.query()));
      const auto visit = [&](const state::EvalView& eval) {
        if (!prefix.matches(eval.id())) return page.reverse();
        if (wanted(request, call, eval) && page.take(eval.id().text())) *reply.add_evaluations() = eval.decode();
        return !page.done();
      };
      snapshot.each_eval(page.reverse() ? EvalId() : EvalId(prefix.first()), page.reverse() ? state::Order::kReverse : state::Order::kForward, visit);
      reply.mutable_meta()->set_next_token(page.next_token());
      return snapshot.table_index(Table::kEvals);
    }
    STEPPE_TRY(Page page, Page::open(request.query(), age_key_of_token));
    const auto visit = [&](const state::EvalView& eval) {
      if (!wanted(request, call, eval)) return true;
      if (page.take(age_key(eval.create_index(), eval.id()), age_token(eval.create_index(), eval.id()))) *reply.add_evaluations() = eval.decode();
      return !page.done();
    };
    snapshot.each_eval_by_index(0, page.reverse() ? state::Order::kReverse : state::Order::kForward, visit);
    reply.mutable_meta()->set_next_token(page.next_token());
    return snapshot.table_index(Table::kEvals);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ObjectEndpoint::count_evals(const schema::EvalListRequest& request, const Call& call, schema::EvalCountReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kEvals)};
    STEPPE_TRY(const IdPrefix prefix, IdPrefix::parse(request.query().prefix()));
    if (!request.query().filter().empty()) return endpoint::bad_request("the filter parameter is not supported yet: leave it out and filter what comes back");
    int64_t count = 0;
    snapshot.each_eval(EvalId(prefix.first()), state::Order::kForward, [&](const state::EvalView& eval) {
      if (!prefix.matches(eval.id())) return false;
      if (wanted(request, call, eval)) ++count;
      return true;
    });
    reply.set_count(count);
    return snapshot.table_index(Table::kEvals);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ObjectEndpoint::eval_allocs(const schema::EvalSpecificRequest& request, const Call& call, schema::EvalAllocationsReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("eval", request.eval_id()));
    keys = {WatchKey::allocs_of_eval(id)};
    reply.clear_allocations();
    call.absent();  // each alloc is asked for by itself
    uint64_t index = 0;
    for (const state::AllocView& alloc : snapshot.allocs_by_eval(EvalId(id))) {
      if (!call.allows(alloc.ns())) continue;
      alloc_stub(alloc, {}, reply.add_allocations());
      index = std::max(index, alloc.modify_index());
    }
    return reply.allocations().empty() ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

}  // namespace steppe::server
