//! The C interface, declared for C++ in engine_abi.h. A handle is used by one thread at a time. Nothing
//! here reads a clock, draws chance, opens a file or logs; a panic ends the process (panic = abort) and
//! means a bug, never bad input.

mod core;
mod guard;
mod mirror;
#[cfg(test)]
mod trial;
mod wire;

use prost::Message as _;

use crate::core::Core;
use crate::wire::{Reader, Writer};

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Ok = 0,
    /// Not now: no leader yet in this term, a change or transfer is pending, the uncommitted tail is full.
    Dropped = 1,
    NotLeader = 2,
    /// Bytes that no correct peer sends.
    BadMessage = 3,
    UnknownPeer = 4,
    BadChange = 5,
    BadConfig = 6,
    /// The peer's log and ours contradict each other below the commit index.
    Diverged = 7,
}

#[repr(C)]
pub struct Settings {
    pub id: u64,
    pub election_ticks: u64,
    pub heartbeat_ticks: u64,
    pub max_message_bytes: u64,
    pub max_inflight_messages: u64,
    pub max_uncommitted_bytes: u64,
    pub max_apply_bytes: u64,
    pub check_quorum: u8,
    pub pre_vote: u8,
}

#[repr(C)]
pub struct Status {
    pub id: u64,
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    pub applied: u64,
    pub persisted: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    pub leader: u64,
    pub transferee: u64,
    pub election_timeout: u64,
    pub uncommitted_bytes: u64,
    pub role: u8,
    pub committed_in_term: u8,
    pub voter: u8,
    pub snapshot_wanted: u8,
}

/// Bytes made here; steppe_raft_free_bytes() gives them back.
#[repr(C)]
pub struct OutBytes {
    data: *mut u8,
    len: usize,
}

fn hand_out(bytes: Vec<u8>, out: *mut OutBytes) {
    let boxed = bytes.into_boxed_slice();
    let len = boxed.len();
    let data = Box::into_raw(boxed) as *mut u8;
    // SAFETY: the caller passes a valid place.
    unsafe { *out = OutBytes { data, len } };
}

/// # Safety
/// `data` is null with `len` 0, or points at `len` readable bytes that outlive the call.
unsafe fn view<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, len)
}

fn code(outcome: core::Outcome) -> Code {
    outcome.err().unwrap_or(Code::Ok)
}

fn index_code(outcome: std::result::Result<u64, Code>, index: &mut u64) -> Code {
    match outcome {
        Ok(value) => {
            *index = value;
            Code::Ok
        }
        Err(code) => code,
    }
}

/// # Safety
/// The contract of every function here: pointers are valid for the call, handles come from
/// steppe_raft_new() and were not freed.
#[no_mangle]
pub unsafe extern "C" fn steppe_raft_new(settings: &Settings, saved: *const u8, len: usize, out: *mut *mut Core) -> Code {
    match Core::new(settings, view(saved, len)) {
        Ok(core) => {
            *out = Box::into_raw(Box::new(core));
            Code::Ok
        }
        Err(code) => code,
    }
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_free(core: *mut Core) {
    drop(Box::from_raw(core));
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_free_bytes(bytes: OutBytes) {
    if !bytes.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes.data, bytes.len)));
    }
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_tick(core: &mut Core) {
    core.tick();
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_set_election_timeout(core: &mut Core, ticks: u64) -> Code {
    code(core.set_election_timeout(ticks))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_campaign(core: &mut Core) -> Code {
    code(core.campaign())
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_step(core: &mut Core, data: *const u8, len: usize) -> Code {
    code(core.step(view(data, len)))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_propose(core: &mut Core, data: *const u8, len: usize, index: &mut u64) -> Code {
    index_code(core.propose(view(data, len)), index)
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_propose_conf_change(core: &mut Core, data: *const u8, len: usize, index: &mut u64) -> Code {
    index_code(core.propose_conf_change(view(data, len)), index)
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_apply_conf_change(core: &mut Core, data: *const u8, len: usize, out: *mut OutBytes) -> Code {
    let mut writer = Writer::default();
    let done = code(core.apply_conf_change(view(data, len), &mut writer));
    hand_out(writer.bytes, out);
    done
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_apply_conf_entry(core: &mut Core, kind: u8, data: *const u8, len: usize, out: *mut OutBytes) -> Code {
    let mut writer = Writer::default();
    let done = code(core.apply_conf_entry(kind, view(data, len), &mut writer));
    hand_out(writer.bytes, out);
    done
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_transfer_leader(core: &mut Core, to: u64) -> Code {
    code(core.transfer_leader(to))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_read_index(core: &mut Core, data: *const u8, len: usize) -> Code {
    code(core.read_index(view(data, len)))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_report_unreachable(core: &mut Core, peer: u64) {
    core.report_unreachable(peer);
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_report_snapshot(core: &mut Core, peer: u64, ok: u8) {
    core.report_snapshot(peer, ok != 0);
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_has_ready(core: &Core) -> u8 {
    core.has_ready() as u8
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_ready(core: &mut Core, out: *mut OutBytes) -> Code {
    let mut writer = Writer::default();
    let done = code(core.ready(&mut writer));
    hand_out(writer.bytes, out);
    done
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_persisted(core: &mut Core, number: u64) -> Code {
    code(core.persisted(number))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_applied(core: &mut Core, index: u64) -> Code {
    code(core.applied(index))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_snapshot_taken(core: &mut Core, index: u64, conf: *const u8, len: usize) -> Code {
    code(core.snapshot_taken(index, view(conf, len)))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_compact(core: &mut Core, index: u64) -> Code {
    code(core.compact(index))
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_status(core: &Core, out: *mut Status) {
    *out = core.status();
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_conf_state(core: &Core, out: *mut OutBytes) {
    let mut writer = Writer::default();
    core.conf_state(&mut writer);
    hand_out(writer.bytes, out);
}

#[no_mangle]
pub unsafe extern "C" fn steppe_raft_progress(core: &Core, out: *mut OutBytes) {
    let mut writer = Writer::default();
    core.progress(&mut writer);
    hand_out(writer.bytes, out);
}

/// A flat message record to the bytes that peers exchange.
#[no_mangle]
pub unsafe extern "C" fn steppe_raft_encode_message(data: *const u8, len: usize, out: *mut OutBytes) -> Code {
    let mut reader = Reader::new(view(data, len));
    let message = reader.message();
    let bytes = message.as_ref().map(|m| m.encode_to_vec()).unwrap_or_default();
    hand_out(bytes, out);
    if message.is_some() && reader.done() {
        Code::Ok
    } else {
        Code::BadMessage
    }
}

/// And back.
#[no_mangle]
pub unsafe extern "C" fn steppe_raft_decode_message(data: *const u8, len: usize, out: *mut OutBytes) -> Code {
    let mut writer = Writer::default();
    let decoded = raft::eraftpb::Message::decode(view(data, len));
    if let Ok(message) = &decoded {
        writer.message(message);
    }
    hand_out(writer.bytes, out);
    if decoded.is_ok() {
        Code::Ok
    } else {
        Code::BadMessage
    }
}

/// The change inside a committed entry, as propose_conf_change() takes it.
#[no_mangle]
pub unsafe extern "C" fn steppe_raft_decode_change(kind: u8, data: *const u8, len: usize, out: *mut OutBytes) -> Code {
    let change = core::decode_change(kind, view(data, len));
    let mut writer = Writer::default();
    if let Some(change) = &change {
        writer.u8(change.transition as u8);
        writer.count(change.changes.len());
        for single in &change.changes {
            writer.u8(single.change_type as u8);
            writer.u64(single.node_id);
        }
        writer.blob(&change.context);
    }
    hand_out(writer.bytes, out);
    if change.is_some() {
        Code::Ok
    } else {
        Code::BadChange
    }
}
