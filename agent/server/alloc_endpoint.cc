#include <algorithm>
#include <format>

#include "agent/schema/log.pb.h"
#include "agent/schema/node.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/server/object_endpoint.h"
#include "agent/server/query.h"
#include "agent/server/stubs.h"
#include "init/base/secret.h"

namespace steppe::server {

using endpoint::Method;
using endpoint::Outcome;
using endpoint::rpc_error;
using state::Snapshot;
using state::Table;
using state::WatchKey;
using Keys = std::vector<WatchKey>;

namespace {

// By age, oldest first: what a list without prefix shows.
std::vector<state::AllocView> by_age(const Snapshot& snapshot, const endpoint::Call& call) {
  const bool everywhere = call.space() == "*";
  std::vector<state::AllocView> allocs;
  snapshot.each_alloc({}, state::Order::kForward, [&](const state::AllocView& alloc) {
    if ((everywhere || alloc.ns() == call.space()) && call.allows(alloc.ns())) allocs.push_back(alloc);
    return true;
  });
  std::ranges::stable_sort(allocs, {}, [](const state::AllocView& alloc) { return alloc.create_index(); });
  return allocs;
}

}  // namespace

io::Task<Outcome<>> ObjectEndpoint::list_allocs(const schema::AllocListRequest& request, const Call& call, schema::AllocListReply& reply) {
  const AllocStubParts parts{.resources = request.resources(), .task_states = true};  // as the API does unless told otherwise
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    keys = {WatchKey::whole(Table::kAllocs)};
    reply.clear_allocations();
    STEPPE_TRY(const IdPrefix prefix, IdPrefix::parse(request.query().prefix()));
    if (prefix.hex.empty()) {
      STEPPE_TRY(Page page, Page::open(request.query(), age_key_of_token));
      std::vector<state::AllocView> allocs = by_age(snapshot, call);
      if (page.reverse()) std::ranges::reverse(allocs);
      for (const state::AllocView& alloc : allocs) {
        if (page.take(age_key(alloc.create_index(), alloc.id()), age_token(alloc.create_index(), alloc.id()))) alloc_stub(alloc, parts, reply.add_allocations());
        if (page.done()) break;
      }
      reply.mutable_meta()->set_next_token(page.next_token());
      return snapshot.table_index(Table::kAllocs);
    }
    STEPPE_TRY(Page page, Page::open(request.query()));
    const auto visit = [&](const state::AllocView& alloc) {
      if (!prefix.matches(alloc.id())) return page.reverse();
      if ((call.space() != "*" && alloc.ns() != call.space()) || !call.allows(alloc.ns())) return true;
      if (page.take(alloc.id().text())) alloc_stub(alloc, parts, reply.add_allocations());
      return !page.done();
    };
    snapshot.each_alloc(page.reverse() ? AllocId() : AllocId(prefix.first()), page.reverse() ? state::Order::kReverse : state::Order::kForward, visit);
    reply.mutable_meta()->set_next_token(page.next_token());
    return snapshot.table_index(Table::kAllocs);
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ObjectEndpoint::get_alloc(const schema::AllocSpecificRequest& request, const Call& call, schema::SingleAllocReply& reply) {
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    STEPPE_TRY(const Uuid id, parse_id("alloc", request.alloc_id()));
    keys = {WatchKey::row(Table::kAllocs, id)};
    reply.clear_alloc();
    return look_at_row(snapshot, call, Table::kAllocs, snapshot.alloc(AllocId(id)), [&](const state::AllocView& alloc) {
      *reply.mutable_alloc() = alloc.decode(state::WithJob::kYes);
      show_alloc(reply.mutable_alloc());
    });
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

// For clients: whole allocs, once they are as new as the client was told.
io::Task<Outcome<>> ObjectEndpoint::get_allocs(const schema::AllocsGetRequest& request, const Call& call, schema::AllocsGetReply& reply) {
  if (request.alloc_ids_size() > 16384) co_return endpoint::too_large("more than 16384 allocs in one request");
  auto look = [&](const Snapshot& snapshot, Keys& keys) -> Outcome<uint64_t> {
    reply.clear_allocs();
    uint64_t index = 0;
    for (const std::string& text : request.alloc_ids()) {
      STEPPE_TRY(const Uuid id, parse_id("alloc", text));
      keys.push_back(WatchKey::row(Table::kAllocs, id));
      const auto alloc = snapshot.alloc(AllocId(id));
      if (!alloc) continue;
      const auto node = snapshot.node(alloc->node_id());
      if (!node || !equal_in_constant_time(node->decode().secret_id(), request.secret_id())) {
        return endpoint::Failure(500, Code::kDenied, "node secret ID does not match");
      }
      *reply.add_allocs() = alloc->decode(state::WithJob::kYes);
      index = std::max(index, alloc->modify_index());
    }
    return index == 0 ? snapshot.table_index(Table::kAllocs) : index;
  };
  co_return co_await answer(core_, request.query(), call, reply.mutable_meta(), look);
}

io::Task<Outcome<>> ObjectEndpoint::stop_alloc(const schema::AllocStopRequest& request, const Call& call, schema::AllocStopReply& reply) {
  STEPPE_CO_TRY(const Uuid id, parse_id("alloc", request.alloc_id()));
  schema::LogAllocDesiredTransition command;
  {
    const Snapshot snapshot = core_.store.snapshot();
    const auto alloc = snapshot.alloc(AllocId(id));
    if (!alloc) {
      call.absent();
      co_return endpoint::not_found("allocation");
    }
    STEPPE_CO_TRY_VOID(call.authorise(alloc->ns()));
    const state::JobSpecView job = alloc->job();
    *command.add_evals() = new_eval(core_, alloc->ns(), alloc->job_id(), state::text(job.type()), job.priority(), "alloc-stop");
    schema::DesiredTransition& transition = (*command.mutable_transitions())[request.alloc_id()];
    transition.set_migrate(true);
    if (request.no_shutdown_delay()) transition.set_no_shutdown_delay(true);
    if (request.reschedule()) transition.set_reschedule(true);
  }
  reply.set_eval_id(command.evals(0).id());
  command.set_unix_ns(core_.loop.wall().unix_ns);
  STEPPE_CO_TRY(const state::Outcome done, co_await core_.commands.request(schema::LOG_ALLOC_DESIRED_TRANSITION, command));
  reply.mutable_meta()->set_index(done.index);
  co_return Outcome<>();
}

void ObjectEndpoint::add_methods(endpoint::Dispatcher& dispatcher) {
  const auto add = [&]<Method M>(auto member) {
    dispatcher.add<M>(core_.loop, [this, member](const auto& request, const Call& call, auto& reply) { return (this->*member)(request, call, reply); });
  };
  add.operator()<Method::kAllocList>(&ObjectEndpoint::list_allocs);
  add.operator()<Method::kAllocGetAlloc>(&ObjectEndpoint::get_alloc);
  add.operator()<Method::kAllocGetAllocs>(&ObjectEndpoint::get_allocs);
  add.operator()<Method::kAllocStop>(&ObjectEndpoint::stop_alloc);
  add.operator()<Method::kEvalGetEval>(&ObjectEndpoint::get_eval);
  add.operator()<Method::kEvalList>(&ObjectEndpoint::list_evals);
  add.operator()<Method::kEvalCount>(&ObjectEndpoint::count_evals);
  add.operator()<Method::kEvalAllocations>(&ObjectEndpoint::eval_allocs);
}

}  // namespace steppe::server
