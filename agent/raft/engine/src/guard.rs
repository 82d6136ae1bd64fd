//! What stands between a peer's bytes and the crate. The crate ends the process (`fatal!`) on states
//! that only a broken or hostile peer can bring about, and release 0.7.0 lacks later fixes; both are
//! handled before a message is stepped, so that nothing a peer sends can end the process.

use std::collections::HashSet;

use raft::eraftpb::{ConfState, EntryType, Message, MessageType};
use raft::{ProgressState, Raft, StateRole};

use crate::mirror::Mirror;
use crate::Code;

type Check = std::result::Result<(), Code>;

fn refuse_unless(condition: bool) -> Check {
    if condition {
        Ok(())
    } else {
        Err(Code::BadMessage)
    }
}

fn unique(ids: &[u64]) -> Option<HashSet<u64>> {
    let set: HashSet<u64> = ids.iter().copied().collect();
    (set.len() == ids.len() && !set.contains(&0)).then_some(set)
}

/// The invariants of raft's tracker::Configuration: each list holds distinct ids, learners are no
/// voters, learners_next are outgoing voters, auto_leave only in a joint configuration.
pub fn valid_conf_state(state: &ConfState) -> bool {
    let (Some(voters), Some(learners), Some(outgoing), Some(next)) = (
        unique(&state.voters),
        unique(&state.learners),
        unique(&state.voters_outgoing),
        unique(&state.learners_next),
    ) else {
        return false;
    };
    !voters.is_empty()
        && learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && (!outgoing.is_empty() || (next.is_empty() && !state.auto_leave))
}

/// Contiguous, of rising terms: the crate indexes into the message by the difference of two indexes.
/// (A message that would overwrite committed entries needs no check: below the commit index the crate
/// answers without looking at the entries.)
fn check_append(m: &Message) -> Check {
    let (mut index, mut term) = (m.index, m.log_term);
    for entry in m.entries.iter() {
        refuse_unless(index < u64::MAX && entry.index == index + 1 && entry.term >= term && entry.term <= m.term)?;
        refuse_unless(entry.term > 0 && EntryType::from_i32(entry.entry_type).is_some())?;
        index = entry.index;
        term = entry.term;
    }
    Ok(())
}

fn check_snapshot(m: &Message) -> Check {
    let metadata = m.get_snapshot().get_metadata();
    refuse_unless(metadata.index > 0 && metadata.term > 0 && metadata.term <= m.term)?;
    refuse_unless(valid_conf_state(metadata.get_conf_state()))
}

/// Answers whether `m` may be stepped, and repairs what the released crate gets wrong.
pub fn check(raft: &mut Raft<Mirror>, m: &mut Message) -> Check {
    refuse_unless(m.to == raft.id && m.from != 0 && m.from != raft.id && m.term > 0)?;
    let Some(kind) = MessageType::from_i32(m.msg_type) else {
        return Err(Code::BadMessage);
    };
    let heard = m.term >= raft.term;
    match kind {
        MessageType::MsgAppend => {
            // A second leader of our own term cannot exist; the crate would fall through silently.
            refuse_unless(!(m.term == raft.term && raft.state == StateRole::Leader))?;
            check_append(m)
        }
        MessageType::MsgHeartbeat => {
            refuse_unless(!(m.term == raft.term && raft.state == StateRole::Leader))?;
            // The leader only announces what we acknowledged: past our log means that we lost it.
            if heard && m.commit > raft.raft_log.last_index() {
                return Err(Code::Diverged);
            }
            Ok(())
        }
        MessageType::MsgSnapshot => {
            refuse_unless(!(m.term == raft.term && raft.state == StateRole::Leader))?;
            check_snapshot(m)
        }
        MessageType::MsgAppendResponse => {
            refuse_unless(m.request_snapshot == 0)?;
            if m.term == raft.term && !m.reject {
                refuse_unless(m.index <= raft.raft_log.last_index())?;
            }
            keep_next_above_match(raft, m);
            recover_from_probe(raft, m);
            Ok(())
        }
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgHeartbeatResponse => Ok(()),
        MessageType::MsgTimeoutNow => {
            // See `lib.rs`: a voter whose disk is behind its log must not campaign.
            refuse_unless(raft.raft_log.persisted >= raft.raft_log.last_index())
        }
        // Local ones, and what this cluster forwards by its own RPC instead.
        _ => Err(Code::BadMessage),
    }
}

/// tikv/raft-rs#555, fixed after 0.7.0: in the probe state a delayed rejection could move a follower's
/// next index back to or below what it has acknowledged. The rejection is rewritten so that the crate
/// computes match + 1, which is what the fix computes.
fn keep_next_above_match(raft: &mut Raft<Mirror>, m: &mut Message) {
    if !m.reject || m.term != raft.term || raft.state != StateRole::Leader {
        return;
    }
    let Some(progress) = raft.prs().get(m.from) else { return };
    if progress.state == ProgressState::Replicate {
        return; // moves to match + 1 by itself
    }
    if progress.next_idx == 0 || progress.next_idx - 1 != m.index {
        return; // stale for the crate too
    }
    let hint = if m.log_term > 0 {
        raft.raft_log.find_conflict_by_term(m.reject_hint, m.log_term).0
    } else {
        m.reject_hint
    };
    let next = std::cmp::min(m.index, hint.saturating_add(1));
    let matched = progress.matched;
    if next <= matched {
        // The crate sets next to min(rejected, hint + 1) when rejected + 1 == next.
        m.log_term = 0;
        m.reject_hint = matched;
        m.index = matched + 1;
        raft.mut_prs().get_mut(m.from).expect("looked up above").next_idx = matched + 2;
    }
}

/// etcd-io/raft#31 and etcd-io/etcd#10308: a follower that is probed though it has everything (after it
/// was reported unreachable, or after a snapshot at the end of the log) stayed in the probe state until
/// the next entry, because an acknowledgement of what is known already was ignored. Here it counts.
fn recover_from_probe(raft: &mut Raft<Mirror>, m: &Message) {
    if m.reject || m.term != raft.term || raft.state != StateRole::Leader {
        return;
    }
    if let Some(progress) = raft.mut_prs().get_mut(m.from) {
        if progress.state == ProgressState::Probe && progress.matched == m.index && m.index > 0 {
            progress.become_replicate();
        }
    }
}

/// The other half: a heartbeat's answer makes the leader probe such a follower at all. The crate probes
/// only those that are known to lack entries.
pub fn wants_probe(raft: &Raft<Mirror>, m: &Message) -> bool {
    m.get_msg_type() == MessageType::MsgHeartbeatResponse
        && m.term == raft.term
        && raft.state == StateRole::Leader
        && raft.prs().get(m.from).is_some_and(|progress| {
            progress.state == ProgressState::Probe && progress.matched >= raft.raft_log.last_index()
        })
}
