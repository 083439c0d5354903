//! `bench replay` (P8 in part): decisions recomputed from the archive a second, against the rate at
//! which the same run decided them live.

use tokio::time::Instant;

use crate::app::bench::looped;
use crate::app::bench::machine::{Machine, Meter};
use crate::app::bench::report::{Goal, Ratio, Report, measure};
use crate::app::cli::BenchWorld;
use crate::app::commands::{Call, replay};
use crate::app::run::{DONE, FAILED};
use crate::rtdl::audit;

pub(crate) async fn run(call: &Call, asked: &BenchWorld) -> anyhow::Result<u8> {
    anyhow::ensure!(
        asked.payments <= replay::PASS_MAX,
        "--payments is at most {}: replay holds its decisions in memory",
        replay::PASS_MAX
    );
    let machine = Machine::before();
    let looped = Box::pin(looped::once(call, asked)).await?;
    let decisions = audit::list(&call.ground, &looped.run, 0, asked.payments).await?;
    let meter = Meter::of(&call.ground.db).await?;
    let (before, began) = (meter.now(), Instant::now());
    let replayed = Box::pin(replay::compare(call, decisions)).await?;
    let wall_s = began.elapsed().as_secs_f64();
    let cpu = meter.now().since(before);
    let (compared, live) = (replayed.compared as f64, looped.payments / looped.wall_s);
    let report = Report {
        bench: "replay",
        machine: machine.after(),
        ratios: vec![Ratio::new(
            "decisions recomputed/s over decided live/s",
            compared / wall_s,
            live,
            Goal::AtLeast(3.0),
        )],
        cpu: None,
        measures: vec![
            measure("decisions recomputed", compared / wall_s, "decisions/s"),
            measure("decided live, same run", live, "decisions/s"),
            measure(
                "decisions that differ",
                replayed.mismatched as f64,
                "decisions",
            ),
            measure("CPU of the replay: executable", cpu.executable_s, "s"),
            measure("CPU of the replay: Postgres", cpu.postgres_s, "s"),
            measure("CPU of the live loop", looped.cpu.total_s(), "s"),
        ],
        notes: vec![
            "P8 is of a memory that is brought back, which `bench loop` measures; this decides anew and compares every byte",
        ],
    };
    report.print(&call.output);
    Ok(if replayed.mismatched == 0 {
        DONE
    } else {
        FAILED
    })
}
