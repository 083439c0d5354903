//! `fraudplat bench`: measures on this machine, in one run, and says against what. Absolute times
//! are not comparable between machines or hours; ratios taken in one run are, so they come first.

mod bundle;
mod events;
pub(crate) mod features;
mod gate;
mod ingest;
mod ingest_rows;
pub(crate) mod load;
mod looped;
mod machine;
mod one;
mod overload;
mod profile;
mod recovery;
mod replay;
mod report;
pub(crate) mod score;
mod usage;

use anyhow::Context;

use crate::app::cli::{Bench, Cli, Command};
use crate::app::commands::Call;
use crate::app::profile::Profile;
use crate::substrate::data_dir::OwnedDataDir;

/// A directory of the bench's own, gone afterwards; `None` where one was given, or none is needed.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn fresh_dir(cli: &Cli) -> anyhow::Result<Option<tempfile::TempDir>> {
    use std::os::unix::fs::PermissionsExt as _;
    if !matches!(cli.command, Some(Command::Bench(_))) || cli.data_dir.is_some() {
        return Ok(None);
    }
    let dir = tempfile::Builder::new()
        .prefix("fraudplat-bench.")
        .tempdir();
    let dir = dir.context("making a directory for the bench")?;
    // As root, Postgres runs as another account, which must pass through.
    let passable = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(dir.path(), passable).context("opening the bench's directory")?;
    Ok(Some(dir))
}

/// The profile under which the loop is measured: with the bench's own bundle, unless one was chosen.
///
/// # Errors
/// When the bundle cannot be written.
pub(crate) fn with_bundle(
    command: Option<&Command>,
    mut profile: Profile,
    data_dir: &OwnedDataDir,
) -> anyhow::Result<Profile> {
    let of_the_loop = matches!(command, Some(Command::Bench(it)) if needs_roles(it));
    if of_the_loop && profile.decision.bundle_dir.is_none() {
        profile.decision.bundle_dir = Some(bundle::write(&data_dir.cache())?);
    }
    Ok(profile)
}

/// Carries out a bench that needs a platform.
pub(crate) async fn run(call: &Call, command: &Bench) -> anyhow::Result<u8> {
    match command {
        Bench::Ingest(asked) => Box::pin(ingest::run(call, asked)).await,
        Bench::Loop(asked) => Box::pin(looped::run(call, asked)).await,
        Bench::Replay(asked) => Box::pin(replay::run(call, asked)).await,
        Bench::Features(asked) => features::run(asked, &call.output),
        Bench::Score(asked) => score::run(asked, &call.output),
        Bench::Load => load::generate().await,
    }
}

/// Whether the bench runs the whole loop; `ingest` starts a gate and nothing else.
pub(crate) fn needs_roles(command: &Bench) -> bool {
    matches!(command, Bench::Loop(_) | Bench::Replay(_))
}
