//! `fraudplat migrate --check`: what the schema lacks. Nothing is changed: every other command
//! brings the schema up to date when it opens the database.

use crate::app::output::Output;
use crate::app::platform::Platform;
use crate::app::profile::Profile;
use crate::app::run::{DONE, REFUSED};
use crate::substrate::data_dir::OwnedDataDir;

/// Lists the missing migrations; exit 3 if there are any.
pub(crate) async fn check(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    output: &Output,
) -> anyhow::Result<u8> {
    let pending = Platform::pending_migrations(profile, data_dir).await?;
    output.result(&pending, |pending| match pending.as_slice() {
        [] => "the schema is up to date".to_owned(),
        missing => format!("not applied: {}", missing.join(", ")),
    });
    Ok(if pending.is_empty() { DONE } else { REFUSED })
}
