//! Where events stand, found by their id: what labels need, and seldom. The latest are in memory,
//! the others in sorted runs that are put away page by page, of which there remain the first key of
//! a page, an id and a seal: 24 bytes for a few hundred events.
//!
//! Runs of like size become one until they are as long as may be rewritten at once; a label then
//! looks at one page of each.

use std::collections::BTreeMap;

use crate::contracts::chunks::Error;
use crate::domain::digest::Digest;
use crate::engine::features::block::Block;
use crate::engine::features::ids::EventRef;
use crate::engine::features::labels::Standing;
use crate::engine::features::spill::{Away, Spill};

/// Entries of a run that is not made longer: it is written in some tens of milliseconds.
const RUN_ENTRIES_MAX: usize = 1 << 17;
/// Pages of entries that are sorted in memory before they become a run.
const FRESH_PAGES: usize = 4;
/// Words before those of the series: the key, the time, the event.
const LEAD: usize = 3;

#[derive(Debug)]
pub(crate) struct Index {
    /// Words of an entry.
    stride: usize,
    page_entries: usize,
    fresh: BTreeMap<(i64, EventRef), Standing>,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    pages: Vec<Page>,
    n: usize,
    oldest: i64,
}

#[derive(Debug)]
struct Page {
    /// The least key of its entries.
    first: i64,
    at: Away,
}

impl Index {
    /// `n_groups`: of each so many events have a series.
    pub(crate) fn new(n_groups: usize, page_entries: usize) -> Index {
        Index {
            stride: LEAD + n_groups,
            page_entries,
            fresh: BTreeMap::new(),
            runs: Vec::new(),
        }
    }

    pub(crate) fn put(
        &mut self,
        spill: &mut Spill,
        event_id: &str,
        standing: Standing,
    ) -> Result<(), Error> {
        self.fresh
            .insert((key_of(event_id), standing.event), standing);
        if self.fresh.len() < FRESH_PAGES * self.page_entries {
            return Ok(());
        }
        let mut words = Vec::with_capacity(self.fresh.len() * self.stride);
        for ((key, _), standing) in std::mem::take(&mut self.fresh) {
            write(&mut words, key, &standing);
        }
        let n_words = |it: &Run| it.n * self.stride;
        while let Some(last) = self.runs.last()
            && n_words(last) <= words.len()
            && last.n < RUN_ENTRIES_MAX
        {
            words.extend(self.read(spill, last)?);
            if let Some(merged) = self.runs.pop() {
                merged.free(spill);
            }
        }
        let run = self.run_of(spill, &words)?;
        self.runs.extend(run);
        Ok(())
    }

    /// Every event whose id may be this one: the caller compares.
    pub(crate) fn find(&self, spill: &Spill, event_id: &str) -> Result<Vec<Standing>, Error> {
        let key = key_of(event_id);
        let fresh = self.fresh.range((key, 0)..=(key, EventRef::MAX));
        let mut found: Vec<Standing> = fresh.map(|it| it.1.clone()).collect();
        for run in &self.runs {
            // The page before may end with the key that the next begins with.
            let start = run.pages.partition_point(|it| it.first < key);
            let pages = run.pages.iter().skip(start.saturating_sub(1));
            for page in pages.take_while(|it| it.first <= key) {
                let words = Block::of_bytes(spill.get(&page.at)?).unpack(self.stride);
                let entries = words.chunks_exact(self.stride);
                found.extend(entries.filter(|it| it[0] == key).map(standing_of));
            }
        }
        Ok(found)
    }

    /// Shows every event with its time, in no order.
    pub(crate) fn each(
        &self,
        spill: &Spill,
        mut show: impl FnMut(EventRef, i64),
    ) -> Result<(), Error> {
        self.fresh.values().for_each(|it| show(it.event, it.ts));
        for run in &self.runs {
            let words = self.read(spill, run)?;
            for entry in words.chunks_exact(self.stride) {
                let standing = standing_of(entry);
                show(standing.event, standing.ts);
            }
        }
        Ok(())
    }

    /// Forgets what stands at or before `cutoff`; which events.
    pub(crate) fn forget(
        &mut self,
        spill: &mut Spill,
        cutoff: i64,
    ) -> Result<Vec<EventRef>, Error> {
        let mut gone = Vec::new();
        self.fresh.retain(|_, it| {
            if it.ts <= cutoff {
                gone.push(it.event);
            }
            it.ts > cutoff
        });
        let runs = std::mem::take(&mut self.runs);
        for run in runs {
            if run.oldest > cutoff {
                self.runs.push(run);
                continue;
            }
            let mut kept = Vec::new();
            for entry in self.read(spill, &run)?.chunks_exact(self.stride) {
                match entry[1] <= cutoff {
                    true => gone.push(standing_of(entry).event),
                    false => kept.extend(entry),
                }
            }
            run.free(spill);
            let run = self.run_of(spill, &kept)?;
            self.runs.extend(run);
        }
        Ok(gone)
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let series = (self.stride - LEAD) * size_of::<Option<u32>>() + 16;
        let fresh = self.fresh.len() * (size_of::<(i64, EventRef, Standing)>() + series);
        let pages = self.runs.iter().map(|it| it.pages.capacity());
        fresh + pages.sum::<usize>() * size_of::<Page>()
    }

    fn read(&self, spill: &Spill, run: &Run) -> Result<Vec<i64>, Error> {
        let mut words = Vec::with_capacity(run.n * self.stride);
        for page in &run.pages {
            words.extend(Block::of_bytes(spill.get(&page.at)?).unpack(self.stride));
        }
        Ok(words)
    }

    /// A run of entries in any order; `None` of none.
    fn run_of(&self, spill: &mut Spill, words: &[i64]) -> Result<Option<Run>, Error> {
        let mut entries: Vec<&[i64]> = words.chunks_exact(self.stride).collect();
        entries.sort_unstable_by_key(|it| (it[0], it[2]));
        let Some(oldest) = entries.iter().map(|it| it[1]).min() else {
            return Ok(None);
        };
        let mut pages = Vec::with_capacity(entries.len().div_ceil(self.page_entries));
        for page in entries.chunks(self.page_entries) {
            // No field of it is flipped later.
            let block = Block::pack(&page.concat(), self.stride, usize::MAX);
            pages.push(Page {
                first: page[0][0],
                at: spill.put(block.as_bytes())?,
            });
        }
        let n = entries.len();
        Ok(Some(Run { pages, n, oldest }))
    }
}

impl Run {
    fn free(&self, spill: &mut Spill) {
        self.pages.iter().for_each(|it| spill.free(&it.at));
    }
}

/// Nobody who chooses ids finds two of one key; if there are, they are told apart by the ids.
fn key_of(event_id: &str) -> i64 {
    let digest = Digest::of_bytes(event_id.as_bytes());
    let (key, _) = digest.as_bytes().split_first_chunk().expect("32 bytes");
    i64::from_le_bytes(*key)
}

fn write(words: &mut Vec<i64>, key: i64, standing: &Standing) {
    words.extend([key, standing.ts, i64::from(standing.event)]);
    let series = standing.series.iter();
    words.extend(series.map(|it| it.map_or(-1, i64::from)));
}

fn standing_of(entry: &[i64]) -> Standing {
    let series = entry[LEAD..].iter();
    Standing {
        ts: entry[1],
        event: entry[2] as EventRef,
        series: series.map(|it| u32::try_from(*it).ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::chunks::MemoryChunks;

    #[test]
    fn events_are_found_until_they_are_forgotten() {
        let mut spill = Spill::new(Box::new(MemoryChunks::default()));
        let mut index = Index::new(2, 8);
        let standing = |nth: u32| Standing {
            ts: i64::from(nth % 100),
            event: nth,
            series: [Some(nth + 1), None].into(),
        };
        let id = |nth: u32| format!("e{nth}");
        for nth in 0..5_000 {
            index.put(&mut spill, &id(nth), standing(nth)).unwrap();
        }
        let found = |index: &Index, spill: &Spill, nth: u32| {
            let found = index.find(spill, &id(nth)).unwrap();
            let found = found.iter().map(|it| (it.ts, it.event, it.series.clone()));
            found.collect::<Vec<_>>()
        };
        let expect = |nth: u32| (standing(nth).ts, nth, standing(nth).series);
        for nth in 0..5_000 {
            assert_eq!(found(&index, &spill, nth), [expect(nth)]);
        }
        assert_eq!(found(&index, &spill, 5_000), []);
        // A label looks at few runs.
        assert!(index.runs.len() < 10, "{}", index.runs.len());
        assert!(index.bytes() < 5_000 * 8, "{}", index.bytes());
        let gone = index.forget(&mut spill, 49).unwrap();
        assert!(gone.len() == 2_500 && gone.iter().all(|it| it % 100 < 50));
        for nth in 0..5_000 {
            let kept = (nth % 100 >= 50).then(|| expect(nth));
            assert_eq!(found(&index, &spill, nth), Vec::from_iter(kept));
        }
        let mut left = Vec::new();
        index.each(&spill, |event, _| left.push(event)).unwrap();
        assert_eq!(left.len(), 2_500);
        assert_eq!(index.forget(&mut spill, 100).unwrap().len(), 2_500);
        assert_eq!((spill.bytes(), index.runs.len()), (0, 0));
    }
}
