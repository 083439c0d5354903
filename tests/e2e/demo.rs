//! `demo --json`: the shape of CONTRACTS §9, and numbers that agree with one another.

use fraudplat::contracts::run_report::RunReport;

use crate::home::{DONE, Home, USAGE};

#[test]
fn the_demo_prints_one_report_whose_numbers_agree() {
    let home = Home::new();
    let ended = home
        .run(&["demo", "--json", "--payments", "500"])
        .expect(DONE);
    let report: RunReport = serde_json::from_str(&ended.stdout).unwrap();
    let (events, decisions) = (&report.events, &report.decisions);
    assert_eq!(events.sent, 2_000);
    assert_eq!(events.admitted, events.sent);
    assert_eq!(
        events.received,
        events.admitted + events.duplicate + events.quarantined + events.ambiguous
    );
    assert_eq!((events.quarantined, events.ambiguous), (0, 0));
    assert_eq!(decisions["total"], 500);
    let outcomes = ["APPROVE", "STEP_UP", "REVIEW", "DECLINE"].map(|it| decisions[it]);
    assert_eq!(outcomes.iter().sum::<i64>(), 500);
    assert!(outcomes[0] > 250, "{decisions:?}");
    assert_eq!(decisions.len(), 6, "{decisions:?}");
    assert_eq!(decisions["degraded"], 0);
    let rate = report.throughput.payments_per_s * report.throughput.wall_s;
    assert!((rate - 500.0).abs() < 50.0, "{:?}", report.throughput);
    let latency = &report.latency_ms;
    let quantiles = [latency.p50, latency.p95, latency.p99, latency.p999];
    assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{latency:?}");
    let fraud = &report.fraud;
    assert!(fraud.caught <= fraud.count && fraud.caught_minor <= fraud.amount_minor);
    assert!(report.reconciliation.balanced);
    let checks = &report.reconciliation.checks;
    assert!(!checks.is_empty());
    assert!(checks.iter().all(|it| it.left == it.right), "{checks:?}");
    assert_eq!((report.replay.compared, report.replay.mismatched), (500, 0));
    assert!(report.rss_peak_mb > 0);

    // The commands that it names work, and the same demo again is the same run.
    for command in &report.next {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        home.run(&words).expect(DONE);
    }
    let again = home
        .run(&["demo", "--json", "--payments", "500"])
        .expect(DONE);
    let again: RunReport = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again.platform_run_id, report.platform_run_id);
    assert_eq!(again.decisions, report.decisions);
    home.run(&["demo", "--payments", "many"]).expect(USAGE);
}
