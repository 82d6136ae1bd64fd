#include "agent/state/watch.h"

#include <algorithm>

#include "agent/state/job_key.h"
#include "init/base/assert.h"
#include "init/base/bytes.h"

namespace steppe::state {
namespace {

std::string bytes_of(const Uuid& id) { return std::string(as_text(id.bytes)); }

}  // namespace

std::string_view table_name(Table table) {
  constexpr std::array<std::string_view, kTables> kNames{
      "nodes",  "jobs",       "job_version", "job_summary",      "job_submission", "evals",
      "allocs", "deployment", "node_pools",  "scheduler_config", "cluster_meta"};
  return kNames[static_cast<size_t>(table)];
}

WatchKey WatchKey::row(Table table, const Uuid& id) { return {table, Scope::kRow, bytes_of(id)}; }
WatchKey WatchKey::job(std::string_view ns, std::string_view job_id) {
  return {Table::kJobs, Scope::kRow, job_key(ns, job_id)};
}
WatchKey WatchKey::of_job(Table table, std::string_view ns, std::string_view job_id) {
  return {table, Scope::kOfJob, job_key(ns, job_id)};
}
WatchKey WatchKey::allocs_of_node(const Uuid& id) { return {Table::kAllocs, Scope::kOfNode, bytes_of(id)}; }
WatchKey WatchKey::allocs_of_eval(const Uuid& id) { return {Table::kAllocs, Scope::kOfEval, bytes_of(id)}; }
WatchKey WatchKey::allocs_of_deployment(const Uuid& id) { return {Table::kAllocs, Scope::kOfDeployment, bytes_of(id)}; }

WatchToken& WatchToken::operator=(WatchToken&& other) noexcept {
  if (this != &other) {
    if (hub_ != nullptr) hub_->forget(id_);
    hub_ = std::exchange(other.hub_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

WatchToken::~WatchToken() {
  if (hub_ != nullptr) hub_->forget(id_);
}

bool WatchToken::armed() const { return hub_ != nullptr && hub_->waits_.contains(id_); }

Result<WatchToken> WatchHub::wait(std::vector<WatchKey> keys, Callback callback) {
  STEPPE_ASSERT(!keys.empty());
  if (waits_.size() >= limit_) return Error(Code::kExhausted, "too many blocking queries are waiting; try again later");
  std::ranges::sort(keys);
  auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  uint64_t id = next_id_++;
  for (const WatchKey& key : keys) by_key_[key].push_back(id);
  waits_.emplace(id, Wait{std::move(keys), std::move(callback)});
  return WatchToken(this, id);
}

void WatchHub::forget(uint64_t id) {
  auto found = waits_.find(id);
  if (found == waits_.end()) return;
  for (const WatchKey& key : found->second.keys) {
    auto list = by_key_.find(key);
    std::erase(list->second, id);
    if (list->second.empty()) by_key_.erase(list);
  }
  waits_.erase(found);
}

void WatchHub::run(uint64_t index, std::vector<uint64_t> ids) {
  std::ranges::sort(ids);
  auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  for (uint64_t id : ids) {
    auto found = waits_.find(id);
    if (found == waits_.end()) continue;  // an earlier callback dropped it
    Callback callback = std::move(found->second.callback);
    forget(id);
    callback(index);
  }
}

void WatchHub::fire(uint64_t index, const std::vector<WatchKey>& keys) {
  if (waits_.empty()) return;
  std::vector<uint64_t> ids;
  for (const WatchKey& key : keys) {
    if (auto list = by_key_.find(key); list != by_key_.end()) {
      ids.insert(ids.end(), list->second.begin(), list->second.end());
    }
  }
  run(index, std::move(ids));
}

void WatchHub::fire_all(uint64_t index) {
  std::vector<uint64_t> ids;
  for (const auto& [id, wait] : waits_) ids.push_back(id);
  run(index, std::move(ids));
}

}  // namespace steppe::state
