#include "agent/client/client.h"

#include <algorithm>
#include <format>

#include "agent/client/leftovers.h"
#include "agent/model/alloc_status.h"
#include "agent/model/node_class.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "init/io/posix_child.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {
namespace {

constexpr Duration kUpdateInterval = std::chrono::milliseconds(200);
constexpr Duration kCallLimit = std::chrono::seconds(30);
constexpr Duration kBlockingQuery = std::chrono::minutes(5);
constexpr Duration kRetryBase = std::chrono::seconds(1);
constexpr Duration kRetryMost = std::chrono::seconds(15);
constexpr size_t kAllocsPerFetch = 64;
constexpr Duration kQuietAfterStart = std::chrono::milliseconds(200);

// 1 s, 2 s, 4 s ... 15 s, each plus up to as much again: a lost server is not stormed on its return.
Duration backoff(int failures, Rng& rng) {
  Duration base = std::min(kRetryMost, kRetryBase * (1 << std::min(failures, 4)));
  return base + Duration(static_cast<int64_t>(rng.below(static_cast<uint64_t>(base.count()))));
}

}  // namespace

Client::Client(io::Loop& loop, Rng& rng, log::Logger logger, ClientConfig config, ServerLink& servers,
               const DriverTable& drivers, ArtifactFetcher& artifacts, std::unique_ptr<schema::Node> node)
    : loop_(loop), rng_(rng), logger_(logger.with({{"part", "client"}})), config_(std::move(config)), servers_(servers),
      drivers_(drivers), artifacts_(artifacts), draft_(std::move(node)), scope_(loop), store_scope_(loop),
      dirty_event_(loop), registered_(loop) {}

Client::~Client() = default;

io::Task<Result<>> Client::open() {
  std::string state_dir = config_.state_dir, alloc_dir = config_.alloc_dir;
  std::unique_ptr<io::Processes> processes = io::make_posix_processes(loop_);
  STEPPE_CO_TRY(OpenedState opened, co_await open_state(loop_, *processes, config_.state_reader, state_dir));
  for (const std::string& damage : opened.damage) logger_.error("client state is damaged", {{"what", damage}, {"kept_as", opened.kept_as}});
  if (!opened.unchecked.empty()) logger_.warn("client state is used unchecked", {{"why", opened.unchecked}});
  store_ = std::move(opened.store);
  writer_ = std::make_unique<StateWriter>(loop_, *store_, store_scope_, logger_);
  STEPPE_CO_TRY(kernel::Beneath root, kernel::Beneath::at(alloc_dir));
  alloc_root_ = std::make_unique<kernel::Beneath>(std::move(root));
  STEPPE_CO_TRY(std::optional<NodeIdentity> known, co_await find_identity(loop_, *store_, state_dir));
  if (known) {
    identity_ = *std::move(known);
  } else {
    identity_ = {Uuid::random(rng_).text(), Uuid::random(rng_).text()};
    STEPPE_CO_TRY_VOID(co_await keep_identity(loop_, *store_, state_dir, identity_));
  }
  draft_->set_id(identity_.id);
  draft_->set_secret_id(identity_.secret);
  (*draft_->mutable_attributes())["unique.host_id"] = identity_.id;
  draft_->set_computed_class(model::computed_class(*draft_));
  context_ = std::unique_ptr<ClientContext>(new ClientContext{loop_, rng_, logger_, *writer_, drivers_, artifacts_, *alloc_root_, config_.alloc_dir,
                          config_.region, config_.host_env, config_.max_kill_timeout, config_.host_volumes,
                          std::shared_ptr<const schema::Node>(std::move(draft_))});
  context_->unfinished = [this](std::string_view id) {
    AllocRunner* alloc = find(id);
    return alloc != nullptr && !alloc->finished();
  };
  co_return Result<>();
}

io::Task<Result<>> Client::run(std::stop_token stop, Leave how, Duration stop_limit) {
  STEPPE_CO_TRY_VOID(co_await open());
  co_await restore();
  scope_.spawn(serve_registration());
  scope_.spawn(watch_allocs());
  scope_.spawn(send_updates());
  scope_.spawn(collect_garbage());
  scope_.spawn(keep_prepared());
  io::Event never(loop_);
  (void)co_await never.wait({.stop = std::move(stop)});
  co_await leave(how, stop_limit);
  co_return Result<>();
}

io::Task<void> Client::leave(Leave how, Duration limit) {
  if (how == Leave::kStopTasks) {
    leaving_ = true;  // the servers may place what ends here anew, on this very node
    io::Deadline deadline = io::Deadline::in(loop_, limit);
    for (auto& [id, alloc] : allocs_) alloc->request_stop(TaskMachine::KillMode::kNoDelay);
    std::vector<AllocRunner*> waiting;
    for (auto& [id, alloc] : allocs_) waiting.push_back(alloc.get());
    for (AllocRunner* alloc : waiting) {
      Result<> done = co_await alloc->wait_finished(deadline);
      if (!done.ok()) logger_.warn("tasks did not end in time", {{"alloc_id", alloc->alloc().id()}});
    }
    Result<> told = co_await flush_updates();
    if (!told.ok()) logger_.debug("last states were not reported", {{"error", told.error()}});
  }
  scope_.request_stop();
  co_await scope_.join();
  for (auto& [id, alloc] : allocs_) {
    if (how == Leave::kStopTasks && alloc->finished()) {
      Result<> gone = co_await alloc->destroy();
      if (!gone.ok()) logger_.warn("alloc is not cleaned up", {{"alloc_id", id}, {"error", gone.error()}});
    } else {
      co_await alloc->detach();
    }
  }
  // What there is no room for stays unwritten: the servers and the executors know enough for the next agent.
  (void)co_await writer_->flush();
  store_scope_.request_stop();
  co_await store_scope_.join();
}

io::Task<void> Client::restore() {
  auto read = [this] { return store_->load(); };
  Result<StateStore::Loaded> loaded = co_await io::run_blocking(loop_, std::move(read));
  if (!loaded.ok()) {
    logger_.error("client state cannot be read; starting without it", {{"error", loaded.error()}});
    co_return;
  }
  for (const std::string& damaged : loaded->damaged) logger_.error("damaged state record; its alloc is lost", {{"what", damaged}});
  for (StoredAlloc& stored : loaded->allocs) {
    std::string id = stored.alloc->id();
    auto copy = std::make_unique<schema::Allocation>(*stored.alloc);
    auto runner = std::make_unique<AllocRunner>(*context_, std::move(copy), [this, id] { mark(id); });
    runner->restore(std::move(stored));
    if (!runner->desired_to_run()) runner->request_stop(TaskMachine::KillMode::kOrderly);
    allocs_[id] = std::move(runner);
    dirty_.insert(id);
  }
  if (!allocs_.empty()) logger_.info("took hold of allocs", {{"count", allocs_.size()}});
}

// ---- Registration and heartbeats ----

io::Task<Result<>> Client::register_and_report() {
  STEPPE_CO_TRY(ServerLink::Registered registered,
                co_await servers_.register_node(context_->node, io::Deadline::in(loop_, kCallLimit, scope_.token())));
  ttl_ = registered.heartbeat_ttl;
  registered_.set();
  // Ready only after the servers know what our allocs are doing: else they would act on an old picture.
  STEPPE_CO_TRY_VOID(co_await flush_updates());
  STEPPE_CO_TRY(registered, co_await servers_.update_status(identity_.id, identity_.secret, "ready",
                                                            io::Deadline::in(loop_, kCallLimit, scope_.token())));
  ttl_ = registered.heartbeat_ttl;
  if (!ready_) logger_.info("node is registered", {{"node_id", identity_.id}});
  ready_ = heartbeat_ok_ = true;
  co_return Result<>();
}

io::Task<void> Client::serve_registration() {
  bool known = false;
  int failures = 0;
  while (!scope_.token().stop_requested()) {
    Result<> done;
    if (!known) {
      done = co_await register_and_report();
      known = done.ok();
    } else {
      auto beat = co_await servers_.update_status(identity_.id, identity_.secret, "ready",
                                                  io::Deadline::in(loop_, kCallLimit, scope_.token()));
      if (beat.ok()) {
        ttl_ = beat->heartbeat_ttl;
      } else {
        done = beat.error();
        // The servers forgot us (purged, or their state was lost): start over.
        if (beat.error().code() == Code::kNotFound) known = false;
      }
    }
    heartbeat_ok_ = done.ok();
    if (!done.ok()) {
      logger_.warn("servers do not answer", {{"error", done.error()}});
      failures = std::min(failures + 1, 10);
    } else {
      failures = 0;
    }
    // Half to three quarters of the TTL: one lost beat leaves time for another.
    Duration half = std::max<Duration>(ttl_ / 2, std::chrono::milliseconds(100));
    Duration pause = failures > 0 ? std::min(backoff(failures - 1, rng_), std::max<Duration>(half, kRetryBase))
                                  : half + Duration(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(half.count()) / 2 + 1)));
    (void)co_await io::sleep_for(loop_, pause, scope_.token());
  }
}

// ---- Allocs ----

void Client::add(std::unique_ptr<schema::Allocation> alloc) {
  std::string id = alloc->id();
  if (AllocRunner* known = find(id)) {
    known->update(std::move(alloc));
    return;
  }
  if (leaving_) return;
  if (!Uuid::parse(id).ok()) {
    logger_.error("alloc with an id that is no UUID", {{"alloc_id", id.substr(0, 64)}});
    return;
  }
  if (model::terminal(*alloc)) return;  // over before we saw it, or collected here already
  context_->state.post(StateWrite::alloc(*alloc));
  auto runner = std::make_unique<AllocRunner>(*context_, std::move(alloc), [this, id] { mark(id); });
  AllocRunner& started = *runner;
  allocs_[id] = std::move(runner);
  mark(id);
  started.start();
}

AllocRunner* Client::find(std::string_view alloc_id) {
  auto found = allocs_.find(alloc_id);
  return found == allocs_.end() ? nullptr : found->second.get();
}

io::Task<void> Client::watch_allocs() {
  uint64_t index = 0;
  int failures = 0;
  (void)co_await registered_.wait({.stop = scope_.token()});
  while (!scope_.token().stop_requested()) {
    auto changed = co_await servers_.get_client_allocs(identity_.id, identity_.secret, index,
                                                       io::Deadline::in(loop_, kBlockingQuery + kCallLimit, scope_.token()));
    if (!changed.ok()) {
      if (scope_.token().stop_requested()) co_return;
      logger_.warn("allocs cannot be watched", {{"error", changed.error()}});
      (void)co_await io::sleep_for(loop_, backoff(failures++, rng_), scope_.token());
      continue;
    }
    failures = 0;
    std::vector<std::string> wanted;
    std::set<std::string> all;
    for (const auto& [id, modified] : changed->allocs) {
      all.insert(id);
      auto seen = seen_.find(id);
      if (seen == seen_.end() || seen->second < modified) wanted.push_back(id);
    }
    bool complete = true;
    for (size_t at = 0; at < wanted.size() && complete; at += kAllocsPerFetch) {
      std::vector<std::string> part(wanted.begin() + static_cast<ptrdiff_t>(at),
                                    wanted.begin() + static_cast<ptrdiff_t>(std::min(at + kAllocsPerFetch, wanted.size())));
      auto fetched = co_await servers_.get_allocs(identity_.secret, std::move(part), io::Deadline::in(loop_, kCallLimit, scope_.token()));
      complete = fetched.ok();
      if (!fetched.ok()) {
        logger_.warn("allocs cannot be fetched", {{"error", fetched.error()}});
        break;
      }
      for (auto& alloc : *fetched) {
        seen_[alloc->id()] = std::max(alloc->alloc_modify_index(), changed->allocs[alloc->id()]);
        add(std::move(alloc));
      }
    }
    if (!complete) {
      (void)co_await io::sleep_for(loop_, backoff(failures++, rng_), scope_.token());
      continue;
    }
    // An index that went back means that the servers were restored from a snapshot: start over.
    index = changed->index < index ? 0 : changed->index;
    co_await clear_leftovers_once(all);
    co_await drop_gone(std::move(all));
  }
}

// Before the next alloc can come: whatever stands in the directories and belongs to none that is known, is nobody's.
io::Task<void> Client::clear_leftovers_once(std::set<std::string> wanted) {
  if (std::exchange(leftovers_cleared_, true)) co_return;
  std::set<std::string, std::less<>> known(wanted.begin(), wanted.end());
  for (const auto& [id, alloc] : allocs_) known.insert(id);
  auto work = [this, known = std::move(known)] { return clear_leftovers(drivers_, *alloc_root_, known); };
  Leftovers found = co_await io::run_blocking(loop_, std::move(work));
  for (const std::string& id : found.tasks) logger_.warn("ended a task that an earlier agent left and nobody knows", {{"task", id}});
  for (const std::string& id : found.directories) logger_.info("removed the directory of an alloc that nobody knows", {{"alloc_id", id}});
  for (const std::string& what : found.problems) logger_.warn("leftovers are not cleared away", {{"error", what}});
}

// What the servers no longer list was collected there: it vanishes here, too.
io::Task<void> Client::drop_gone(std::set<std::string> wanted) {
  std::vector<std::string> gone;
  for (const auto& [id, alloc] : allocs_) {
    if (!wanted.contains(id)) gone.push_back(id);
  }
  std::erase_if(seen_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const std::string& id : gone) {
    if (collecting_.insert(id).second) scope_.spawn(destroy(id));
  }
  co_return;
}

io::Task<void> Client::destroy(std::string alloc_id) {
  AllocRunner* alloc = find(alloc_id);
  if (alloc != nullptr) {
    Result<> done = co_await alloc->destroy();
    if (!done.ok()) logger_.warn("alloc is not removed", {{"alloc_id", alloc_id}, {"error", done.error()}});
    allocs_.erase(alloc_id);
    dirty_.erase(alloc_id);
  }
  collecting_.erase(alloc_id);
}

// ---- Updates ----

void Client::mark(const std::string& alloc_id) {
  dirty_.insert(alloc_id);
  dirty_event_.set();
}

io::Task<Result<>> Client::flush_updates() {
  std::set<std::string> sending = std::exchange(dirty_, {});
  sending_.insert(sending.begin(), sending.end());
  dirty_event_.reset();
  std::vector<std::unique_ptr<schema::Allocation>> states;
  for (const std::string& id : sending) {
    AllocRunner* alloc = find(id);
    if (alloc != nullptr && !alloc->recovering()) states.push_back(alloc->status());  // it marks itself once it is recovered
  }
  Result<> sent;
  if (!states.empty()) {
    io::Deadline deadline = io::Deadline::in(loop_, kCallLimit);
    sent = co_await servers_.update_allocs(identity_.id, identity_.secret, std::move(states), deadline);
  }
  for (const std::string& id : sending) {
    sending_.erase(id);
    if (!sent.ok()) mark(id);
  }
  co_return sent;
}

io::Task<void> Client::send_updates() {
  int failures = 0;
  (void)co_await registered_.wait({.stop = scope_.token()});
  while (!scope_.token().stop_requested()) {
    Result<> waited = co_await dirty_event_.wait({.stop = scope_.token()});
    if (!waited.ok()) co_return;
    (void)co_await io::sleep_for(loop_, kUpdateInterval, scope_.token());
    Result<> sent = co_await flush_updates();
    if (sent.ok()) {
      failures = 0;
      continue;
    }
    logger_.warn("alloc states are not reported", {{"error", sent.error()}});
    (void)co_await io::sleep_for(loop_, backoff(failures++, rng_), scope_.token());
  }
}

// ---- Garbage ----

// What the servers were not told of is kept: once it is gone here, nobody could say how it ended.
bool Client::reported(const std::string& alloc_id) const { return !dirty_.contains(alloc_id) && !sending_.contains(alloc_id); }

std::vector<std::string> Client::finished_oldest_first() const {
  std::vector<std::pair<int64_t, std::string>> found;
  for (const auto& [id, alloc] : allocs_) {
    if (alloc->finished() && reported(id) && !collecting_.contains(id)) found.emplace_back(alloc->finished_at().unix_ns, id);
  }
  std::ranges::sort(found);
  std::vector<std::string> out;
  for (auto& [at, id] : found) out.push_back(std::move(id));
  return out;
}

io::Task<void> Client::collect_garbage() {
  while (!scope_.token().stop_requested()) {
    Result<> slept = co_await io::sleep_for(loop_, config_.gc_interval, scope_.token());
    if (!slept.ok()) co_return;
    auto work = [this]() -> Result<kernel::FileSystemUsage> {
      STEPPE_TRY(kernel::Fd root, alloc_root_->open_directory("."));
      return kernel::file_system_usage(root);
    };
    Result<kernel::FileSystemUsage> usage = co_await io::run_blocking(loop_, std::move(work));
    bool full = usage.ok() && (usage->used_percent > config_.gc_disk_usage_threshold ||
                               usage->inodes_used_percent > config_.gc_inode_usage_threshold);
    std::vector<std::string> finished = finished_oldest_first();
    size_t excess = allocs_.size() > config_.gc_max_allocs ? allocs_.size() - config_.gc_max_allocs : 0;
    if (full) excess = std::max<size_t>(excess, config_.gc_parallel_destroys);
    for (size_t i = 0; i < std::min(excess, finished.size()); ++i) {
      if (!collecting_.insert(finished[i]).second) continue;
      logger_.info("collecting a finished alloc", {{"alloc_id", finished[i]}, {"disk_full", full}});
      co_await destroy(finished[i]);
    }
  }
}

// What the next start can use is made while nothing starts: in a burst of starts the making would only slow them.
io::Task<void> Client::keep_prepared() {
  for (;;) {
    for (auto& [name, driver] : drivers_) {
      auto work = [driver] { return driver->prepare(); };
      Result<> ready = co_await io::run_blocking(loop_, std::move(work));
      if (!ready.ok()) logger_.debug("nothing stands ready for the next start", {{"driver", name}, {"error", ready.error()}});
    }
    Result<> began = co_await context_->started.wait({.stop = scope_.token()});
    if (!began.ok()) co_return;
    Result<> quiet = co_await io::sleep_for(loop_, kQuietAfterStart, scope_.token());
    if (!quiet.ok()) co_return;
  }
}

io::Task<Result<>> Client::collect(std::string alloc_id) {
  AllocRunner* alloc = find(alloc_id);
  if (alloc == nullptr) co_return Error(Code::kNotFound, "alloc not found");
  if (!alloc->finished()) co_return Error(Code::kUnavailable, "alloc " + alloc_id + " is still running");
  if (!reported(alloc_id)) (void)co_await flush_updates();
  if (!reported(alloc_id)) co_return Error(Code::kUnavailable, "alloc " + alloc_id + " has ended, but the servers could not be told yet");
  if (collecting_.insert(alloc_id).second) co_await destroy(alloc_id);
  co_return Result<>();
}

io::Task<void> Client::collect_all() {
  for (const std::string& id : finished_oldest_first()) {
    if (collecting_.insert(id).second) co_await destroy(id);
  }
}

}  // namespace steppe::client
