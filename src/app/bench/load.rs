//! The load generator: many connections from a process of its own, so that neither its CPU time nor its memory
//! is taken for the gate's. It says what it offered and how each request ended; what was admitted, the
//! gate's counters say.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use reqwest::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::auth;
use crate::app::bench::events::Template;
use crate::app::bench::machine;
use crate::app::run::DONE;
use crate::domain::keys::Pins;
use crate::domain::time::Time;
use crate::substrate::auth::client::Outgoing;

/// How long a connection waits after a refusal, where nothing says when it sends next.
const BACKOFF: Duration = Duration::from_millis(50);
/// Latencies above are told as this.
const LATENCY_US_MAX: u64 = 600_000_000;

/// What is offered to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) bodies: Bodies,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
}

/// A gate, and the directory of the key to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) addr: String,
    pub(crate) keys: PathBuf,
    pub(crate) pins: Pins,
}

/// The events of one series; those of two never have one id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bodies {
    pub(crate) series: String,
    pub(crate) ts_utc: Time,
    pub(crate) events_per_body: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// A connection sends its next body when the last one is answered.
    Answered,
    /// So many events a second, whatever the answers say; refused ones come again.
    EventsPerS(f64),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Until {
    /// So many bodies are taken.
    Bodies(u64),
    Elapsed(Duration),
}

/// How requests ended, and what sending them cost.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) requests: u64,
    pub(crate) taken: u64,
    /// 429 with a Retry-After.
    pub(crate) refused: u64,
    /// Taken, and to be asked about again: 202.
    pub(crate) in_flight: u64,
    /// Any other answer, or none; the first of them in words.
    pub(crate) other: u64,
    pub(crate) first_other: Option<String>,
    pub(crate) taken_ms: Latency,
    pub(crate) refused_ms: Latency,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
}

/// Milliseconds from the first byte sent to the last received.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// A generator that has begun.
pub(crate) struct Load {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Load {
    /// Starts this executable once more as the generator; returns when it is about to send.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Load> {
        let mut child = tokio::process::Command::new(std::env::current_exe()?)
            .args(["bench", "load"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the load generator")?;
        let mut stdin = child.stdin.take().context("the load generator's input")?;
        stdin.write_all(&serde_json::to_vec(plan)?).await?;
        drop(stdin);
        let stdout = child.stdout.take().context("the load generator's output")?;
        let mut lines = BufReader::new(stdout).lines();
        lines
            .next_line()
            .await?
            .context("the load generator did not begin")?;
        Ok(Load { child, lines })
    }

    /// Returns when the plan is carried out and every request is answered.
    ///
    /// # Errors
    /// A generator that broke off.
    pub(crate) async fn sent(mut self) -> anyhow::Result<Sent> {
        let line = self.lines.next_line().await?;
        let line = line.context("the load generator ended before it was done")?;
        self.child.wait().await?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// The generator itself: a plan on its input; on its output a line when it begins and one when it ends.
///
/// # Errors
/// A plan that cannot be read, or an output that nobody reads.
pub(crate) async fn generate() -> anyhow::Result<u8> {
    let plan: Plan = serde_json::from_reader(std::io::stdin()).context("reading the plan")?;
    let client = auth::with_key_in(&plan.target.keys, auth::Own::Local, &plan.target.addr)?;
    let of = &plan.bodies;
    let template = Template::new(&plan.target.pins, of.ts_utc, &of.series, of.events_per_body);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "began")?;
    let sent = all_connections(client, template, &plan).await?;
    serde_json::to_writer(&mut stdout, &sent)?;
    writeln!(stdout)?;
    Ok(DONE)
}

async fn all_connections(
    client: Outgoing,
    template: Template,
    plan: &Plan,
) -> anyhow::Result<Sent> {
    let shared = Arc::new(Shared {
        client,
        template,
        pace: plan.pace,
        until: plan.until,
        began: Instant::now(),
        bodies: AtomicU64::new(0),
        turns: AtomicU64::new(0),
        tally: Mutex::new(Tally::new()?),
    });
    let mut senders = JoinSet::new();
    for _ in 0..plan.connections {
        senders.spawn(connection(shared.clone()));
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender panicked")?;
    }
    let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Sent {
        wall_s: shared.began.elapsed().as_secs_f64(),
        cpu_s: machine::own_cpu_s(),
        ..tally.sent()
    })
}

struct Shared {
    client: Outgoing,
    template: Template,
    pace: Pace,
    until: Until,
    began: Instant,
    bodies: AtomicU64,
    turns: AtomicU64,
    tally: Mutex<Tally>,
}

/// Requests so far.
struct Tally {
    in_flight: u64,
    other: u64,
    first_other: Option<String>,
    taken_us: Histogram<u64>,
    refused_us: Histogram<u64>,
}

enum End {
    Taken,
    InFlight,
    Refused,
    Other(String),
}

/// Sends a body until it is taken, then the next.
async fn connection(shared: Arc<Shared>) {
    let mut held = None;
    while shared.turn().await {
        let Some(body) = held.take().or_else(|| shared.next_body()) else {
            return;
        };
        let began = Instant::now();
        let end = send(&shared.client, &body).await;
        let is_taken = matches!(end, End::Taken | End::InFlight);
        shared.note(end, began.elapsed());
        if !is_taken {
            held = Some(body);
            if matches!(shared.pace, Pace::Answered) {
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
}

impl Shared {
    /// Waits until it is time to send; false when the plan is carried out.
    async fn turn(&self) -> bool {
        if let Pace::EventsPerS(rate) = self.pace {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed) as f64;
            let due = turn * self.template.events as f64 / rate;
            tokio::time::sleep_until(self.began + Duration::from_secs_f64(due)).await;
        }
        match self.until {
            Until::Bodies(_) => true,
            Until::Elapsed(limit) => self.began.elapsed() < limit,
        }
    }

    fn next_body(&self) -> Option<Bytes> {
        let nth = self.bodies.fetch_add(1, Ordering::Relaxed);
        let is_wanted = match self.until {
            Until::Bodies(n) => nth < n,
            Until::Elapsed(_) => true,
        };
        is_wanted.then(|| self.template.body(nth))
    }

    fn note(&self, end: End, took: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match end {
            End::Taken => tally.taken_us.saturating_record(micros),
            End::InFlight => tally.in_flight += 1,
            End::Refused => tally.refused_us.saturating_record(micros),
            End::Other(what) => {
                tally.other += 1;
                tally.first_other.get_or_insert(what);
            }
        }
    }
}

impl Tally {
    fn new() -> anyhow::Result<Tally> {
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Tally {
            in_flight: 0,
            other: 0,
            first_other: None,
            taken_us: latencies.clone(),
            refused_us: latencies,
        })
    }

    fn sent(&self) -> Sent {
        let latency = |of: &Histogram<u64>| {
            let [p50, p99] = [0.5, 0.99].map(|it| of.value_at_quantile(it) as f64 / 1_000.0);
            Latency { p50, p99 }
        };
        let (taken, refused) = (self.taken_us.len(), self.refused_us.len());
        Sent {
            requests: taken + self.in_flight + refused + self.other,
            taken,
            refused,
            in_flight: self.in_flight,
            other: self.other,
            first_other: self.first_other.clone(),
            taken_ms: latency(&self.taken_us),
            refused_ms: latency(&self.refused_us),
            ..Sent::default()
        }
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
        Ok((202, _)) => End::InFlight,
        Ok((429, true)) => End::Refused,
        Ok((429, false)) => End::Other("429 without Retry-After".to_owned()),
        Ok((status, _)) => End::Other(format!("the gate answered {status}")),
        Err(error) => End::Other(format!("{:#}", anyhow::Error::from(error))),
    }
}
