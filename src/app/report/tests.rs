//! The numbers behind the report, on a few decisions made by hand; and the page, whatever the run.

use roxmltree::Document;

use crate::app::commands::report::numbers;
use crate::app::report::collect::Collected;
use crate::app::report::figures::{Figures, Span};
use crate::app::report::frauds::AmountBucket;
use crate::app::report::known::World;
use crate::app::report::money::money;
use crate::app::report::page::{Proof, html};
use crate::app::report::timeline::Grid;
use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, RuleResult, RuleTrace};
use crate::contracts::ready::RunFacts;
use crate::contracts::reconciliation::Reconciliation;
use crate::contracts::run_report::{Events, Replayed, RunReport};
use crate::domain::ids::{DecisionId, EventId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, Outcome};

const DAY_S: i64 = 86_400;
/// 2025-01-01.
const START_S: i64 = 20_089 * DAY_S;

/// A payment, what it was and what was decided.
struct Paid {
    nth: i64,
    amount_minor: i64,
    campaign: Option<&'static str>,
    outcome: Outcome,
    fired: &'static [&'static str],
    waited_ms: i64,
}

const RULES: [&str; 4] = ["R1", "R2", "R3", "R4"];

/// Ten payments, a day apart: four frauds, of which two are caught.
fn payments() -> Vec<Paid> {
    let paid = |nth, amount_minor, campaign, outcome, fired| Paid {
        nth,
        amount_minor,
        campaign,
        outcome,
        fired,
        waited_ms: nth + 1,
    };
    let (approve, review, decline) = (Outcome::Approve, Outcome::Review, Outcome::Decline);
    vec![
        paid(0, 1_000, None, approve, &[]),
        paid(1, 50_000, Some("ring"), decline, &["R1", "R2"]),
        paid(2, 2_000, None, approve, &["R1"]),
        paid(3, 30_000, Some("ring"), approve, &[]),
        paid(4, 20_000, Some("takeover"), review, &["R2"]),
        paid(5, 1_500, None, review, &["R1", "R3"]),
        paid(6, 700, Some(""), approve, &[]),
        paid(7, 800, None, approve, &[]),
        paid(8, 900, None, approve, &[]),
        paid(9, 90_000, None, decline, &["R1", "R2"]),
    ]
}

fn event_id(nth: i64) -> EventId {
    format!("town:{nth}").parse().expect("an event id")
}

fn at(nth: i64) -> Time {
    Time::from_micros((START_S + nth * DAY_S) * 1_000_000)
}

/// The samples of the stored forms, for the fields that do not matter here.
fn sample<T: serde::de::DeserializeOwned>(hex: &str) -> T {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hex digits");
        u8::from_str_radix(text, 16).expect("hex digits")
    };
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    canonical::from_bytes("a sample", &bytes).expect("a sample")
}

fn decision(paid: &Paid) -> (DecisionBody, DecisionEvidence) {
    let mut body: DecisionBody = sample(include_str!(
        "../../../tests/golden/decision_body/v1.cbor.hex"
    ));
    let mut evidence: DecisionEvidence = sample(include_str!(
        "../../../tests/golden/decision_evidence/v1.cbor.hex"
    ));
    body.event_id = event_id(paid.nth);
    let run = &body.pins.platform_run_id;
    body.decision_id = DecisionId::of(run, EventClass::Traffic, &body.event_id);
    body.ts_utc = at(paid.nth);
    body.outcome = paid.outcome;
    body.degraded = match paid.nth {
        7 => vec!["MISSING_FLOW_ANCHOR".to_owned()],
        _ => Vec::new(),
    };
    let trace = RULES.iter().map(|id| RuleTrace {
        rule_id: (*id).to_owned(),
        result: match (paid.fired.contains(id), *id) {
            (true, _) => RuleResult::Fired,
            (false, "R4") => RuleResult::Missing,
            (false, _) => RuleResult::NotFired,
        },
        operand: None,
    });
    body.trace = trace.collect();
    evidence.admitted_at = at(100).plus_ms(1_000 * paid.nth.unsigned_abs());
    evidence.decided_at = evidence.admitted_at.plus_ms(paid.waited_ms.unsigned_abs());
    (body, evidence)
}

fn world() -> World {
    let mut world = World::default();
    for paid in payments() {
        world.pay(&event_id(paid.nth), paid.amount_minor, "EUR");
    }
    // Paid in another currency and never decided.
    world.pay(&event_id(10), 5, "JPY");
    for paid in payments() {
        if let Some(campaign) = paid.campaign {
            world.defraud(&event_id(paid.nth), campaign);
        }
    }
    world.settle();
    world
}

fn span() -> Span {
    Span {
        first_ts: at(0),
        last_ts: at(9),
        first_decided: at(100),
        last_decided: at(100).plus_ms(10_000),
    }
}

fn facts(has_world: bool) -> RunFacts {
    let mut facts: RunFacts =
        serde_json::from_str(include_str!("../../../tests/golden/run_facts/v1.json"))
            .expect("a sample");
    if !has_world {
        facts.world = None;
    }
    facts
}

/// The run of the payments; without a world nobody knows what they were.
fn collected(has_world: bool, decided: &[Paid]) -> Collected {
    let world = if has_world { world() } else { World::default() };
    let mut figures = Figures::new(&span());
    for paid in decided {
        let (body, evidence) = decision(paid);
        figures.add(&body, &evidence, world.get(&body.event_id).as_ref());
    }
    Collected {
        facts: facts(has_world),
        figures,
        events: Events::default(),
        world,
        span: (!decided.is_empty()).then(span),
        last_seq: 10,
        written: Vec::new(),
        bundle_name: "baseline".to_owned(),
    }
}

fn report(collected: &Collected) -> RunReport {
    let replay = Replayed {
        compared: 10,
        mismatched: 0,
    };
    numbers(collected, None, replay, &proof().reconciliation, "r.html")
}

fn proof() -> Proof {
    let text = include_str!("../../../tests/golden/reconciliation/v1.json");
    let reconciliation: Reconciliation = serde_json::from_str(text).expect("a sample");
    Proof {
        reconciliation,
        is_replayed: true,
    }
}

#[test]
fn rules_are_laid_against_truth_and_one_another() {
    let collected = collected(true, &payments());
    let rules = report(&collected).rules;
    let row = |id: &str| rules.iter().find(|it| it.rule_id == id).expect("the rule");
    // R1 fired on payments 1, 2, 5 and 9, of which only 1 was fraud, and R2 did there too.
    let first = row("R1");
    assert_eq!((first.fired, first.frauds, first.alone), (4, 1, 0));
    assert_eq!((first.precision, first.recall), (0.25, 0.25));
    assert_eq!(first.caught_minor, 50_000);
    // R2 fired on 1, 4 and 9; 4 is fraud and nobody else fired on it.
    let second = row("R2");
    assert_eq!((second.fired, second.frauds, second.alone), (3, 2, 1));
    assert_eq!((second.precision, second.recall), (2.0 / 3.0, 0.5));
    assert_eq!(second.caught_minor, 70_000);
    assert_eq!((row("R4").fired, row("R4").blind), (0, 10));
    assert_eq!(row("R4").precision, 0.0);
    let order: Vec<&str> = rules.iter().map(|it| it.rule_id.as_str()).collect();
    assert_eq!(order, ["R2", "R1", "R3", "R4"]);

    let rules = &collected.figures.rules;
    assert_eq!(rules.overlap("R1", "R2"), Some(0.5));
    assert_eq!(rules.overlap("R2", "R1"), Some(2.0 / 3.0));
    assert_eq!(rules.overlap("R3", "R1"), Some(1.0));
    assert_eq!(rules.overlap("R2", "R3"), Some(0.0));
    assert_eq!(rules.overlap("R1", "R1"), None);
    assert_eq!(rules.overlap("R4", "R1"), None);
}

#[test]
fn fraud_is_counted_by_payment_by_value_and_by_campaign() {
    let collected = collected(true, &payments());
    let report = report(&collected);
    let fraud = &report.fraud;
    assert_eq!((fraud.count, fraud.caught), (4, 2));
    assert_eq!((fraud.amount_minor, fraud.caught_minor), (100_700, 70_000));
    assert_eq!((fraud.false_alarms, fraud.precision), (2, 0.5));
    assert_eq!(fraud.currency, "EUR");
    assert_eq!(collected.world.foreign(), 1);
    let campaigns: Vec<_> = report
        .campaigns
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.count,
                it.caught,
                it.amount_minor,
                it.caught_minor,
            )
        })
        .collect();
    assert_eq!(
        campaigns,
        [
            ("ring", 2, 1, 80_000, 50_000),
            ("takeover", 1, 1, 20_000, 20_000),
            ("", 1, 0, 700, 0)
        ]
    );
    let frauds = &collected.figures.frauds;
    let bucket = |caught, missed| AmountBucket { caught, missed };
    let found = frauds.between(&[100.0, 1_000.0, 25_000.0, 100_000.0]);
    assert_eq!(
        found,
        [bucket(0.0, 1.0), bucket(1.0, 0.0), bucket(1.0, 1.0)]
    );
    let worths = &collected.figures.worths;
    let amounts = |list: &[crate::app::report::worth::Worth]| {
        list.iter().map(|it| it.amount_minor).collect::<Vec<_>>()
    };
    assert_eq!(amounts(&worths.missed), [30_000, 700]);
    assert_eq!(amounts(&worths.caught), [50_000, 20_000]);
    assert_eq!(amounts(&worths.alarms), [90_000, 1_500]);
}

#[test]
fn decisions_latency_and_throughput_are_those_of_the_rows() {
    let report = report(&collected(true, &payments()));
    let counts: Vec<_> = report.decisions.into_iter().collect();
    let expected = [
        ("APPROVE", 6),
        ("DECLINE", 2),
        ("REVIEW", 2),
        ("STEP_UP", 0),
        ("degraded", 1),
        ("total", 10),
    ];
    assert_eq!(
        counts,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    // The waits are 1 to 10 ms; the last payment comes at 9 s and waits 10 ms.
    let latency = report.latency_ms;
    for (found, expected) in [(latency.p50, 5.0), (latency.p95, 10.0), (latency.p99, 10.0)] {
        assert!((found - expected).abs() <= 0.01, "{found}, not {expected}");
    }
    assert_eq!(report.throughput.wall_s, 9.01);
    assert_eq!(report.throughput.payments_per_s, 1.11);
}

#[test]
fn buckets_are_round_few_and_hold_what_is_theirs() {
    let grid = Grid::new(at(0), at(29).plus_ms(80_000_000), 42);
    assert_eq!((grid.width_s, grid.n_buckets()), (86_400.0, 30));
    assert_eq!(grid.width(), "1 d");
    assert_eq!(grid.edges[0], START_S as f64);
    assert_eq!(grid.bucket(at(0)), 0);
    assert_eq!(grid.bucket(at(3).plus_ms(1)), 3);
    assert_eq!(grid.bucket(at(29).plus_ms(80_000_000)), 29);
    // What lies outside stands at the ends.
    assert_eq!((grid.bucket(at(-5)), grid.bucket(at(500))), (0, 29));
    let instant = Grid::new(at(1), at(1), 42);
    assert_eq!((instant.n_buckets(), instant.bucket(at(1))), (1, 0));
    let week = Grid::new(at(0), at(7), 42);
    assert_eq!((week.width(), week.n_buckets()), ("6 h".to_owned(), 29));
    let figures = collected(true, &payments()).figures;
    let of = figures.volumes.iter().map(|it| it.total()).sum::<i64>();
    assert_eq!(of, 10);
    let missed: Vec<i64> = figures
        .volumes
        .iter()
        .map(|it| it.missed_minor)
        .filter(|it| *it > 0)
        .collect();
    assert_eq!(missed, [30_000, 700]);
    let decided: u64 = figures
        .paces
        .iter()
        .map(crate::app::report::timeline::Pace::decided)
        .sum();
    assert_eq!(decided, 10);
}

#[test]
fn money_is_written_in_major_units() {
    for (minor, currency, text) in [
        (123_456_789, "EUR", "EUR 1,234,567.89"),
        (5, "EUR", "EUR 0.05"),
        (-5, "EUR", "EUR -0.05"),
        (-12_345, "USD", "USD -123.45"),
        (1_500, "JPY", "JPY 1,500"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (0, "", "0.00"),
    ] {
        assert_eq!(money(minor, currency), text);
    }
}

#[test]
fn the_page_is_whole_whatever_the_run() {
    for (has_world, decided) in [(true, payments()), (false, payments()), (true, Vec::new())] {
        let collected = collected(has_world, &decided);
        let text = html(&collected, &report(&collected), &proof()).expect("a page");
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        let page = Document::parse_with_options(&text, options).expect("well-formed");
        let ids: Vec<&str> = page
            .descendants()
            .filter_map(|it| it.attribute("id"))
            .collect();
        for id in [
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
        ] {
            assert!(ids.contains(&id), "{id} is not among {ids:?}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
        assert_eq!(
            text.contains("EUR 700.00"),
            has_world && !decided.is_empty()
        );
        assert_eq!(text.contains("This is a live run"), !has_world);
        assert_eq!(text.contains("MISSING_FLOW_ANCHOR"), !decided.is_empty());
    }
    let collected = collected(true, &payments());
    let mut proof = proof();
    let bad = html(&collected, &report(&collected), &proof).expect("a page");
    proof.reconciliation.balanced = true;
    let good = html(&collected, &report(&collected), &proof).expect("a page");
    assert!(!good.contains("NOT balanced") && bad.contains("NOT balanced"));
}
