//! A loaded plan as the objects of its world: rows in order, dense sequences, truth by the time it
//! becomes known. All or nothing: one faulty row, and there is no world.

use std::collections::HashMap;

use bytes::Bytes;

use crate::contracts::mapping::LinkOrder;
use crate::contracts::ready::{PinnedObject, WorldFacts};
use crate::contracts::world::{Arrival, FRAUD, Truth};
use crate::domain::digest::Digest;
use crate::domain::ids::ManifestFingerprint;
use crate::domain::time::Time;
use crate::ingress::world::bind::{self, Arrivals};
use crate::ingress::world::codec::{ARRIVALS_ROWS_MAX, ArrivalColumns};
use crate::ingress::world::error::{Error, ROW_FAULTS_MAX, RowFault};
use crate::ingress::world::field::Fault;
use crate::ingress::world::order::{self, Place};
use crate::ingress::world::plan::{Loaded, Plan};
use crate::ingress::world::table::{File, Table};
use crate::ingress::world::truth::TruthRows;

/// How many rows pass between two calls of the progress callback.
const PROGRESS_ROWS: u64 = 10_000;

/// A world in memory, not yet stored.
#[derive(Debug)]
pub(crate) struct Built {
    /// Keys with bytes, truth last.
    pub(crate) objects: Vec<(String, Bytes)>,
    pub(crate) facts: WorldFacts,
}

/// A table with what reads it.
struct Source {
    /// The first half of its event ids.
    name: String,
    rows: Arrivals,
    table: Table,
}

pub(crate) fn build(
    plan: &Plan,
    loaded: Loaded,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Built, Error> {
    let world = loaded.manifest_fingerprint;
    let sources = sources(plan, loaded)?;
    let mut faults = Faults::default();
    let mut places = places(&sources, &mut faults)?;
    if let Some(limit) = plan.selection.limit {
        select(&mut places, &sources, limit);
    }
    let total = places.len() as u64;
    let mut filler = Filler::new(&sources, faults);
    for (at, place) in places.iter().enumerate() {
        let done = at as u64;
        if done.is_multiple_of(PROGRESS_ROWS) {
            progress(done, total);
        }
        filler.add(*place)?;
    }
    progress(total, total);
    filler.finish(&world)
}

/// Links that stand before payments of their moment, payments, links that stand after them.
fn sources(plan: &Plan, loaded: Loaded) -> Result<Vec<Source>, Error> {
    let text = plan.text();
    let mut findings = Vec::new();
    let mut bound = Vec::new();
    let payments = bind::payments(text, &plan.mapping, &loaded.payments);
    let mut keep = |name: String, place: u8, files: Vec<File>, rows: Result<Arrivals, _>| match rows
    {
        Ok(rows) => bound.push((place, name, files, rows)),
        Err(more) => findings.extend(more),
    };
    keep(plan.name().to_owned(), 1, loaded.payments, payments);
    for (map, file) in plan.mapping.links.iter().zip(loaded.links) {
        let rows = bind::links(text, map, &file);
        let place = match map.order {
            LinkOrder::Before => 0,
            LinkOrder::After => 2,
        };
        let name = format!("{}.{}", plan.name(), map.table());
        keep(name, place, vec![file], rows);
    }
    if !findings.is_empty() {
        findings.sort_by_key(|it| (it.line, it.column));
        return Err(Error::Mapping(findings));
    }
    bound.sort_by_key(|(place, ..)| *place);
    let read = |(_, name, files, rows): (u8, String, Vec<File>, Arrivals)| {
        let table = Table::read(&files, &rows.columns)?;
        Ok(Source { name, rows, table })
    };
    bound.into_iter().map(read).collect()
}

/// Every row with a readable time, in the world's order.
fn places(sources: &[Source], faults: &mut Faults) -> Result<Vec<Place>, Error> {
    let rows = sources
        .iter()
        .flat_map(|it| &it.table.batches)
        .map(|it| it.rows)
        .sum();
    let mut places = Vec::with_capacity(rows);
    for (at, source) in (0..).zip(sources) {
        let ranks =
            order::ranks(&source.table, &source.rows.order_by).map_err(|cause| Error::Format {
                file: source.table.files.join(", "),
                format: "table to be ordered",
                cause: cause.to_string(),
            })?;
        let mut ranks = ranks.into_iter();
        for (nth, batch) in (0..).zip(&source.table.batches) {
            for (row, rank) in (0..batch.rows).zip(ranks.by_ref()) {
                match source.rows.ts.read(batch, row) {
                    Ok(ts) => places.push(Place {
                        ts_micros: ts.micros(),
                        table: at,
                        rank,
                        batch: nth,
                        // A row of a batch that has at most 2^32 rows.
                        row: row as u32,
                    }),
                    Err(fault) => faults.add(source, nth, row, fault),
                }
            }
        }
    }
    places.sort_unstable();
    Ok(places)
}

/// Cuts after the payment that fills the limit.
fn select(places: &mut Vec<Place>, sources: &[Source], limit: u64) {
    let is_payment = |place: &Place| sources[place.table as usize].rows.payment.is_some();
    let of_payments = places
        .iter()
        .enumerate()
        .filter(|(_, place)| is_payment(place));
    let end = match usize::try_from(limit) {
        Ok(0) => Some(0),
        Ok(limit) => of_payments.map(|(at, _)| at + 1).nth(limit - 1),
        Err(_) => None,
    };
    places.truncate(end.unwrap_or(places.len()));
}

#[derive(Default)]
struct Faults {
    shown: Vec<RowFault>,
    total: u64,
}

impl Faults {
    fn add(&mut self, source: &Source, batch: u32, row: usize, fault: Fault) {
        self.total += 1;
        if ROW_FAULTS_MAX <= self.shown.len() {
            return;
        }
        let batch = &source.table.batches[batch as usize];
        self.shown.push(RowFault {
            file: source.table.files[batch.file].clone(),
            row: batch.rows_before + row as u64 + 1,
            column: fault.column,
            found: fault.found,
            message: fault.message,
            mapping_line: fault.line,
        });
    }
}

/// Takes rows in order, and gives them their places.
struct Filler<'s> {
    sources: &'s [Source],
    faults: Faults,
    /// Per table, a 128-bit hash of each row id and where it was met first.
    row_ids: Vec<HashMap<[u8; 16], (u32, u32)>>,
    arrival_seqs: HashMap<String, i64>,
    columns: ArrivalColumns,
    arrivals: Vec<(Bytes, i64)>,
    truths: TruthRows,
    count: i64,
    payments: i64,
    range: Option<(Time, Time)>,
}

impl<'s> Filler<'s> {
    fn new(sources: &'s [Source], faults: Faults) -> Filler<'s> {
        Filler {
            sources,
            faults,
            row_ids: sources.iter().map(|_| HashMap::new()).collect(),
            arrival_seqs: HashMap::new(),
            columns: ArrivalColumns::default(),
            arrivals: Vec::new(),
            truths: TruthRows::default(),
            count: 0,
            payments: 0,
            range: None,
        }
    }

    fn add(&mut self, place: Place) -> Result<(), Error> {
        let source = &self.sources[place.table as usize];
        if let Err(fault) = self.read(source, place) {
            self.faults
                .add(source, place.batch, place.row as usize, fault);
        }
        if self.columns.len() == ARRIVALS_ROWS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn read(&mut self, source: &Source, place: Place) -> Result<(), Fault> {
        let (batch, row) = (
            &source.table.batches[place.batch as usize],
            place.row as usize,
        );
        let row_id = source.rows.row_id(batch, row)?;
        let mut key = [0; 16];
        key.copy_from_slice(&Digest::of_bytes(row_id.as_bytes()).as_bytes()[..16]);
        let here = (place.batch, place.row);
        if let Some(first) = self.row_ids[place.table as usize].insert(key, here) {
            let batch = &source.table.batches[first.0 as usize];
            let (file, nth) = (
                &source.table.files[batch.file],
                batch.rows_before + u64::from(first.1) + 1,
            );
            return Err(source
                .rows
                .id_fault(&row_id, format!("the id is that of row {nth} of {file}")));
        }
        let ts_utc = Time::from_micros(place.ts_micros);
        let mut arrival = source
            .rows
            .arrival(&source.name, &row_id, ts_utc, batch, row)?;
        let rules = source.rows.payment.iter().flat_map(|it| &it.truth);
        for rule in rules {
            if let Some(known) = rule.read(ts_utc, batch, row)? {
                let truth = Truth {
                    event_id: arrival.event_id.clone(),
                    label_type: known.label_type,
                    is_fraud: known.value == FRAUD,
                    value: known.value,
                    effective_time: ts_utc,
                    observed_time: Some(known.observed_time),
                    source: rule.source.clone(),
                    scenario: known.scenario,
                    is_blocked: false,
                };
                self.truths.push(truth, known.observed_time);
            }
        }
        self.place(&mut arrival);
        self.columns
            .push(&arrival)
            .map_err(|message| source.rows.id_fault(&row_id, message))
    }

    /// Gives the arrival its index and its dense number at its merchant.
    fn place(&mut self, arrival: &mut Arrival) {
        arrival.index = self.count;
        self.count += 1;
        self.payments += i64::from(arrival.payment.is_some());
        let seq = match self.arrival_seqs.get_mut(&arrival.merchant_id) {
            Some(seq) => seq,
            None => self
                .arrival_seqs
                .entry(arrival.merchant_id.clone())
                .or_default(),
        };
        *seq += 1;
        arrival.arrival_seq = *seq;
        let first = self.range.map_or(arrival.ts_utc, |(first, _)| first);
        self.range = Some((first, arrival.ts_utc));
    }

    fn flush(&mut self) -> Result<(), Error> {
        let columns = std::mem::take(&mut self.columns);
        // A world with a fault is refused at the end: spare the work.
        if columns.len() == 0 || self.faults.total != 0 {
            return Ok(());
        }
        let rows = columns.len() as i64;
        let bytes = columns.finish().map_err(|cause| Error::Malformed {
            key: "arrivals".to_owned(),
            cause,
        })?;
        self.arrivals.push((Bytes::from(bytes), rows));
        Ok(())
    }

    fn finish(mut self, world: &ManifestFingerprint) -> Result<Built, Error> {
        self.flush()?;
        if self.faults.total != 0 {
            let Faults { mut shown, total } = self.faults;
            shown.sort_by(|a, b| (&a.file, a.row).cmp(&(&b.file, b.row)));
            return Err(Error::Rows {
                faults: shown,
                total,
            });
        }
        let (Some((first_ts, last_ts)), 1..) = (self.range, self.payments) else {
            return Err(Error::NoPayments);
        };
        let truths = self.truths.len() as i64;
        let truth = self.truths.finish().map_err(|cause| Error::Malformed {
            key: "truth".to_owned(),
            cause,
        })?;
        let mut objects = Vec::new();
        let mut pinned = Vec::new();
        let truth = (Bytes::from(truth), truths);
        for (nth, (bytes, rows)) in self.arrivals.into_iter().chain([truth]).enumerate() {
            pinned.push(PinnedObject {
                key: format!("worlds/{world}/arrivals-{nth:04}.parquet"),
                digest: Digest::of_bytes(&bytes),
                rows,
            });
            objects.push(bytes);
        }
        let mut truth = pinned.pop().ok_or(Error::NoPayments)?;
        truth.key = format!("worlds/{world}/truth.parquet");
        let keys = pinned.iter().chain([&truth]).map(|it| it.key.clone());
        Ok(Built {
            objects: keys.zip(objects).collect(),
            facts: WorldFacts {
                arrivals: pinned,
                truth,
                arrivals_count: self.count,
                payments_count: self.payments,
                first_ts,
                last_ts,
            },
        })
    }
}
