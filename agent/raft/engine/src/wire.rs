//! The flat little-endian records that cross the C interface, in both directions. engine_wire.h is
//! the other half: the two change together, there is no version because they are linked together.

use raft::eraftpb::{ConfState, Entry, Message};

/// Writes a record.
#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }
    pub fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("a record holds fewer than 2^32 items"));
    }
    pub fn blob(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }
    pub fn list(&mut self, values: &[u64]) {
        self.count(values.len());
        for value in values {
            self.u64(*value);
        }
    }
    pub fn entries(&mut self, entries: &[Entry]) {
        self.count(entries.len());
        for entry in entries {
            self.u64(entry.index);
            self.u64(entry.term);
            self.u8(entry.entry_type as u8);
            self.blob(&entry.data);
        }
    }
    pub fn conf_state(&mut self, state: &ConfState) {
        // Sorted: the crate lists members in the order of its hash tables.
        for ids in [
            &state.voters,
            &state.learners,
            &state.voters_outgoing,
            &state.learners_next,
        ] {
            let mut sorted = ids.clone();
            sorted.sort_unstable();
            self.list(&sorted);
        }
        self.u8(state.auto_leave as u8);
    }
    pub fn message(&mut self, message: &Message) {
        self.u8(message.msg_type as u8);
        for value in [
            message.to,
            message.from,
            message.term,
            message.log_term,
            message.index,
            message.commit,
            message.commit_term,
            message.request_snapshot,
            message.reject_hint,
        ] {
            self.u64(value);
        }
        self.u8(message.reject as u8);
        self.blob(&message.context);
        self.entries(&message.entries);
        let snapshot = message.get_snapshot().get_metadata();
        self.u64(snapshot.index);
        self.u64(snapshot.term);
        self.conf_state(snapshot.get_conf_state());
    }
}

/// Reads a record. Every getter answers None when the bytes end too early.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }
    pub fn done(&self) -> bool {
        self.bytes.is_empty()
    }
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        if count > self.bytes.len() {
            return None;
        }
        let (head, tail) = self.bytes.split_at(count);
        self.bytes = tail;
        Some(head)
    }
    pub fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    pub fn blob(&mut self) -> Option<Vec<u8>> {
        let count = self.u32()? as usize;
        Some(self.take(count)?.to_vec())
    }
    pub fn list(&mut self) -> Option<Vec<u64>> {
        let count = self.u32()? as usize;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.u64()?);
        }
        Some(values)
    }
    pub fn entries(&mut self) -> Option<Vec<Entry>> {
        let count = self.u32()? as usize;
        let mut entries = Vec::new();
        for _ in 0..count {
            let mut entry = Entry::default();
            entry.index = self.u64()?;
            entry.term = self.u64()?;
            entry.entry_type = self.u8()? as i32;
            entry.data = self.blob()?;
            entries.push(entry);
        }
        Some(entries)
    }
    pub fn conf_state(&mut self) -> Option<ConfState> {
        let mut state = ConfState::default();
        state.voters = self.list()?;
        state.learners = self.list()?;
        state.voters_outgoing = self.list()?;
        state.learners_next = self.list()?;
        state.auto_leave = self.u8()? != 0;
        Some(state)
    }
    pub fn message(&mut self) -> Option<Message> {
        let mut message = Message::default();
        message.msg_type = self.u8()? as i32;
        message.to = self.u64()?;
        message.from = self.u64()?;
        message.term = self.u64()?;
        message.log_term = self.u64()?;
        message.index = self.u64()?;
        message.commit = self.u64()?;
        message.commit_term = self.u64()?;
        message.request_snapshot = self.u64()?;
        message.reject_hint = self.u64()?;
        message.reject = self.u8()? != 0;
        message.context = self.blob()?;
        message.entries = self.entries()?.into();
        let (index, term) = (self.u64()?, self.u64()?);
        let state = self.conf_state()?;
        if index != 0 {
            let metadata = message.mut_snapshot().mut_metadata();
            metadata.index = index;
            metadata.term = term;
            *metadata.mut_conf_state() = state;
        }
        Some(message)
    }
}
