#pragma once

#include "agent/endpoint/dispatcher.h"
#include "agent/server/core.h"

namespace steppe::server {

// The Alloc.* and Eval.* methods.
class ObjectEndpoint {
 public:
  explicit ObjectEndpoint(Core& core) : core_(core) {}
  void add_methods(endpoint::Dispatcher& dispatcher);

 private:
  using Done = io::Task<endpoint::Outcome<>>;
  using Call = endpoint::Call;

  // alloc_endpoint.cc
  Done list_allocs(const schema::AllocListRequest& request, const Call& call, schema::AllocListReply& reply);
  Done get_alloc(const schema::AllocSpecificRequest& request, const Call& call, schema::SingleAllocReply& reply);
  Done get_allocs(const schema::AllocsGetRequest& request, const Call& call, schema::AllocsGetReply& reply);
  Done stop_alloc(const schema::AllocStopRequest& request, const Call& call, schema::AllocStopReply& reply);
  // eval_endpoint.cc
  Done get_eval(const schema::EvalSpecificRequest& request, const Call& call, schema::SingleEvalReply& reply);
  Done list_evals(const schema::EvalListRequest& request, const Call& call, schema::EvalListReply& reply);
  Done count_evals(const schema::EvalListRequest& request, const Call& call, schema::EvalCountReply& reply);
  Done eval_allocs(const schema::EvalSpecificRequest& request, const Call& call, schema::EvalAllocationsReply& reply);

  Core& core_;
};

}  // namespace steppe::server
