#include "agent/raft/node.h"

#include <algorithm>
#include <format>

#include "agent/raft/node_transfer.h"
#include "init/base/assert.h"

namespace steppe::raft {
namespace {

const char* role_name(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
    case Role::kPreCandidate: return "pre-candidate";
  }
  return "unknown";
}

std::string id_list(const std::vector<PeerId>& ids) {
  std::string out;
  for (const PeerId id : ids) out += std::format("{}{}", out.empty() ? "" : " ", id);
  return out;
}

constexpr Duration kSpaceRetry = std::chrono::seconds(1);

}  // namespace

struct Node::Pending {
  explicit Pending(io::Loop& loop) : waiter(loop) {}
  io::Waiter waiter;
  Term term = 0;
  OnFullDisk full = OnFullDisk::kWait;
  Index index = 0;  // of a read: what the machine must have applied; 0 = not confirmed yet
};

Node::Node(Parts parts, NodeSettings settings)
    : parts_(std::move(parts)), settings_(std::move(settings)), scope_(parts_.loop), work_(parts_.loop) {}

Node::~Node() { STEPPE_ASSERT(state_ != State::kRunning); }

io::Task<Result<>> Node::start() {
  STEPPE_ASSERT(state_ == State::kNew);
  STEPPE_CO_TRY(const SnapshotPoint point, co_await find_newest_snapshot(parts_.directory));
  const DiskLog::Settings log_settings{.segment = settings_.segment, .max_entry = settings_.max_entry, .seal = settings_.seal};
  ConfState boot;
  boot.voters = settings_.boot;
  auto opened = co_await DiskLog::open(parts_.directory, log_settings, point, std::move(boot));
  if (!opened.ok()) co_return std::move(opened).error().wrap("open the raft log");
  if (opened->torn) parts_.logger.info("dropped an unacknowledged write that a crash had cut", {{"last_index", opened->saved.entries.empty() ? point.index : opened->saved.entries.back().index}});
  STEPPE_CO_TRY_VOID(co_await remove_unfinished_snapshots(parts_.directory));
  STEPPE_CO_TRY_VOID(co_await remove_old_snapshots(parts_.directory, point.index));
  if (point.index != 0) STEPPE_CO_TRY_VOID(co_await restore_newest(point));
  applied_ = opened->saved.snapshot.index;
  applied_term_ = opened->saved.snapshot.term;
  const EngineSettings engine_settings{.id = settings_.id,
                                       .election_ticks = settings_.election_ticks,
                                       .heartbeat_ticks = settings_.heartbeat_ticks,
                                       .max_uncommitted = settings_.max_uncommitted};
  auto engine = Engine::create(engine_settings, opened->saved);
  if (!engine.ok()) co_return std::move(engine).error();
  engine_ = *std::move(engine);
  log_ = std::move(opened->log);
  if (parts_.wrap_log) log_ = parts_.wrap_log(std::move(log_));
  state_ = State::kRunning;
  note_state();
  const ConfState members = engine_->conf_state();
  if (members.voters == std::vector<PeerId>{settings_.id} && members.voters_outgoing.empty()) (void)engine_->campaign();
  incoming_ = std::make_unique<Incoming>(parts_.loop);
  scope_.spawn(run());
  scope_.spawn(tick_loop());
  scope_.spawn(receive_chunks());
  co_return {};
}

io::Task<Result<>> Node::restore_newest(const SnapshotPoint& point) {
  auto reader = co_await SnapshotReader::open(parts_.directory, SnapshotName{point.index, point.term}.text());
  if (!reader.ok()) co_return std::move(reader).error();
  restoring_ = true;
  Result<> restored = co_await parts_.machine.restore(**reader);
  restoring_ = false;
  STEPPE_CO_TRY_VOID(std::move(restored).wrap("restore the state from a snapshot"));
  applied_ = snapshot_index_ = point.index;
  applied_term_ = point.term;
  bytes_since_snapshot_ = 0;
  co_return {};
}

io::Task<void> Node::stop() {
  if (state_ != State::kRunning) co_return;
  scope_.request_stop();
  incoming_->frames.close();
  end_waiters(Error(Code::kUnavailable, "this server is shutting down: whether the write commits is unknown"));
  kick();
  co_await scope_.join();
  if (!failed_) {
    const Result<> closed = co_await log_->close();
    if (!closed.ok()) parts_.logger.warn("raft log not closed in order", {{"error", closed.error()}});
  }
  state_ = State::kStopped;
}

io::Task<void> Node::run() {
  while (!scope_.token().stop_requested() && !failed_) {
    work_.reset();
    note_state();
    if (engine_->has_ready()) {
      Result<> handled = co_await handle(engine_->ready());
      if (!handled.ok() && !scope_.token().stop_requested()) fail(std::move(handled).error());
      continue;
    }
    if (std::exchange(mark_due_, false)) {
      Result<> marked = co_await log_->mark();
      if (!marked.ok() && !scope_.token().stop_requested()) fail(std::move(marked).error());
      continue;
    }
    (void)co_await work_.wait({.stop = scope_.token()});
  }
}

io::Task<void> Node::tick_loop() {
  while (!scope_.token().stop_requested() && !failed_) {
    (void)co_await io::sleep_for(parts_.loop, settings_.tick, scope_.token());
    if (scope_.token().stop_requested() || failed_) break;
    engine_->tick();
    mark_due_ = true;
    kick();
  }
}

io::Task<Result<>> Node::handle(Ready ready) {
  send(std::move(ready.messages));
  if (!ready.has_snapshot) incoming_->accepted = false;
  const std::optional<SnapshotPoint> snapshot = ready.has_snapshot ? std::optional(ready.snapshot) : std::nullopt;
  STEPPE_CO_TRY_VOID(co_await persist(ready));
  engine_->persisted(ready.number);
  if (snapshot) {
    STEPPE_CO_TRY_VOID(co_await restore_newest(*snapshot));
    engine_->applied(snapshot->index);
    ++snapshots_installed_;
    (void)co_await remove_old_snapshots(parts_.directory, snapshot->index);
  }
  send(std::move(ready.messages_after_persist));
  // A member must not wake up with older members than those it acted with.
  const bool changes_members = std::ranges::any_of(ready.committed, [](const Entry& entry) { return entry.type != EntryType::kNormal; });
  if (changes_members && unwritten_hard_) {
    LogBatch batch;
    batch.hard = unwritten_hard_;
    STEPPE_CO_TRY_VOID(co_await write_log(std::move(batch)));
  }
  STEPPE_CO_TRY_VOID(apply(std::move(ready.committed)));
  for (const auto& read : ready.reads) {
    const auto found = reads_.find(read.context.size() == 8 ? load_le<uint64_t>(read.context.data()) : 0);
    if (found != reads_.end()) found->second->index = read.index;
  }
  note_state();
  resolve_applied();
  const bool due = applied_ - snapshot_index_ >= settings_.snapshot_entries || bytes_since_snapshot_ >= settings_.snapshot_bytes.count ||
                   engine_->status().snapshot_wanted;
  if (due && !snapshotting_) scope_.spawn(snapshot_in_background());
  if (!preparing_) {
    preparing_ = true;
    scope_.spawn(prepare_segment());
  }
  co_return {};
}

io::Task<Result<>> Node::persist(Ready& ready) {
  if (ready.has_hard) unwritten_hard_ = ready.hard;
  if (!ready.must_sync) co_return {};
  LogBatch batch;
  if (ready.has_snapshot) {
    STEPPE_CO_TRY_VOID(co_await install(ready.snapshot));
    batch.reset = ready.snapshot;
  }
  for (const Entry& entry : ready.entries) bytes_since_snapshot_ += entry.data.size() + kRecordHeaderSize;
  batch.entries = std::move(ready.entries);
  batch.hard = unwritten_hard_;
  co_return co_await write_log(std::move(batch));
}

io::Task<Result<>> Node::write_log(LogBatch batch) {
  while (!batch.empty()) {
    const Result<> written = co_await log_->write(batch);
    if (written.ok()) break;
    if (written.error().code() != Code::kExhausted) co_return Error(written.error());
    starve(written.error());
    STEPPE_CO_TRY_VOID(co_await io::sleep_for(parts_.loop, kSpaceRetry, scope_.token()));
  }
  if (starved_) parts_.logger.info("there is space for the raft log again");
  starved_.reset();
  unwritten_hard_.reset();
  co_return {};
}

// Those who asked for it hear at once that their write waits for space; it may still be committed.
void Node::starve(const Error& error) {
  if (!starved_) parts_.logger.error("no space for the raft log: writes wait until there is", {{"error", error}});
  starved_ = Error(Code::kExhausted, std::format("no space for the raft log, free some on the disk of the data directory: {}", error.message()));
  for (auto at = pending_.begin(); at != pending_.end();) {
    if (at->second->full == OnFullDisk::kWait) {
      ++at;
      continue;
    }
    at->second->waiter.complete(*starved_);
    at = pending_.erase(at);
  }
}

Result<> Node::apply(std::vector<Entry> committed) {
  if (committed.empty()) return {};
  const Index last = committed.back().index;
  const Term last_term = committed.back().term;
  // Runs of data between membership changes, in order; a leader's first entry of its term is empty.
  std::vector<Entry> data;
  const auto flush = [this, &data] {
    if (!data.empty()) parts_.machine.apply(data);
    data.clear();
  };
  for (Entry& entry : committed) {
    STEPPE_ASSERT(entry.index > applied_);
    if (entry.type == EntryType::kNormal) {
      if (!entry.data.empty()) data.push_back(std::move(entry));
      continue;
    }
    flush();
    const auto conf = engine_->apply_conf_entry(entry);
    if (conf.ok()) {
      parts_.logger.info("raft members", {{"index", entry.index}, {"voters", id_list(conf->voters)}, {"outgoing", id_list(conf->voters_outgoing)}, {"learners", id_list(conf->learners)}});
    } else {
      parts_.logger.warn("a committed membership change does not apply", {{"index", entry.index}, {"error", conf.error()}});
    }
  }
  flush();
  applied_ = last;
  applied_term_ = last_term;
  engine_->applied(last);
  return {};
}

void Node::note_state() {
  const EngineStatus status = engine_->status();
  if (drawn_ != std::pair{status.term, status.role}) {
    drawn_.emplace(status.term, status.role);
    const Result<> set = engine_->set_election_timeout(settings_.election_ticks + parts_.rng.below(settings_.election_ticks));
    STEPPE_ASSERT(set.ok());
  }
  const bool leads = status.role == Role::kLeader;
  const Leadership now{.role = status.role, .leader = status.leader, .term = status.term, .established = leads && applied_term_ == status.term};
  if (now == leadership_) return;
  const bool lost = leadership_.role == Role::kLeader && (!leads || now.term != leadership_.term);
  const bool told = now.role != leadership_.role || now.leader != leadership_.leader;
  leadership_ = now;
  if (lost) end_waiters(Error(Code::kUnavailable, "leadership was lost: whether the write commits is unknown"));
  if (told) parts_.logger.info("raft role", {{"role", role_name(now.role)}, {"leader", now.leader}, {"term", now.term}});
  if (parts_.on_leadership) parts_.on_leadership(leadership_);
}

Result<> Node::check_running() const {
  if (failed_) return Error(Code::kUnavailable, "raft stopped after a failure: " + failed_->message());
  if (state_ != State::kRunning || scope_.token().stop_requested()) return Error(Code::kUnavailable, "raft is not running");
  return {};
}

io::Task<Result<Index>> Node::propose(std::string data, io::Deadline deadline, OnFullDisk full) {
  STEPPE_CO_TRY_VOID(check_running());
  if (starved_ && full == OnFullDisk::kRefuse) co_return Error(*starved_);
  if (data.empty()) co_return Error(Code::kInvalid, "an empty log entry");
  if (data.size() > settings_.max_entry.count) {
    co_return Error(Code::kInvalid, std::format("a log entry of {} bytes: at most {} are allowed", data.size(), settings_.max_entry.count));
  }
  if (pending_.size() >= settings_.max_pending) {
    co_return Error(Code::kExhausted, std::format("{} writes wait for the log already: try again later", pending_.size()));
  }
  co_return co_await wait_for(engine_->propose(as_bytes(data)), std::move(deadline), full);
}

io::Task<Result<Index>> Node::change_members(ConfChange change, io::Deadline deadline) {
  STEPPE_CO_TRY_VOID(check_running());
  co_return co_await wait_for(engine_->propose_conf_change(change), std::move(deadline), OnFullDisk::kWait);
}

io::Task<Result<Index>> Node::wait_for(Result<Index> index, io::Deadline deadline, OnFullDisk full) {
  if (!index.ok()) co_return std::move(index).error();
  note_state();  // ends what waited in an earlier term at the same indexes
  Pending pending(parts_.loop);
  pending.term = leadership_.term;
  pending.full = full;
  const bool added = pending_.emplace(*index, &pending).second;
  STEPPE_ASSERT(added);
  kick();
  Result<> done = co_await pending.waiter.wait(std::move(deadline));
  if (const auto found = pending_.find(*index); found != pending_.end() && found->second == &pending) pending_.erase(found);
  if (!done.ok()) co_return std::move(done).error().wrap("wait for the commit");
  co_return *index;
}

io::Task<Result<Index>> Node::barrier(io::Deadline deadline) {
  STEPPE_CO_TRY_VOID(check_running());
  if (reads_.size() >= settings_.max_pending) co_return Error(Code::kExhausted, "too many reads wait for a confirmation");
  const uint64_t id = next_read_++;
  char context[8];
  store_le(context, id);
  STEPPE_CO_TRY_VOID(engine_->read_index(as_bytes(std::string_view(context, 8))));
  Pending pending(parts_.loop);
  reads_.emplace(id, &pending);
  kick();
  Result<> done = co_await pending.waiter.wait(std::move(deadline));
  reads_.erase(id);
  if (!done.ok()) co_return std::move(done).error().wrap("wait for the quorum's confirmation");
  co_return pending.index;
}

void Node::resolve_applied() {
  while (!pending_.empty() && pending_.begin()->first <= applied_) {
    // Same index and term: it is ours, and leaders of a term are unique. A lost leadership ended the rest.
    pending_.begin()->second->waiter.complete({});
    pending_.erase(pending_.begin());
  }
  for (const auto& [id, read] : reads_) {
    if (read->index != 0 && read->index <= applied_) read->waiter.complete({});
  }
}

void Node::end_waiters(const Error& error) {
  for (const auto& [index, waiting] : std::exchange(pending_, {})) waiting->waiter.complete(error);
  for (const auto& [id, waiting] : reads_) waiting->waiter.complete(error);
}

void Node::fail(Error error) {
  parts_.logger.error("raft stops: its disk cannot be trusted any more until the next start", {{"error", error}});
  failed_ = error;
  leadership_ = {.term = leadership_.term};
  end_waiters(Error(Code::kUnavailable, "raft stopped after a failure: " + error.message()));
  if (parts_.on_leadership) parts_.on_leadership(leadership_);
  if (parts_.on_failure) parts_.on_failure(error);
}

Result<> Node::transfer_leader(PeerId to) {
  STEPPE_TRY_VOID(check_running());
  STEPPE_TRY_VOID(engine_->transfer_leader(to));
  kick();
  return {};
}

void Node::peer_unreachable(PeerId peer) {
  if (!check_running().ok()) return;
  engine_->report_unreachable(peer);
  kick();
}

io::Task<void> Node::prepare_segment() {
  const Result<> prepared = co_await log_->prepare();
  // Not needed yet: the write that needs it says so in its turn. Tried again with every batch, told once.
  if (!prepared.ok() && !unprepared_) parts_.logger.warn("no log segment prepared", {{"error", prepared.error()}});
  unprepared_ = !prepared.ok();
  preparing_ = false;
}

io::Task<void> Node::snapshot_in_background() {
  const Result<> taken = co_await take_snapshot();
  if (!taken.ok() && !scope_.token().stop_requested()) parts_.logger.warn("no snapshot taken", {{"error", taken.error()}});
}

io::Task<Result<>> Node::take_snapshot() {
  STEPPE_CO_TRY_VOID(check_running());
  if (snapshotting_ || restoring_ || applied_ == snapshot_index_) co_return {};
  snapshotting_ = true;
  const Result<> saved = co_await save_snapshot({applied_, applied_term_, engine_->conf_state()});
  snapshotting_ = false;
  co_return saved;
}

io::Task<Result<>> Node::save_snapshot(SnapshotPoint point) {
  const std::unique_ptr<SnapshotSource> image = parts_.machine.capture();
  const uint64_t bytes = bytes_since_snapshot_;
  auto created = co_await SnapshotWriter::create(parts_.directory, "snapshot.part", point);
  if (!created.ok()) co_return std::move(created).error();
  while (!scope_.token().stop_requested()) {
    STEPPE_CO_TRY(std::string chunk, co_await image->next());
    if (chunk.empty()) break;
    STEPPE_CO_TRY_VOID(co_await (*created)->write(std::move(chunk)));
  }
  if (scope_.token().stop_requested()) co_return Error(Code::kCancelled, "shutting down");
  STEPPE_CO_TRY_VOID(co_await (*created)->finish());
  if (failed_ || point.index <= snapshot_index_) co_return {};  // a leader's snapshot overtook it
  STEPPE_CO_TRY_VOID(engine_->snapshot_taken(point.index, point.conf));
  snapshot_index_ = point.index;
  bytes_since_snapshot_ -= std::min(bytes, bytes_since_snapshot_);
  ++snapshots_taken_;
  const Index first = engine_->status().first_index;
  const Index keep_from = point.index > settings_.keep_entries ? point.index - settings_.keep_entries : 0;
  if (keep_from >= first) STEPPE_CO_TRY_VOID(engine_->compact(keep_from));
  // On disk nothing behind the snapshot is ever read again.
  STEPPE_CO_TRY_VOID(co_await log_->compact(point.index));
  co_return co_await remove_old_snapshots(parts_.directory, point.index);
}

ConfState Node::members() const { return engine_ ? engine_->conf_state() : ConfState{}; }

NodeMetrics Node::metrics() const {
  NodeMetrics metrics;
  if (!engine_) return metrics;
  metrics.engine = engine_->status();
  metrics.log = log_->counters();
  if (metrics.engine.role == Role::kLeader) metrics.peers = engine_->progress();
  metrics.applied = applied_;
  metrics.snapshot = snapshot_index_;
  metrics.pending = pending_.size();
  metrics.refused_messages = refused_messages_;
  metrics.snapshots_taken = snapshots_taken_;
  metrics.snapshots_installed = snapshots_installed_;
  return metrics;
}

}  // namespace steppe::raft
