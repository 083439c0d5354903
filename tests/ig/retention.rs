//! What leaves, and what must not: each obstacle keeps its day, only the maintenance identity drops, and
//! what has left is in the ledger word for word.

use std::collections::BTreeMap;
use std::io::Read as _;

use fraudplat::domain::digest::Digest;
use fraudplat::domain::vocabulary::FactType;
use fraudplat::governance::facts;
use fraudplat::ingress::ig::Options as GateOptions;
use fraudplat::maintenance::{self, Asked, Outcome, Report};
use fraudplat::substrate::db::{self, Client, Day, ToSql};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::aged::{Platform, options};
use crate::gate::live_run;

/// A platform on which one day is due: the first, with two payments and a refused event.
async fn due() -> Platform {
    let mut platform = Platform::begin(60).await;
    let shop = live_run(&platform.lab.ground, "due").await;
    let mut events = platform.payments(&shop, 0, 2);
    let mut wrong = events[3].clone();
    wrong["event_id"] = "wrong".into();
    wrong["payload"]["currency"] = "euro".into();
    events.push(wrong);
    platform.send(&events).await;
    platform.settle().await;
    platform.clock.set(platform.noon(59));
    platform
}

pub(crate) async fn pass(platform: &Platform, dry_run: bool, has_archive: bool) -> Report {
    let options = maintenance::Options {
        has_archive,
        ..options()
    };
    let asked = Asked {
        dry_run,
        wait: true,
        ..Asked::default()
    };
    let stop = CancellationToken::new();
    let ground = platform.lab.ground.acting_as("svc:maintenance");
    let pass = maintenance::run(&ground, &platform.identity, &options, &asked, &stop);
    pass.await.unwrap()
}

/// Why the gate's day stays.
async fn kept(platform: &Platform) -> String {
    let report = pass(platform, false, true).await;
    let of_gate = report.days.iter().find(|it| it.group == "ig").unwrap();
    assert_eq!(of_gate.outcome, Outcome::Kept, "{of_gate:?}");
    of_gate.code.clone().unwrap()
}

pub(crate) async fn change(platform: &Platform, sql: &str) {
    platform
        .lab
        .client()
        .await
        .batch_execute(sql)
        .await
        .unwrap();
}

async fn drop_as(client: &Client, day: Day, as_of: Day, rows: &str) -> Result<(), db::Error> {
    let sql = "SELECT governance.drop_day_partitions('ig', $1, 45, $2, 'k', '\\x00', $3::text::jsonb, 'a', 'SYSTEM', 'r', now())";
    let params: [&(dyn ToSql + Sync); 3] = [&day, &as_of, &rows];
    client.execute(sql, &params).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one world, told from end to end")]
async fn a_day_stays_while_anything_speaks_against_it() {
    let platform = due().await;
    let day = Day::of(platform.noon(0));
    // Pruned first, so the dedupe index has let go of it.
    let before = platform
        .lab
        .number("SELECT count(*) FROM ig.dedupe", &[])
        .await;
    assert_eq!(before, 8);

    let archive_off = pass(&platform, true, false).await;
    assert!(
        archive_off
            .days
            .iter()
            .all(|it| it.code.as_deref() == Some("ARCHIVE_REQUIRED")),
        "{archive_off:?}"
    );

    let positions =
        "CREATE TABLE public.positions AS SELECT * FROM runtime.lease WHERE group_name = 'archive'";
    change(&platform, positions).await;
    change(
        &platform,
        "UPDATE runtime.lease SET position = 'start' WHERE group_name = 'archive'",
    )
    .await;
    assert_eq!(kept(&platform).await, "ARCHIVE_BEHIND");
    assert_eq!(
        platform
            .lab
            .number("SELECT count(*) FROM ig.dedupe", &[])
            .await,
        0,
        "pruned all the same"
    );
    let restore = "UPDATE runtime.lease l SET position = p.position FROM public.positions p
        WHERE l.group_name = p.group_name AND l.scope = p.scope";
    change(&platform, restore).await;

    let again = "INSERT INTO ig.dedupe SELECT event_key, payload_hash, batch_id, item, day, day + 36, platform_run_id
        FROM ig.event LIMIT 1";
    change(&platform, again).await;
    assert_eq!(kept(&platform).await, "DEDUPE_HELD");
    change(&platform, "DELETE FROM ig.dedupe").await;

    let name = day.to_string();
    let more = format!(
        "INSERT INTO ig.receipt_segment VALUES ('{name}', '\\x01', 'g', 1, 1, 3, 'k', '\\x', now())"
    );
    change(&platform, &more).await;
    assert_eq!(kept(&platform).await, "RECEIPTS_MISSING");
    // Only the tables' owner, and only by switching the guard off.
    let undo = "ALTER TABLE ig.receipt_segment_DAY DISABLE TRIGGER ALL;
        DELETE FROM ig.receipt_segment_DAY WHERE gate_id = 'g';
        ALTER TABLE ig.receipt_segment_DAY ENABLE ALWAYS TRIGGER l1_append_only";
    change(&platform, &undo.replace("DAY", &name.replace('-', ""))).await;

    let open = format!(
        "INSERT INTO ig.batch SELECT day, 999999, gate_id, epoch, admitted_at, 1, service_release_id, environment, mode,
             policy_rev, run_config_digest FROM ig.batch WHERE day = '{name}' LIMIT 1"
    );
    change(&platform, &open).await;
    assert_eq!(kept(&platform).await, "BATCH_OPEN");
    let closed = format!(
        "INSERT INTO ig.batch_terminal VALUES ('{name}', 999999, 1, '{{}}', '{{}}', now())"
    );
    change(&platform, &closed).await;

    let row = "SELECT object_key FROM ig.receipt_segment LIMIT 1";
    let key: String = platform
        .lab
        .client()
        .await
        .query_one(row, &[])
        .await
        .unwrap()
        .get(0);
    let file = platform.lab.dir.path().join("objects/objects").join(key);
    let body = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"altered").unwrap();
    assert_eq!(kept(&platform).await, "OBJECT_MISSING");
    std::fs::write(&file, body).unwrap();

    let told = pass(&platform, true, true).await;
    assert_eq!(told.days[0].outcome, Outcome::WouldDrop, "{told:?}");
    assert!(
        platform
            .lab
            .number("SELECT count(*) FROM ig.event", &[])
            .await
            == 8,
        "a dry run drops nothing"
    );
    let done = pass(&platform, false, true).await;
    assert_eq!(done.days[0].outcome, Outcome::Dropped, "{done:?}");
    assert_eq!(
        platform
            .lab
            .number("SELECT count(*) FROM ig.event", &[])
            .await,
        0
    );
    platform.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_maintenance_identity_drops_and_never_what_is_young() {
    let platform = due().await;
    pass(&platform, true, true).await;
    let (old, today) = (Day::of(platform.noon(0)), Day::of(platform.noon(59)));
    let app = platform.lab.ground.db.get().await.unwrap();
    let refused = drop_as(&app, old, today, "{}").await.unwrap_err();
    assert_eq!(refused.sqlstate(), Some("42501"), "{refused}");
    let forged = app
        .execute(
            "INSERT INTO governance.dropped_day SELECT * FROM governance.dropped_day",
            &[],
        )
        .await;
    assert_eq!(
        db::Error::from(forged.unwrap_err()).sqlstate(),
        Some("42501")
    );

    let identity = platform.identity.get().await.unwrap();
    let change = identity.execute("DELETE FROM ig.event", &[]).await;
    assert_eq!(
        db::Error::from(change.unwrap_err()).sqlstate(),
        Some("42501"),
        "it may drop days, not rows"
    );
    for (day, as_of, rows, why) in [
        (Day(today.0 - 10), today, "{}", "TOO_YOUNG"),
        // The server has a clock of its own.
        (Day(today.0 + 400), Day(today.0 + 500), "{}", "TOO_YOUNG"),
        (old, today, "{}", "DEDUPE_HELD"),
        (Day(old.0 - 9), today, "{}", "NOTHING_STANDS"),
    ] {
        let refused = drop_as(&identity, day, as_of, rows).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("FP002"), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    change_dedupe(&platform).await;
    let refused = drop_as(&identity, old, today, r#"{"ig.batch": 1000}"#)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("LEDGER_DIFFERS"), "{refused}");
    assert_eq!(
        platform
            .lab
            .number("SELECT count(*) FROM governance.dropped_day", &[])
            .await,
        0
    );

    let future = Asked {
        as_of: Some(Day(today.0 + 1)),
        ..Asked::default()
    };
    let (ground, stop) = (&platform.lab.ground, CancellationToken::new());
    let options = options();
    let early = maintenance::run(ground, &platform.identity, &options, &future, &stop).await;
    assert!(early.unwrap_err().to_string().contains("has not come"));
    drop((app, identity));
    platform.close().await;
}

async fn change_dedupe(platform: &Platform) {
    change(platform, "DELETE FROM ig.dedupe").await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one world, told from end to end")]
async fn what_has_left_is_in_the_ledger_and_a_fact_tells_of_it() {
    let platform = due().await;
    let tables = [
        "ig.batch",
        "ig.batch_count",
        "ig.quarantine",
        "rtdl.inlet_count",
        "dla.decision_count",
    ];
    let mut before: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let day = Day::of(platform.noon(0));
    for table in tables {
        let sql = format!("SELECT to_jsonb(t)::text FROM {table} t WHERE day = $1 ORDER BY t");
        let rows = platform
            .lab
            .client()
            .await
            .query(&sql, &[&day])
            .await
            .unwrap();
        let rows = rows
            .iter()
            .map(|row| serde_json::from_str(row.get(0)).unwrap());
        before.insert(table.to_owned(), rows.collect());
    }
    let report = pass(&platform, false, true).await;
    let dropped = report
        .days
        .iter()
        .filter(|it| it.outcome == Outcome::Dropped);
    // Of the three groups, with the day after, whose partitions were made and stayed empty.
    assert_eq!(dropped.count(), 6, "{report:?}");

    let client = platform.lab.client().await;
    let told = facts::list(&client, None, Some(FactType::PartitionsDropped), 10)
        .await
        .unwrap();
    assert_eq!(told.len(), 6);
    let sql = "SELECT group_name, proof, ledger_key, ledger_hash, encode(proof_sha256, 'hex')
        FROM governance.dropped_day WHERE ledger_key IS NOT NULL";
    let mut after: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in client.query(sql, &[]).await.unwrap() {
        let (group, proof): (&str, &str) = (row.get(0), row.get(1));
        let of_group = |it: &&fraudplat::contracts::fact::Fact| it.natural_key[0] == group;
        let fact = told
            .iter()
            .filter(of_group)
            .find(|it| !it.refs.is_empty())
            .unwrap();
        assert_eq!(fact.natural_key[1..], [day.to_string(), row.get(4)]);
        assert_eq!(fact.details["proof"], proof);
        assert_eq!(fact.refs[0].ref_id, row.get::<_, &str>(2));
        let proof: Value = serde_json::from_str(proof).unwrap();
        assert_eq!(proof["floor_days"], 36, "{proof}");
        let key = row.get::<_, &str>(2).parse().unwrap();
        let body = platform
            .lab
            .ground
            .objects
            .get(&key)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(Digest::of_bytes(&body), row.get(3));
        let mut text = String::new();
        zstd::Decoder::new(&body[..])
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let table = line["table"].as_str().unwrap().to_owned();
            after.entry(table).or_default().push(line["row"].clone());
        }
        for table in tables.iter().filter(|it| it.starts_with(group)) {
            assert_eq!(
                proof["tables"][*table]["rows"],
                before[*table].len(),
                "{proof}"
            );
        }
    }
    assert_eq!(after, before);
    drop(client);
    let options = GateOptions::default();
    assert!(
        options.dedupe_horizon_days < 36,
        "the floor is above the gate's own default"
    );
    platform.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_with_day_partitions_has_its_place_in_retention() {
    let db = crate::postgres::fresh_database().await;
    let client = db.app.get().await.unwrap();
    let sql = "SELECT e.parent::text FROM governance.partitioned_evidence e
        WHERE NOT EXISTS (SELECT FROM governance.retention_table t WHERE t.parent = e.parent)";
    let homeless = client.query(sql, &[]).await.unwrap();
    let homeless: Vec<&str> = homeless.iter().map(|row| row.get(0)).collect();
    assert!(homeless.is_empty(), "they grow without bound: {homeless:?}");
}
