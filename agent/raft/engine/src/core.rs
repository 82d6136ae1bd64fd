//! The engine proper: raft's RawNode with the shell's obligations turned into one call each.

use prost::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message,
};
use raft::{Config, ProgressState, RawNode, ReadOnlyOption, SnapshotStatus, StateRole, INVALID_ID};

use crate::guard;
use crate::mirror::Mirror;
use crate::wire::{Reader, Writer};
use crate::{Code, Settings, Status};

pub type Outcome = std::result::Result<(), Code>;

pub struct Core {
    node: RawNode<Mirror>,
    /// The election timeout in force, in ticks. The crate draws its own whenever it resets its timers;
    /// every call here puts this one back, so chance enters only through set_election_timeout().
    timeout: usize,
    ready_open: u64,
}

fn code_of(error: raft::Error) -> Code {
    match error {
        raft::Error::ProposalDropped => Code::Dropped,
        raft::Error::StepPeerNotFound => Code::UnknownPeer,
        raft::Error::StepLocalMsg => Code::BadMessage,
        raft::Error::ConfChangeError(_) => Code::BadChange,
        raft::Error::ConfigInvalid(_) => Code::BadConfig,
        _ => Code::Dropped,
    }
}

/// What was read from disk: hard state, configuration, snapshot point, the log's tail.
struct Saved {
    hard_state: HardState,
    conf_state: ConfState,
    index: u64,
    term: u64,
    snapshot_exists: bool,
    entries: Vec<Entry>,
}

fn read_saved(bytes: &[u8]) -> Option<Saved> {
    let mut reader = Reader::new(bytes);
    let mut hard_state = HardState::default();
    hard_state.term = reader.u64()?;
    hard_state.vote = reader.u64()?;
    hard_state.commit = reader.u64()?;
    let (index, term) = (reader.u64()?, reader.u64()?);
    let conf_state = reader.conf_state()?;
    let snapshot_exists = reader.u8()? != 0;
    let entries = reader.entries()?;
    reader.done().then_some(Saved { hard_state, conf_state, index, term, snapshot_exists, entries })
}

/// Everything that the crate would end the process over.
fn check_saved(saved: &mut Saved) -> Outcome {
    let (mut index, mut term) = (saved.index, saved.term);
    for entry in &saved.entries {
        if entry.index != index + 1 || entry.term < term || entry.term == 0 {
            return Err(Code::BadConfig);
        }
        index = entry.index;
        term = entry.term;
    }
    saved.hard_state.commit = saved.hard_state.commit.max(saved.index);
    // A server that was started to join a group knows no members until a leader tells it.
    let joining = saved.index == 0 && saved.conf_state == ConfState::default();
    let sane = saved.hard_state.commit <= index
        && (saved.entries.is_empty() || saved.hard_state.term >= term)
        && (joining || guard::valid_conf_state(&saved.conf_state))
        && (saved.index == 0) == (saved.term == 0);
    if sane {
        Ok(())
    } else {
        Err(Code::BadConfig)
    }
}

impl Core {
    pub fn new(settings: &Settings, saved: &[u8]) -> std::result::Result<Core, Code> {
        let mut saved = read_saved(saved).ok_or(Code::BadConfig)?;
        check_saved(&mut saved)?;
        let config = Config {
            id: settings.id,
            election_tick: settings.election_ticks as usize,
            heartbeat_tick: settings.heartbeat_ticks as usize,
            applied: saved.index,
            max_size_per_msg: settings.max_message_bytes,
            max_inflight_msgs: settings.max_inflight_messages as usize,
            check_quorum: settings.check_quorum != 0,
            pre_vote: settings.pre_vote != 0,
            max_uncommitted_size: settings.max_uncommitted_bytes,
            max_committed_size_per_ready: settings.max_apply_bytes,
            read_only_option: ReadOnlyOption::Safe,
            ..Config::default()
        };
        config.validate().map_err(code_of)?;
        let mut mirror = Mirror::new(saved.hard_state, saved.conf_state, saved.index, saved.term, saved.entries);
        if !saved.snapshot_exists {
            mirror.forget_snapshot();
        }
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, mirror, &logger).map_err(code_of)?;
        let mut core = Core { node, timeout: settings.election_ticks as usize, ready_open: 0 };
        core.settle();
        Ok(core)
    }

    /// Ends every call that may change the state.
    fn settle(&mut self) {
        self.node.raft.set_randomized_election_timeout(self.timeout);
    }

    /// A voter may become leader within the call that starts an election (it is the only voter), and
    /// a leader's whole log must be on its disk: no election before that.
    fn may_campaign(&self) -> bool {
        let log = &self.node.raft.raft_log;
        log.persisted >= log.last_index()
    }

    pub fn tick(&mut self) {
        if self.node.raft.state == StateRole::Leader || self.may_campaign() {
            self.node.tick();
            self.settle();
        }
    }

    pub fn set_election_timeout(&mut self, ticks: u64) -> Outcome {
        let low = self.node.raft.election_timeout() as u64;
        if ticks < low || ticks >= 2 * low {
            return Err(Code::BadConfig);
        }
        self.timeout = ticks as usize;
        self.settle();
        Ok(())
    }

    pub fn campaign(&mut self) -> Outcome {
        if !self.may_campaign() {
            return Err(Code::Dropped);
        }
        let done = self.node.campaign().map_err(code_of);
        self.settle();
        done
    }

    pub fn step(&mut self, bytes: &[u8]) -> Outcome {
        let mut message = Message::decode(bytes).map_err(|_| Code::BadMessage)?;
        guard::check(&mut self.node.raft, &mut message)?;
        let (from, probe) = (message.from, guard::wants_probe(&self.node.raft, &message));
        let done = self.node.step(message).map_err(code_of);
        if probe {
            self.node.raft.send_append(from);
        }
        self.settle();
        done
    }

    fn check_leader(&self) -> Outcome {
        if self.node.raft.state != StateRole::Leader {
            return Err(Code::NotLeader);
        }
        Ok(())
    }

    /// Followers do not forward: the caller does, by its own RPC.
    pub fn propose(&mut self, data: &[u8]) -> std::result::Result<u64, Code> {
        self.check_leader()?;
        self.node.propose(Vec::new(), data.to_vec()).map_err(code_of)?;
        Ok(self.node.raft.raft_log.last_index())
    }

    fn read_change(bytes: &[u8]) -> Option<ConfChangeV2> {
        let mut reader = Reader::new(bytes);
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::from_i32(reader.u8()? as i32)?);
        for _ in 0..reader.u32()? {
            let mut single = ConfChangeSingle::default();
            let kind = raft::eraftpb::ConfChangeType::from_i32(reader.u8()? as i32)?;
            single.set_change_type(kind);
            single.node_id = reader.u64()?;
            change.changes.push(single);
        }
        change.context = reader.blob()?;
        reader.done().then_some(change)
    }

    /// The crate silently turns a change that it refuses now (another one is pending) into an empty
    /// entry; here that is an error and nothing is appended.
    pub fn propose_conf_change(&mut self, bytes: &[u8]) -> std::result::Result<u64, Code> {
        self.check_leader()?;
        let change = Self::read_change(bytes).ok_or(Code::BadChange)?;
        let raft = &self.node.raft;
        let joint = !raft.prs().conf().to_conf_state().voters_outgoing.is_empty();
        if raft.has_pending_conf() || joint != change.changes.is_empty() {
            return Err(Code::Dropped);
        }
        self.node.propose_conf_change(Vec::new(), change).map_err(code_of)?;
        Ok(self.node.raft.raft_log.last_index())
    }

    fn apply_change(&mut self, change: &ConfChangeV2, out: &mut Writer) -> Outcome {
        let state = self.node.apply_conf_change(change).map_err(code_of)?;
        self.node.mut_store().conf_state = state.clone();
        let raft = &mut self.node.raft;
        if raft.state == StateRole::Leader && raft.prs().get(raft.id).is_none() {
            // Release 0.7.0 looks up the leader's own progress on every acknowledgement and ends the
            // process when a leader that was removed goes on leading.
            let term = raft.term;
            raft.become_follower(term, INVALID_ID);
        }
        self.settle();
        out.conf_state(&state);
        Ok(())
    }

    /// `bytes`: the change as propose_conf_change() takes it.
    pub fn apply_conf_change(&mut self, bytes: &[u8], out: &mut Writer) -> Outcome {
        let change = Self::read_change(bytes).ok_or(Code::BadChange)?;
        self.apply_change(&change, out)
    }

    /// `kind` and `data` of a committed entry.
    pub fn apply_conf_entry(&mut self, kind: u8, data: &[u8], out: &mut Writer) -> Outcome {
        let change = decode_change(kind, data).ok_or(Code::BadChange)?;
        self.apply_change(&change, out)
    }

    pub fn transfer_leader(&mut self, to: u64) -> Outcome {
        self.check_leader()?;
        if !self.node.raft.prs().conf().voters().contains(to) {
            return Err(Code::UnknownPeer);
        }
        self.node.transfer_leader(to);
        self.settle();
        Ok(())
    }

    /// The index comes back in a Ready with the same context once a quorum confirmed our leadership.
    pub fn read_index(&mut self, context: &[u8]) -> Outcome {
        self.check_leader()?;
        // Before its first commit a leader does not know what is committed: the crate drops the request.
        if !self.node.raft.commit_to_current_term() {
            return Err(Code::Dropped);
        }
        self.node.read_index(context.to_vec());
        self.settle();
        Ok(())
    }

    pub fn report_unreachable(&mut self, peer: u64) {
        if self.node.raft.prs().get(peer).is_some() {
            self.node.report_unreachable(peer);
            self.settle();
        }
    }

    pub fn report_snapshot(&mut self, peer: u64, ok: bool) {
        if self.node.raft.prs().get(peer).is_some() {
            let status = if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            self.node.report_snapshot(peer, status);
            self.settle();
        }
    }

    fn put_messages(out: &mut Writer, messages: &[Message]) {
        out.count(messages.len());
        for message in messages {
            out.u64(message.to);
            out.u8(message.msg_type as u8);
            out.u64(message.get_snapshot().get_metadata().index);
            out.blob(&message.encode_to_vec());
        }
    }

    pub fn has_ready(&self) -> bool {
        self.ready_open == 0 && self.node.has_ready()
    }

    /// One Ready at a time: the next one only after persisted().
    pub fn ready(&mut self, out: &mut Writer) -> Outcome {
        if !self.has_ready() {
            return Err(Code::Dropped);
        }
        let mut ready = self.node.ready();
        self.ready_open = ready.number();
        out.u64(ready.number());
        let snapshot = ready.snapshot().clone();
        let has_snapshot = snapshot.get_metadata().index != 0;
        out.u8(ready.ss().is_some() as u8 | (ready.hs().is_some() as u8) << 1 | (has_snapshot as u8) << 2 | (ready.must_sync() as u8) << 3);
        if let Some(soft) = ready.ss() {
            out.u64(soft.leader_id);
            out.u8(role_of(soft.raft_state));
        }
        if let Some(hard) = ready.hs() {
            out.u64(hard.term);
            out.u64(hard.vote);
            out.u64(hard.commit);
        }
        if has_snapshot {
            let metadata = snapshot.get_metadata();
            out.u64(metadata.index);
            out.u64(metadata.term);
            out.conf_state(metadata.get_conf_state());
        }
        out.entries(ready.entries());
        out.entries(ready.committed_entries());
        Self::put_messages(out, ready.messages());
        Self::put_messages(out, ready.persisted_messages());
        let reads = ready.take_read_states();
        out.count(reads.len());
        for read in &reads {
            out.u64(read.index);
            out.blob(&read.request_ctx);
        }
        let store = self.node.mut_store();
        if has_snapshot {
            store.install(&snapshot);
            store.conf_state = snapshot.get_metadata().get_conf_state().clone();
        }
        store.append(ready.entries());
        if let Some(hard) = ready.hs() {
            store.hard_state = hard.clone();
        }
        self.node.advance_append_async(ready);
        self.settle();
        Ok(())
    }

    pub fn persisted(&mut self, number: u64) -> Outcome {
        if self.ready_open == 0 || number != self.ready_open {
            return Err(Code::BadConfig);
        }
        self.ready_open = 0;
        self.node.on_persist_ready(number);
        self.settle();
        Ok(())
    }

    pub fn applied(&mut self, index: u64) -> Outcome {
        let log = &self.node.raft.raft_log;
        if index < log.applied || index > std::cmp::min(log.committed, log.persisted) {
            return Err(Code::BadConfig);
        }
        self.node.advance_apply_to(index);
        self.settle();
        Ok(())
    }

    pub fn snapshot_taken(&mut self, index: u64, conf_state: &[u8]) -> Outcome {
        let mut reader = Reader::new(conf_state);
        let state = reader.conf_state().ok_or(Code::BadConfig)?;
        let allowed = index <= self.node.raft.raft_log.applied && guard::valid_conf_state(&state);
        if allowed && self.node.mut_store().set_snapshot(index, state) {
            return Ok(());
        }
        Err(Code::BadConfig)
    }

    pub fn compact(&mut self, index: u64) -> Outcome {
        if index <= self.node.raft.raft_log.applied && self.node.mut_store().compact(index) {
            return Ok(());
        }
        Err(Code::BadConfig)
    }

    pub fn conf_state(&self, out: &mut Writer) {
        out.conf_state(&self.node.raft.prs().conf().to_conf_state());
    }

    pub fn status(&self) -> Status {
        let raft = &self.node.raft;
        Status {
            id: raft.id,
            term: raft.term,
            vote: raft.vote,
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            persisted: raft.raft_log.persisted,
            first_index: raft.raft_log.first_index(),
            last_index: raft.raft_log.last_index(),
            last_term: raft.raft_log.last_term(),
            leader: raft.leader_id,
            transferee: raft.lead_transferee.unwrap_or(0),
            election_timeout: raft.randomized_election_timeout() as u64,
            uncommitted_bytes: raft.uncommitted_size() as u64,
            role: role_of(raft.state),
            committed_in_term: raft.commit_to_current_term() as u8,
            voter: raft.promotable() as u8,
            snapshot_wanted: self.node.store().snapshot_wanted.get() as u8,
        }
    }

    pub fn progress(&self, out: &mut Writer) {
        let prs = self.node.raft.prs();
        let learners = prs.conf().to_conf_state().learners;
        let mut peers: Vec<_> = prs.iter().collect();
        peers.sort_unstable_by_key(|(id, _)| **id);
        out.count(peers.len());
        for (id, progress) in peers {
            out.u64(*id);
            out.u64(progress.matched);
            out.u64(progress.next_idx);
            out.u64(progress.pending_snapshot);
            out.u64(progress.ins.count() as u64);
            out.u8(match progress.state {
                ProgressState::Probe => 0,
                ProgressState::Replicate => 1,
                ProgressState::Snapshot => 2,
            });
            out.u8(progress.is_paused() as u8);
            out.u8(progress.recent_active as u8);
            out.u8(learners.contains(id) as u8);
            out.u8(progress.ins.full() as u8);
        }
    }
}

/// The change in a committed entry of either kind.
pub fn decode_change(kind: u8, data: &[u8]) -> Option<ConfChangeV2> {
    match EntryType::from_i32(kind as i32)? {
        EntryType::EntryConfChange => {
            let old = ConfChange::decode(data).ok()?;
            let single = ConfChangeSingle { change_type: old.change_type, node_id: old.node_id };
            Some(ConfChangeV2 { changes: vec![single], context: old.context, ..ConfChangeV2::default() })
        }
        EntryType::EntryConfChangeV2 => ConfChangeV2::decode(data).ok(),
        EntryType::EntryNormal => None,
    }
}

fn role_of(role: StateRole) -> u8 {
    match role {
        StateRole::Follower => 0,
        StateRole::Candidate => 1,
        StateRole::Leader => 2,
        StateRole::PreCandidate => 3,
    }
}
