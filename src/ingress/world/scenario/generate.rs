//! A world slice by slice: customers and campaigns in parallel, merged into one order, numbered, and
//! written when an object is full. In memory are the people, one slice, the campaigns that are under
//! way, the labels, and an object or two a thread; never the world.

use std::collections::{BTreeMap, HashMap};

use crate::domain::time::Time;
use crate::domain::vocabulary::Channel;
use crate::ingress::world::codec::ARRIVALS_ROWS_MAX;
use crate::ingress::world::error::Error;
use crate::ingress::world::scenario::campaigns::{Watch, begin};
use crate::ingress::world::scenario::habits;
use crate::ingress::world::scenario::labels::{self, Label};
use crate::ingress::world::scenario::model::Model;
use crate::ingress::world::scenario::row::Row;
use crate::ingress::world::scenario::season::{MICROS_PER_HOUR, Slice};
use crate::ingress::world::scenario::threads;
use crate::ingress::world::scenario::town::{CHUNK, Town};
use crate::ingress::world::scenario::write::{self, Placed};

/// Payments of a slice, about: its hours follow from it.
const SLICE_ROWS: f64 = 400_000.0;

/// A finished object.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: i64,
}

/// What a world came to.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) truth: Part,
    pub(crate) arrivals: i64,
    pub(crate) payments: i64,
    pub(crate) first_ts: Time,
    pub(crate) last_ts: Time,
}

/// Makes the world, handing over its arrivals object by object. The bytes follow from the model
/// alone.
pub(crate) fn generate(
    model: Model,
    n_threads: usize,
    progress: &mut dyn FnMut(u64, u64),
    emit: &mut dyn FnMut(Part) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let hours = slice_hours(&model);
    let expected = model.expected() as u64;
    let mut maker = Maker::new(Town::of(model, n_threads), hours, n_threads);
    for day in 0..maker.town.model.days {
        for first_hour in (0..24).step_by(hours as usize) {
            maker.slice(day, first_hour);
            maker.write(emit, false)?;
            progress(
                maker.payments.unsigned_abs(),
                expected.max(maker.payments.unsigned_abs() + 1),
            );
        }
    }
    maker.write(emit, true)?;
    progress(maker.payments.unsigned_abs(), maker.payments.unsigned_abs());
    maker.finish()
}

/// The largest part of a day whose payments are not too many. Slices have draws of their own, so it
/// follows from the scenario alone, never from the machine.
fn slice_hours(model: &Model) -> u32 {
    let of_day = f64::from(model.customers) * model.rate;
    let fits = |hours: &u32| of_day * f64::from(*hours) / 24.0 <= SLICE_ROWS;
    [24, 12, 6, 3, 2].into_iter().find(fits).unwrap_or(1)
}

struct Maker {
    town: Town,
    hours: u32,
    n_threads: usize,
    /// Rows of slices to come.
    pending: BTreeMap<i64, Vec<Row>>,
    /// Terminals that copy cards, by merchant.
    watched: HashMap<u32, Vec<Watch>>,
    arrival_seqs: Vec<u32>,
    /// Numbered and not yet written; the first has the index `written`.
    held: Vec<Placed>,
    written: i64,
    labels: Vec<Label>,
    payments: i64,
    first_ts: Option<i64>,
    last_ts: i64,
}

impl Maker {
    fn new(town: Town, hours: u32, n_threads: usize) -> Maker {
        Maker {
            arrival_seqs: vec![0; town.model.merchants as usize],
            town,
            hours,
            n_threads: n_threads.max(1),
            pending: BTreeMap::new(),
            watched: HashMap::new(),
            held: Vec::new(),
            written: 0,
            labels: Vec::new(),
            payments: 0,
            first_ts: None,
            last_ts: 0,
        }
    }

    fn slice(&mut self, day: u32, first_hour: u32) {
        let model = &self.town.model;
        let slice = Slice::of(&model.season, model.start, day, first_hour, self.hours);
        if slice.opens_day() {
            self.begin(day, slice.from);
        }
        let chunks = self.town.model.customers.div_ceil(CHUNK) as usize;
        let town = &self.town;
        let mut rows =
            threads::map(self.n_threads, chunks, |it| habits::chunk(town, &slice, it)).concat();
        let at = self.slice_at(slice.from);
        rows.extend(self.pending.remove(&at).unwrap_or_default());
        rows.sort_unstable_by_key(Row::order);
        self.held.reserve(rows.len());
        for row in rows {
            self.place(row, slice.until);
        }
    }

    /// Lets the campaigns of a day begin.
    fn begin(&mut self, day: u32, from: i64) {
        let (rows, watches) = begin(&self.town, day, self.n_threads);
        self.watched.retain(|_, of_merchant| {
            of_merchant.retain(|it| from < it.until);
            !of_merchant.is_empty()
        });
        for watch in watches {
            self.watched.entry(watch.merchant).or_default().push(watch);
        }
        for row in rows {
            self.schedule(row);
        }
    }

    fn schedule(&mut self, row: Row) {
        if row.ts < self.town.model.end() {
            self.pending
                .entry(self.slice_at(row.ts))
                .or_default()
                .push(row);
        }
    }

    fn slice_at(&self, ts: i64) -> i64 {
        (ts - self.town.model.start) / (i64::from(self.hours) * MICROS_PER_HOUR)
    }

    /// Numbers a row, and says what will be known of it.
    fn place(&mut self, row: Row, slice_until: i64) {
        let index = self.written + self.held.len() as i64;
        let seq = &mut self.arrival_seqs[row.merchant as usize];
        *seq += 1;
        self.held.push(Placed {
            row,
            arrival_seq: *seq,
        });
        self.first_ts.get_or_insert(row.ts);
        self.last_ts = row.ts;
        if row.channel.is_none() {
            return;
        }
        self.payments += 1;
        labels::of(&self.town, &row, index, &mut self.labels);
        if row.channel == Some(Channel::Pos) && row.campaign == 0 {
            self.copy(&row, slice_until);
        }
    }

    /// Terminals that see the payment may copy its card.
    fn copy(&mut self, row: &Row, after: i64) {
        let Some(of_merchant) = self.watched.get(&row.merchant) else {
            return;
        };
        let copies: Vec<Row> = of_merchant
            .iter()
            .filter(|it| it.sees(row))
            .flat_map(|it| it.copies(&self.town, row, after))
            .collect();
        for copy in copies {
            self.schedule(copy);
        }
    }

    /// Writes what fills objects, one a thread at a time; at the end the rest.
    fn write(
        &mut self,
        emit: &mut dyn FnMut(Part) -> Result<(), Error>,
        is_end: bool,
    ) -> Result<(), Error> {
        let least = ARRIVALS_ROWS_MAX * self.n_threads;
        while least <= self.held.len() || (is_end && !self.held.is_empty()) {
            let count = least.min(self.held.len());
            let rows: Vec<&[Placed]> = self.held[..count].chunks(ARRIVALS_ROWS_MAX).collect();
            let (model, first) = (&self.town.model, self.written);
            let written = threads::map(self.n_threads, rows.len(), |nth| {
                let first = first + (nth * ARRIVALS_ROWS_MAX) as i64;
                write::arrivals(model, rows[nth], first)
            });
            let counts: Vec<i64> = rows.iter().map(|it| it.len() as i64).collect();
            for (bytes, rows) in written.into_iter().zip(counts) {
                let bytes = bytes.map_err(|cause| malformed("arrivals", cause))?;
                emit(Part { bytes, rows })?;
            }
            self.held.drain(..count);
            self.written += count as i64;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary, Error> {
        let (Some(first_ts), 1..) = (self.first_ts, self.payments) else {
            return Err(Error::NoPayments);
        };
        self.labels.sort_unstable();
        let bytes = write::truth(&self.town.model, &self.labels)
            .map_err(|cause| malformed("truth", cause))?;
        Ok(Summary {
            truth: Part {
                bytes,
                rows: self.labels.len() as i64,
            },
            arrivals: self.written,
            payments: self.payments,
            first_ts: Time::from_micros(first_ts),
            last_ts: Time::from_micros(self.last_ts),
        })
    }
}

fn malformed(key: &str, cause: String) -> Error {
    Error::Malformed {
        key: key.to_owned(),
        cause,
    }
}
