#include "tests/sim/raft_cluster.h"

#include <algorithm>
#include <cstdio>
#include <format>

#include "agent/raft/wire.h"
#include "init/io/scope.h"

namespace steppe::sim {

using raft::Index;
using raft::PeerId;

void LedgerMachine::apply(std::span<const raft::Entry> committed) {
  for (const raft::Entry& entry : committed) {
    if (entry.index <= last_ && violation_.empty()) violation_ = std::format("entry {} applied after entry {}", entry.index, last_);
    last_ = entry.index;
    const uint64_t id = entry.data.size() >= 8 ? load_le<uint64_t>(entry.data.data()) : 0;
    if (!seen_.insert(id).second && violation_.empty()) violation_ = std::format("write {} applied twice, at entry {}", id, entry.index);
    hash_ = crc32c(as_bytes(entry.data), hash_);
    observer_(entry);
  }
}

namespace {

class LedgerImage final : public raft::SnapshotSource {
 public:
  explicit LedgerImage(std::string bytes) : bytes_(std::move(bytes)) {}
  io::Task<Result<std::string>> next() override {
    std::string piece = bytes_.substr(std::min(at_, bytes_.size()), 700);
    at_ += piece.size();
    co_return piece;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<raft::SnapshotSource> LedgerMachine::capture() {
  raft::WireWriter writer;
  writer.put_u64(last_);
  writer.put_u32(hash_);
  writer.put_list({seen_.begin(), seen_.end()});
  return std::make_unique<LedgerImage>(writer.take());
}

io::Task<Result<>> LedgerMachine::restore(raft::SnapshotSource& image) {
  std::string bytes;
  while (true) {
    STEPPE_CO_TRY(const std::string piece, co_await image.next());
    if (piece.empty()) break;
    bytes += piece;
  }
  raft::WireReader reader(bytes);
  last_ = reader.u64();
  hash_ = reader.u32();
  const std::vector<uint64_t> seen = reader.list();
  if (!reader.at_end()) co_return Error(Code::kCorrupt, "a ledger image that does not parse");
  seen_ = {seen.begin(), seen.end()};
  co_return {};
}

namespace {

class Cluster;

class TraceSink final : public log::Sink {
 public:
  void write(const log::Record& record) override { std::fputs(log::render(record).c_str(), stderr); }
};

struct Member final : raft::Transport {
  Member(Cluster& cluster, PeerId id, SimLoop& loop, Rng& rng) : cluster(cluster), id(id), disk(loop, rng) {}
  void send(PeerId to, std::string bytes) override;

  Cluster& cluster;
  const PeerId id;
  SimDisk disk;
  uint64_t life = 0;       // rises at every power cut
  bool up = false;         // started and not crashed
  bool starting = false;
  bool damaged = false;    // a bit of its log was flipped: it may refuse to start
  uint64_t crash_in = 0;   // disk operations until the power goes; 0 = never
  std::shared_ptr<bool> lie_now = std::make_shared<bool>(false);
  std::unique_ptr<io::Directory> directory;
  std::unique_ptr<LedgerMachine> machine;
  std::unique_ptr<raft::Node> node;
};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options) : options_(options), rng_(options.seed), loop_(rng_), scope_(loop_) {
    for (PeerId id = 1; id <= options.members; ++id) members_.push_back(std::make_unique<Member>(*this, id, loop_, rng_));
  }
  ClusterReport run();
  void transmit(Member& from, PeerId to, std::string bytes);

 private:
  struct Corpse {
    std::unique_ptr<raft::Node> node;
    std::unique_ptr<LedgerMachine> machine;
    std::unique_ptr<io::Directory> directory;
    bool stopped = false;
  };

  void note(uint64_t a, uint64_t b) {
    const uint64_t values[3] = {static_cast<uint64_t>(loop_.now().ns), a, b};
    report_.trace = crc32c(std::as_bytes(std::span(values)), report_.trace);
  }
  void violate(std::string text) {
    if (report_.violation.empty()) report_.violation = std::move(text);
  }
  void observe(const Member& member, const raft::Entry& entry);
  void lead(const Member& member, const raft::Leadership& leadership);
  io::Task<void> start_member(Member& member);
  void crash(Member& member);
  io::Task<void> bury(Corpse& corpse);
  io::Task<void> client(uint64_t number);
  io::Task<void> churn();
  Member* leader();
  io::Task<void> write_once(Member& member, uint64_t number);
  io::Task<void> read_once(Member& member);
  io::Task<void> nemesis();
  void one_fault();
  void flip_old_bit(Member& member);
  void heal();
  bool converged();
  std::string describe() const;
  std::set<PeerId> final_members();
  io::Task<void> leave_joint(raft::Node& node);
  void check_end();
  Member& pick() { return *members_[rng_.below(members_.size())]; }
  raft::NodeSettings settings(PeerId id) const;

  ClusterOptions options_;
  SeededRng rng_;
  SimLoop loop_;
  io::Scope scope_;
  ClusterReport report_;
  std::vector<std::unique_ptr<Member>> members_;
  std::deque<Corpse> graveyard_;
  std::map<Index, uint32_t> history_;           // what was applied at an index, by anybody
  std::map<raft::Term, PeerId> leaders_;
  std::set<uint64_t> acknowledged_;
  std::set<std::pair<PeerId, PeerId>> cut_;     // directed links that are down
  uint64_t loss_percent_ = 0;
  uint64_t next_write_ = 1;
  bool storm_ = true;                           // faults happen, clients write
};

void Member::send(PeerId to, std::string bytes) { cluster.transmit(*this, to, std::move(bytes)); }

void Cluster::transmit(Member& from, PeerId to, std::string bytes) {
  if (!from.up || to == 0 || to > members_.size() || cut_.contains({from.id, to})) return;
  if (storm_ && rng_.chance(loss_percent_, 100)) return;
  const int copies = storm_ && rng_.chance(3, 100) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const uint64_t most = storm_ && rng_.chance(1, 30) ? 400'000 : 3000;
    const Duration delay = std::chrono::microseconds(50 + rng_.below(most));
    loop_.start_timer(loop_.now() + delay, [this, sender = from.id, to, bytes] {
      Member& target = *members_[to - 1];
      if (target.up && !cut_.contains({sender, to})) target.node->receive(sender, bytes);
    });
  }
}

void Cluster::observe(const Member& member, const raft::Entry& entry) {
  const uint32_t hash = crc32c(as_bytes(entry.data));
  note(member.id << 32 | entry.index, hash);
  const auto [known, fresh] = history_.emplace(entry.index, hash);
  if (options_.trace) std::fprintf(stderr, "member %d applies %d of term %d\n", static_cast<int>(member.id), static_cast<int>(entry.index), static_cast<int>(entry.term));
  if (!fresh && known->second != hash) violate(std::format("two histories: member {} applied another entry {}", member.id, entry.index));
}

void Cluster::lead(const Member& member, const raft::Leadership& leadership) {
  note(member.id, leadership.term << 8 | static_cast<uint64_t>(leadership.role));
  if (leadership.role != raft::Role::kLeader || !member.up) return;
  const auto [known, fresh] = leaders_.emplace(leadership.term, member.id);
  if (fresh) ++report_.elections;
  if (known->second != member.id) violate(std::format("two leaders in term {}: members {} and {}", leadership.term, known->second, member.id));
}

raft::NodeSettings Cluster::settings(PeerId id) const {
  raft::NodeSettings settings;
  settings.id = id;
  const size_t founders = options_.founders == 0 ? members_.size() : options_.founders;
  if (id <= founders) {
    for (PeerId founder = 1; founder <= founders; ++founder) settings.boot.push_back(founder);
  }
  settings.tick = std::chrono::milliseconds(20);
  settings.segment = {16 << 10};
  settings.max_entry = {8 << 10};
  settings.snapshot_entries = 40;
  settings.keep_entries = 10;
  settings.snapshot_chunk_timeout = std::chrono::milliseconds(100);
  settings.seal = mutant_seal(options_.mutant);
  return settings;
}

io::Task<void> Cluster::start_member(Member& member) {
  member.starting = true;
  const uint64_t life = member.life;
  member.disk.lies = mutant_lies(options_.mutant, member.lie_now);
  member.directory = member.disk.mount();
  member.machine = std::make_unique<LedgerMachine>([this, &member](const raft::Entry& entry) { observe(member, entry); });
  raft::Node::Parts parts{.loop = loop_, .rng = rng_, .directory = *member.directory, .transport = member, .machine = *member.machine};
  if (options_.trace) parts.logger = log::Logger(std::make_shared<TraceSink>(), &loop_, log::Level::kDebug).with({{"member", member.id}});
  parts.on_leadership = [this, &member](const raft::Leadership& leadership) { lead(member, leadership); };
  parts.wrap_log = [this, &member](std::unique_ptr<raft::LogStore> log) {
    LedgerMachine* machine = member.machine.get();
    MutantHooks hooks{options_.mutant, member.lie_now, [machine](std::span<const raft::Entry> entries) { machine->apply(entries); }, &loop_};
    return wrap_log(std::move(hooks), std::move(log));
  };
  member.node = std::make_unique<raft::Node>(std::move(parts), settings(member.id));
  member.up = true;
  const Result<> started = co_await member.node->start();
  member.starting = false;
  if (member.life != life) {
    crash(member);  // the power went during the start
    co_return;
  }
  if (started.ok()) co_return;
  const bool excused = member.damaged || started.error().code() == Code::kIo || started.error().code() == Code::kExhausted;
  if (member.damaged) ++report_.refused_starts;
  if (!excused) violate(std::format("member {} refuses to start: {}", member.id, started.error().message()));
  crash(member);
}

// The power goes. What the dead node's coroutines still do reaches neither disk nor network.
void Cluster::crash(Member& member) {
  member.crash_in = 0;
  if (member.up) {
    ++report_.crashes;
    ++member.life;
    member.up = false;
    member.disk.crash();
    note(member.id, 0xdead);
    if (options_.trace) std::fprintf(stderr, "%lld: power cut of member %d\n", static_cast<long long>(loop_.now().ns), static_cast<int>(member.id));
  }
  if (member.starting || !member.node) return;  // start_member() buries it
  graveyard_.push_back({std::move(member.node), std::move(member.machine), std::move(member.directory)});
  scope_.spawn(bury(graveyard_.back()));
}

io::Task<void> Cluster::bury(Corpse& corpse) {
  co_await corpse.node->stop();
  corpse.stopped = true;
}

io::Task<void> Cluster::write_once(Member& member, uint64_t number) {
  const uint64_t id = next_write_++;
  std::string data(8 + (rng_.chance(1, 3) ? rng_.below(2500) : 16), static_cast<char>('a' + number));
  store_le(data.data(), id);
  const uint64_t life = member.life;
  raft::Node& node = *member.node;
  const auto index = co_await node.propose(std::move(data), io::Deadline::in(loop_, std::chrono::milliseconds(600)));
  if (!index.ok() || member.life != life) co_return;
  ++report_.acknowledged;
  acknowledged_.insert(id);
  note(id, *index);
}

io::Task<void> Cluster::read_once(Member& member) {
  const std::set<uint64_t> before = acknowledged_;
  const uint64_t life = member.life;
  raft::Node& node = *member.node;
  const auto index = co_await node.barrier(io::Deadline::in(loop_, std::chrono::milliseconds(600)));
  if (!index.ok() || member.life != life) co_return;
  ++report_.reads;
  const std::set<uint64_t>& seen = member.machine->seen();
  if (!std::ranges::includes(seen, before)) violate(std::format("member {} served a stale read at entry {}", member.id, *index));
}

io::Task<void> Cluster::client(uint64_t number) {
  while (storm_) {
    (void)co_await io::sleep_for(loop_, std::chrono::microseconds(200 + rng_.below(20'000)), {});
    Member* target = &pick();
    for (const auto& member : members_) {
      if (member->up && !member->starting && member->node->leadership().role == raft::Role::kLeader && rng_.chance(9, 10)) target = member.get();
    }
    if (!target->up || target->starting) continue;
    if (rng_.chance(1, 10)) co_await read_once(*target);
    else co_await write_once(*target, number);
  }
}

Member* Cluster::leader() {
  for (const auto& member : members_) {
    if (member->up && !member->starting && member->node->leadership().established) return member.get();
  }
  return nullptr;
}

// Adds, demotes and removes members, one or two at a time; at least two voters stay.
io::Task<void> Cluster::churn() {
  while (storm_) {
    (void)co_await io::sleep_for(loop_, std::chrono::milliseconds(100 + rng_.below(700)), {});
    Member* target = leader();
    if (!storm_ || target == nullptr) continue;
    const raft::ConfState now = target->node->members();
    raft::ConfChange change;
    if (now.voters_outgoing.empty()) {
      for (uint64_t count = 1 + rng_.below(2); count > 0; --count) {
        const auto type = static_cast<raft::ChangeType>(now.voters.size() < 3 ? 0 : rng_.below(3));
        change.changes.push_back({type, 1 + rng_.below(members_.size())});
      }
      const auto leaves = std::ranges::count_if(change.changes, [](const auto& single) { return single.type != raft::ChangeType::kAddVoter; });
      if (now.voters.size() < 2 + static_cast<size_t>(leaves)) continue;
      if (change.changes.size() == 2 && change.changes[0].peer == change.changes[1].peer) change.changes.pop_back();
      if (rng_.chance(1, 3)) change.transition = raft::Transition::kJointExplicit;
    }
    const uint64_t life = target->life;
    raft::Node& node = *target->node;
    const auto done = co_await node.change_members(std::move(change), io::Deadline::in(loop_, std::chrono::milliseconds(600)));
    if (done.ok() && target->life == life) ++report_.member_changes;
  }
}

void Cluster::flip_old_bit(Member& member) {
  std::vector<std::string> segments;
  for (const auto& [name, inode] : member.disk.files()) {
    if (name.starts_with("log-")) segments.push_back(name);
  }
  if (segments.size() < 2) return;
  SimInode& inode = *member.disk.files()[segments[segments.size() - 2]];
  if (inode.content.empty() || !inode.unsynced.empty()) return;
  const size_t at = rng_.below(std::min<size_t>(inode.content.size(), 12 << 10));
  inode.content[at] ^= static_cast<char>(1 << rng_.below(8));
  inode.durable = inode.content;
  member.damaged = true;
}

void Cluster::one_fault() {
  Member& member = pick();
  switch (rng_.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (member.crash_in == 0) member.crash_in = 1 + rng_.below(60);
      break;
    case 4:  // the leader
      for (const auto& other : members_) {
        if (other->up && !other->starting && other->node->leadership().role == raft::Role::kLeader) other->crash_in = 1 + rng_.below(6);
      }
      break;
    case 5:
    case 6:
      for (const auto& other : members_) {
        if (other->id != member.id && rng_.chance(2, 3)) cut_.insert({member.id, other->id});
        if (other->id != member.id && rng_.chance(2, 3)) cut_.insert({other->id, member.id});
      }
      break;
    case 7:
    case 8: cut_.clear(); break;
    case 9: loss_percent_ = rng_.below(20); break;
    case 10:
      ++report_.disk_full;
      member.disk.faults.capacity = member.disk.faults.capacity == UINT64_MAX ? 48 << 10 : UINT64_MAX;
      break;
    case 11:
      member.disk.faults.sync_error_per_million = rng_.chance(1, 2) ? 3000 : 0;
      member.disk.faults.write_error_per_million = member.disk.faults.sync_error_per_million;
      break;
  }
}

io::Task<void> Cluster::nemesis() {
  bool flipped = false;
  while (storm_) {
    (void)co_await io::sleep_for(loop_, std::chrono::milliseconds(5 + rng_.below(250)), {});
    if (!storm_) break;
    one_fault();
    for (const auto& member : members_) {
      if (member->up && !member->starting && member->node->failed()) crash(*member);
      if (member->up || member->starting || !rng_.chance(1, 2)) continue;
      if (!flipped && options_.members >= 3 && options_.founders == 0 && rng_.chance(1, 60)) {
        flip_old_bit(*member);
        flipped = member->damaged;
      }
      scope_.spawn(start_member(*member));
      member->starting = true;
    }
  }
}

void Cluster::heal() {
  storm_ = false;
  cut_.clear();
  loss_percent_ = 0;
  for (const auto& member : members_) {
    member->crash_in = 0;
    member->disk.faults = {};
  }
}

// The members that count at the end: those of the leader's configuration. A joint one is left first.
std::set<PeerId> Cluster::final_members() {
  Member* first = leader();
  if (first == nullptr) return {};
  const raft::ConfState conf = first->node->members();
  if (!conf.voters_outgoing.empty()) return {};
  std::set<PeerId> ids(conf.voters.begin(), conf.voters.end());
  ids.insert(conf.learners.begin(), conf.learners.end());
  return ids;
}

io::Task<void> Cluster::leave_joint(raft::Node& node) {
  (void)co_await node.change_members({}, io::Deadline::in(loop_, std::chrono::milliseconds(250)));
}

bool Cluster::converged() {
  const Index most = history_.empty() ? 0 : history_.rbegin()->first;
  const std::set<PeerId> counted = final_members();
  for (const PeerId id : counted) {
    const Member& member = *members_[id - 1];
    if (member.damaged && !member.up) continue;
    if (!member.up || member.starting || member.machine->last() < most) return false;
  }
  return !counted.empty();
}

void Cluster::check_end() {
  std::optional<uint32_t> hash;
  const std::set<PeerId> counted = final_members();
  for (const auto& member : members_) {
    if (!member->up || member->starting) continue;
    if (!member->machine->violation().empty()) violate(std::format("member {}: {}", member->id, member->machine->violation()));
    const raft::NodeMetrics metrics = member->node->metrics();
    report_.snapshots += metrics.snapshots_taken;
    report_.installs += metrics.snapshots_installed;
    if (!counted.contains(member->id)) continue;
    for (const uint64_t id : acknowledged_) {
      if (!member->machine->seen().contains(id)) violate(std::format("member {} lost the acknowledged write {}", member->id, id));
    }
    if (hash && *hash != member->machine->hash()) violate(std::format("member {} ends with another hash", member->id));
    hash = member->machine->hash();
  }
}

// One line a member, for the report of a violation.
std::string Cluster::describe() const {
  std::string out;
  const auto list = [](const std::vector<PeerId>& ids) {
    std::string text;
    for (const PeerId id : ids) text += std::format(" {}", id);
    return text;
  };
  for (const auto& member : members_) {
    out += std::format("\n  member {}: {}", member->id, member->starting ? "starting" : member->up ? "up" : "off");
    if (!member->up || member->starting) continue;
    const raft::EngineStatus now = member->node->metrics().engine;
    const raft::ConfState conf = member->node->members();
    out += std::format(", role {}, term {}, leader {}, last {}, commit {}, applied {}, voters{} / outgoing{} / learners{}", static_cast<int>(now.role),
                       now.term, now.leader, now.last_index, now.commit, now.applied, list(conf.voters), list(conf.voters_outgoing), list(conf.learners));
    if (now.role != raft::Role::kLeader) continue;
    for (const auto& peer : member->node->metrics().peers) {
      out += std::format("\n    peer {}: state {} match {} next {} paused {} pending snapshot {}", peer.peer, static_cast<int>(peer.state), peer.match, peer.next,
                         peer.paused, peer.pending_snapshot);
    }
  }
  return out;
}

ClusterReport Cluster::run() {
  for (const auto& member : members_) {
    member->disk.on_operation = [this, m = member.get()] {
      if (m->crash_in != 0 && --m->crash_in == 0 && m->up) crash(*m);
    };
    member->starting = true;
    scope_.spawn(start_member(*member));
  }
  for (int i = 0; i < options_.clients; ++i) scope_.spawn(client(static_cast<uint64_t>(i)));
  scope_.spawn(nemesis());
  if (options_.founders != 0) scope_.spawn(churn());
  const MonoTime end = loop_.now() + options_.length;
  loop_.run_until([&] { return loop_.now() >= end || !report_.violation.empty(); }, options_.length * 2);
  heal();
  // Everybody comes back; a node that had failed is restarted as its supervisor would.
  for (int round = 0; round < 200 && report_.violation.empty() && !converged(); ++round) {
    for (const auto& member : members_) {
      if (member->up && !member->starting && member->node->failed()) crash(*member);
      if (member->up || member->starting || (member->damaged && report_.refused_starts > 0)) continue;
      member->starting = true;
      scope_.spawn(start_member(*member));
    }
    Member* first = leader();
    if (first != nullptr && !first->node->members().voters_outgoing.empty()) scope_.spawn(leave_joint(*first->node));
    loop_.run_for(std::chrono::milliseconds(300));
  }
  const bool agreed = converged();
  check_end();
  if (!agreed) violate("no agreement a minute after all faults ended" + describe());
  for (const auto& member : members_) {
    loop_.run_until([&] { return !member->starting; }, std::chrono::minutes(1));
    if (member->node) {
      graveyard_.push_back({std::move(member->node), std::move(member->machine), std::move(member->directory)});
      scope_.spawn(bury(graveyard_.back()));
    }
    member->up = false;
  }
  bool joined = false;
  io::start_root(loop_, scope_.join(), [&joined] { joined = true; });
  loop_.run_until([&] { return joined; }, std::chrono::minutes(10));
  STEPPE_ASSERT(joined);
  // Nodes and their clients have ended; nothing refers to the dead any more.
  return report_;
}

}  // namespace

ClusterReport run_cluster(const ClusterOptions& options) {
  Cluster cluster(options);
  return cluster.run();
}

}  // namespace steppe::sim
