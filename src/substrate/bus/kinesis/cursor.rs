//! Where readers stand: an iterator with what was fetched and not yet given. Pure, but for the lock
//! of the cache.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::offset::{SequenceNumber, ShardRef};
use crate::domain::time::Time;
use crate::substrate::bus::{BusRecord, ReadBatch, ReadFrom, ReadLimit};

/// Cursors that are kept; the least recently used goes first, and its reader opens another.
const CURSORS_MAX: usize = 256;

/// No stream keeps its records for less than 24 hours, so what arrived this lately is there.
pub(super) const KEPT_FOR_SURE: Duration = Duration::from_secs(23 * 3_600);

/// As Kinesis: records of one `GetRecords`.
pub(super) const PAGE_RECORDS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Cursor {
    /// Asks for the next page; `None` when the shard was closed and is fetched to its end.
    pub(super) iterator: Option<String>,
    /// Fetched and not yet given.
    held: VecDeque<BusRecord>,
    /// The record at the position itself, asked for to see that nothing behind it was dropped; it
    /// was given before.
    own: Option<SequenceNumber>,
    /// What came first was not the position's own record.
    is_own_gone: bool,
    /// Records that arrived earlier are passed over until one did not.
    not_before: Option<Time>,
    /// How far the last page was behind the tip.
    behind_ms: u64,
    is_at_tip: bool,
    /// When a page last ended at the tip.
    tip_seen_at: Option<Time>,
}

/// What one `GetRecords` answered.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<BusRecord>,
    pub(super) next: Option<String>,
    pub(super) behind_ms: u64,
    /// How many records were asked for, and when.
    pub(super) asked: usize,
    pub(super) asked_at: Time,
}

impl Cursor {
    pub(super) fn new(iterator: String) -> Cursor {
        Cursor {
            iterator: Some(iterator),
            held: VecDeque::new(),
            own: None,
            is_own_gone: false,
            not_before: None,
            behind_ms: 0,
            is_at_tip: false,
            tip_seen_at: None,
        }
    }

    pub(super) fn after(self, own: SequenceNumber) -> Cursor {
        Cursor {
            own: Some(own),
            ..self
        }
    }

    pub(super) fn not_before(self, time: Time) -> Cursor {
        Cursor {
            not_before: Some(time),
            ..self
        }
    }

    pub(super) fn take(&mut self, page: Page) {
        let n_records = page.records.len();
        let mut records = page.records.into_iter().peekable();
        if let Some(first) = records.peek()
            && let Some(own) = self.own.take()
        {
            self.is_own_gone = first.sequence_number != own;
            if !self.is_own_gone {
                drop(records.next());
            }
        }
        if let Some(time) = self.not_before {
            while records.next_if(|it| it.arrived_at < time).is_some() {}
            if records.peek().is_some() {
                self.not_before = None;
            }
        }
        self.held.extend(records);
        // An emulator says 0 also when it gave only as many as were asked for.
        let is_cut = n_records >= page.asked;
        self.is_at_tip = page.next.is_none() || (page.behind_ms == 0 && !is_cut);
        self.behind_ms = match self.is_at_tip {
            true => 0,
            false => page.behind_ms.max(1),
        };
        if self.is_at_tip {
            self.tip_seen_at = Some(page.asked_at);
        }
        self.iterator = page.next;
    }

    /// Goes on with another iterator for the place behind what is held.
    pub(super) fn renew(&mut self, fresh: Cursor) {
        let mut held = std::mem::take(&mut self.held);
        held.extend(fresh.held);
        *self = Cursor { held, ..fresh };
    }

    /// Gives what the limit takes.
    pub(super) fn give(&mut self, limit: ReadLimit, now: Time) -> ReadBatch {
        let (mut records, mut n_bytes) = (Vec::new(), 0);
        while records.len() < limit.records_max.max(1)
            && (records.is_empty() || n_bytes < limit.bytes_max)
            && let Some(record) = self.held.pop_front()
        {
            n_bytes += size(&record);
            records.push(record);
        }
        let n_held = self.held.len() as u64;
        let behind_ms = match self.held.front() {
            Some(next) => next.arrived_at.ms_until(now),
            None => self.behind_ms,
        };
        ReadBatch {
            records,
            behind_tip: n_held + u64::from(!self.is_at_tip),
            behind_ms,
            shard_end: self.is_drained(),
        }
    }

    /// How many records to ask for so that a batch is full and the next record is known.
    pub(super) fn wanted(&self, limit: ReadLimit) -> usize {
        let full = limit.records_max.max(1).saturating_add(1);
        full.saturating_sub(self.held.len())
            .clamp(1, PAGE_RECORDS_MAX)
    }

    /// Whether a batch can be given that asking for more would not make larger.
    pub(super) fn is_enough(&self, limit: ReadLimit) -> bool {
        self.iterator.is_none()
            || limit.records_max.max(1) < self.held.len()
            || (!self.held.is_empty()
                && limit.bytes_max <= self.held.iter().map(size).sum::<usize>())
    }

    pub(super) fn first(&self) -> Option<&BusRecord> {
        self.held.front()
    }

    pub(super) fn last(&self) -> Option<&BusRecord> {
        self.held.back()
    }

    /// Closed, and nothing is left of it.
    pub(super) fn is_drained(&self) -> bool {
        self.iterator.is_none() && self.held.is_empty()
    }

    pub(super) fn is_at_tip(&self) -> bool {
        self.is_at_tip
    }

    pub(super) fn is_own_gone(&self) -> bool {
        self.is_own_gone
    }

    /// No record has come yet, not even the position's own.
    pub(super) fn is_waiting_for_own(&self) -> bool {
        self.own.is_some() && self.iterator.is_some()
    }

    pub(super) fn has_met_own(&self) -> bool {
        self.own.is_none() && !self.is_own_gone
    }

    /// When nothing was known to lie behind this place; `None` while something does.
    pub(super) fn tip_seen_at(&self) -> Option<Time> {
        self.held.is_empty().then_some(self.tip_seen_at).flatten()
    }

    /// Retention may overtake a reader this far behind, and an iterator that it overtook jumps
    /// without a word: such a place is opened again, with a look at its own record.
    fn may_be_overtaken(&self) -> bool {
        KEPT_FOR_SURE.as_millis() <= u128::from(self.behind_ms)
    }
}

/// Places that are kept; a reader asks once, when it begins.
const RECALLED_MAX: usize = 4_096;

/// When earlier readers knew, of places of theirs, that all that had arrived lay before them.
#[derive(Default)]
pub(super) struct Recalled(Mutex<HashMap<(ShardRef, SequenceNumber), Time>>);

impl Recalled {
    pub(super) fn note(&self, at: &ShardRef, number: &SequenceNumber, seen_at: Time) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= RECALLED_MAX {
            places.clear();
        }
        let known = places.entry((at.clone(), number.clone()));
        let known = known.or_insert(seen_at);
        *known = seen_at.max(*known);
    }

    pub(super) fn of(&self, at: &ShardRef, number: &SequenceNumber) -> Option<Time> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(&(at.clone(), number.clone())).copied()
    }
}

fn size(record: &BusRecord) -> usize {
    record.partition_key.len() + record.data.len()
}

/// The cursors of readers between two reads, by shard and place.
#[derive(Default)]
pub(super) struct Cursors(Mutex<VecDeque<(ShardRef, ReadFrom, Cursor)>>);

impl Cursors {
    /// Takes one out: a read that is dropped loses it, and nothing else.
    pub(super) fn take(&self, at: &ShardRef, from: &ReadFrom) -> Option<Cursor> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .rposition(|(shard, place, _)| shard == at && place == from)?;
        let (_, _, cursor) = kept.remove(found)?;
        (!cursor.may_be_overtaken()).then_some(cursor)
    }

    pub(super) fn put(&self, at: &ShardRef, from: ReadFrom, mut cursor: Cursor) {
        cursor.tip_seen_at = cursor.tip_seen_at();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((at.clone(), from, cursor));
        if CURSORS_MAX < kept.len() {
            kept.pop_front();
        }
    }
}
