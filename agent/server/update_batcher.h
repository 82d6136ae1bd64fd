#pragma once

#include <memory>
#include <vector>

#include "agent/server/core.h"
#include "init/io/scope.h"

namespace steppe::schema {
class AllocUpdateRequest;
class LogAllocClientUpdate;
}

namespace steppe::server {

// Gathers what clients report of their allocs, so that a thousand nodes cost a log entry each 50 ms and not one each. An
// update whose failure calls for rescheduling, or whose alloc was thought lost, brings an evaluation of its job along.
class UpdateBatcher {
 public:
  explicit UpdateBatcher(Core& core) : core_(core), scope_(core.loop) {}

  // The node was checked. Returns the index at which all of the request's updates are applied. Updates of allocs that do
  // not exist, or sit on another node, are dropped. 429 when too many wait.
  io::Task<endpoint::Outcome<uint64_t>> add(const schema::AllocUpdateRequest& request);
  io::Task<void> stop();

 private:
  struct Batch;

  io::Task<void> flush_later(std::shared_ptr<Batch> batch);
  void add_evals(schema::LogAllocClientUpdate* command);

  Core& core_;
  io::Scope scope_;
  std::shared_ptr<Batch> open_;  // takes more; null: the next update starts one
  size_t waiting_ = 0;           // updates not yet applied
};

}  // namespace steppe::server
