//! The load generator: many connections on one thread of its own, whose CPU time is told apart from the
//! gate's. It says what it offered and how each request ended; what was admitted, the gate's counters say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use reqwest::header::RETRY_AFTER;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::bench::events::Template;
use crate::app::bench::machine;
use crate::substrate::auth::client::Outgoing;

/// How long a connection waits after a refusal, where nothing says when it sends next.
const BACKOFF: Duration = Duration::from_millis(50);
/// Latencies above are told as this.
const LATENCY_US_MAX: u64 = 600_000_000;

/// What is offered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// A connection sends its next body when the last one is answered.
    Answered,
    /// So many events a second, whatever the answers say; refused ones come again.
    EventsPerS(f64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// So many bodies are taken.
    Bodies(u64),
    Elapsed(Duration),
}

/// How requests ended, and what sending them cost.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) requests: u64,
    pub(crate) taken: u64,
    /// 429 with a Retry-After.
    pub(crate) refused: u64,
    /// Any other answer, or none; the first of them in words.
    pub(crate) other: u64,
    pub(crate) first_other: Option<String>,
    /// Microseconds from the first byte sent to the last received.
    pub(crate) taken_us: Histogram<u64>,
    pub(crate) refused_us: Histogram<u64>,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
}

enum End {
    Taken,
    Refused,
    Other(String),
}

struct Shared {
    client: Outgoing,
    template: Arc<Template>,
    plan: Plan,
    began: Instant,
    bodies: AtomicU64,
    turns: AtomicU64,
    sent: Mutex<Sent>,
}

/// Carries out a plan; `first` counts the bodies of the template that were sent before.
pub(crate) async fn run(
    client: Outgoing,
    template: Arc<Template>,
    first: u64,
    plan: Plan,
) -> anyhow::Result<Sent> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("load".to_owned());
    thread.spawn(move || {
        let sent = on_this_thread(client, template, first, plan);
        // Who asked has gone.
        drop(tell.send(sent));
    })?;
    told.await.context("the load generator ended")?
}

fn on_this_thread(
    client: Outgoing,
    template: Arc<Template>,
    first: u64,
    plan: Plan,
) -> anyhow::Result<Sent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cpu_before = machine::thread_cpu_s();
    let mut sent = runtime.block_on(all_connections(client, template, first, plan))?;
    sent.cpu_s = machine::thread_cpu_s() - cpu_before;
    Ok(sent)
}

async fn all_connections(
    client: Outgoing,
    template: Arc<Template>,
    first: u64,
    plan: Plan,
) -> anyhow::Result<Sent> {
    let shared = Arc::new(Shared {
        client,
        template,
        plan,
        began: Instant::now(),
        bodies: AtomicU64::new(first),
        turns: AtomicU64::new(0),
        sent: Mutex::new(Sent::new()?),
    });
    let mut senders = JoinSet::new();
    for _ in 0..plan.connections {
        senders.spawn(connection(shared.clone(), first));
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender panicked")?;
    }
    let shared = Arc::into_inner(shared).context("a sender lives on")?;
    let mut sent = shared
        .sent
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    sent.wall_s = shared.began.elapsed().as_secs_f64();
    Ok(sent)
}

/// Sends a body until it is taken, then the next.
async fn connection(shared: Arc<Shared>, first: u64) {
    let mut held = None;
    loop {
        if !shared.turn().await {
            return;
        }
        let Some(body) = held.take().or_else(|| shared.next_body(first)) else {
            return;
        };
        let began = Instant::now();
        let end = send(&shared.client, &body).await;
        if !matches!(end, End::Taken) {
            held = Some(body);
            if matches!(shared.plan.pace, Pace::Answered) {
                tokio::time::sleep(BACKOFF).await;
            }
        }
        shared.note(end, began.elapsed());
    }
}

impl Shared {
    /// Waits until it is time to send; false when the plan is carried out.
    async fn turn(&self) -> bool {
        if let Pace::EventsPerS(rate) = self.plan.pace {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed) as f64;
            let due = turn * self.template.events as f64 / rate;
            tokio::time::sleep_until(self.began + Duration::from_secs_f64(due)).await;
        }
        match self.plan.until {
            Until::Bodies(_) => true,
            Until::Elapsed(limit) => self.began.elapsed() < limit,
        }
    }

    fn next_body(&self, first: u64) -> Option<Bytes> {
        let nth = self.bodies.fetch_add(1, Ordering::Relaxed);
        let is_wanted = match self.plan.until {
            Until::Bodies(n) => nth - first < n,
            Until::Elapsed(_) => true,
        };
        is_wanted.then(|| self.template.body(nth))
    }

    fn note(&self, end: End, took: Duration) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        sent.requests += 1;
        match end {
            End::Taken => {
                sent.taken += 1;
                sent.taken_us.saturating_record(micros);
            }
            End::Refused => {
                sent.refused += 1;
                sent.refused_us.saturating_record(micros);
            }
            End::Other(what) => {
                sent.other += 1;
                sent.first_other.get_or_insert(what);
            }
        }
    }
}

impl Sent {
    fn new() -> anyhow::Result<Sent> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Sent {
            requests: 0,
            taken: 0,
            refused: 0,
            other: 0,
            first_other: None,
            taken_us: latencies.clone(),
            refused_us: latencies,
            wall_s: 0.0,
            cpu_s: 0.0,
        })
    }
}

async fn send(client: &Outgoing, body: &Bytes) -> End {
    let request = client
        .request(reqwest::Method::POST, "/v1/events")
        .header("content-type", "application/x-ndjson");
    let answered = async {
        let answer = request.body(body.clone()).send().await?;
        let (status, says_when) = (answer.status(), answer.headers().contains_key(RETRY_AFTER));
        answer.bytes().await?;
        Ok::<_, reqwest::Error>((status.as_u16(), says_when))
    };
    match answered.await {
        Ok((200, _)) => End::Taken,
        Ok((429, true)) => End::Refused,
        Ok((429, false)) => End::Other("429 without Retry-After".to_owned()),
        Ok((status, _)) => End::Other(format!("the gate answered {status}")),
        Err(error) => End::Other(format!("{:#}", anyhow::Error::from(error))),
    }
}
