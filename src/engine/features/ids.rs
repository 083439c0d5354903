//! Event ids of the records that are kept: millions of short texts, stored back to back in pages. A
//! page is let go as a whole when nothing refers to it any more, which with records leaving in
//! about the order they came is soon. All but the latest pages are put away: an id is asked for
//! only where two records are of the same instant, and by labels.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::contracts::chunks::Error;
use crate::engine::features::spill::{Away, Spill};

/// Most pages in memory besides the one that is filled: with the usual 256 ids each, those of the
/// last seconds of a busy stream.
const RECENT_MAX: usize = 64;
/// About what a page takes: of a small budget a small part goes to ids.
const PAGE_BYTES: usize = 16 << 10;

/// Refers to an id that is held.
pub(crate) type EventRef = u32;

#[derive(Debug)]
pub(crate) struct EventIds {
    /// Of a reference, those that say which id of its page.
    bits: u32,
    recent_max: usize,
    pages: Vec<Page>,
    free: Vec<u32>,
    /// The page that is being filled.
    open: Option<u32>,
    /// Full pages in memory, the latest last.
    recent: VecDeque<u32>,
    /// The page that was last brought back to be looked at.
    looked_at: Option<(u32, Ids)>,
}

#[derive(Debug)]
struct Page {
    n_refs: u32,
    at: At,
}

#[derive(Debug)]
enum At {
    Here(Box<Ids>),
    Away(Away),
}

#[derive(Debug, Default)]
struct Ids {
    bytes: String,
    ends: Vec<u32>,
}

impl EventIds {
    /// Pages of at least `page_ids` ids; so many in memory as suit a state of `memory_bytes`.
    pub(crate) fn new(page_ids: usize, memory_bytes: usize) -> EventIds {
        EventIds {
            bits: page_ids.next_power_of_two().trailing_zeros(),
            recent_max: (memory_bytes / 16 / PAGE_BYTES).clamp(1, RECENT_MAX),
            pages: Vec::new(),
            free: Vec::new(),
            open: None,
            recent: VecDeque::new(),
            looked_at: None,
        }
    }

    /// Stores an id with `n_refs` references to it. Each is given back by [`EventIds::release`].
    pub(crate) fn hold(
        &mut self,
        spill: &mut Spill,
        id: &str,
        n_refs: u32,
    ) -> Result<EventRef, Error> {
        let is_full = |it: &Ids| it.ends.len() >= 1 << self.bits;
        let number = match self.open.map(|it| (it, &self.pages[it as usize].at)) {
            Some((number, At::Here(ids))) if !is_full(ids) => number,
            _ => self.open_page(spill)?,
        };
        let page = &mut self.pages[number as usize];
        let At::Here(ids) = &mut page.at else {
            unreachable!("the page that is filled is in memory")
        };
        let at = u32::try_from(ids.ends.len()).expect("a page has a few hundred ids");
        ids.bytes.push_str(id);
        let end = u32::try_from(ids.bytes.len()).expect("ids of 128 bytes, a few hundred");
        ids.ends.push(end);
        page.n_refs += n_refs;
        Ok(number << self.bits | at)
    }

    fn open_page(&mut self, spill: &mut Spill) -> Result<u32, Error> {
        if let Some(full) = self.open.take() {
            match self.pages[full as usize].n_refs {
                0 => self.let_go(spill, full),
                _ => self.recent.push_back(full),
            }
        }
        if self.recent.len() > self.recent_max
            && let Some(oldest) = self.recent.pop_front()
        {
            let page = &mut self.pages[oldest as usize];
            if let At::Here(ids) = &page.at {
                page.at = At::Away(spill.put(&ids.to_bytes())?);
            }
        }
        let page = Page {
            n_refs: 0,
            at: At::Here(Box::default()),
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.pages[number as usize] = page;
                number
            }
            None => {
                self.pages.push(page);
                u32::try_from(self.pages.len() - 1).expect("fewer than 4 billion pages fit memory")
            }
        };
        assert!(
            number <= u32::MAX >> self.bits,
            "4 billion event ids are held"
        );
        self.open = Some(number);
        Ok(number)
    }

    fn let_go(&mut self, spill: &mut Spill, number: u32) {
        let page = &mut self.pages[number as usize];
        if let At::Away(away) = &page.at {
            spill.free(away);
        }
        page.at = At::Here(Box::default());
        self.recent.retain(|it| *it != number);
        self.looked_at.take_if(|it| it.0 == number);
        self.free.push(number);
    }

    /// The page of an id, and which of the page's it is.
    fn spot(&self, event: EventRef) -> (u32, usize) {
        let mask = (1 << self.bits) - 1;
        (event >> self.bits, (event & mask) as usize)
    }

    fn look(&mut self, spill: &Spill, event: EventRef) -> Result<&str, Error> {
        let (number, at) = self.spot(event);
        if let At::Here(ids) = &self.pages[number as usize].at {
            return Ok(ids.get(at));
        }
        if self.looked_at.as_ref().is_none_or(|it| it.0 != number) {
            self.looked_at = Some((number, self.read(spill, number)?));
        }
        let looked_at = self.looked_at.as_ref();
        Ok(looked_at.expect("it was set above").1.get(at))
    }

    fn read(&self, spill: &Spill, number: u32) -> Result<Ids, Error> {
        match &self.pages[number as usize].at {
            At::Here(ids) => Ids::of_bytes(&ids.to_bytes()),
            At::Away(away) => Ids::of_bytes(&spill.get(away)?),
        }
    }

    /// How an id compares to a text.
    pub(crate) fn order(
        &mut self,
        spill: &Spill,
        event: EventRef,
        id: &str,
    ) -> Result<Ordering, Error> {
        Ok(self.look(spill, event)?.cmp(id))
    }

    pub(crate) fn text(&mut self, spill: &Spill, event: EventRef) -> Result<String, Error> {
        self.look(spill, event).map(str::to_owned)
    }

    /// The texts of ids, each page read once.
    pub(crate) fn texts(
        &self,
        spill: &Spill,
        mut events: Vec<EventRef>,
    ) -> Result<Vec<(EventRef, String)>, Error> {
        events.sort_unstable();
        let mut page: Option<(u32, Ids)> = None;
        let mut texts = Vec::with_capacity(events.len());
        for event in events {
            let (number, at) = self.spot(event);
            let ids = match page.take() {
                Some((of, ids)) if of == number => ids,
                _ => self.read(spill, number)?,
            };
            texts.push((event, ids.get(at).to_owned()));
            page = Some((number, ids));
        }
        Ok(texts)
    }

    /// Gives one reference back.
    pub(crate) fn release(&mut self, spill: &mut Spill, event: EventRef) {
        let (number, _) = self.spot(event);
        let page = &mut self.pages[number as usize];
        page.n_refs -= 1;
        if page.n_refs == 0 && self.open != Some(number) {
            self.let_go(spill, number);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let in_memory = self.open.iter().chain(&self.recent);
        let of = |number: &u32| match &self.pages[*number as usize].at {
            At::Here(ids) => ids.bytes.capacity() + 4 * ids.ends.capacity() + size_of::<Ids>(),
            At::Away(_) => 0,
        };
        self.pages.capacity() * size_of::<Page>() + in_memory.map(of).sum::<usize>()
    }
}

impl Ids {
    fn get(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |it| self.ends[it] as usize);
        &self.bytes[start..self.ends[at] as usize]
    }

    /// How many, where each ends, and their texts.
    fn to_bytes(&self) -> Vec<u8> {
        let n = u32::try_from(self.ends.len()).expect("a page has a few hundred ids");
        let words = std::iter::once(&n).chain(&self.ends);
        let mut bytes: Vec<u8> = words.flat_map(|it| it.to_le_bytes()).collect();
        bytes.extend(self.bytes.as_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Result<Ids, Error> {
        let (n, rest) = bytes.split_first_chunk().ok_or(Error::Damaged)?;
        let n = u32::from_le_bytes(*n) as usize;
        let (ends, texts) = rest.split_at_checked(4 * n).ok_or(Error::Damaged)?;
        let ends = ends.as_chunks().0.iter().map(|it| u32::from_le_bytes(*it));
        let ends: Vec<u32> = ends.collect();
        let bytes = String::from_utf8(texts.to_vec()).map_err(|_| Error::Damaged)?;
        Ok(Ids { bytes, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::chunks::MemoryChunks;

    #[test]
    fn pages_are_put_away_let_go_and_used_again() {
        let mut spill = Spill::new(Box::new(MemoryChunks::default()));
        let mut ids = EventIds::new(200, 0);
        let hold = |ids: &mut EventIds, spill: &mut Spill, of: &str| -> Vec<EventRef> {
            let texts = (0..10_000).map(|it| format!("{of}{it}"));
            texts.map(|it| ids.hold(spill, &it, 1).unwrap()).collect()
        };
        let held = hold(&mut ids, &mut spill, "e");
        let (in_memory, away) = (ids.bytes(), spill.bytes());
        assert!(in_memory < 10_000 && away > 80_000, "{in_memory} {away}");
        for nth in [9_999, 0, 5_000, 5_001, 255, 256] {
            assert_eq!(ids.text(&spill, held[nth]).unwrap(), format!("e{nth}"));
        }
        for event in &held[..8_192] {
            ids.release(&mut spill, *event);
        }
        assert!(spill.bytes() < away / 4, "{}", spill.bytes());
        assert_eq!(ids.text(&spill, held[8_192]).unwrap(), "e8192");
        let again = hold(&mut ids, &mut spill, "f");
        assert_eq!(ids.pages.len(), 47);
        assert_eq!(ids.text(&spill, again[5_000]).unwrap(), "f5000");
        let texts = ids.texts(&spill, vec![again[7], held[9_000], again[6]]);
        let mut texts: Vec<String> = texts.unwrap().into_iter().map(|it| it.1).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["e9000", "f6", "f7"]);
    }
}
