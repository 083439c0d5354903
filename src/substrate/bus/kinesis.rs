//! The bus on Amazon Kinesis Data Streams, and on what speaks its protocol. Retries of reads stand
//! here, retries of puts with the caller, who must know each outcome.

mod answer;
mod cursor;
mod open;
mod pace;
mod plan;
mod provision;
mod put;
mod read;
mod shards;
mod tip;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{Builder, StalledStreamProtectionConfig};
use serde::Deserialize;

use crate::domain::offset::{Position, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::substrate::aws::{self, Credentials};
use crate::substrate::bus::kinesis::answer::Failure;
use crate::substrate::bus::kinesis::cursor::{Cursors, Recalled};
use crate::substrate::bus::kinesis::pace::Pace;
pub use crate::substrate::bus::kinesis::provision::{ProvisionError, Provisioned};
use crate::substrate::bus::kinesis::tip::Newest;
use crate::substrate::bus::{
    Bus, Error, PutCounts, PutOutcome, PutRecord, Puts, ReadBatch, ReadFrom, ReadLimit, Shard,
};
use crate::substrate::clock::{Clock, Entropy};

/// Where the streams are and how they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `None`: the region's own.
    pub endpoint_url: Option<String>,
    /// `None`: what the environment, the shared configuration or the machine says.
    pub region: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    pub connect_timeout_ms: u64,
    /// Of one request, the fetching of credentials included. A put whose answer takes longer is
    /// `Unknown`.
    pub request_timeout_ms: u64,
    /// `GetRecords` calls a second and shard by this process. Kinesis allows five to all readers of
    /// a shard together, and throttles what is above.
    pub reads_per_second_max: u32,
    /// A stream that is not listed is not carried.
    pub streams: BTreeMap<Stream, StreamOptions>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// The physical name.
    pub name: String,
    /// How many shards the stream is created with; what stands is not resharded.
    pub shards: u32,
    /// At least 24. Shorter ones are lengthened, longer ones left.
    pub retention_hours: u32,
}

/// Keep it in an `Arc`; it needs no end of its own.
pub struct KinesisBus {
    client: Client,
    options: Options,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cursors: Cursors,
    pace: Pace,
    newest: Newest,
    recalled: Recalled,
    puts: PutCounts,
}

impl KinesisBus {
    /// Makes the client; nothing is asked of the network but what the credentials' chain asks for
    /// its own sake.
    ///
    /// # Errors
    /// No region is known, or a file of certificates cannot be used.
    pub async fn open(
        options: Options,
        credentials: &Credentials,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<KinesisBus, aws::Error> {
        let pace = Pace::new(options.reads_per_second_max);
        Ok(KinesisBus {
            client: client(&options, credentials).await?,
            options,
            clock,
            entropy,
            cursors: Cursors::default(),
            pace,
            newest: Newest::default(),
            recalled: Recalled::default(),
            puts: PutCounts::default(),
        })
    }

    /// The physical name of a stream that the bus carries.
    fn name(&self, stream: Stream) -> Result<&str, Error> {
        let of_stream = self.options.streams.get(&stream);
        let of_stream = of_stream.ok_or(Error::NoSuchStream { stream })?;
        Ok(&of_stream.name)
    }
}

async fn client(options: &Options, credentials: &Credentials) -> Result<Client, aws::Error> {
    let place = aws::Place {
        endpoint_url: options.endpoint_url.clone(),
        region: options.region.clone(),
        ca_file: options.ca_file.clone(),
        connect_ms_max: options.connect_timeout_ms,
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
        .operation_timeout(Duration::from_millis(options.request_timeout_ms))
        .build();
    // Of this service alone: the credentials' own services keep their addresses.
    let mut config = Builder::from(&aws::config(&place, credentials).await?)
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(options.endpoint_url.clone());
    Ok(Client::from_conf(config.build()))
}

#[async_trait]
impl Bus for KinesisBus {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        self.put(stream, &records).await
    }

    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, Error> {
        self.list_shards(stream).await
    }

    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        self.read_shard(&shard_ref(stream, shard), from, limit)
            .await
    }

    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, Error> {
        let newest = self.find_newest(&shard_ref(stream, shard)).await?;
        Ok(newest.map_or(Position::Start, |it| Position::After(it.number)))
    }

    fn recall(&self, shard: &ShardRef, position: &Position, seen_at: Time) {
        if let Position::After(number) = position {
            self.recalled.note(shard, number, seen_at);
        }
    }

    fn puts(&self) -> Puts {
        self.puts.read()
    }
}

fn shard_ref(stream: Stream, shard: &ShardId) -> ShardRef {
    ShardRef {
        stream,
        shard_id: shard.clone(),
    }
}

fn io_error(action: &'static str, failure: Failure) -> Error {
    Error::Io {
        action,
        source: Box::new(failure),
    }
}
