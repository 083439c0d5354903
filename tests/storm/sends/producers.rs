//! Sixty-four producers, each over one connection at a time, as honest as they come: what has no
//! final verdict is sent again, after a lost connection at once, after a refusal when it says so.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fraudplat::contracts::verdict::IngestAnswer;
use fraudplat::substrate::auth::client;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use tokio::task::JoinSet;

use crate::checks::check;
use crate::events::{JSON, NDJSON};
use crate::home::LONG;
use crate::sends::plan::{Plan, Send};
use crate::sends::told::Told;
use crate::weather::{Draws, Weather};

const CONNECTIONS: u64 = 64;
/// Above what a gate takes to answer; below it the wire is silent.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const SAY_EVERY: Duration = Duration::from_secs(15);

/// What producers did so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    /// Sends with a final verdict.
    pub(crate) settled: AtomicU64,
    /// Sends that were sent again.
    pub(crate) retries: AtomicU64,
    /// Requests whose answer never came.
    pub(crate) lost: AtomicU64,
    /// Requests that were to come again later.
    pub(crate) put_off: AtomicU64,
    /// Verdicts that were not final.
    pub(crate) in_flight: AtomicU64,
}

impl Tally {
    fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// What all producers share.
pub(crate) struct Market {
    pub(crate) plan: Plan,
    pub(crate) told: Told,
    pub(crate) tally: Tally,
    /// Wires to the gates: any will do.
    pub(crate) gates: Vec<SocketAddr>,
    pub(crate) key: String,
}

/// Sends everything; returns when each send has a final verdict.
pub(crate) async fn produce(weather: &Weather, market: &Arc<Market>) {
    let mut producers = JoinSet::new();
    for no in 0..CONNECTIONS {
        producers.spawn(Producer::new(market.clone(), weather.seed, no).run());
    }
    loop {
        match tokio::time::timeout(SAY_EVERY, producers.join_next()).await {
            Ok(None) => return,
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(failed))) => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => {
                let settled = market.tally.settled.load(Ordering::Relaxed);
                weather.say(&format!(
                    "{settled} of {} sends settled",
                    market.plan.n_sends
                ));
            }
        }
    }
}

struct Producer {
    market: Arc<Market>,
    no: u64,
    draws: Draws,
    http: reqwest::Client,
    gate: SocketAddr,
}

/// What came of a request.
enum Answered {
    Verdicts(IngestAnswer),
    Later(Duration),
    Lost,
}

impl Producer {
    fn new(market: Arc<Market>, seed: u64, no: u64) -> Producer {
        let http = client::builder()
            .timeout(ANSWER_MAX)
            .pool_max_idle_per_host(1);
        Producer {
            gate: market.gates[0],
            market,
            no,
            draws: Draws::new(seed.rotate_left(8) ^ no),
            http: http.build().unwrap(),
        }
    }

    async fn run(mut self) {
        self.choose_gate();
        let step = usize::try_from(CONNECTIONS).unwrap();
        let mut numbers = (self.no..self.market.plan.n_sends).step_by(step);
        loop {
            let n_events = match self.draws.below(10) {
                0..3 => 1,
                3..6 => 2 + self.draws.below(15),
                _ => 2 + self.draws.below(63),
            };
            let plan = &self.market.plan;
            let numbers = numbers.by_ref().take(usize::try_from(n_events).unwrap());
            let sends: Vec<Send> = numbers.map(|it| plan.send(it)).collect();
            if sends.is_empty() {
                return;
            }
            self.deliver(sends).await;
        }
    }

    fn choose_gate(&mut self) {
        let gates = &self.market.gates;
        let nth = self.draws.below(gates.len() as u64);
        self.gate = gates[usize::try_from(nth).unwrap()];
    }

    async fn deliver(&mut self, mut open: Vec<Send>) {
        let mut deadline = Instant::now() + LONG;
        loop {
            let before = open.len();
            let answered = self.send(&open).await;
            let tally = &self.market.tally;
            match answered {
                Answered::Verdicts(answer) => {
                    open = self
                        .market
                        .told
                        .hear(&self.market.plan, open, &answer.results);
                    Tally::add(&tally.settled, before - open.len());
                    Tally::add(&tally.in_flight, open.len());
                    if open.is_empty() {
                        return;
                    }
                    if open.len() < before {
                        deadline = Instant::now() + LONG;
                    }
                }
                Answered::Later(after) => {
                    Tally::add(&tally.put_off, 1);
                    tokio::time::sleep(after).await;
                }
                Answered::Lost => {
                    Tally::add(&tally.lost, 1);
                    self.choose_gate();
                }
            }
            Tally::add(&self.market.tally.retries, open.len());
            let is_patient = Instant::now() < deadline;
            check(
                "every send comes to a verdict",
                is_patient,
                format!("{open:?}"),
            );
        }
    }

    async fn send(&mut self, sends: &[Send]) -> Answered {
        let bodies: Vec<String> = sends.iter().map(|it| self.market.plan.body(*it)).collect();
        let (content_type, body) = match bodies.len() {
            1 => (JSON, bodies.concat()),
            _ if self.draws.below(2) == 0 => (JSON, format!("[{}]", bodies.join(","))),
            _ => (NDJSON, bodies.join("\n")),
        };
        let url = format!("http://{}/v1/events", self.gate);
        let request = self.http.post(url).header(CONTENT_TYPE, content_type);
        let request = request.bearer_auth(&self.market.key);
        let request = match self.draws.below(8) {
            0 => request
                .header(CONTENT_ENCODING, "gzip")
                .body(gzip(body.as_bytes())),
            1 => request
                .header(CONTENT_ENCODING, "zstd")
                .body(zstd(body.as_bytes())),
            _ => request.body(body),
        };
        Tally::add(&self.market.tally.requests, 1);
        match request.send().await {
            Ok(response) => heard(response).await,
            Err(_) => Answered::Lost,
        }
    }
}

async fn heard(response: reqwest::Response) -> Answered {
    let status = response.status().as_u16();
    let after = response.headers().get(RETRY_AFTER);
    let after = after.map(|it| it.to_str().unwrap().parse().unwrap());
    let Ok(body) = response.bytes().await else {
        return Answered::Lost;
    };
    match (status, after) {
        (200 | 202, _) => Answered::Verdicts(serde_json::from_slice(&body).unwrap()),
        (429 | 503, Some(seconds)) => Answered::Later(Duration::from_secs(seconds)),
        _ => {
            let text = String::from_utf8_lossy(&body);
            check(
                "the gate takes what is well-formed",
                false,
                format!("{status}: {text}"),
            );
            Answered::Lost
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 1).unwrap()
}
