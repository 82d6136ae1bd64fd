#pragma once

#include <cstddef>
#include <cstdint>

// The C interface of engine/src/lib.rs, which documents it. For engine.cc only.
extern "C" {

struct SteppeRaftCore;

enum SteppeRaftCode : int32_t {
  kSteppeRaftOk = 0,
  kSteppeRaftDropped = 1,
  kSteppeRaftNotLeader = 2,
  kSteppeRaftBadMessage = 3,
  kSteppeRaftUnknownPeer = 4,
  kSteppeRaftBadChange = 5,
  kSteppeRaftBadConfig = 6,
  kSteppeRaftDiverged = 7,
};

struct SteppeRaftSettings {
  uint64_t id, election_ticks, heartbeat_ticks, max_message_bytes, max_inflight_messages, max_uncommitted_bytes,
      max_apply_bytes;
  uint8_t check_quorum, pre_vote;
};

struct SteppeRaftStatus {
  uint64_t id, term, vote, commit, applied, persisted, first_index, last_index, last_term, leader, transferee,
      election_timeout, uncommitted_bytes;
  uint8_t role, committed_in_term, voter, snapshot_wanted;
};

struct SteppeRaftBytes {
  uint8_t* data;
  size_t len;
};

SteppeRaftCode steppe_raft_new(const SteppeRaftSettings*, const void* saved, size_t len, SteppeRaftCore** out);
void steppe_raft_free(SteppeRaftCore*);
void steppe_raft_free_bytes(SteppeRaftBytes);
void steppe_raft_tick(SteppeRaftCore*);
SteppeRaftCode steppe_raft_set_election_timeout(SteppeRaftCore*, uint64_t ticks);
SteppeRaftCode steppe_raft_campaign(SteppeRaftCore*);
SteppeRaftCode steppe_raft_step(SteppeRaftCore*, const void*, size_t);
SteppeRaftCode steppe_raft_propose(SteppeRaftCore*, const void*, size_t, uint64_t* index);
SteppeRaftCode steppe_raft_propose_conf_change(SteppeRaftCore*, const void*, size_t, uint64_t* index);
SteppeRaftCode steppe_raft_apply_conf_change(SteppeRaftCore*, const void*, size_t, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_apply_conf_entry(SteppeRaftCore*, uint8_t kind, const void*, size_t, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_transfer_leader(SteppeRaftCore*, uint64_t to);
SteppeRaftCode steppe_raft_read_index(SteppeRaftCore*, const void*, size_t);
void steppe_raft_report_unreachable(SteppeRaftCore*, uint64_t peer);
void steppe_raft_report_snapshot(SteppeRaftCore*, uint64_t peer, uint8_t ok);
uint8_t steppe_raft_has_ready(const SteppeRaftCore*);
SteppeRaftCode steppe_raft_ready(SteppeRaftCore*, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_persisted(SteppeRaftCore*, uint64_t number);
SteppeRaftCode steppe_raft_applied(SteppeRaftCore*, uint64_t index);
SteppeRaftCode steppe_raft_snapshot_taken(SteppeRaftCore*, uint64_t index, const void* conf, size_t len);
SteppeRaftCode steppe_raft_compact(SteppeRaftCore*, uint64_t index);
void steppe_raft_status(const SteppeRaftCore*, SteppeRaftStatus*);
void steppe_raft_conf_state(const SteppeRaftCore*, SteppeRaftBytes*);
void steppe_raft_progress(const SteppeRaftCore*, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_encode_message(const void*, size_t, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_decode_message(const void*, size_t, SteppeRaftBytes*);
SteppeRaftCode steppe_raft_decode_change(uint8_t kind, const void*, size_t, SteppeRaftBytes*);

}  // extern "C"
