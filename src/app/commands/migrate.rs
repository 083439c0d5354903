//! `fraudplat migrate --check`: what the schema lacks. Nothing is changed: on a private server every
//! other command brings the schema up to date, on a managed one `provision` does.

use std::sync::Arc;

use crate::app::output::Output;
use crate::app::profile::Profile;
use crate::app::run::{DONE, REFUSED};
use crate::app::substrates;
use crate::substrate::clock::{Entropy, SystemEntropy};
use crate::substrate::data_dir::OwnedDataDir;

/// Lists the missing migrations; exit 3 if there are any.
pub(crate) async fn check(
    profile: &Profile,
    data_dir: &OwnedDataDir,
    output: &Output,
) -> anyhow::Result<u8> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let pending = substrates::pending_migrations(profile, data_dir, &entropy).await?;
    output.result(&pending, |pending| match pending.as_slice() {
        [] => "the schema is up to date".to_owned(),
        missing => format!("not applied: {}", missing.join(", ")),
    });
    Ok(if pending.is_empty() { DONE } else { REFUSED })
}
