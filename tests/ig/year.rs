//! A platform that runs for a year in minutes: the real gate, log, inlets, archive, decisions and maintenance
//! on a clock that a test sets, with a small load a day. What is due leaves, the rest of the figures stay flat,
//! nothing is admitted twice, and what has left is still answered for.
//!
//! `just storm year --size 365`; a shorter one runs with every `cargo test`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "its figures are what it is run for, and its size is the environment's"
)]

use std::collections::BTreeSet;
use std::path::Path;

use fraudplat::domain::keys::Pins;
use fraudplat::maintenance::Outcome;
use fraudplat::rtdl::audit;
use fraudplat::substrate::clock::Clock;
use serde_json::json;

use crate::aged::{EVIDENCE_DAYS, GRACE_DAYS, HORIZON_DAYS, Platform, world_run};
use crate::gate::live_run;

/// Every so often a world of three days begins.
const WORLD_EVERY: i64 = 10;

/// What is measured every so often.
#[derive(Debug, Clone, Copy)]
struct Figures {
    day: i64,
    partitions: i64,
    /// Of them those of the decision log.
    dla_partitions: i64,
    dedupe: i64,
    frames: i64,
    manifest_rows: i64,
    /// KiB of tables and indexes, without and of the decision log.
    kib: i64,
    dla_kib: i64,
    snapshots: i64,
    objects: i64,
    objects_kib: i64,
}

impl Figures {
    async fn take(platform: &Platform, day: i64) -> Figures {
        let lab = &platform.lab;
        let client = lab.client().await;
        // What autovacuum does in a day of a real year.
        client.batch_execute("VACUUM").await.unwrap();
        drop(client);
        let kib = "SELECT (coalesce(sum(pg_total_relation_size(c.oid)), 0) / 1024)::bigint FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND ";
        let partitions = "SELECT count(*) FROM governance.retention_group g, governance.day_partitions(g.group_name) p
            WHERE ";
        let manifest = "SELECT (SELECT count(*) FROM ig.receipt_segment) + (SELECT count(*) FROM rtdl.archive_segment)
            + (SELECT count(*) FROM dla.decision_segment)";
        let number = async |sql: &str| lab.number(sql, &[]).await;
        let (mut objects, mut bytes, mut snapshots) = (0, 0, 0);
        walk(
            &lab.dir.path().join("objects/objects"),
            &mut |path, size| {
                objects += 1;
                bytes += size;
                snapshots += i64::from(path.to_string_lossy().contains("/rtdl/snapshots/"));
            },
        );
        Figures {
            day,
            partitions: number(&format!("{partitions} true")).await,
            dla_partitions: number(&format!("{partitions} g.group_name = 'dla'")).await,
            dedupe: number("SELECT count(*) FROM ig.dedupe").await,
            frames: number("SELECT count(*) FROM rtdl.frame_part").await,
            manifest_rows: number(manifest).await,
            kib: number(&format!(
                "{kib} n.nspname IN ('ig', 'rtdl', 'dla', 'runtime', 'governance')"
            ))
            .await,
            dla_kib: number(&format!("{kib} n.nspname = 'dla'")).await,
            snapshots,
            objects,
            objects_kib: i64::try_from(bytes / 1024).unwrap(),
        }
    }

    fn print(&self) {
        println!(
            "| {:>3} | {:>4} | {:>5} | {:>5} | {:>5} | {:>6} | {:>7} | {:>6} | {:>3} | {:>6} | {:>7} |",
            self.day,
            self.partitions,
            self.dedupe,
            self.frames,
            self.snapshots,
            self.kib,
            self.manifest_rows,
            self.dla_partitions,
            self.dla_kib,
            self.objects,
            self.objects_kib
        );
    }
}

const HEAD: &str = "| day | partitions | dedupe rows | context rows | snapshots | KiB of tables | manifest rows | \
                    of the decision log: partitions | KiB | objects | KiB of objects |\n|---|---|---|---|---|---|---|---|---|---|---|";

fn walk(dir: &Path, seen: &mut impl FnMut(&Path, u64)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), seen),
            false => seen(&entry.path(), entry.metadata().unwrap().len()),
        }
    }
}

/// Days that a year has; fewer where only a test runs.
fn size() -> i64 {
    let size = std::env::var("FRAUDPLAT_STORM_SIZE").ok();
    size.map_or(60, |it| it.parse().unwrap())
}

/// What a repeat is told, by its age in days: it is known for the horizon, the day that an event may be ahead
/// and the grace, and until the pass of that day's evening. Then its time is out of range.
fn expected_of_repeat(age: i64) -> &'static str {
    match age <= i64::from(HORIZON_DAYS + 1 + GRACE_DAYS) + 1 {
        true => "DUPLICATE",
        false => "QUARANTINED TS_OUT_OF_RANGE",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn year() {
    let days = size();
    let mut platform = Platform::begin(days + 1).await;
    let shop = live_run(&platform.lab.ground, "year").await;
    let mut worlds: Vec<Pins> = Vec::new();
    let mut series: Vec<Figures> = Vec::new();
    let mut n_dropped = 0;
    println!("{HEAD}");
    for day in 0..days {
        platform.clock.set(platform.noon(day));
        let today = platform.payments(&shop, day, 2);
        assert_eq!(platform.send(&today).await, vec!["ADMITTED"; 8]);
        // Repeats of every age, and something that is no event of today.
        for age in [1, 30, 35, 36, 44, 45, 50, 70] {
            if age <= day {
                let again = platform.payments(&shop, day - age, 2);
                assert_eq!(
                    platform.send(&again[3..4]).await,
                    [expected_of_repeat(age)],
                    "{day} {age}"
                );
            }
        }
        let of_world = day % WORLD_EVERY;
        if of_world == 0 {
            let first = platform.noon(day);
            worlds.push(world_run(&platform, &format!("world {day}"), first, 3).await);
        }
        if of_world < 3 {
            let world = worlds.last().unwrap().clone();
            let events = platform.payments(&world, day, 2);
            assert_eq!(platform.send(&events).await, vec!["ADMITTED"; 8]);
        }
        platform.settle().await;
        if of_world == 2 {
            let world = worlds.last().unwrap().clone();
            platform.end(&world).await;
            platform.settle().await;
            check_balanced(&platform, &world).await;
        }
        platform
            .lab
            .bus
            .inner()
            .log()
            .trim(platform.clock.now())
            .await
            .unwrap();
        let report = platform.maintain().await;
        n_dropped += report
            .days
            .iter()
            .filter(|it| it.outcome == Outcome::Dropped)
            .count();
        let kept = report.days.iter().find(|it| it.outcome != Outcome::Dropped);
        assert!(kept.is_none(), "{day}: {kept:?}");
        if day % 15 == 14 || day + 1 == days {
            let figures = Figures::take(&platform, day + 1).await;
            figures.print();
            series.push(figures);
        }
    }
    print_largest(&platform).await;
    check_flat(&series);
    assert_eq!(
        n_dropped as i64,
        3 * (days - i64::from(EVIDENCE_DAYS) - 1).max(0),
        "days that left"
    );
    check_closed(&mut platform, &worlds, days).await;
    check_whole(&platform, &shop, days).await;
    platform.close().await;
}

async fn check_balanced(platform: &Platform, world: &Pins) {
    let found = platform.reconcile(world).await.unwrap().reconciliation;
    let broken: Vec<_> = found.checks.iter().filter(|it| !it.balances()).collect();
    assert!(found.balanced && found.checks.len() > 20, "{broken:?}");
}

/// Where the room goes, partitions counted with their tables.
async fn print_largest(platform: &Platform) {
    let sql = "SELECT n.nspname || '.' || regexp_replace(c.relname, '_[0-9]{8}$', ''), count(*),
            (sum(pg_total_relation_size(c.oid)) / 1024)::bigint
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname IN ('ig', 'rtdl', 'runtime', 'governance', 'dla')
        GROUP BY 1 ORDER BY 3 DESC LIMIT 16";
    for row in platform.lab.client().await.query(sql, &[]).await.unwrap() {
        let (table, n, kib): (&str, i64, i64) = (row.get(0), row.get(1), row.get(2));
        println!("{table}: {n} relations, {kib} KiB");
    }
}

/// From the day on which the first day has left, nothing that may leave grows.
fn check_flat(series: &[Figures]) {
    let full: Vec<&Figures> = series
        .iter()
        .filter(|it| it.day > i64::from(EVIDENCE_DAYS))
        .collect();
    let (Some(first), Some(last)) = (full.first(), full.last()) else {
        panic!("a year is longer than its horizon");
    };
    // Evidence of 46 days in 17 tables that are made a day ahead, three of them manifests; five of the decision log.
    let days = i64::from(EVIDENCE_DAYS) + 3;
    for it in &full {
        assert!(it.partitions <= 17 * days, "{it:?}");
        assert!(it.dla_partitions <= 5 * days, "{it:?}");
        // 8 events a day of the shop, 24 a world.
        let live = 8 * (i64::from(HORIZON_DAYS + GRACE_DAYS) + 4);
        assert!(it.dedupe <= live + 2 * 24, "{it:?}");
        assert!(
            it.frames <= 6 * (i64::from(HORIZON_DAYS) + 3) + 2 * 18,
            "{it:?}"
        );
        assert!(it.snapshots <= 2 * 4, "{it:?}");
    }
    // What stays of a day are rows of manifest, proof and fact, of three groups.
    let per_day = (last.kib - first.kib) as f64 / (last.day - first.day).max(1) as f64;
    println!("tables grow by {per_day:.1} KiB a day once the first day has left");
    assert!(
        last.day - first.day < 60 || per_day < 30.0,
        "{first:?} {last:?}"
    );
}

/// Of runs that have ended long ago nothing is admitted again, and reconciliation says what was dropped.
async fn check_closed(platform: &mut Platform, worlds: &[Pins], days: i64) {
    let before = platform
        .lab
        .number("SELECT sum(admitted)::bigint FROM ig.batch_count", &[])
        .await;
    let (first, _) = worlds.split_first().unwrap();
    let events = platform.payments(first, 0, 2);
    assert_eq!(
        platform.send(&events).await,
        vec!["QUARANTINED RUN_CLOSED"; 8]
    );
    let known = "SELECT count(*) FROM ig.dedupe WHERE platform_run_id = $1";
    assert_eq!(
        platform.lab.number(known, &[&first.platform_run_id]).await,
        0
    );
    let after = platform
        .lab
        .number("SELECT sum(admitted)::bigint FROM ig.batch_count", &[])
        .await;
    assert_eq!(before, after);
    let refused = platform.reconcile(first).await.unwrap_err();
    let dropped = (days - i64::from(EVIDENCE_DAYS) - 1).min(3);
    let words = format!(
        "retention dropped {dropped} days of {}",
        first.platform_run_id
    );
    assert!(refused.to_string().starts_with(&words), "{refused}");
}

/// Nothing of the year is lost, whether its day still stands or not.
async fn check_whole(platform: &Platform, shop: &Pins, days: i64) {
    check_receipts(platform, shop, days).await;
    check_decisions(platform, shop, days).await;
}

/// Every event of the year has its receipt, once, in order, whether its day still stands or not.
async fn check_receipts(platform: &Platform, shop: &Pins, days: i64) {
    let run = shop.platform_run_id;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut n_seen = 0;
    let mut after = String::new();
    let mut last = (String::new(), 0);
    loop {
        let page = platform
            .gate
            .get(&format!("/v1/receipts/{run}?limit=500{after}"))
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        for verdict in page.results() {
            let receipt = &verdict["receipt"];
            let at = (
                receipt["admitted_at"].as_str().unwrap().to_owned(),
                receipt["batch_id"].as_i64().unwrap(),
            );
            assert!(last <= at, "{last:?} {at:?}");
            last = at;
            n_seen += 1;
            seen.insert(format!(
                "{} {}",
                receipt["event_class"], receipt["event_id"]
            ));
        }
        match page.body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(
        (n_seen, seen.len()),
        (8 * days, usize::try_from(8 * days).unwrap())
    );
    let old = platform
        .gate
        .get(&format!("/v1/receipts/{run}/traffic/d0p1"))
        .await;
    assert_eq!(
        (old.status, &old.body["event_id"]),
        (200, &json!("d0p1")),
        "{old:?}"
    );
}

/// Every decision of the year is in the chain, and those whose day has left are read and recomputed as any other.
async fn check_decisions(platform: &Platform, shop: &Pins, days: i64) {
    let (ground, run) = (&platform.lab.ground, shop.platform_run_id);
    let standing = "SELECT count(*) FROM dla.decision WHERE platform_run_id = $1";
    let standing = platform.lab.number(standing, &[&run]).await;
    assert_eq!(
        standing,
        2 * (i64::from(EVIDENCE_DAYS) + 1),
        "days that stand"
    );
    let found = audit::verify(ground, &run, &|_| ()).await.unwrap();
    assert_eq!((found.verified, found.broken), (2 * days, None));
    // All but today's, a segment a day.
    assert_eq!(
        (found.segments, found.in_segments),
        (days - 1, 2 * days - 2)
    );
    let sample = audit::sample(ground, &run, 60, 4).await.unwrap();
    assert!(sample.iter().any(|it| it.seq <= 2 * days - standing));
    let ids: Vec<_> = sample.iter().map(|it| it.decision_id).collect();
    assert_eq!(audit::find(ground, &ids).await.unwrap(), sample);
    let replayed = audit::replay(ground, &sample, &|_, _| ()).await.unwrap();
    assert_eq!((replayed.compared, replayed.mismatched), (60, 0));
}
