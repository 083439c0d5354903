//! One payment in flight (P2): from the POST of its traffic to the answer with its durable decision, its context known
//! before; in turns with one sync of a file and one commit of a row, which is what durability costs here.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::app::auth::{self, Own};
use crate::app::bench::ingest_rows;
use crate::app::bench::report::{Goal, Measure, Ratio, measure};
use crate::app::cli::{SrRun, WorldSource};
use crate::app::commands::sr::Created;
use crate::app::commands::{Call, demo, sr};
use crate::app::roles;
use crate::substrate::auth::client::Outgoing;

/// What the gate takes in a body.
const EVENTS_PER_BODY: usize = 400;
/// At first connections are made, statements prepared, and the listener's.
const WARM_UP: u32 = 20;
const PAGE: usize = 4_096;

/// A live run and the way to its gate.
struct Till<'c> {
    call: &'c Call,
    gate: Outgoing,
    run: Created,
}

/// Ratio and measures of `n` payments.
pub(super) async fn measured(call: &Call, n: u32) -> anyhow::Result<(Ratio, Vec<Measure>)> {
    let till = Till::open(call).await?;
    let n = n + WARM_UP;
    till.send_context(n).await?;
    let bells = call
        .bells
        .as_ref()
        .context("the bench runs the roles itself")?;
    roles::settle(&call.ground, bells, &call.output).await?;
    let (mut decided, mut durable) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
    let mut file = preallocated(n)?;
    let client = call.ground.db.get().await?;
    for nth in 0..n {
        let took = till.pay(nth).await?;
        let began = Instant::now();
        sync_page(&mut file, nth)?;
        ingest_rows::insert_one(&client, nth as usize).await?;
        if nth >= WARM_UP {
            decided.record(micros(took))?;
            durable.record(micros(began.elapsed()))?;
        }
        if nth % 50 == 0 {
            call.output.progress("one by one", nth.into(), n.into());
        }
    }
    drop(client);
    ingest_rows::remove(&call.ground.db).await?;
    let ms = |of: &Histogram<u64>, quantile: f64| of.value_at_quantile(quantile) as f64 / 1e3;
    let ratio = Ratio::new(
        "P2 POST to durable decision, 1 in flight, p99 over p99 of one sync and one commit, ms",
        ms(&decided, 0.99),
        ms(&durable, 0.99),
        Goal::AtMost(6.0),
    );
    let measures = vec![
        measure(
            "1 in flight, POST to durable decision, p50",
            ms(&decided, 0.5),
            "ms",
        ),
        measure(
            "1 in flight, POST to durable decision, p99",
            ms(&decided, 0.99),
            "ms",
        ),
        measure("one sync and one commit, p50", ms(&durable, 0.5), "ms"),
        measure("one sync and one commit, p99", ms(&durable, 0.99), "ms"),
    ];
    Ok((ratio, measures))
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Where nothing has to grow, as a log's segment.
fn preallocated(pages: u32) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile().context("making a file to sync")?;
    file.write_all(&vec![0; PAGE * pages as usize])?;
    file.sync_all()?;
    Ok(file)
}

fn sync_page(file: &mut File, nth: u32) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(u64::from(nth) * PAGE as u64))?;
    file.write_all(&[1; PAGE])?;
    file.sync_data().context("syncing a page")
}

impl Till<'_> {
    async fn open(call: &Call) -> anyhow::Result<Till<'_>> {
        let live = SrRun {
            world: WorldSource::default(),
            live: Some("bench".to_owned()),
            label: format!("bench {}", call.ground.holder),
            ..demo::world("small", None)
        };
        let run = Box::pin(sr::pin(call, &live)).await?;
        let addr = call.gate_addr.as_deref().context("there is no gate")?;
        let gate = auth::with_key_in(&auth::dir(&call.data_dir), Own::Local, addr)?;
        Ok(Till { call, gate, run })
    }

    fn event(&self, class: &str, nth: u32, payload: &Value) -> Value {
        let run = &self.run;
        json!({
            "event_id": format!("one-{nth}"), "event_class": class, "schema_version": 1,
            "ts_utc": self.call.ground.clock.now(), "platform_run_id": run.platform_run_id,
            "scenario_run_id": run.scenario_run_id, "manifest_fingerprint": run.manifest_fingerprint,
            "producer": "bench", "payload": payload,
        })
    }

    /// Everything of the payments but their traffic.
    async fn send_context(&self, n: u32) -> anyhow::Result<()> {
        let mut events = Vec::new();
        for nth in 0..n {
            let (merchant, flow) = (format!("one-m{nth}"), format!("one-f{nth}"));
            let at = json!({"merchant_id": merchant, "arrival_seq": 1, "kind": "payment"});
            let who =
                json!({"merchant_id": merchant, "arrival_seq": 1, "customer_id": customer(nth)});
            let anchor = json!({"flow_id": flow, "merchant_id": merchant, "arrival_seq": 1});
            events.push(self.event("arrival_event", nth, &at));
            events.push(self.event("arrival_entities", nth, &who));
            events.push(self.event("flow_anchor", nth, &anchor));
        }
        for events in events.chunks(EVENTS_PER_BODY) {
            let verdicts = self.post("/v1/events", events).await?;
            let is_in = |it: &Value| it["result"] == "ADMITTED";
            anyhow::ensure!(
                verdicts.iter().all(is_in),
                "context was not admitted: {verdicts:?}"
            );
        }
        Ok(())
    }

    /// Sends the traffic of a payment and waits for its decision; how long that took.
    async fn pay(&self, nth: u32) -> anyhow::Result<Duration> {
        let payload = json!({
            "flow_id": format!("one-f{nth}"), "customer_id": customer(nth),
            "merchant_id": format!("one-m{nth}"), "card_id": format!("one-k{}", nth % 50),
            "amount_minor": 5_716, "currency": "EUR", "channel": "pos",
        });
        let event = [self.event("traffic", nth, &payload)];
        let began = Instant::now();
        let verdicts = self
            .post("/v1/events?wait=decision&timeout_ms=30000", &event)
            .await?;
        let took = began.elapsed();
        let decision = &verdicts[0]["decision"];
        let is_whole = decision["degraded"].as_array().is_some_and(Vec::is_empty);
        anyhow::ensure!(is_whole, "no decision on a whole frame: {verdicts:?}");
        Ok(took)
    }

    async fn post(&self, path: &str, events: &[Value]) -> anyhow::Result<Vec<Value>> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let request = self.gate.request(reqwest::Method::POST, path);
        let request = request.header("content-type", "application/x-ndjson");
        let answer = request.body(lines.join("\n")).send().await?;
        let (status, answer) = (answer.status(), answer.bytes().await?);
        let answer: Value = serde_json::from_slice(&answer).context("reading the gate's answer")?;
        let verdicts = answer["results"]
            .as_array()
            .filter(|_| status == 200)
            .cloned();
        verdicts.with_context(|| format!("the gate answered {status}: {answer}"))
    }
}

fn customer(nth: u32) -> String {
    format!("one-c{}", nth % 50)
}
