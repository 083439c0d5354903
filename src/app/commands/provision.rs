//! `fraudplat provision`: makes streams, bucket and schema where they are missing, and says what
//! there is. Opening the platform did the work; a repeat finds everything and changes nothing.

use serde::Serialize;

use crate::app::commands::Call;
use crate::app::commands::table::table;
use crate::app::run::DONE;
use crate::domain::vocabulary::Stream;
use crate::substrate::db::migrate;

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
