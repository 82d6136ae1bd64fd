#include "agent/raft/engine.h"

#include <utility>

#include "agent/raft/engine_abi.h"
#include "agent/raft/message.h"
#include "agent/raft/wire.h"
#include "init/base/assert.h"

namespace steppe::raft {
namespace {

// Bytes made by the engine, given back at the end.
struct OutBytes {
  SteppeRaftBytes raw{nullptr, 0};
  OutBytes() = default;
  OutBytes(const OutBytes&) = delete;
  ~OutBytes() { steppe_raft_free_bytes(raw); }
  std::string_view view() const { return {reinterpret_cast<const char*>(raw.data), raw.len}; }
};

Error error_of(SteppeRaftCode code, std::string_view call) {
  const std::string what = "raft " + std::string(call) + ": ";
  switch (code) {
    case kSteppeRaftDropped:
      return {Code::kUnavailable, what + "refused for now: no commit in this term yet, a change or transfer is pending, or too much is uncommitted"};
    case kSteppeRaftNotLeader: return {Code::kUnavailable, what + "this server is not the leader"};
    case kSteppeRaftBadMessage: return {Code::kInvalid, what + "a message that no correct peer sends"};
    case kSteppeRaftUnknownPeer: return {Code::kNotFound, what + "no such member"};
    case kSteppeRaftBadChange: return {Code::kInvalid, what + "a membership change that is not valid now"};
    case kSteppeRaftBadConfig: return {Code::kInvalid, what + "settings or saved state are not valid"};
    case kSteppeRaftDiverged:
      return {Code::kCorrupt, what + "a peer's log contradicts what is committed here: one of the two disks lost data; remove one of the two members and join it anew with an empty data directory"};
    case kSteppeRaftOk: break;
  }
  assertion_failed("unknown engine code");
}

Result<> check(SteppeRaftCode code, std::string_view call) {
  if (code != kSteppeRaftOk) return error_of(code, call);
  return {};
}

std::vector<OutgoingMessage> read_messages(WireReader& reader) {
  std::vector<OutgoingMessage> messages(reader.u32());
  for (OutgoingMessage& message : messages) {
    message.to = reader.u64();
    message.type = reader.u8();
    message.snapshot_index = reader.u64();
    message.bytes = reader.blob();
  }
  return messages;
}

enum ReadyFlag : uint8_t { kHasSoft = 1, kHasHard = 2, kHasSnapshot = 4, kMustSync = 8 };

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const EngineSettings& settings, const Saved& saved) {
  const SteppeRaftSettings raw{.id = settings.id,
                               .election_ticks = settings.election_ticks,
                               .heartbeat_ticks = settings.heartbeat_ticks,
                               .max_message_bytes = settings.max_message.count,
                               .max_inflight_messages = settings.max_inflight_messages,
                               .max_uncommitted_bytes = settings.max_uncommitted.count,
                               .max_apply_bytes = settings.max_apply.count,
                               .check_quorum = settings.check_quorum,
                               .pre_vote = settings.pre_vote};
  WireWriter writer;
  writer.put_u64(saved.hard.term);
  writer.put_u64(saved.hard.vote);
  writer.put_u64(saved.hard.commit);
  writer.put_u64(saved.snapshot.index);
  writer.put_u64(saved.snapshot.term);
  writer.put_conf(saved.snapshot.conf);
  writer.put_u8(saved.snapshot_exists ? 1 : 0);
  writer.put_entries(saved.entries);
  SteppeRaftCore* core = nullptr;
  STEPPE_TRY_VOID(check(steppe_raft_new(&raw, writer.bytes().data(), writer.bytes().size(), &core), "start"));
  return std::unique_ptr<Engine>(new Engine(core));
}

Engine::~Engine() { steppe_raft_free(core_); }

void Engine::tick() { steppe_raft_tick(core_); }

Result<> Engine::set_election_timeout(uint64_t ticks) {
  return check(steppe_raft_set_election_timeout(core_, ticks), "set election timeout");
}

Result<> Engine::campaign() { return check(steppe_raft_campaign(core_), "campaign"); }

Result<> Engine::step(ByteView message) {
  return check(steppe_raft_step(core_, message.data(), message.size()), "step");
}

Result<Index> Engine::propose(ByteView data) {
  Index index = 0;
  STEPPE_TRY_VOID(check(steppe_raft_propose(core_, data.data(), data.size(), &index), "propose"));
  return index;
}

Result<Index> Engine::propose_conf_change(const ConfChange& change) {
  WireWriter writer;
  writer.put_change(change);
  Index index = 0;
  STEPPE_TRY_VOID(check(steppe_raft_propose_conf_change(core_, writer.bytes().data(), writer.bytes().size(), &index),
                        "propose membership change"));
  return index;
}

Result<ConfState> Engine::apply_conf_entry(const Entry& entry) {
  OutBytes out;
  STEPPE_TRY_VOID(check(steppe_raft_apply_conf_entry(core_, static_cast<uint8_t>(entry.type), entry.data.data(),
                                                     entry.data.size(), &out.raw),
                        "apply membership change"));
  return WireReader(out.view()).conf();
}

Result<ConfState> Engine::apply_conf_change(const ConfChange& change) {
  WireWriter writer;
  writer.put_change(change);
  OutBytes out;
  STEPPE_TRY_VOID(check(steppe_raft_apply_conf_change(core_, writer.bytes().data(), writer.bytes().size(), &out.raw),
                        "apply membership change"));
  return WireReader(out.view()).conf();
}

Result<> Engine::transfer_leader(PeerId to) { return check(steppe_raft_transfer_leader(core_, to), "transfer leader"); }

Result<> Engine::read_index(ByteView context) {
  return check(steppe_raft_read_index(core_, context.data(), context.size()), "read index");
}

void Engine::report_unreachable(PeerId peer) { steppe_raft_report_unreachable(core_, peer); }
void Engine::report_snapshot(PeerId peer, bool ok) { steppe_raft_report_snapshot(core_, peer, ok ? 1 : 0); }
bool Engine::has_ready() const { return steppe_raft_has_ready(core_) != 0; }

Ready Engine::ready() {
  OutBytes out;
  STEPPE_ASSERT(steppe_raft_ready(core_, &out.raw) == kSteppeRaftOk);
  WireReader reader(out.view());
  Ready ready;
  ready.number = reader.u64();
  const uint8_t flags = reader.u8();
  ready.must_sync = (flags & kMustSync) != 0;
  ready.has_soft = (flags & kHasSoft) != 0;
  ready.has_hard = (flags & kHasHard) != 0;
  ready.has_snapshot = (flags & kHasSnapshot) != 0;
  if (ready.has_soft) {
    ready.leader = reader.u64();
    ready.role = static_cast<Role>(reader.u8());
  }
  if (ready.has_hard) {
    ready.hard.term = reader.u64();
    ready.hard.vote = reader.u64();
    ready.hard.commit = reader.u64();
  }
  if (ready.has_snapshot) {
    ready.snapshot.index = reader.u64();
    ready.snapshot.term = reader.u64();
    ready.snapshot.conf = reader.conf();
  }
  ready.entries = reader.entries();
  ready.committed = reader.entries();
  ready.messages = read_messages(reader);
  ready.messages_after_persist = read_messages(reader);
  ready.reads.resize(reader.u32());
  for (auto& read : ready.reads) {
    read.index = reader.u64();
    read.context = reader.blob();
  }
  STEPPE_ASSERT(reader.at_end());
  return ready;
}

void Engine::persisted(uint64_t number) { STEPPE_ASSERT(steppe_raft_persisted(core_, number) == kSteppeRaftOk); }
void Engine::applied(Index index) { STEPPE_ASSERT(steppe_raft_applied(core_, index) == kSteppeRaftOk); }

Result<> Engine::snapshot_taken(Index index, const ConfState& conf) {
  WireWriter writer;
  writer.put_conf(conf);
  return check(steppe_raft_snapshot_taken(core_, index, writer.bytes().data(), writer.bytes().size()), "note snapshot");
}

Result<> Engine::compact(Index index) { return check(steppe_raft_compact(core_, index), "compact"); }

EngineStatus Engine::status() const {
  SteppeRaftStatus raw;
  steppe_raft_status(core_, &raw);
  return {.id = raw.id,
          .term = raw.term,
          .vote = raw.vote,
          .commit = raw.commit,
          .applied = raw.applied,
          .persisted = raw.persisted,
          .first_index = raw.first_index,
          .last_index = raw.last_index,
          .last_term = raw.last_term,
          .leader = raw.leader,
          .transferee = raw.transferee,
          .election_timeout = raw.election_timeout,
          .uncommitted_bytes = raw.uncommitted_bytes,
          .role = static_cast<Role>(raw.role),
          .committed_in_term = raw.committed_in_term != 0,
          .voter = raw.voter != 0,
          .snapshot_wanted = raw.snapshot_wanted != 0};
}

ConfState Engine::conf_state() const {
  OutBytes out;
  steppe_raft_conf_state(core_, &out.raw);
  return WireReader(out.view()).conf();
}

std::vector<PeerProgress> Engine::progress() const {
  OutBytes out;
  steppe_raft_progress(core_, &out.raw);
  WireReader reader(out.view());
  std::vector<PeerProgress> peers(reader.u32());
  for (PeerProgress& peer : peers) {
    peer.peer = reader.u64();
    peer.match = reader.u64();
    peer.next = reader.u64();
    peer.pending_snapshot = reader.u64();
    peer.inflight = reader.u64();
    peer.state = static_cast<PeerProgress::State>(reader.u8());
    peer.paused = reader.u8() != 0;
    peer.recently_active = reader.u8() != 0;
    peer.learner = reader.u8() != 0;
    peer.inflight_full = reader.u8() != 0;
  }
  STEPPE_ASSERT(reader.at_end());
  return peers;
}

Result<ConfChange> decode_conf_change(const Entry& entry) {
  OutBytes out;
  STEPPE_TRY_VOID(check(steppe_raft_decode_change(static_cast<uint8_t>(entry.type), entry.data.data(), entry.data.size(), &out.raw),
                        "decode membership change"));
  return WireReader(out.view()).change();
}

std::string encode_message(const Message& message) {
  WireWriter writer;
  writer.put_u8(static_cast<uint8_t>(message.type));
  for (const uint64_t value : {message.to, message.from, message.term, message.log_term, message.index, message.commit,
                               message.commit_term, message.request_snapshot, message.reject_hint}) {
    writer.put_u64(value);
  }
  writer.put_u8(message.reject ? 1 : 0);
  writer.put_blob(message.context);
  writer.put_entries(message.entries);
  writer.put_u64(message.snapshot.index);
  writer.put_u64(message.snapshot.term);
  writer.put_conf(message.snapshot.conf);
  OutBytes out;
  STEPPE_ASSERT(steppe_raft_encode_message(writer.bytes().data(), writer.bytes().size(), &out.raw) == kSteppeRaftOk);
  return std::string(out.view());
}

Result<Message> decode_message(ByteView bytes) {
  OutBytes out;
  STEPPE_TRY_VOID(check(steppe_raft_decode_message(bytes.data(), bytes.size(), &out.raw), "decode message"));
  WireReader reader(out.view());
  Message message;
  message.type = static_cast<MessageType>(reader.u8());
  for (uint64_t* value : {&message.to, &message.from, &message.term, &message.log_term, &message.index, &message.commit,
                          &message.commit_term, &message.request_snapshot, &message.reject_hint}) {
    *value = reader.u64();
  }
  message.reject = reader.u8() != 0;
  message.context = reader.blob();
  message.entries = reader.entries();
  message.snapshot.index = reader.u64();
  message.snapshot.term = reader.u64();
  message.snapshot.conf = reader.conf();
  if (!reader.at_end()) return Error(Code::kInvalid, "raft decode message: unknown entry type");
  return message;
}

}  // namespace steppe::raft
