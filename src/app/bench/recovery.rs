//! Recovery (P8): a run's memory brought back as after a restart, and from the archive alone, against the rate at which
//! the run was decided.

use crate::app::bench::report::{Goal, Measure, Ratio, measure};
use crate::app::bundles;
use crate::app::commands::Call;
use crate::domain::ids::PlatformRunId;
use crate::rtdl::decision::rehearse::{Rehearsed, Source, rehearse};

/// Events since the snapshot that may take a second.
const EVENTS_PER_S: f64 = 200_000.0;
const ROUNDS: usize = 3;

/// Ratios and measures of a run that was decided at `live` payments a second.
pub(super) async fn measured(
    call: &Call,
    run: &PlatformRunId,
    live: f64,
) -> anyhow::Result<(Vec<Ratio>, Vec<Measure>)> {
    let (bundle, files) = bundles::sources(call.profile.decision.bundle_dir.as_deref())?;
    let attributes = call.profile.semantics.attributes.as_ref();
    let bundle = bundles::compile(&bundle, &files, attributes)?;
    let (mut ratios, mut measures) = (Vec::new(), Vec::new());
    let memory = call.profile.decision.memory(&call.data_dir);
    for (source, name) in [
        (Source::SnapshotAndLog, "snapshot and log"),
        (Source::Archive, "archive"),
    ] {
        let mut least: Option<Rehearsed> = None;
        for _ in 0..ROUNDS {
            let found = rehearse(&call.ground, (&bundle, &memory), run, source).await?;
            least = least.filter(|it| it.took < found.took).or(Some(found));
        }
        let Some(found) = least else { continue };
        let (events, seconds) = (found.records_read as f64, found.took.as_secs_f64());
        measures.extend([
            measure(format!("memory back from {name}"), seconds * 1e3, "ms"),
            measure(
                format!("events read after the snapshot, {name}"),
                events,
                "events",
            ),
        ]);
        // Where the snapshot covers everything there is no rate.
        if found.records_read == 0 {
            continue;
        }
        ratios.extend([
            Ratio::new(
                format!("P8 events/s taken back over decided live/s, {name}"),
                events / seconds,
                live,
                Goal::AtLeast(3.0),
            ),
            Ratio::new(
                format!("P8 seconds until ready over events since the snapshot / 200,000, {name}"),
                seconds,
                events / EVENTS_PER_S,
                Goal::AtMost(1.0),
            ),
        ]);
    }
    Ok((ratios, measures))
}
