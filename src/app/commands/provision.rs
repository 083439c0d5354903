//! `fraudplat provision`: makes streams, bucket and schema where they are missing, and says what
//! there is. On embedded substrates opening the platform did the work. A repeat changes nothing.

use std::sync::Arc;

use serde::Serialize;

use crate::app::commands::Call;
use crate::app::commands::table::table;
use crate::app::output::Output;
use crate::app::profile::{Managed, Profile};
use crate::app::run::DONE;
use crate::app::{auth, substrates};
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::kinesis;
use crate::substrate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::substrate::data_dir::OwnedDataDir;
use crate::substrate::db::migrate;
use crate::substrate::objects::s3;

/// What the platform stands on, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Provisioned {
    data_dir: String,
    bucket: String,
    /// Migrations that the schema lacks; none, once opened.
    pending: Vec<String>,
    streams: Vec<Provided>,
}

#[derive(Debug, Serialize)]
struct Provided {
    stream: Stream,
    shards: usize,
    retention_hours: u32,
}

/// What managed servers hold, as `--json` prints it.
#[derive(Debug, Serialize)]
struct ProvisionedManaged {
    bucket: String,
    is_bucket_new: bool,
    applied: Vec<String>,
    is_login_admitted_now: bool,
    streams: Vec<kinesis::Provisioned>,
}

/// Makes what managed servers lack. The platform cannot be opened before.
pub(crate) async fn managed(
    profile: &Profile,
    managed: &Managed,
    data_dir: &OwnedDataDir,
    output: &Output,
) -> anyhow::Result<u8> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    auth::prepare(profile, data_dir.path(), entropy.as_ref())?;
    let made = substrates::provision(profile, managed, &clock, &entropy).await?;
    let provisioned = ProvisionedManaged {
        bucket: profile.substrates.bucket.clone(),
        is_bucket_new: made.bucket == s3::Provisioned::Made,
        applied: made.database.applied,
        is_login_admitted_now: made.database.granted,
        streams: made.streams,
    };
    output.result(&provisioned, |it| {
        let new = |is_new: bool| if is_new { "made" } else { "there" }.to_owned();
        let rows = it.streams.iter().map(|row| {
            let (shards, hours) = (row.shards.to_string(), row.retention_hours.to_string());
            vec![row.name.clone(), shards, hours, new(row.is_new)]
        });
        format!(
            "bucket {} ({}), {} migrations applied\n\n{}",
            it.bucket,
            new(it.is_bucket_new),
            it.applied.len(),
            table(&["STREAM", "SHARDS", "RETENTION H", ""], rows, &[1, 2])
        )
    });
    Ok(DONE)
}

pub(crate) async fn run(call: &Call) -> anyhow::Result<u8> {
    let mut streams = Vec::new();
    for stream in Stream::ALL {
        streams.push(Provided {
            stream: *stream,
            shards: call.ground.bus.shards(*stream).await?.len(),
            retention_hours: call.profile.streams.of(*stream).retention_hours,
        });
    }
    let provisioned = Provisioned {
        data_dir: call.data_dir.display().to_string(),
        bucket: call.profile.substrates.bucket.clone(),
        pending: migrate::check(&call.ground.db).await?,
        streams,
    };
    call.output.result(&provisioned, |it| {
        let rows = it.streams.iter().map(|row| {
            let (shards, hours) = (row.shards.to_string(), row.retention_hours.to_string());
            vec![row.stream.to_string(), shards, hours]
        });
        format!(
            "data in {}, objects in bucket {}, the schema is up to date\n\n{}",
            it.data_dir,
            it.bucket,
            table(&["STREAM", "SHARDS", "RETENTION H"], rows, &[1, 2])
        )
    });
    Ok(DONE)
}
