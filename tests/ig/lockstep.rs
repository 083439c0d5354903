//! A streamer in lockstep waits for others, and heeds a stop while it does.

use std::time::{Duration, Instant};

use fraudplat::domain::digest::Digest;
use fraudplat::ingress::sr::{self, NewRun};
use fraudplat::ingress::world::{Plan, Selection, materialise};
use fraudplat::ingress::wsp;
use fraudplat::runtime::outbox;
use fraudplat::substrate::auth::client::{Credential, Outgoing};
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::gate::{Lab, lab, until};

const MAPPING: &str = r#"mapping: two-days-v1
source: {files: ["pay.csv"]}
arrival:
  row_id: id
  ts: at
  merchant_id: {const: m1}
  entities: {customer_id: {const: c1}}
  amount_minor: {col: cents, scale: 0, round: half_even}
  currency: {const: EUR}
  channel: {const: pos}
"#;
const PAYMENTS: &str = "id,at,cents\n1,2025-01-01T10:00:00Z,100\n2,2025-01-01T11:00:00Z,200\n\
                        3,2025-01-02T10:00:00Z,300\n";

/// Two payments on one day, one on the next.
async fn pinned(lab: &Lab) -> sr::Pinned {
    let csv = lab.dir.path().join("pay.csv");
    std::fs::write(&csv, PAYMENTS).unwrap();
    let selection = Selection { limit: None };
    let plan = Plan::parse("mapping.yaml", MAPPING.to_owned(), &csv, selection).unwrap();
    let world = materialise(lab.ground.objects.as_ref(), plan, |_, _| ()).await;
    let world = world.unwrap();
    let new = NewRun {
        manifest_fingerprint: world.manifest_fingerprint,
        name: "two-days-v1".to_owned(),
        label: String::new(),
        tenant_id: None,
        semantic_digest: Digest::of_bytes(b"semantics"),
        world: Some(world.facts),
    };
    sr::create(&lab.ground, &new).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_wait_for_others_and_begins_no_period() {
    let lab = lab().await;
    let run = pinned(&lab).await.facts.pins.platform_run_id;
    let gate = lab.gate().await;
    let mut tasks = Tasks::new(CancellationToken::new());
    let (db, bus) = (lab.ground.db.clone(), lab.ground.bus.clone());
    tasks.spawn("outbox", outbox::relay(db, bus, tasks.stop_token()));

    let addr = gate.url.strip_prefix("http://").unwrap();
    let at = wsp::Gate::new(Outgoing::to(addr, Credential::Nobody, None).unwrap());
    let (ground, stop) = (lab.ground.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let streaming = tokio::spawn(async move {
        let options = wsp::Options {
            speedup: None,
            concurrency: 1,
            lockstep: Some(Duration::from_secs(86_400)),
            limit: None,
            arrivals_per_request: 1,
        };
        wsp::stream(&ground, &at, &run, &options, &|_, _| (), &stopped).await
    });
    // Nobody consumes here, so nobody passes the first day.
    let events = async || lab.number("SELECT count(*) FROM ig.event", &[]).await;
    until(async || events().await == 8).await;
    assert!(!streaming.is_finished());
    let told = Instant::now();
    stop.cancel();
    let ended = streaming.await.unwrap();
    assert!(
        matches!(ended, Err(wsp::Error::Stopped { at: 2 })),
        "{ended:?}"
    );
    // Otherwise it waits for five minutes.
    assert!(
        told.elapsed() < Duration::from_secs(60),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(events().await, 8, "a period began that nobody let begin");
    gate.drain().await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}
