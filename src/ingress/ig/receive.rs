//! From the bytes of a request to one verdict an event: parse, tokenise, validate, hash, queue,
//! wait. What happens to one event here never depends on its neighbours.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::contracts::verdict::Verdict;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{DecisionId, EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, IngestResult};
use crate::ingress::ig::batch::{Decision, Fitness, Place, Received};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::item::{self, Refusal};
use crate::ingress::ig::queue::{Full, Job, Room};
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::runs::Run;
use crate::ingress::ig::settled::Admitted;
use crate::ingress::ig::validate;
use crate::ingress::ig::wait::{Patience, Waiting};
use crate::planted;

/// Why a readable body gets no verdicts.
#[derive(Debug)]
pub(super) enum NoVerdicts {
    Overloaded,
    /// Too many wait for decisions; nothing was admitted.
    TooManyWait,
    Failed(Error),
}

impl From<Full> for NoVerdicts {
    fn from(_: Full) -> NoVerdicts {
        NoVerdicts::Overloaded
    }
}

impl From<Error> for NoVerdicts {
    fn from(error: Error) -> NoVerdicts {
        match error {
            Error::NotHolder => NoVerdicts::Overloaded,
            error => NoVerdicts::Failed(error),
        }
    }
}

/// What is kept of a queued event to answer for it.
struct Asked {
    /// Where its verdict stands in the answer.
    at: usize,
    run: Arc<Run>,
    class: Option<EventClass>,
    event_id: EventId,
    payload_hash: Digest,
}

/// What came of a body: its verdicts, and the decisions that are still to be waited for.
pub(super) struct Answer {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) waiting: Option<Waiting>,
}

impl Ig {
    /// One verdict an item, in order.
    pub(super) async fn receive(
        &self,
        body: &Bytes,
        items: Vec<Range<usize>>,
        mut room: Room,
        patience: Option<Patience>,
    ) -> Result<Answer, NoVerdicts> {
        let deadline = Instant::now() + Duration::from_millis(self.options.request_ms_max);
        self.queue.take_events(&mut room, items.len())?;
        let mut verdicts: Vec<Option<Verdict>> = vec![None; items.len()];
        let mut asked = Vec::with_capacity(items.len());
        let mut events = Vec::with_capacity(items.len());
        let mut runs: BTreeMap<PlatformRunId, Option<Arc<Run>>> = BTreeMap::new();
        let now = self.ground.clock.now();
        for (at, place) in items.into_iter().enumerate() {
            let raw = body.slice(place);
            let envelope = match self.parse(&raw) {
                Ok(envelope) => envelope,
                Err(refusal) => {
                    verdicts[at] = Some(rejected(refusal));
                    continue;
                }
            };
            let id = envelope.platform_run_id;
            let run = match runs.get(&id) {
                Some(run) => run.clone(),
                None => {
                    let run = self.runs.find(&self.ground, id).await?;
                    runs.insert(id, run.clone());
                    run
                }
            };
            let Some(run) = run else {
                verdicts[at] = Some(rejected(Refusal {
                    code: Code::RunUnknown,
                    detail: "platform_run_id: no such run".to_owned(),
                    event_id: Some(envelope.event_id.to_string()),
                }));
                continue;
            };
            let event = match self.judge(run, envelope, raw, now) {
                Ok(event) => event,
                Err(refusal) => {
                    verdicts[at] = Some(rejected(refusal));
                    continue;
                }
            };
            asked.push(Asked {
                at,
                run: event.run.clone(),
                class: event.class.parse().ok(),
                event_id: event.event_id.clone(),
                payload_hash: event.payload_hash,
            });
            events.push(event);
        }
        let waiting = patience.map(|patience| self.begin_wait(&asked, patience));
        let waiting = waiting.transpose()?;
        if !events.is_empty() {
            planted!(
                AcknowledgeBeforeCommit,
                return self.acknowledge(&asked, events, room),
                ()
            );
            let decisions = self.queue_and_wait(events, room, deadline).await?;
            for (asked, decision) in asked.iter().zip(decisions) {
                verdicts[asked.at] = Some(self.verdict(asked, decision, deadline).await?);
            }
        }
        let verdicts = verdicts.into_iter().flatten().collect();
        Ok(Answer { verdicts, waiting })
    }

    /// Only traffic is decided, so only traffic is waited for.
    fn begin_wait(&self, asked: &[Asked], patience: Patience) -> Result<Waiting, NoVerdicts> {
        let mut places: BTreeMap<DecisionId, Vec<usize>> = BTreeMap::new();
        for asked in asked {
            if let Some(class @ EventClass::Traffic) = asked.class {
                let id = DecisionId::of(&asked.run.id, class, &asked.event_id);
                places.entry(id).or_default().push(asked.at);
            }
        }
        let waiting = self.waits.begin(places, patience);
        waiting.map_err(|Full| NoVerdicts::TooManyWait)
    }

    fn parse(&self, raw: &[u8]) -> Result<Envelope, Refusal> {
        let limit = self.options.event_bytes_max;
        if raw.len() > limit {
            return Err(Refusal {
                code: Code::ItemTooLarge,
                detail: format!("{} bytes; event_bytes_max is {limit}", raw.len()),
                event_id: None,
            });
        }
        item::parse(raw, self.options.json_depth_max)
    }

    /// Tokenises before anything else, then validates and hashes.
    fn judge(
        &self,
        run: Arc<Run>,
        mut envelope: Envelope,
        raw: Bytes,
        now: Time,
    ) -> Result<Received, Refusal> {
        let is_changed = self.tokeniser.envelope(&mut envelope);
        let live = validate::Live {
            horizon_days: self.options.dedupe_horizon_days,
            future_tolerance_ms: self.options.future_tolerance_ms,
        };
        let checked = validate::check(&self.schemas, &run.rules, &envelope, now, live);
        let unhashed = |cause: crate::domain::canonical::Error| Refusal {
            code: Code::NumberNotInteger,
            detail: cause.to_string(),
            event_id: Some(envelope.event_id.to_string()),
        };
        let payload_hash = planted!(
            HashOfUnparsedBytes,
            crate::domain::digest::Digest::of_bytes(&raw),
            envelope.payload_hash().map_err(unhashed)?
        );
        // What was sent is published as it was sent, unless it may not.
        let is_changed = envelope.pii.take().is_some() || is_changed;
        let body = match is_changed {
            true => serde_json::to_vec(&envelope)
                .expect("an envelope is plain JSON")
                .into(),
            false => raw,
        };
        let class: Option<EventClass> = envelope.event_class.parse().ok();
        let fitness = match checked {
            Ok(class) => Fitness::Fit {
                class,
                partition_key: validate::partition_key(class, &envelope),
            },
            Err(fault) => Fitness::Unfit(fault),
        };
        let key = match class {
            Some(class) => envelope.key(class).digest(),
            // Never in the index: an unknown class is never fit.
            None => Tagged::new("event_of_unknown_class").digest(),
        };
        Ok(Received {
            run,
            class: match class {
                Some(class) => class.as_str().into(),
                None => envelope.event_class.into(),
            },
            event_id: envelope.event_id,
            key,
            payload_hash,
            ts_utc: envelope.ts_utc,
            producer: envelope.producer,
            envelope: body,
            fitness,
        })
    }

    async fn queue_and_wait(
        &self,
        events: Vec<Received>,
        room: Room,
        deadline: Instant,
    ) -> Result<Vec<Decision>, NoVerdicts> {
        let (answer, decided) = oneshot::channel();
        self.queue.send(Job {
            events,
            room,
            answer,
        })?;
        // Not in by the deadline, or the gate ended: nothing is known, and a repeat is safe.
        match tokio::time::timeout_at(deadline, decided).await {
            Ok(Ok(decisions)) => Ok(decisions),
            Ok(Err(_)) | Err(_) => Err(NoVerdicts::Overloaded),
        }
    }

    #[cfg(feature = "planted-bugs")]
    fn acknowledge(
        &self,
        asked: &[Asked],
        events: Vec<Received>,
        room: Room,
    ) -> Result<Answer, NoVerdicts> {
        let answer = oneshot::channel().0;
        self.queue.send(Job {
            events,
            room,
            answer,
        })?;
        let admitted = asked.iter().map(|asked| Verdict {
            result: IngestResult::Admitted,
            event_id: Some(asked.event_id.to_string()),
            code: None,
            detail: None,
            receipt: None,
            decision: None,
        });
        Ok(Answer {
            verdicts: admitted.collect(),
            waiting: None,
        })
    }

    async fn verdict(
        &self,
        asked: &Asked,
        decision: Decision,
        deadline: Instant,
    ) -> Result<Verdict, Error> {
        let (result, place) = match decision {
            Decision::Admitted(place) => (IngestResult::Admitted, place),
            Decision::Duplicate(place) => (IngestResult::Duplicate, place),
            Decision::Quarantined(fault) => {
                return Ok(Verdict {
                    result: IngestResult::Quarantined,
                    event_id: Some(asked.event_id.to_string()),
                    code: Some(fault.code),
                    detail: Some(fault.detail),
                    receipt: None,
                    decision: None,
                });
            }
        };
        let class = asked
            .class
            .ok_or_else(|| Error::evidence("verdict", "an admitted event has a class"))?;
        let admitted = Admitted {
            item: place.item,
            run: asked.run.id,
            tenant: asked.run.pins().tenant_id.clone(),
            class,
            event_id: asked.event_id.clone(),
            payload_hash: asked.payload_hash,
        };
        self.receipt(result, place, &admitted, deadline).await
    }

    /// The verdict with the receipt, or `PUBLISH_IN_FLIGHT` when it is not there by the deadline.
    pub(super) async fn receipt(
        &self,
        result: IngestResult,
        place: Place,
        event: &Admitted,
        deadline: Instant,
    ) -> Result<Verdict, Error> {
        let settled = self.batches.wait(&self.ground, place, deadline).await?;
        let receipt = settled.map(|it| it.receipt(event)).transpose()?;
        Ok(Verdict {
            result: match receipt {
                Some(_) => result,
                None => IngestResult::PublishInFlight,
            },
            event_id: Some(event.event_id.to_string()),
            code: None,
            detail: None,
            receipt,
            decision: None,
        })
    }
}

fn rejected(refusal: Refusal) -> Verdict {
    Verdict {
        result: IngestResult::Rejected,
        event_id: refusal.event_id,
        code: Some(refusal.code),
        detail: Some(refusal.detail),
        receipt: None,
        decision: None,
    }
}
