//! `fraudplat wsp stream`.

use std::time::Duration;

use crate::app::auth::{self, Own};
use crate::app::cli::{Wsp, WspStream};
use crate::app::commands::table::grouped;
use crate::app::commands::{Call, Refusal, parse_run};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::ids::PlatformRunId;
use crate::ingress::wsp::{Error, Gate, Options, Report, stream};

/// 256 events a request: few enough to answer quickly, many enough to amortise the commit.
pub(crate) const ARRIVALS_PER_REQUEST: usize = 64;

pub(crate) async fn run(call: &Call, command: &Wsp) -> anyhow::Result<u8> {
    let Wsp::Stream(asked) = command;
    let run = parse_run(&asked.run)?;
    let report = send(call, &run, &options(asked)?).await?;
    call.output.result(&report, |report| {
        let end = if report.ended { "the world has ended" } else { "the run stays open" };
        format!(
            "sent {} arrivals ({} events, {} repeats, {} sent again) in {:.1} s: {} events/s; {end}",
            grouped(report.arrivals),
            grouped(i64::try_from(report.events).unwrap_or(i64::MAX)),
            report.duplicates,
            report.retries,
            report.wall_s,
            grouped(report.events_per_s as i64),
        )
    });
    Ok(DONE)
}

/// Streams with progress; what the gate or a law refuses is a refusal.
pub(crate) async fn send(
    call: &Call,
    run: &PlatformRunId,
    options: &Options,
) -> anyhow::Result<Report> {
    let addr = call.gate_addr.as_deref().unwrap_or("127.0.0.1:7070");
    let gate = Gate::new(auth::outgoing(
        &call.profile,
        &call.data_dir,
        Own::Wsp,
        addr,
    )?);
    let output = call.output.clone();
    let progress = move |done: i64, total: i64| {
        output.progress("streaming", done.unsigned_abs(), total.unsigned_abs());
    };
    let streamed = stream(&call.ground, &gate, run, options, &progress, &call.stop).await;
    streamed.map_err(|error| {
        let code = match &error {
            Error::NotReady { .. } | Error::NoWorld { .. } => Code::RunUnknown,
            Error::FactsMismatch { .. } => Code::RunFactsMismatch,
            _ => return error.into(),
        };
        Refusal::new(code, error.to_string()).into()
    })
}

fn options(asked: &WspStream) -> anyhow::Result<Options> {
    let speedup = match asked.speedup.as_str() {
        "max" => None,
        number => {
            let speedup: f64 = number.parse().map_err(|_| {
                anyhow::anyhow!(
                    "--speedup takes a number such as 3600, or max; `{number}` is neither"
                )
            })?;
            anyhow::ensure!(
                speedup.is_finite() && speedup > 0.0,
                "--speedup must be above 0"
            );
            Some(speedup)
        }
    };
    Ok(Options {
        speedup,
        concurrency: asked.concurrency,
        lockstep: asked.lockstep.as_deref().map(period).transpose()?,
        limit: asked.limit,
        arrivals_per_request: ARRIVALS_PER_REQUEST,
    })
}

/// `1d`, `6h`, `15m`, `30s`.
fn period(text: &str) -> anyhow::Result<Duration> {
    let wrong = || {
        anyhow::anyhow!("--lockstep takes a period such as 1d, 6h, 15m or 30s; `{text}` is none")
    };
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    anyhow::ensure!(count > 0, "--lockstep must be longer than nothing");
    Ok(Duration::from_secs(count * seconds))
}
