//! `bench ingest` (P1): events admitted over HTTP against what Postgres does at best and at worst
//! with one row each in the same keyed table, in turns, in one run.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::auth::{self, Own};
use crate::app::bench::machine::{Cpu, Machine, median};
use crate::app::bench::report::{CpuPerMillion, Goal, Ratio, Report, measure};
use crate::app::bench::{events, ingest_rows};
use crate::app::cli::BenchIngest;
use crate::app::commands::{Call, sr};
use crate::app::run::DONE;
use crate::app::{access, bundles};
use crate::domain::ids::ManifestFingerprint;
use crate::domain::keys::Pins;
use crate::governance::counters::Counter;
use crate::ingress::ig::{self, Ig};
use crate::ingress::sr::{NewRun, create};
use crate::rtdl::decision::{self, Decision};
use crate::substrate::auth::client::Outgoing;
use crate::substrate::clock::SystemEntropy;
use crate::substrate::tasks::Tasks;

const ROUNDS: usize = 3;
const EVENTS_PER_REQUEST: usize = 64;
pub(crate) const CONNECTIONS: usize = 16;

/// What one kind of work did in each round.
#[derive(Debug, Default)]
struct Rates {
    admitted: Vec<f64>,
    copied: Vec<f64>,
    inserted: Vec<f64>,
}

pub(crate) async fn run(call: &Call, asked: &BenchIngest) -> anyhow::Result<u8> {
    anyhow::ensure!(asked.events >= 3_000, "--events must be at least 3,000");
    let machine = Machine::before();
    let pins = live_run(call).await?;
    let gate = Gate::start(call).await?;
    let per_round = asked.events / ROUNDS;
    let (mut rates, mut cpu) = (Rates::default(), Cpu::default());
    for round in 0..ROUNDS {
        call.output.progress("rounds", round as u64, ROUNDS as u64);
        let now = call.ground.clock.now();
        let bodies = events::bodies(&pins, now, round, per_round, EVENTS_PER_REQUEST);
        let (before, began) = (Cpu::now(&call.data_dir), Instant::now());
        gate.send_all(bodies).await?;
        rates
            .admitted
            .push(per_round as f64 / began.elapsed().as_secs_f64());
        cpu = cpu.plus(Cpu::now(&call.data_dir).since(before));
        rates
            .copied
            .push(ingest_rows::copied(&call.ground.db, round, per_round).await?);
        let singles = per_round / 20;
        rates
            .inserted
            .push(ingest_rows::inserted(&call.ground.db, round, singles).await?);
    }
    let admitted = call.ground.counters.get(&pins, Counter::Admitted);
    gate.stop().await?;
    ingest_rows::remove(&call.ground.db).await?;
    let sent = per_round * ROUNDS;
    anyhow::ensure!(
        admitted == sent as u64,
        "{admitted} of {sent} events were admitted: the rates mean nothing"
    );
    report(machine.after(), rates, cpu, sent as f64).print(&call.output);
    Ok(DONE)
}

fn report(machine: Machine, rates: Rates, cpu: Cpu, sent: f64) -> Report {
    let (admitted, copied, inserted) = (
        median(rates.admitted),
        median(rates.copied),
        median(rates.inserted),
    );
    Report {
        bench: "ingest",
        machine,
        ratios: vec![
            Ratio::new(
                "P1 admitted events/s over COPY BINARY rows/s",
                admitted,
                copied,
                Goal::AtLeast(0.25),
            ),
            Ratio::new(
                "P1 admitted events/s over one row per transaction, 16 connections",
                admitted,
                inserted,
                Goal::AtLeast(5.0),
            ),
        ],
        cpu: Some(CpuPerMillion::new("events", cpu, sent, 12.0)),
        measures: vec![
            measure(
                "durably admitted, HTTP bodies of 64, 16 connections",
                admitted,
                "events/s",
            ),
            measure(
                "COPY BINARY, 1,000 rows a transaction, 1 connection",
                copied,
                "rows/s",
            ),
            measure(
                "INSERT, one row a transaction, 16 connections",
                inserted,
                "rows/s",
            ),
        ],
        notes: vec![
            "the load generator is in the executable: its CPU time is counted as the executable's",
            "rates are medians of 3 rounds, the three kinds of work in turns",
            "only the gate runs: nobody reads what it puts on the log",
        ],
    }
}

async fn live_run(call: &Call) -> anyhow::Result<Pins> {
    let name = format!("bench-{}", call.ground.clock.now().micros());
    let new = NewRun {
        manifest_fingerprint: ManifestFingerprint::of_live(None, &name),
        name,
        label: String::new(),
        tenant_id: None,
        semantic_digest: call.profile.semantic_digest(),
        world: None,
    };
    Ok(create(&sr::by_hand(call), &new).await?.facts.pins)
}

/// A gate on a port of its own, without anyone behind it.
struct Gate {
    client: Outgoing,
    tasks: Tasks,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Gate {
    async fn start(call: &Call) -> anyhow::Result<Gate> {
        let (bundle, files) = bundles::sources(None)?;
        let options = decision::Options {
            batch_records_max: 1_000,
            batch_bytes_max: 4 << 20,
            join_wait_ms: call.profile.semantics.join_wait_ms,
            snapshot_decisions: call.profile.decision.snapshot_decisions.get().into(),
        };
        let decides = Decision::create(
            options,
            call.ground.clone(),
            bundles::compile(&bundle, &files, None)?,
        );
        let entropy = Arc::new(SystemEntropy);
        let ground = call.ground.clone();
        let gate = Ig::create(
            ig::Options::default(),
            ground,
            entropy,
            [7; 32],
            decides.waiter(),
        )?;
        let mut tasks = Tasks::new(CancellationToken::new());
        gate.start(&mut tasks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?.to_string();
        // Whatever the profile says: this port is the bench's own, and so is the key to it.
        let keys = call.data_dir.join("run/bench");
        auth::key_for(&keys, Own::Local, &SystemEntropy)?;
        let door = access::Door {
            accesses: ig::api().document().accesses(),
            authenticator: Arc::new(auth::by_keys_in(&keys, call.ground.clock.clone())?),
            guard: call.ground.guard(),
            is_local: true,
        };
        let router = access::behind(door, gate.router());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Gate {
            client: auth::with_key_in(&keys, Own::Local, &addr)?,
            tasks,
            server,
        })
    }

    /// Sends every body; a connection sends its next one when the last is answered.
    async fn send_all(&self, bodies: Vec<Bytes>) -> anyhow::Result<()> {
        let waiting = Arc::new(Mutex::new(bodies));
        let mut senders = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, waiting) = (self.client.clone(), waiting.clone());
            senders.spawn(async move {
                loop {
                    let body = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(body) = body else { return Ok(()) };
                    send(&client, body).await?;
                }
            });
        }
        while let Some(sender) = senders.join_next().await {
            let sent: anyhow::Result<()> = sender.context("a sender panicked")?;
            sent?;
        }
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.tasks.stop_token().cancel();
        self.tasks.join().await?;
        self.server.abort();
        Ok(())
    }
}

/// One body until it is taken: a full gate asks to wait.
async fn send(client: &Outgoing, body: Bytes) -> anyhow::Result<()> {
    loop {
        let request = client
            .request(reqwest::Method::POST, "/v1/events")
            .header("content-type", "application/x-ndjson");
        let answer = request.body(body.clone()).send().await?;
        let status = answer.status();
        answer.bytes().await?;
        match status.as_u16() {
            200 => return Ok(()),
            429 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            _ => anyhow::bail!("the gate answered {status}"),
        }
    }
}
