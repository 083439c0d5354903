//! One lane: sends its arrivals in order, one request in flight, until each has a final verdict.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::contracts::verdict::Verdict;
use crate::contracts::world::Arrival;
use crate::domain::keys::Pins;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::vocabulary::IngestResult;
use crate::ingress::world;
use crate::ingress::wsp::Error;
use crate::ingress::wsp::client::{Gate, Sent};

/// What a lane reports of one request.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The arrivals that it settled.
    pub(super) indexes: Vec<i64>,
    pub(super) events: u64,
    pub(super) duplicates: u64,
    pub(super) retries: u64,
    /// The furthest place of each shard that it was told of.
    pub(super) reached: Basis,
    pub(super) refused: Vec<Refusal>,
}

/// An event that the gate will not take.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) event_id: String,
    pub(super) code: String,
    pub(super) detail: String,
}

/// How long a gate may be away before the lane gives up; a restarted one recovers within this.
const SILENCE_MAX: Duration = Duration::from_secs(120);

pub(super) struct Lane {
    pub(super) gate: Gate,
    pub(super) pins: Pins,
    pub(super) work: mpsc::Receiver<Vec<Arrival>>,
    pub(super) report: mpsc::Sender<Result<Done, Error>>,
    pub(super) stop: CancellationToken,
}

impl Lane {
    pub(super) async fn run(mut self) {
        while let Some(arrivals) = self.work.recv().await {
            let result = self.settle(&arrivals).await;
            let failed = result.is_err();
            if self.report.send(result).await.is_err() || failed {
                return;
            }
        }
    }

    async fn settle(&self, arrivals: &[Arrival]) -> Result<Done, Error> {
        let (ndjson, n_events) = self.request(arrivals);
        let mut done = Done {
            events: n_events,
            ..Done::default()
        };
        let mut silent_since: Option<tokio::time::Instant> = None;
        loop {
            let (after, cause) = match self.gate.send(ndjson.clone()).await? {
                Sent::Answered(answer) if answer.results.iter().all(is_final) => {
                    answer.results.iter().for_each(|verdict| done.take(verdict));
                    done.indexes = arrivals.iter().map(|arrival| arrival.index).collect();
                    return Ok(done);
                }
                Sent::Answered(_) => (Duration::from_millis(100), "still in flight".to_owned()),
                Sent::Again { after, cause } => (after, cause),
            };
            done.retries += 1;
            let since = *silent_since.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() > SILENCE_MAX {
                return Err(Error::Gate {
                    url: "the run's gate".to_owned(),
                    cause,
                });
            }
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = self.stop.cancelled() => return Err(Error::Stopped { at: arrivals[0].index }),
            }
        }
    }

    fn request(&self, arrivals: &[Arrival]) -> (Bytes, u64) {
        let mut ndjson = Vec::with_capacity(arrivals.len() * 3_000);
        let mut n_events = 0;
        for arrival in arrivals {
            for (_, envelope) in world::events_of(arrival, &self.pins, "svc:wsp") {
                serde_json::to_writer(&mut ndjson, &envelope).expect("an envelope is plain JSON");
                ndjson.push(b'\n');
                n_events += 1;
            }
        }
        (ndjson.into(), n_events)
    }
}

fn is_final(verdict: &Verdict) -> bool {
    verdict.result != IngestResult::PublishInFlight
}

impl Done {
    fn take(&mut self, verdict: &Verdict) {
        match verdict.result {
            IngestResult::Duplicate => self.duplicates += 1,
            IngestResult::Quarantined | IngestResult::Rejected => self.refused.push(Refusal {
                event_id: verdict.event_id.clone().unwrap_or_default(),
                code: verdict
                    .code
                    .map(|code| code.to_string())
                    .unwrap_or_default(),
                detail: verdict.detail.clone().unwrap_or_default(),
            }),
            IngestResult::Admitted | IngestResult::PublishInFlight => {}
        }
        if let Some(receipt) = &verdict.receipt {
            let place = &receipt.eb_ref;
            let shard = ShardRef {
                stream: place.stream,
                shard_id: place.shard_id.clone(),
            };
            let reached = Position::After(place.sequence_number.clone());
            if !self.reached.position(&shard).reaches(&reached) {
                self.reached.advance(&shard, reached);
            }
        }
    }
}
