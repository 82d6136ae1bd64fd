//! What the engine may read of the log: the tail since the newest snapshot, in memory. The shell owns
//! the durable log; the mirror follows what a Ready told the shell to write.

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

pub struct Mirror {
    pub hard_state: HardState,
    pub conf_state: ConfState,
    /// Index and term of the last entry that is no longer in `entries`.
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    /// The newest durable snapshot: what a follower that is too far behind gets.
    snapshot_index: u64,
    snapshot_term: u64,
    snapshot_conf: ConfState,
    /// A follower needs a snapshot that we do not have: the shell is to take one.
    pub snapshot_wanted: Cell<bool>,
}

impl Mirror {
    /// Entries must be contiguous from `index` + 1.
    pub fn new(hard_state: HardState, conf_state: ConfState, index: u64, term: u64, entries: Vec<Entry>) -> Self {
        Mirror {
            hard_state,
            snapshot_conf: conf_state.clone(),
            conf_state,
            base_index: index,
            base_term: term,
            entries: entries.into(),
            snapshot_index: index,
            snapshot_term: term,
            snapshot_wanted: Cell::new(false),
        }
    }

    /// The log's base stands, but there is no content to send.
    pub fn forget_snapshot(&mut self) {
        self.snapshot_index = 0;
        self.snapshot_term = 0;
    }

    fn last(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        if index < self.base_index || index > self.last() {
            return None;
        }
        Some(self.entries[(index - self.base_index - 1) as usize].term)
    }

    /// Replaces the suffix from the first new entry on.
    pub fn append(&mut self, new: &[Entry]) {
        let Some(first) = new.first() else { return };
        assert!(first.index > self.base_index && first.index <= self.last() + 1, "append leaves a hole");
        self.entries.truncate((first.index - self.base_index - 1) as usize);
        self.entries.extend(new.iter().cloned());
    }

    /// A snapshot from the leader replaces everything.
    pub fn install(&mut self, snapshot: &Snapshot) {
        let metadata = snapshot.get_metadata();
        self.base_index = metadata.index;
        self.base_term = metadata.term;
        self.entries.clear();
        self.snapshot_index = metadata.index;
        self.snapshot_term = metadata.term;
        self.snapshot_conf = metadata.get_conf_state().clone();
    }

    /// Records a durable snapshot of our own. False when `index` is not in the log.
    pub fn set_snapshot(&mut self, index: u64, conf_state: ConfState) -> bool {
        let Some(term) = self.term_at(index) else { return false };
        if index < self.snapshot_index {
            return false;
        }
        self.snapshot_index = index;
        self.snapshot_term = term;
        self.snapshot_conf = conf_state;
        self.snapshot_wanted.set(false);
        true
    }

    /// Forgets entries up to and including `index`, never past the newest snapshot.
    pub fn compact(&mut self, index: u64) -> bool {
        if index > self.snapshot_index || index > self.last() {
            return false;
        }
        if index <= self.base_index {
            return true;
        }
        self.base_term = self.term_at(index).expect("index is in the log");
        self.entries.drain(..(index - self.base_index) as usize);
        self.base_index = index;
        true
    }
}

impl Storage for Mirror {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(&self, low: u64, high: u64, max_size: impl Into<Option<u64>>, _: GetEntriesContext) -> Result<Vec<Entry>> {
        if low <= self.base_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0u64;
        let mut found = Vec::new();
        for index in low..high {
            let entry = &self.entries[(index - self.base_index - 1) as usize];
            // At least one entry, whatever its size; 24 stands for the entry's own fields.
            size = size.saturating_add(entry.data.len() as u64 + 24);
            if size > max_size && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        match self.term_at(index) {
            Some(term) => Ok(term),
            None if index < self.base_index => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base_index + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        // A follower ignores a snapshot that does not know it as a member: one that was added after our
        // newest would be sent it for ever.
        let conf = &self.snapshot_conf;
        let knows = conf.voters.contains(&to) || conf.learners.contains(&to) || conf.voters_outgoing.contains(&to);
        if self.snapshot_index == 0 || self.snapshot_index < request_index || !knows {
            self.snapshot_wanted.set(true);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.snapshot_index;
        metadata.term = self.snapshot_term;
        *metadata.mut_conf_state() = self.snapshot_conf.clone();
        Ok(snapshot)
    }
}
