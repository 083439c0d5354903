//! `demo --json`: the shape of CONTRACTS §9, numbers that agree with one another, and a page that
//! says the same and needs nothing else.

use std::path::Path;

use fraudplat::contracts::run_report::RunReport;
use roxmltree::{Document, ParsingOptions};

use crate::home::{DONE, Home, USAGE};

/// A few hundred payments with much fraud.
pub(crate) const TINY: &str = "\
scenario: tiny
seed: 7
start: 2025-03-01T00:00:00Z
days: 12
population: {customers: 60, merchants: 60}
payments: {per_customer_day: 1.0}
campaigns:
  - {type: stolen_card, per_day: 0.5}
  - {type: card_testing, per_day: 0.3, size: [8, 12]}
  - {type: account_takeover, per_day: 0.3}
";

#[test]
fn the_demo_prints_one_report_whose_numbers_agree() {
    let home = Home::new();
    let scenario = home.file("tiny.yaml", TINY);
    let demo = ["demo", "--json", "--scenario", scenario.to_str().unwrap()];
    let ended = home.run(&demo).expect(DONE);
    let report: RunReport = serde_json::from_str(&ended.stdout).unwrap();
    let (events, decisions) = (&report.events, &report.decisions);
    let payments = decisions["total"];
    assert!((400..1_500).contains(&payments), "{payments}");
    // A payment is four events; a link between entities, such as a new device, is two.
    let of_links = events.sent - 4 * payments;
    assert!(of_links >= 0 && of_links % 2 == 0, "{events:?}");
    assert_eq!(events.admitted, events.sent);
    assert_eq!(
        events.received,
        events.admitted + events.duplicate + events.quarantined + events.ambiguous
    );
    assert_eq!((events.quarantined, events.ambiguous), (0, 0));
    let outcomes = ["APPROVE", "STEP_UP", "REVIEW", "DECLINE"].map(|it| decisions[it]);
    assert_eq!(outcomes.iter().sum::<i64>(), payments);
    assert!(outcomes[0] > payments / 2, "{decisions:?}");
    assert_eq!(decisions.len(), 6, "{decisions:?}");
    assert_eq!(decisions["degraded"], 0);
    let rate = report.throughput.payments_per_s * report.throughput.wall_s;
    assert!(
        (rate / payments as f64 - 1.0).abs() < 0.1,
        "{:?}",
        report.throughput
    );
    let latency = &report.latency_ms;
    let quantiles = [latency.p50, latency.p95, latency.p99, latency.p999];
    assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{latency:?}");
    check_fraud(&report);
    assert!(report.reconciliation.balanced);
    let checks = &report.reconciliation.checks;
    assert!(!checks.is_empty());
    assert!(checks.iter().all(|it| it.left == it.right), "{checks:?}");
    let compared = report.replay.compared;
    assert_eq!((compared, report.replay.mismatched), (payments.min(500), 0));
    assert!(report.rss_peak_mb > 0);
    check_page(Path::new(&report.reports[0]), &report);

    // The commands that it names work, and the same demo again is the same run.
    for command in &report.next {
        // Behind the program and its --data-dir, which `run` gives itself.
        let words: Vec<&str> = command.split(' ').skip(3).collect();
        home.run(&words).expect(DONE);
    }
    let again = home.run(&demo).expect(DONE);
    assert!(again.stderr.contains("streamed before"), "{again:?}");
    let again: RunReport = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again.events, report.events);
    assert_eq!(again.platform_run_id, report.platform_run_id);
    assert_eq!(again.decisions, report.decisions);
    assert_eq!(again.fraud, report.fraud);
    check_served(&home, &report);
    home.run(&["demo", "--payments", "many"]).expect(USAGE);
}

/// Sums of parts are the whole, and what is caught is part of what there is.
#[track_caller]
fn check_fraud(report: &RunReport) {
    let fraud = &report.fraud;
    assert!(fraud.count > 10, "{fraud:?}");
    assert!(0 < fraud.caught && fraud.caught <= fraud.count, "{fraud:?}");
    assert!(fraud.caught_minor <= fraud.amount_minor, "{fraud:?}");
    let stopped = report.decisions["total"] - report.decisions["APPROVE"];
    assert_eq!(stopped, fraud.caught + fraud.false_alarms);
    let precision = fraud.caught as f64 / stopped as f64;
    assert!((fraud.precision - precision).abs() < 1e-9, "{fraud:?}");
    let sum = |of: fn(&fraudplat::contracts::run_report::Campaign) -> i64| {
        report.campaigns.iter().map(of).sum::<i64>()
    };
    assert_eq!(sum(|it| it.count), fraud.count);
    assert_eq!(sum(|it| it.caught), fraud.caught);
    assert_eq!(sum(|it| it.amount_minor), fraud.amount_minor);
    assert_eq!(sum(|it| it.caught_minor), fraud.caught_minor);
    let fired = report.rules.iter().filter(|it| it.fired > 0);
    assert!(fired.clone().count() > 1, "{:?}", report.rules);
    for rule in fired {
        assert!(
            rule.alone <= rule.frauds && rule.frauds <= rule.fired,
            "{rule:?}"
        );
        let precision = rule.frauds as f64 / rule.fired as f64;
        assert!((rule.precision - precision).abs() < 1e-9, "{rule:?}");
    }
}

/// The page is well-formed, has every section, says what the JSON says and loads nothing.
#[track_caller]
fn check_page(path: &Path, report: &RunReport) {
    let text = std::fs::read_to_string(path).unwrap();
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let page = Document::parse_with_options(&text, options).unwrap();
    let nodes = || page.descendants().filter(roxmltree::Node::is_element);
    for name in ["script", "link", "img", "iframe", "object", "base", "form"] {
        assert!(!nodes().any(|it| it.tag_name().name() == name), "<{name}>");
    }
    for node in nodes() {
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(
                !["src", "href", "srcset", "action"].contains(&name),
                "{name}"
            );
        }
    }
    assert!(!text.contains("url(") && !text.contains("@import"));
    let ids = [
        "headline",
        "outcomes",
        "fraud",
        "rules",
        "latency",
        "degraded",
        "replay",
        "reconciliation",
        "identity",
        "next",
    ];
    for id in ids {
        let found = nodes().find(|it| it.attribute("id") == Some(id));
        let words = found.map(|it| {
            it.descendants()
                .filter_map(|it| it.text())
                .collect::<String>()
        });
        assert!(words.is_some_and(|it| it.trim().len() > 20), "section {id}");
    }
    let words: String = page.descendants().filter_map(|it| it.text()).collect();
    let mut said = vec![
        report.platform_run_id.to_string(),
        format!("{} of {} payments", report.fraud.caught, report.fraud.count),
        format!("{} equal", report.replay.compared),
        format!(
            "{0} of {0} checks equal",
            report.reconciliation.checks.len()
        ),
        money(report.fraud.amount_minor),
        money(report.fraud.caught_minor),
    ];
    said.extend(report.next.iter().cloned());
    said.extend(report.rules.iter().map(|it| it.rule_id.clone()));
    said.extend(report.campaigns.iter().map(|it| it.name.replace('_', " ")));
    said.extend(report.campaigns.iter().map(|it| money(it.amount_minor)));
    let checks = report.reconciliation.checks.iter();
    said.extend(checks.map(|it| it.name.replace('_', " ")));
    for text in said {
        assert!(words.contains(&text), "`{text}` is not on the page");
    }
    let plots = nodes().filter(|it| it.tag_name().name() == "svg").count();
    assert!(plots >= 10, "{plots} plots");
    assert!(!words.contains("no data"), "a plot is empty");
}

/// Minor units of euro, as a person writes them.
fn money(minor: i64) -> String {
    let digits = (minor / 100).to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|it| std::str::from_utf8(it).unwrap())
        .collect();
    format!("EUR {}.{:02}", groups.join(","), minor % 100)
}

/// A platform on the directory serves the page; a report of the run can be had anywhere.
fn check_served(home: &Home, report: &RunReport) {
    let (all, port) = home.serve();
    let run = report.platform_run_id;
    let page = port.get(&format!("/v1/runs/{run}/report"));
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (200, "text/html; charset=utf-8")
    );
    let unknown = format!("/v1/runs/run_{}/report", "0".repeat(64));
    assert_eq!(port.get(&unknown).status, 404);
    assert_eq!(port.get("/v1/runs/..%2F..%2FLOCK/report").status, 404);
    let out = home.dir().join("elsewhere/r.html");
    let words = [
        "run",
        "report",
        &run.to_string(),
        "--out",
        out.to_str().unwrap(),
    ];
    let made: RunReport = serde_json::from_value(home.json(&words)).unwrap();
    assert_eq!(made.reports, [out.to_str().unwrap()]);
    assert_eq!(made.decisions, report.decisions);
    assert_eq!(made.campaigns, report.campaigns);
    assert_eq!(made.rules, report.rules);
    check_page(&out, &made);
    all.stop(rustix::process::Signal::TERM).expect(DONE);
}
