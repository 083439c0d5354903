//! Makes the streams that are missing, lengthens a retention that is too short, and says what
//! stood. It never shortens, reshards or deletes.

use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::{
    StreamDescriptionSummary, StreamMode, StreamModeDetails, StreamStatus,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use crate::domain::vocabulary::Stream;
use crate::substrate::bus::kinesis::answer::{Failure, Kind};
use crate::substrate::bus::kinesis::{KinesisBus, StreamOptions, pace};

/// A stream is made in half a minute, mostly.
const ACTIVE_WITHIN: Duration = Duration::from_secs(300);

/// Kinesis makes five streams of an account at once, and answers five such calls a second.
const STREAMS_AT_ONCE_MAX: usize = 3;

/// A stream as it stands now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Provisioned {
    pub stream: Stream,
    pub name: String,
    /// Whether this call made it.
    pub is_new: bool,
    /// Open ones. What stood may have another number than the options say.
    pub shards: u32,
    /// What stood may keep its records longer than the options say.
    pub retention_hours: u32,
    /// Whether this call lengthened the retention.
    pub is_retention_new: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    #[error("{action} of {stream}, which is the stream `{name}`")]
    Kinesis {
        action: &'static str,
        stream: Stream,
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{stream}, which is the stream `{name}`, is still {status} after {waited_s} s")]
    NotActive {
        stream: Stream,
        name: String,
        status: String,
        waited_s: u64,
    },
}

impl KinesisBus {
    /// Makes what is missing and waits until every stream can be used. A repeat finds everything
    /// and changes nothing.
    ///
    /// # Errors
    /// [`ProvisionError`]; what was made until then stands.
    pub async fn provision(&self) -> Result<Vec<Provisioned>, ProvisionError> {
        let streams = self.options.streams.iter();
        stream::iter(streams)
            .map(|(stream, options)| self.provision_stream(*stream, options))
            .buffered(STREAMS_AT_ONCE_MAX)
            .try_collect()
            .await
    }

    async fn provision_stream(
        &self,
        stream: Stream,
        options: &StreamOptions,
    ) -> Result<Provisioned, ProvisionError> {
        let failed = |action| {
            move |source: Failure| ProvisionError::Kinesis {
                action,
                stream,
                name: options.name.clone(),
                source: Box::new(source),
            }
        };
        let found = self.summary(&options.name).await;
        let is_new = match found {
            Ok(_) => false,
            Err(failure) if failure.kind == Kind::NotFound => {
                self.create(options).await.map_err(failed("the creation"))?
            }
            Err(failure) => return Err(failed("the description")(failure)),
        };
        let mut summary = self.active(stream, options).await?;
        let asked = i32::try_from(options.retention_hours).unwrap_or(i32::MAX);
        let is_retention_new = summary.retention_period_hours < asked;
        if is_retention_new {
            let request = || {
                let request = self.client.increase_stream_retention_period();
                let request = request.stream_name(&options.name);
                request.retention_period_hours(asked).send()
            };
            let lengthened = self.persistently(request).await;
            lengthened.map_err(failed("lengthening the retention"))?;
            summary = self.active(stream, options).await?;
        }
        let number = |it: i32| u32::try_from(it).unwrap_or_default();
        Ok(Provisioned {
            stream,
            name: options.name.clone(),
            is_new,
            shards: number(summary.open_shard_count),
            retention_hours: number(summary.retention_period_hours),
            is_retention_new,
        })
    }

    /// Whether it was us who made it: another may have been faster.
    async fn create(&self, options: &StreamOptions) -> Result<bool, Failure> {
        let mode = StreamModeDetails::builder().stream_mode(StreamMode::Provisioned);
        let mode = mode.build().map_err(|error| Failure {
            kind: Kind::NotSent,
            cause: error.to_string(),
        })?;
        let n_shards = i32::try_from(options.shards).unwrap_or(i32::MAX);
        let request = || {
            let request = self.client.create_stream().stream_name(&options.name);
            let request = request.shard_count(n_shards);
            request.stream_mode_details(mode.clone()).send()
        };
        match self.persistently(request).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == Kind::InUse => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn active(
        &self,
        stream: Stream,
        options: &StreamOptions,
    ) -> Result<StreamDescriptionSummary, ProvisionError> {
        let (started, mut attempt) = (Instant::now(), 0);
        loop {
            let status = match self.summary(&options.name).await {
                Ok(summary) if summary.stream_status == StreamStatus::Active => {
                    return Ok(summary);
                }
                Ok(summary) => summary.stream_status.to_string(),
                // What was just made may not be seen at once.
                Err(failure) if failure.kind == Kind::NotFound => failure.cause,
                Err(failure) => {
                    return Err(ProvisionError::Kinesis {
                        action: "the description",
                        stream,
                        name: options.name.clone(),
                        source: Box::new(failure),
                    });
                }
            };
            if ACTIVE_WITHIN < started.elapsed() {
                return Err(ProvisionError::NotActive {
                    stream,
                    name: options.name.clone(),
                    status,
                    waited_s: started.elapsed().as_secs(),
                });
            }
            tokio::time::sleep(pace::backoff(attempt, &*self.entropy)).await;
            attempt += 1;
        }
    }

    async fn summary(&self, name: &str) -> Result<StreamDescriptionSummary, Failure> {
        let request = || self.client.describe_stream_summary().stream_name(name);
        let answer = self.persistently(|| request().send()).await?;
        answer.stream_description_summary.ok_or_else(|| Failure {
            kind: Kind::Unknown,
            cause: "no description in the answer".to_owned(),
        })
    }

    /// As `patiently`, for what may be throttled as long as the account's other streams are made.
    async fn persistently<T, E, F>(&self, request: impl Fn() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let started = Instant::now();
        loop {
            match self.patiently(&request).await {
                Err(failure)
                    if failure.kind == Kind::Throttled && started.elapsed() < ACTIVE_WITHIN => {}
                answer => return answer,
            }
        }
    }
}
