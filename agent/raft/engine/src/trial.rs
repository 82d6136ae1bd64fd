//! What the released crate does without our guards: the evidence behind each of them. A newer crate
//! that makes one of these tests fail makes the guard superfluous.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, HardState, Message, MessageType};
use raft::{Config, ProgressState, RawNode, StateRole};

use crate::guard;
use crate::mirror::Mirror;

fn node(id: u64, voters: &[u64]) -> RawNode<Mirror> {
    let config = Config { id, election_tick: 10, heartbeat_tick: 1, max_size_per_msg: u64::MAX, ..Config::default() };
    let conf = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    let mirror = Mirror::new(HardState::default(), conf, 0, 0, Vec::new());
    RawNode::new(&config, mirror, &slog::Logger::root(slog::Discard, slog::o!())).unwrap()
}

fn persist(node: &mut RawNode<Mirror>) -> Vec<Message> {
    let mut sent = Vec::new();
    while node.has_ready() {
        let mut ready = node.ready();
        sent.extend(ready.take_messages());
        sent.extend(ready.take_persisted_messages());
        let number = ready.number();
        node.mut_store().append(ready.entries());
        node.advance_append_async(ready);
        node.on_persist_ready(number);
        node.advance_apply();
    }
    sent
}

fn message(kind: MessageType, from: u64, to: u64, term: u64) -> Message {
    let mut m = Message::default();
    m.set_msg_type(kind);
    m.from = from;
    m.to = to;
    m.term = term;
    m
}

fn leader_of_two() -> RawNode<Mirror> {
    let mut leader = node(1, &[1, 2]);
    leader.campaign().unwrap();
    persist(&mut leader);
    leader.step(message(MessageType::MsgRequestVoteResponse, 2, 1, 1)).unwrap();
    assert_eq!(leader.raft.state, StateRole::Leader);
    leader.propose(Vec::new(), b"x".to_vec()).unwrap();
    persist(&mut leader);
    leader
}

/// The order of events of tikv/raft-rs#555; answers (match, next) of the follower at its end.
fn delayed_rejection(guarded: bool) -> (u64, u64) {
    let mut leader = leader_of_two();
    let mut ack = message(MessageType::MsgAppendResponse, 2, 1, 1);
    ack.index = 2;
    leader.step(ack).unwrap();
    leader.report_unreachable(2);
    persist(&mut leader);
    let progress = leader.raft.prs().get(2).unwrap();
    assert_eq!((progress.state, progress.matched, progress.next_idx), (ProgressState::Probe, 2, 3));
    let mut late = message(MessageType::MsgAppendResponse, 2, 1, 1);
    late.index = 2;
    late.reject = true;
    if guarded {
        guard::check(&mut leader.raft, &mut late).unwrap();
    }
    leader.step(late).unwrap();
    let sent = persist(&mut leader);
    let append = sent.iter().rfind(|m| m.get_msg_type() == MessageType::MsgAppend).unwrap();
    (leader.raft.prs().get(2).unwrap().matched, append.index + 1)
}

#[test]
fn next_falls_to_match_without_the_guard() {
    assert_eq!(delayed_rejection(false), (2, 1));
}

#[test]
fn next_stays_above_match_with_the_guard() {
    assert_eq!(delayed_rejection(true), (2, 3));
}

fn removed_leader() -> RawNode<Mirror> {
    let mut leader = leader_of_two();
    let remove = ConfChangeSingle { change_type: ConfChangeType::RemoveNode as i32, node_id: 1 };
    let change = ConfChangeV2 { changes: vec![remove], ..ConfChangeV2::default() };
    leader.apply_conf_change(&change).unwrap();
    leader
}

#[test]
fn a_removed_leader_ends_the_process_without_the_guard() {
    let mut leader = removed_leader();
    assert_eq!(leader.raft.state, StateRole::Leader);
    let mut ack = message(MessageType::MsgAppendResponse, 2, 1, 1);
    ack.index = 2;
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| leader.step(ack)));
    assert!(stepped.is_err());
}

#[test]
fn a_heartbeat_past_the_log_ends_the_process_without_the_guard() {
    let mut follower = node(2, &[1, 2]);
    let mut beat = message(MessageType::MsgHeartbeat, 1, 2, 1);
    beat.commit = 7;
    let mut checked = beat.clone();
    assert_eq!(guard::check(&mut follower.raft, &mut checked), Err(crate::Code::Diverged));
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| follower.step(beat)));
    assert!(stepped.is_err());
}

#[test]
fn entries_with_a_hole_end_the_process_without_the_guard() {
    let mut follower = node(2, &[1, 2]);
    let mut append = message(MessageType::MsgAppend, 1, 2, 2);
    append.entries = vec![Entry { index: 4, term: 2, ..Entry::default() }].into();
    assert_eq!(guard::check(&mut follower.raft, &mut append.clone()), Err(crate::Code::BadMessage));
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| follower.step(append)));
    assert!(stepped.is_err());
}

/// Committed entries are handed out only when they are on our own disk too (the later releases' limit
/// on unpersisted apply, and its fix of the upper bound, are not in 0.7.0 and not needed).
#[test]
fn nothing_unpersisted_is_applied() {
    let mut leader = leader_of_two();
    leader.propose(Vec::new(), b"y".to_vec()).unwrap();
    let mut ready = leader.ready();
    assert!(ready.take_committed_entries().is_empty());
    let number = ready.number();
    leader.mut_store().append(ready.entries());
    leader.advance_append_async(ready);
    let mut ack = message(MessageType::MsgAppendResponse, 2, 1, 1);
    ack.index = 3;
    leader.step(ack).unwrap();
    let early: Vec<u64> = leader.ready().take_committed_entries().iter().map(|e| e.index).collect();
    assert!(early.iter().all(|index| *index < 3), "{early:?}");
    leader.on_persist_ready(number);
}
