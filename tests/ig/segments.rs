//! Decisions as segments: what a day of the log leaves behind is read like the log, byte for byte; and the day stays
//! while a segment is missing, altered, or does not cover it.

use std::path::PathBuf;
use std::sync::Arc;

use fraudplat::domain::ids::{DecisionId, PlatformRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::FactType;
use fraudplat::governance::counters::Counter;
use fraudplat::governance::facts;
use fraudplat::maintenance::{Outcome, Report};
use fraudplat::rtdl::audit::{self, ChainReport};
use fraudplat::runtime::decisions::StoredDecision;
use fraudplat::runtime::ground::Ground;
use fraudplat::substrate::db::Day;
use fraudplat::substrate::fault::{Fault, Operation};
use serde_json::Value;

use crate::aged::Platform;
use crate::gate::live_run;
use crate::retention::{change, pass};

/// A platform on whose first days a run had so many payments each.
async fn decided(payments: &[i64]) -> (Platform, Pins) {
    let mut platform = Platform::begin(60).await;
    let shop = live_run(&platform.lab.ground, "segments").await;
    for (day, n) in payments.iter().enumerate() {
        let day = i64::try_from(day).unwrap();
        platform.clock.set(platform.noon(day));
        let events = platform.payments(&shop, day, *n);
        platform.send(&events).await;
        platform.settle().await;
    }
    (platform, shop)
}

async fn list(ground: &Ground, run: &Pins, after: i64, limit: i64) -> Vec<StoredDecision> {
    let listed = audit::list(ground, &run.platform_run_id, after, limit).await;
    listed.unwrap()
}

async fn verify(ground: &Ground, run: &Pins) -> Result<ChainReport, audit::Error> {
    audit::verify(ground, &run.platform_run_id, &|_| ()).await
}

/// What `GET /v1/decisions/{id}/explain` answers.
async fn explained(ground: &Ground, id: &DecisionId) -> (u16, Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/decisions/{id}/explain",
        listener.local_addr().unwrap()
    );
    let router = audit::http::api().with_state(Arc::new(ground.clone()));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = fraudplat::substrate::auth::client::builder()
        .build()
        .unwrap();
    let response = client.get(url).send().await.unwrap();
    let answer = (response.status().as_u16(), response.json().await.unwrap());
    server.abort();
    answer
}

/// Count, first and last as `run show` and the report ask for them.
async fn spans(platform: &Platform, run: &PlatformRunId) -> Vec<(i64, Time, Time)> {
    let client = platform.lab.client().await;
    let decided = include_str!("../../src/app/sql/read_decided.sql");
    let decided = client.query_one(decided, &[run]).await.unwrap();
    let span = include_str!("../../src/app/sql/report_span.sql");
    let span = client.query_one(span, &[run]).await.unwrap();
    let listed = include_str!("../../src/app/sql/list_runs.sql");
    let listed = client.query(listed, &[]).await.unwrap();
    let listed = listed
        .iter()
        .find(|row| row.get::<_, PlatformRunId>(0) == *run)
        .unwrap();
    vec![
        (decided.get(0), decided.get(1), decided.get(2)),
        (span.get(0), span.get(1), span.get(2)),
        (listed.get(5), span.get(3), span.get(4)),
    ]
}

fn of_log(report: &Report, outcome: Outcome) -> Vec<&str> {
    let days = report.days.iter();
    let days = days.filter(|it| it.group == "dla" && it.outcome == outcome);
    days.map(|it| it.code.as_deref().unwrap_or(&it.day))
        .collect()
}

/// The files of decision segments.
fn files(platform: &Platform) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![platform.lab.dir.path().join("objects/objects")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.to_string_lossy().contains("/dla/segments/") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one world, told from end to end")]
async fn decisions_of_days_that_have_left_are_read_as_before() {
    let (mut platform, shop) = decided(&[3, 4, 2]).await;
    let ground = platform.lab.ground.clone();
    let run = shop.platform_run_id;
    let before = list(&ground, &shop, 0, 100).await;
    assert_eq!(before.len(), 9);
    let ids: Vec<DecisionId> = before.iter().map(|it| it.decision_id).collect();
    let whole = verify(&ground, &shop).await.unwrap();
    assert_eq!(
        (whole.verified, whole.segments, whole.in_segments),
        (9, 0, 0)
    );
    let told = explained(&ground, &ids[0]).await;
    assert_eq!(told.0, 200);
    let sampled = audit::sample(&ground, &run, 4, 7).await.unwrap();
    let spanned = spans(&platform, &run).await;

    // The day after the last: all is in segments, nothing is due.
    platform.clock.set(platform.noon(3));
    let written = platform.maintain().await;
    assert_eq!((written.segments, written.segment_decisions), (3, 9));
    assert!(written.days.is_empty(), "{written:?}");
    assert_eq!(
        ground.counters.get(&shop, Counter::SegmentDecisionsWritten),
        9
    );
    let again = platform.maintain().await;
    assert_eq!((again.segments, again.is_idle()), (0, true), "{again:?}");
    let found = platform.reconcile(&shop).await.unwrap().reconciliation;
    let check = found
        .checks
        .iter()
        .find(|it| it.name == "decision_segments_hold_the_chain");
    assert_eq!(check.map(|it| (it.left, it.right)), Some((9, 9)));
    assert!(found.balanced, "{:?}", found.checks);
    let file = &files(&platform)[1];
    let body = std::fs::read(file).unwrap();
    std::fs::remove_file(file).unwrap();
    let found = platform.reconcile(&shop).await.unwrap().reconciliation;
    let wrong: Vec<_> = found.checks.iter().filter(|it| !it.balances()).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!((wrong[0].left, wrong[0].right), (9, 5), "{wrong:?}");
    std::fs::write(file, body).unwrap();

    // The first two days leave, the third stands.
    platform.clock.set(platform.noon(47));
    let report = platform.maintain().await;
    assert_eq!(of_log(&report, Outcome::Dropped).len(), 2, "{report:?}");
    assert_eq!(of_log(&report, Outcome::Kept), [""; 0]);
    let standing = platform
        .lab
        .number("SELECT count(*) FROM dla.decision", &[])
        .await;
    assert_eq!(standing, 2);
    let client = platform.lab.client().await;
    let fact = Some(FactType::PartitionsDropped);
    let facts = facts::list(&client, None, fact, 100).await.unwrap();
    let of_log = facts.iter().filter(|it| it.natural_key[0] == "dla");
    let proofs: Vec<Value> = of_log
        .map(|it| serde_json::from_str(&it.details["proof"]).unwrap())
        .collect();
    let kept = |it: &Value| it["tables"]["dla.decision"]["kept_as"] == "SEGMENTS";
    assert!(proofs.len() == 2 && proofs.iter().all(kept), "{proofs:?}");
    drop(client);

    for after in 0..=9 {
        for limit in 1..=10 {
            let (from, to) = (after.min(9), (after + limit).min(9));
            let page = list(&ground, &shop, after as i64, limit as i64).await;
            assert_eq!(page, before[from..to], "{after} {limit}");
        }
    }
    let left = verify(&ground, &shop).await.unwrap();
    assert_eq!(
        (left.verified, left.head, left.broken),
        (9, whole.head, None)
    );
    assert_eq!((left.segments, left.in_segments), (3, 9));
    assert_eq!(audit::find(&ground, &ids).await.unwrap(), before);
    assert_eq!(audit::sample(&ground, &run, 4, 7).await.unwrap(), sampled);
    assert_eq!(explained(&ground, &ids[0]).await, told);
    assert_eq!(spans(&platform, &run).await, spanned);
    let unknown: DecisionId = format!("dec_{}", "7".repeat(64)).parse().unwrap();
    let missing = explained(&ground, &unknown).await;
    assert_eq!((missing.0, &missing.1["code"]), (404, &"NOT_FOUND".into()));
    let replayed = audit::replay(&ground, &before, &|_, _| {}).await.unwrap();
    assert_eq!((replayed.compared, replayed.mismatched), (9, 0));
    let refused = platform.reconcile(&shop).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "EVIDENCE_DROPPED", "{refused}");

    // The chain goes on.
    let events = platform.payments(&shop, 47, 1);
    platform.send(&events).await;
    crate::gate::until(async || list(&ground, &shop, 0, 100).await.len() == 10).await;
    assert_eq!(verify(&ground, &shop).await.unwrap().verified, 10);
    platform.close().await;
}

/// The gate's rows go, the decision log stays; returns why.
async fn kept(platform: &Platform) -> String {
    let report = pass(platform, false, true).await;
    let days = report.days.iter().filter(|it| it.group == "dla");
    let (day, empty): (Vec<_>, Vec<_>) = days.partition(|it| it.outcome == Outcome::Kept);
    assert!(day.len() == 1 && empty.len() <= 1, "{report:?}");
    day[0].code.clone().unwrap()
}

async fn verify_code(platform: &Platform, run: &Pins) -> String {
    let refused = verify(&platform.lab.ground, run).await.unwrap_err();
    refused.code().as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one world, told from end to end")]
async fn a_day_of_decisions_stays_until_its_segments_are_whole() {
    let (platform, shop) = decided(&[3]).await;
    let lab = &platform.lab;
    let ground = lab.ground.clone();
    let (first, last) = (Day::of(platform.noon(0)), Day::of(platform.noon(59)));
    let before = list(&ground, &shop, 0, 100).await;
    platform.clock.set(platform.noon(59));
    let rows = "SELECT count(*) FROM dla.decision_segment";
    let obstacles = async || {
        let sql = "SELECT code FROM governance.day_obstacles('dla', $1, 45, $2)";
        let rows = lab
            .client()
            .await
            .query(sql, &[&first, &last])
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>()
    };

    // A write that fails is on record, and so is none that happened unheard.
    let maintain = async || {
        let stop = tokio_util::sync::CancellationToken::new();
        let (options, asked) = (
            crate::aged::options(),
            fraudplat::maintenance::Asked::default(),
        );
        let identity = &platform.identity;
        fraudplat::maintenance::run(&ground, identity, &options, &asked, &stop).await
    };
    lab.objects_plan.script(Operation::PutNew, [Fault::Fail]);
    let refused = maintain().await.unwrap_err();
    assert_eq!(refused.code().as_str(), "SUBSTRATE_UNAVAILABLE");
    let failed =
        "SELECT count(*) FROM dla.segment_write_failed WHERE first_seq = 1 AND last_seq = 3";
    assert_eq!(lab.number(failed, &[]).await, 1);
    assert_eq!(ground.counters.get(&shop, Counter::SegmentWriteFailed), 3);
    lab.objects_plan
        .script(Operation::PutNew, [Fault::LoseReply]);
    maintain().await.unwrap_err();
    assert_eq!(
        (lab.number(rows, &[]).await, files(&platform).len()),
        (0, 1)
    );

    // Ended between object and row: an orphan, which the next pass takes up.
    change(
        &platform,
        "REVOKE INSERT ON dla.decision_segment FROM fraudplat_app",
    )
    .await;
    maintain().await.unwrap_err();
    assert_eq!(
        (lab.number(rows, &[]).await, files(&platform).len()),
        (0, 1)
    );
    assert_eq!(obstacles().await, ["GATE_FIRST"]);
    change(
        &platform,
        "GRANT INSERT ON dla.decision_segment TO fraudplat_app",
    )
    .await;
    let archive_off = pass(&platform, false, false).await;
    assert_eq!(
        (archive_off.segments, archive_off.segment_decisions),
        (1, 3)
    );
    assert_eq!(
        (lab.number(rows, &[]).await, files(&platform).len()),
        (1, 1)
    );

    // One bit, then the object.
    let file = &files(&platform)[0];
    let body = std::fs::read(file).unwrap();
    let mut altered = body.clone();
    altered[body.len() / 2] ^= 1;
    std::fs::write(file, &altered).unwrap();
    assert_eq!(kept(&platform).await, "OBJECT_MISSING");
    assert_eq!(verify_code(&platform, &shop).await, "CHAIN_BROKEN");
    std::fs::remove_file(file).unwrap();
    assert_eq!(kept(&platform).await, "OBJECT_MISSING");
    assert_eq!(verify_code(&platform, &shop).await, "EVIDENCE_MISSING");
    std::fs::write(file, &body).unwrap();

    // A decision that no segment holds, a segment that holds what is no decision. Only the tables' owner, and only
    // by switching the guard off.
    let owner = |sql: &str| {
        let off = "ALTER TABLE dla.decision_segment_DAY DISABLE TRIGGER ALL;";
        let on = "ALTER TABLE dla.decision_segment_DAY ENABLE ALWAYS TRIGGER l1_append_only";
        format!("{off} {sql}; {on}").replace("DAY", &first.to_string().replace('-', ""))
    };
    for (last_seq, code) in [(2, "SEGMENTS_MISSING"), (4, "SEGMENTS_DIFFER")] {
        let sql = format!("UPDATE dla.decision_segment_DAY SET last_seq = {last_seq}");
        change(&platform, &owner(&sql)).await;
        assert_eq!(kept(&platform).await, code);
        assert_eq!(verify_code(&platform, &shop).await, "CHAIN_BROKEN");
    }
    change(
        &platform,
        &owner("UPDATE dla.decision_segment_DAY SET last_seq = 3"),
    )
    .await;
    assert_eq!(verify(&ground, &shop).await.unwrap().in_segments, 3);

    let identity = platform.identity.get().await.unwrap();
    let drop_at = "SELECT governance.drop_day_partitions('dla', $1, 36, $2, NULL, NULL, '{}', 'a', 'SYSTEM', 'r', now())";
    let young = identity
        .execute(drop_at, &[&Day(first.0 + 30), &Day(first.0 + 60)])
        .await;
    let young = fraudplat::substrate::db::Error::from(young.unwrap_err());
    assert_eq!(young.sqlstate(), Some("FP002"), "{young}");
    assert!(young.to_string().contains("TOO_YOUNG"), "{young}");
    drop(identity);

    let done = pass(&platform, false, true).await;
    assert_eq!(of_log(&done, Outcome::Kept), [""; 0], "{done:?}");
    assert_eq!(
        lab.number("SELECT count(*) FROM dla.decision", &[]).await,
        0
    );
    assert_eq!(list(&ground, &shop, 0, 100).await, before);

    // What is asked for and cannot be answered is said, never left out.
    let id = before[1].decision_id;
    std::fs::remove_file(file).unwrap();
    let missing = explained(&ground, &id).await;
    assert_eq!(
        (missing.0, &missing.1["code"]),
        (500, &"EVIDENCE_MISSING".into())
    );
    std::fs::write(file, &altered).unwrap();
    let wrong = explained(&ground, &id).await;
    assert_eq!((wrong.0, &wrong.1["code"]), (500, &"CHAIN_BROKEN".into()));
    platform.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_hold_stays_and_holds_up_no_other() {
    let (mut platform, shop) = decided(&[3]).await;
    let other = live_run(&platform.lab.ground, "another").await;
    let events = platform.payments(&other, 0, 2);
    platform.send(&events).await;
    platform.settle().await;
    let day = Day::of(platform.noon(0)).to_string().replace('-', "");
    let sql = format!(
        "ALTER TABLE dla.decision_{day} DISABLE TRIGGER ALL;
         UPDATE dla.decision_{day} SET body = body || '\\x00' WHERE seq = 2 AND platform_run_id = '\\x{}';
         ALTER TABLE dla.decision_{day} ENABLE ALWAYS TRIGGER l1_append_only",
        shop.platform_run_id.digest()
    );
    change(&platform, &sql).await;
    platform.clock.set(platform.noon(59));
    assert_eq!(kept(&platform).await, "SEGMENTS_MISSING");
    let rows = "SELECT count(*) FROM dla.decision_segment WHERE platform_run_id = $1";
    assert_eq!(platform.lab.number(rows, &[&shop.platform_run_id]).await, 0);
    assert_eq!(
        platform.lab.number(rows, &[&other.platform_run_id]).await,
        1
    );
    let cause = "SELECT count(*) FROM dla.segment_write_failed WHERE cause LIKE '%body_hash%'";
    assert_eq!(platform.lab.number(cause, &[]).await, 1);
    let found = verify(&platform.lab.ground, &shop).await.unwrap();
    assert_eq!(found.broken.map(|it| it.seq), Some(2));
    platform.close().await;
}
