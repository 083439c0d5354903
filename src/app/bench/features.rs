//! `bench features` (P6): what the engine takes for an event, over windows, numbers of keys and a hot
//! key; and against a loop that looks at a key's whole window for every event.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use crate::app::bench::machine::Machine;
use crate::app::bench::report::{Goal, Measure, Ratio, Report, measure};
use crate::app::cli::BenchFeatures;
use crate::app::output::Output;
use crate::app::run::DONE;
use crate::contracts::payload::Traffic;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::keys::Pins;
use crate::domain::time::{MICROS_PER_DAY, Time};
use crate::domain::vocabulary::Channel;
use crate::engine::{EventRecord, FeatureSet, FeatureState};

const WINDOWS: [&str; 4] = ["1h", "1d", "7d", "30d"];
const WINDOW_MICROS_MAX: i64 = 30 * MICROS_PER_DAY;
/// How much of a stream's time its events span: twice the longest window, so that events leave it.
const SPAN_DAYS: i64 = 60;
const ROUNDS: usize = 3;

/// A stream of events: over how many keys, how many of a hundred on the hottest.
#[derive(Debug, Clone, Copy)]
struct Stream {
    keys: u64,
    hot_percent: u64,
}

/// Microseconds an event.
struct Times {
    /// In the order of [`WINDOWS`], 1,000 keys.
    by_window: Vec<f64>,
    /// 100,000 keys, the longest window.
    many_keys: f64,
    /// The hottest key has 1 % of the events, and 90 %.
    cool: f64,
    hot: f64,
    naive: f64,
}

pub(crate) fn run(asked: &BenchFeatures, output: &Output) -> anyhow::Result<u8> {
    anyhow::ensure!(
        asked.events >= 1_000,
        "--events must be at least 1,000, or nothing leaves a window"
    );
    let machine = Machine::before();
    let times = times(asked.events, output)?;
    report(machine.after(), &times).print(output);
    Ok(DONE)
}

fn times(n: usize, output: &Output) -> anyhow::Result<Times> {
    let stream = |keys, hot_percent| generate(Stream { keys, hot_percent }, n);
    let few = stream(1_000, 0);
    let mut by_window = Vec::new();
    for window in WINDOWS {
        output.note(format!("1,000 keys, window {window}"));
        by_window.push(engine(&few, window)?);
    }
    output.note("100,000 keys, then a hot one, then the naive loop");
    Ok(Times {
        by_window,
        many_keys: engine(&stream(100_000, 0), "30d")?,
        cool: engine(&stream(1_000, 1), "1d")?,
        hot: engine(&stream(1_000, 90), "1d")?,
        naive: naive(&few),
    })
}

fn report(machine: Machine, times: &Times) -> Report {
    let Times {
        by_window,
        many_keys,
        cool,
        hot,
        naive,
    } = times;
    let (hour, month) = (by_window[0], by_window[WINDOWS.len() - 1]);
    let windows = WINDOWS.iter().zip(by_window);
    let mut measures: Vec<Measure> = windows
        .map(|(window, micros)| measured(&format!("1,000 keys, window {window}"), *micros))
        .collect();
    measures.extend([
        measured("100,000 keys, window 30d", *many_keys),
        measured("hottest key 1 %, window 1d", *cool),
        measured("hottest key 90 %, window 1d", *hot),
        measured("naive loop, 1,000 keys, window 30d", *naive),
    ]);
    let ratio = |what: &str, one, other, goal| Ratio::new(what, one, other, goal);
    Report {
        bench: "features",
        machine,
        ratios: vec![
            ratio(
                "P6 window 30d over 1h, time an event",
                month,
                hour,
                Goal::AtMost(1.15),
            ),
            ratio(
                "P6 100,000 keys over 1,000, time an event",
                *many_keys,
                month,
                Goal::AtMost(2.0),
            ),
            ratio(
                "P6 hottest key 90 % over 1 %, events/s",
                1.0 / hot,
                1.0 / cool,
                Goal::AtLeast(0.8),
            ),
            ratio(
                "naive loop over engine, time an event",
                *naive,
                month,
                Goal::None,
            ),
        ],
        cpu: None,
        measures,
        notes: vec![
            "P6 asks for 100 k to 10 M keys; here 1,000 to 100,000, for all state is in memory",
            "each feature set: count, sum, mean of a key over one window; an event is applied and computed",
            "times are the least of 3 rounds, one thread",
        ],
    }
}

fn measured(what: &str, micros: f64) -> Measure {
    measure(what, micros, "µs/event")
}

/// Microseconds an event in the engine.
fn engine(events: &[EventRecord], window: &str) -> anyhow::Result<f64> {
    let feature = |agg: &str, value: &str| {
        format!(
            "  - {{name: {agg}_w, entity: [customer_id], agg: {agg},{value} window: {window}}}\n"
        )
    };
    let amount = " value: event.amount_minor,";
    let text = format!(
        "feature_set: bench\nversion: 1\nfeatures:\n{}{}{}",
        feature("count", ""),
        feature("sum", amount),
        feature("mean", amount)
    );
    let set = FeatureSet::compile("bench.yaml", &text).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", faults.join("\n"))
    })?;
    let set = Arc::new(set);
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut state = FeatureState::new(set.clone());
        let began = Instant::now();
        for event in events {
            state.apply_event(event).context("applying an event")?;
            std::hint::black_box(state.compute(event));
        }
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(least * 1e6 / events.len() as f64)
}

/// Microseconds an event of a loop that adds up the key's last 30 days for every event.
fn naive(events: &[EventRecord]) -> f64 {
    let mut of: HashMap<&str, Vec<(i64, i64)>> = HashMap::new();
    let began = Instant::now();
    for event in events {
        let met = of.entry(&event.customer_id).or_default();
        met.push((event.ts.micros(), event.amount_minor));
        let since = event.ts.micros() - WINDOW_MICROS_MAX;
        let within = met.iter().filter(|(ts, _)| *ts > since);
        let (count, sum) = within.fold((0i64, 0i128), |(count, sum), (_, amount)| {
            (count + 1, sum + i128::from(*amount))
        });
        std::hint::black_box((count, sum, sum as f64 / count as f64));
    }
    began.elapsed().as_secs_f64() * 1e6 / events.len() as f64
}

fn generate(stream: Stream, n: usize) -> Vec<EventRecord> {
    let fingerprint = ManifestFingerprint::of_live(None, "bench");
    let pins = Pins {
        platform_run_id: PlatformRunId::of(&fingerprint, &Digest::of_bytes(b"bench"), None, ""),
        scenario_run_id: ScenarioRunId::of(&fingerprint, "bench"),
        manifest_fingerprint: fingerprint,
        tenant_id: None,
    };
    let step = SPAN_DAYS * MICROS_PER_DAY / i64::try_from(n).unwrap_or(i64::MAX);
    let event = |at: usize| {
        let draw = Tagged::new("bench_event").display(at).digest();
        let word = |nth: usize| {
            let mut word = [0u8; 8];
            word.copy_from_slice(&draw.as_bytes()[nth * 8..nth * 8 + 8]);
            u64::from_le_bytes(word)
        };
        let is_hot = word(0) % 100 < stream.hot_percent;
        let key = if is_hot { 0 } else { word(1) % stream.keys };
        let traffic = Traffic {
            flow_id: format!("f{at}"),
            customer_id: format!("c{key}"),
            merchant_id: "m1".to_owned(),
            account_id: None,
            card_id: None,
            device_id: None,
            ip: None,
            terminal_id: None,
            beneficiary_id: None,
            amount_minor: (word(2) % 100_000).cast_signed(),
            currency: "EUR".to_owned(),
            channel: Channel::Pos,
            attributes: None,
        };
        let ts = Time::from_micros(step * i64::try_from(at).unwrap_or(i64::MAX));
        let id = format!("e{at}")
            .parse()
            .expect("letters and digits are an id");
        EventRecord::of(pins.clone(), id, draw, ts, traffic)
    };
    (0..n).map(event).collect()
}
