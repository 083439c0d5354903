//! A batch in memory: who is first under each key, and what becomes of every event once the store
//! has said what it knew before. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::contracts::code::Code;
use crate::contracts::envelope::{Around, envelope_hash};
use crate::domain::canonical::Canon;
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::keys::Pins;
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, Stream};
use crate::ingress::ig::runs::Run;
use crate::ingress::ig::validate::Fault;
use crate::planted;
use crate::substrate::db::Day;

/// One parsed, tokenised, validated and hashed event.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) run: Arc<Run>,
    /// As sent: an unknown class is received too.
    pub(super) class: Cow<'static, str>,
    pub(super) event_id: EventId,
    pub(super) key: Digest,
    pub(super) payload_hash: Digest,
    pub(super) ts_utc: Time,
    pub(super) producer: String,
    /// The envelope in JSON, without card numbers and without a pii map.
    pub(super) envelope: Bytes,
    pub(super) fitness: Fitness,
}

/// Whether validation let it pass.
#[derive(Debug, Clone)]
pub(super) enum Fitness {
    Fit {
        class: EventClass,
        partition_key: String,
    },
    Unfit(Fault),
}

/// Where an admitted event stands in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) day: Day,
    pub(super) batch_id: i64,
    pub(super) item: i32,
}

/// What the store knew under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) payload_hash: Digest,
    pub(super) place: Place,
}

/// What becomes of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Admitted(Place),
    /// Admitted before, there.
    Duplicate(Place),
    Quarantined(Fault),
}

/// A batch before and after its transaction: its events never change.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) day: Day,
    pub(super) batch_id: i64,
    pub(super) admitted_at: Time,
    pub(super) events: Vec<Received>,
    /// The first fit event of each key, sorted by key: overlapping batches must not deadlock.
    pub(super) firsts: Vec<First>,
    /// Keys of events that are only late: a repeat among them is still a repeat.
    pub(super) late_keys: Vec<Digest>,
}

/// The first fit event of a key; `item` counts these in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) at: usize,
    pub(super) item: i32,
}

impl Batch {
    pub(super) fn new(batch_id: i64, admitted_at: Time, events: Vec<Received>) -> Batch {
        let mut firsts = Vec::with_capacity(events.len());
        let mut late_keys = Vec::new();
        let mut seen: HashMap<Digest, (), std::hash::BuildHasherDefault<KeyHasher>> =
            HashMap::with_capacity_and_hasher(
                events.len(),
                std::hash::BuildHasherDefault::default(),
            );
        for (at, event) in events.iter().enumerate() {
            match &event.fitness {
                Fitness::Fit { .. } if seen.insert(event.key, ()).is_none() => {
                    let item = i32::try_from(firsts.len()).expect("a batch is far below 2^31");
                    firsts.push(First { at, item });
                }
                Fitness::Unfit(fault) if fault.is_of_time() => late_keys.push(event.key),
                Fitness::Fit { .. } => planted!(
                    FirstPayloadOverwritten,
                    firsts
                        .iter_mut()
                        .filter(|first| events[first.at].key == event.key)
                        .for_each(|first| first.at = at),
                    ()
                ),
                Fitness::Unfit(_) => {}
            }
        }
        firsts.sort_unstable_by_key(|it| events[it.at].key);
        late_keys.sort_unstable();
        late_keys.dedup();
        Batch {
            day: Day::of(admitted_at),
            batch_id,
            admitted_at,
            events,
            firsts,
            late_keys,
        }
    }

    /// Decides every event; `known` holds what stood under its keys before this batch.
    pub(super) fn decide(&self, known: &HashMap<Digest, Known>) -> Vec<Decision> {
        let is_plain = known.is_empty() && self.firsts.len() == self.events.len();
        let mut first_of = HashMap::new();
        let mut decisions = Vec::with_capacity(self.events.len());
        let mut items = vec![None; self.events.len()];
        for first in &self.firsts {
            let event = &self.events[first.at];
            let place = self.place(first.item);
            items[first.at] = Some(place);
            if !is_plain {
                let payload_hash = event.payload_hash;
                first_of.insert(
                    event.key,
                    Known {
                        payload_hash,
                        place,
                    },
                );
            }
        }
        for (event, own) in self.events.iter().zip(items) {
            let before = known.get(&event.key);
            decisions.push(match (before, own) {
                (None, Some(place)) => Decision::Admitted(place),
                (Some(winner), _) => against(event, Some(winner)),
                (None, None) => against(event, first_of.get(&event.key)),
            });
        }
        decisions
    }

    fn place(&self, item: i32) -> Place {
        Place {
            day: self.day,
            batch_id: self.batch_id,
            item,
        }
    }

    /// Counts by run and class, in their order.
    pub(super) fn counts(&self, decisions: &[Decision]) -> BTreeMap<(PlatformRunId, &str), Counts> {
        let mut counts: BTreeMap<(PlatformRunId, &str), Counts> = BTreeMap::new();
        for (event, decision) in self.events.iter().zip(decisions) {
            let key = (event.run.id, event.class.as_ref());
            counts.entry(key).or_default().add(decision);
        }
        counts
    }

    /// The pins of its runs, each once.
    pub(super) fn runs(&self) -> BTreeMap<PlatformRunId, &Pins> {
        let runs = self.events.iter().map(|it| (it.run.id, it.run.pins()));
        runs.collect()
    }

    /// The records of the admitted events, in the order of arrival, and the row of bytes that
    /// holds them all.
    pub(super) fn records(&self, decisions: &[Decision]) -> Inflight {
        let mut lines = Vec::with_capacity(self.firsts.len());
        let mut ranges = Vec::with_capacity(self.firsts.len());
        let mut canon = Canon::new();
        let mut record = Vec::new();
        let n_admitted = decisions
            .iter()
            .filter(|it| matches!(it, Decision::Admitted(_)));
        canon.array(n_admitted.count());
        let admitted_at = self.admitted_at.to_string();
        for (event, decision) in self.events.iter().zip(decisions) {
            let (
                Decision::Admitted(place),
                Fitness::Fit {
                    class,
                    partition_key,
                },
            ) = (decision, &event.fitness)
            else {
                continue;
            };
            record.clear();
            self.write_record(&mut record, event, &admitted_at);
            canon.array(4).int(i64::from(place.item));
            canon.text(class.stream().as_str()).text(partition_key);
            canon.bytes(&record);
            let end = canon.as_bytes().len();
            ranges.push(end - record.len()..end);
            lines.push(Line {
                item: place.item,
                stream: class.stream(),
                partition_key: partition_key.clone(),
                data: Bytes::new(),
            });
        }
        let bytes = Bytes::from(canon.into_bytes());
        for (line, range) in lines.iter_mut().zip(ranges) {
            line.data = bytes.slice(range);
        }
        Inflight { lines, bytes }
    }

    /// An `AdmittedEvent` around the envelope as it was received; none of the other fields needs
    /// escaping.
    fn write_record(&self, record: &mut Vec<u8>, event: &Received, admitted_at: &str) {
        use std::io::Write as _;
        let (hash, batch_id) = (event.payload_hash, self.batch_id);
        let around = Around {
            // A fit event has the pins of its run.
            pins: event.run.pins(),
            event_id: &event.event_id,
            producer: &event.producer,
        };
        let around = envelope_hash(&hash, &around, self.admitted_at, batch_id);
        write!(
            record,
            r#"{{"payload_hash":"{hash}","envelope_hash":"{around}","admitted_at":"{admitted_at}","batch_id":{batch_id},"envelope":"#
        )
        .expect("a Vec takes every write");
        record.extend_from_slice(&event.envelope);
        record.push(b'}');
    }
}

fn against(event: &Received, winner: Option<&Known>) -> Decision {
    match (&event.fitness, winner) {
        (Fitness::Unfit(fault), Some(winner)) if fault.is_of_time() => repeat(event, winner),
        (Fitness::Unfit(fault), _) => Decision::Quarantined(fault.clone()),
        (Fitness::Fit { .. }, Some(winner)) => repeat(event, winner),
        (Fitness::Fit { .. }, None) => unreachable!("the first fit event of a key is its winner"),
    }
}

/// L3: the same id with the same hash is a repeat, with another an anomaly.
fn repeat(event: &Received, winner: &Known) -> Decision {
    if event.payload_hash == winner.payload_hash {
        return Decision::Duplicate(winner.place);
    }
    let detail = format!("payload_hash: {} is admitted", winner.payload_hash);
    Decision::Quarantined(Fault::new(Code::PayloadHashMismatch, detail))
}

/// How the events of one run and class fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) received: i32,
    pub(super) admitted: i32,
    pub(super) duplicate: i32,
    pub(super) quarantined: i32,
}

impl Counts {
    fn add(&mut self, decision: &Decision) {
        self.received += 1;
        match decision {
            Decision::Admitted(_) => self.admitted += 1,
            Decision::Duplicate(_) => self.duplicate += 1,
            Decision::Quarantined(_) => self.quarantined += 1,
        }
    }
}

/// One record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) item: i32,
    pub(super) stream: Stream,
    pub(super) partition_key: String,
    pub(super) data: Bytes,
}

/// The records of a batch, and the bytes of its row: canonical CBOR, a list of
/// `[item, stream, partition key, record]`.
#[derive(Debug, Clone)]
pub(super) struct Inflight {
    pub(super) lines: Vec<Line>,
    pub(super) bytes: Bytes,
}

/// Reads a row of bytes back.
pub(super) fn read_inflight(bytes: &[u8]) -> Result<Vec<Line>, crate::contracts::canonical::Error> {
    use crate::contracts::canonical::{Error, from_bytes};
    let rows: Vec<(i32, String, String, Bytes)> = from_bytes("row of open records", bytes)?;
    let line = |(item, stream, partition_key, data): (i32, String, String, Bytes)| {
        let stream = stream.parse().map_err(|cause| Error::Parse {
            what: "stream of an open record",
            cause: format!("{cause}"),
        })?;
        Ok(Line {
            item,
            stream,
            partition_key,
            data,
        })
    };
    rows.into_iter().map(line).collect()
}

/// Keys are digests: their first bytes are already a hash.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::envelope::AdmittedEvent;
    use crate::domain::ids::{ManifestFingerprint, ScenarioRunId};
    use crate::ingress::ig::validate::Rules;

    fn event(id: &str, payload: &str, fault: Option<Code>) -> Received {
        let world = ManifestFingerprint::of_live(None, "shop");
        let pins = Pins {
            platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b""), None, ""),
            scenario_run_id: ScenarioRunId::of(&world, "shop"),
            manifest_fingerprint: world,
            tenant_id: None,
        };
        let rules = Rules {
            pins: pins.clone(),
            world_range: None,
            is_closed: false,
        };
        let envelope = serde_json::json!({
            "event_id": id, "event_class": "traffic", "schema_version": 1,
            "ts_utc": "2025-01-01T00:00:00.000000Z", "platform_run_id": pins.platform_run_id,
            "scenario_run_id": pins.scenario_run_id, "manifest_fingerprint": world,
            "producer": "p", "payload": {"p": payload},
        });
        let fit = Fitness::Fit {
            class: EventClass::Traffic,
            partition_key: id.to_owned(),
        };
        Received {
            run: Arc::new(Run {
                id: pins.platform_run_id,
                rules,
            }),
            class: "traffic".into(),
            event_id: id.parse().unwrap(),
            key: Digest::of_bytes(id.as_bytes()),
            payload_hash: Digest::of_bytes(payload.as_bytes()),
            ts_utc: Time::default(),
            producer: "p".to_owned(),
            envelope: envelope.to_string().into(),
            fitness: fault.map_or(fit, |code| Fitness::Unfit(Fault::new(code, ""))),
        }
    }

    fn place(batch_id: i64, item: i32) -> Place {
        Place {
            day: Day(0),
            batch_id,
            item,
        }
    }

    /// Decisions as `A item`, `D batch/item`, `Q code`.
    fn decide(events: Vec<Received>, known: &[(&str, &str)]) -> Vec<String> {
        let known = known.iter().map(|(id, payload)| {
            let payload_hash = Digest::of_bytes(payload.as_bytes());
            let place = place(1, 5);
            (
                Digest::of_bytes(id.as_bytes()),
                Known {
                    payload_hash,
                    place,
                },
            )
        });
        let known: HashMap<Digest, Known> = known.collect();
        let batch = Batch::new(9, Time::default(), events);
        let show = |it: &Decision| match it {
            Decision::Admitted(it) => format!("A {}", it.item),
            Decision::Duplicate(it) => format!("D {}/{}", it.batch_id, it.item),
            Decision::Quarantined(fault) => format!("Q {}", fault.code),
        };
        batch.decide(&known).iter().map(show).collect()
    }

    #[test]
    fn repeats_in_one_batch_collapse_and_other_payloads_are_anomalies() {
        let events = vec![
            event("a", "1", None),
            event("b", "1", None),
            event("a", "1", None),
            event("a", "2", None),
        ];
        assert_eq!(
            decide(events, &[]),
            ["A 0", "A 1", "D 9/0", "Q PAYLOAD_HASH_MISMATCH"]
        );
    }

    #[test]
    fn what_is_stored_wins_over_what_came_first() {
        let events = vec![event("a", "1", None), event("a", "2", None)];
        assert_eq!(
            decide(events, &[("a", "2")]),
            ["Q PAYLOAD_HASH_MISMATCH", "D 1/5"]
        );
    }

    #[test]
    fn a_late_event_is_a_repeat_only_of_what_is_known() {
        let late = |id: &str, payload: &str| event(id, payload, Some(Code::RunClosed));
        let events = vec![late("a", "1"), late("b", "1"), late("a", "2")];
        assert_eq!(
            decide(events, &[("a", "1")]),
            ["D 1/5", "Q RUN_CLOSED", "Q PAYLOAD_HASH_MISMATCH"]
        );
        let unfit = event("a", "1", Some(Code::SchemaInvalid));
        assert_eq!(decide(vec![unfit], &[("a", "1")]), ["Q SCHEMA_INVALID"]);
    }

    #[test]
    fn records_are_admitted_events_and_their_row_reads_back() {
        let events = vec![
            event("a", "1", None),
            event("a", "1", None),
            event("b", "1", None),
        ];
        let batch = Batch::new(9, Time::default(), events);
        let inflight = batch.records(&batch.decide(&HashMap::new()));
        assert_eq!(read_inflight(&inflight.bytes).unwrap(), inflight.lines);
        let items: Vec<i32> = inflight.lines.iter().map(|it| it.item).collect();
        assert_eq!(items, [0, 1]);
        let record: AdmittedEvent = serde_json::from_slice(&inflight.lines[1].data).unwrap();
        assert_eq!(
            (record.batch_id, record.envelope.event_id.as_str()),
            (9, "b")
        );
        assert_eq!(record.envelope_hash, Some(record.proof()));
    }
}
