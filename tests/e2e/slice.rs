//! A slice of 50,000 payments in one go: every count is exact, everything balances, and features
//! equal what a few loops over the CSV file come to.

use std::collections::HashMap;

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Port, decision_id};
use crate::home::{DONE, Home};
use crate::shop::{self, Payment};

const PAYMENTS: u64 = 50_000;
const DAY_S: i64 = 86_400;
/// Every so many-th payment is recomputed here.
const SAMPLE_EVERY: usize = 83;

#[test]
fn fifty_thousand_payments_are_counted_balanced_and_computed() {
    let home = Home::new();
    let (all, port) = home.serve();
    // A second shell: the owner of the data directory does the work.
    let shop = shop::open(&home, PAYMENTS);
    let sent = home.json(&["wsp", "stream", "--run", &shop.run]);
    assert_eq!(sent["arrivals"], PAYMENTS, "{sent}");
    assert_eq!(sent["events"], 4 * PAYMENTS, "{sent}");
    assert_eq!(sent["duplicates"], 0, "{sent}");
    let payments = shop.read();
    port.until_decided(&shop.run, PAYMENTS);
    check_features(&port, &shop.run, &payments);
    all.stop(Signal::TERM).expect(DONE);

    shop::check_whole(&home, &shop, "500");
    let found = shop::check_balanced(&home, &shop.run);
    let checks = found["checks"].as_array().unwrap();
    let counted = |left: u64| {
        let balances = |it: &&Value| it["left"] == left && it["right"] == left;
        checks.iter().filter(balances).count()
    };
    assert!(
        counted(4 * PAYMENTS) > 0,
        "no check is about all events: {found}"
    );
    assert!(
        counted(PAYMENTS) > 0,
        "no check is about all payments: {found}"
    );
}

/// Compares counts and means over 1, 7 and 30 days of a customer's payments.
fn check_features(port: &Port, run: &str, payments: &[Payment]) {
    let mut of_customer: HashMap<&str, Vec<&Payment>> = HashMap::new();
    let mut compared = 0;
    for (at, payment) in payments.iter().enumerate() {
        let known = of_customer.entry(&payment.customer).or_default();
        known.push(payment);
        if at % SAMPLE_EVERY > 0 {
            continue;
        }
        let decision = port.get(&format!(
            "/v1/decisions/{}",
            decision_id(run, &payment.event_id)
        ));
        assert_eq!(decision.status, 200, "{}", payment.event_id);
        let features = &decision.body["body"]["features"];
        for days in [1, 7, 30] {
            let (count, mean) = windowed(known, payment, days * DAY_S);
            let found = &features[format!("customer_count_{days}d")];
            assert_eq!(found, count, "{days} days of {}", payment.event_id);
            let found = features[format!("customer_mean_{days}d")].as_f64().unwrap();
            let close = (found - mean).abs() <= 1e-9 * mean.abs().max(1.0);
            assert!(
                close,
                "{found} and {mean}: {days} days of {}",
                payment.event_id
            );
        }
        compared += 1;
    }
    assert_eq!(compared, payments.len().div_ceil(SAMPLE_EVERY));
}

/// Count and mean amount of the payments in (t - window, t], this one included.
fn windowed(known: &[&Payment], of: &Payment, window_s: i64) -> (i64, f64) {
    let amounts: Vec<i64> = known
        .iter()
        // Of one second, those whose id comes later are not before it.
        .filter(|it| it.time_s < of.time_s || it.event_id <= of.event_id)
        .filter(|it| it.time_s > of.time_s - window_s)
        .map(|it| it.amount_minor)
        .collect();
    let sum: i64 = amounts.iter().sum();
    (
        i64::try_from(amounts.len()).unwrap(),
        sum as f64 / amounts.len() as f64,
    )
}
