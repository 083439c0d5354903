//! Objects in a bucket of S3, or of a server that speaks its protocol. Create-once is the store's
//! own promise (`If-None-Match: *`); here stands what is asked, what an answer means, and what may
//! be asked again.
//!
//! **Invariant:** a lost reply never becomes a conflict. Whatever is told to be there already is
//! read and compared before it is called the same or another.
//! **Invariant:** nothing is waited for without a limit, and nothing is tried without end.

mod fault;
mod options;
mod parts;
mod read;
mod retry;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;

use crate::substrate::aws::{self, Credentials};
use crate::substrate::clock::Entropy;
use crate::substrate::objects::{Error, Listed, ObjectKey, Objects, Put, check_removable};

pub use options::{Encryption, Options};

use fault::Fault;

/// A body that stands still for so long is given up, whatever its size.
const STALL_MS_MAX: u64 = 5_000;
/// Where buckets are made without naming the place.
const REGION_UNNAMED: &str = "us-east-1";

/// One bucket. Clones share its connections.
#[derive(Clone)]
pub struct S3Objects {
    client: Client,
    options: Arc<Options>,
    /// For the jitter between tries.
    entropy: Arc<dyn Entropy>,
    puts: Arc<AtomicU64>,
}

/// What [`S3Objects::provision`] found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provisioned {
    Made,
    There,
}

impl S3Objects {
    /// Prepares the client; nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`Error::Setup`] when the options cannot be right, no region is known or a file of
    /// certificates cannot be used.
    pub async fn open(
        options: Options,
        credentials: &Credentials,
        entropy: Arc<dyn Entropy>,
    ) -> Result<S3Objects, Error> {
        options.check()?;
        let place = aws::Place {
            endpoint_url: options.endpoint_url.clone(),
            region: options.region.clone(),
            ca_file: options.ca_file.clone(),
            connect_ms_max: options.connect_ms_max,
        };
        let shared = aws::config(&place, credentials).await;
        let shared = shared.map_err(|cause| Error::Setup {
            source: Box::new(cause),
        })?;
        let stalls = StalledStreamProtectionConfig::enabled()
            .grace_period(Duration::from_millis(STALL_MS_MAX))
            .build();
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(options.path_style)
            .stalled_stream_protection(stalls);
        if let Some(url) = &options.endpoint_url {
            config = config.endpoint_url(url);
        }
        Ok(S3Objects {
            client: Client::from_conf(config.build()),
            options: Arc::new(options),
            entropy,
            puts: Arc::default(),
        })
    }

    /// Makes the bucket where it is missing. A repeat finds it and changes nothing.
    ///
    /// # Errors
    /// [`Error::Denied`] where the bucket is another's or the credentials do not reach; else what
    /// the store refused.
    pub async fn provision(&self) -> Result<Provisioned, Error> {
        let made = self.again(|| self.provision_once()).await;
        made.map_err(|fault| self.error("making the bucket", &self.options.bucket, fault))
    }

    async fn provision_once(&self) -> Result<Provisioned, Fault> {
        let bucket = &self.options.bucket;
        let head = self.client.head_bucket().bucket(bucket).send();
        match self.within(0, head).await {
            Ok(_) => return Ok(Provisioned::There),
            // A HEAD has no body to say what is missing; of a bucket it can only be the bucket.
            Err(Fault::NoBucket(_) | Fault::Missing(_)) => {}
            Err(fault) => return Err(fault),
        }
        let mut create = self.client.create_bucket().bucket(bucket);
        let region = self.client.config().region().map(AsRef::as_ref);
        if let Some(region) = region.filter(|it| *it != REGION_UNNAMED) {
            let place = CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build();
            create = create.create_bucket_configuration(place);
        }
        match self.within(0, create.send()).await {
            Ok(_) => Ok(Provisioned::Made),
            // Another process was faster, or an earlier try's reply was lost.
            Err(Fault::BucketOurs) => Ok(Provisioned::There),
            Err(fault) => Err(fault),
        }
    }

    /// A request that writes is about to be sent.
    fn count_put(&self) {
        self.puts.fetch_add(1, Ordering::Relaxed);
    }

    fn error(&self, action: &'static str, key: &str, fault: Fault) -> Error {
        fault.into_error(action, key, &self.options.bucket)
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, Error> {
        let is_large = self.options.multipart_threshold_bytes <= body.len() as u64;
        let put = if is_large {
            Box::pin(self.put_parts(key, &body)).await
        } else {
            self.put_whole(key, &body).await
        };
        put.map_err(|fault| self.error("the write", key.as_str(), fault))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        check_removable(key)?;
        let removed = self.remove_key(key).await;
        removed.map_err(|fault| self.error("the removal", key.as_str(), fault))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, Error> {
        let got = self.read(key).await;
        got.map_err(|fault| self.error("the read", key.as_str(), fault))
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error> {
        self.read_range(key, start, end).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let listed = self.read_list(prefix, after, limit).await;
        listed.map_err(|fault| self.error("the listing", prefix, fault))
    }

    /// A signed `https` URL. It lives a week at most, and no longer than the credentials that
    /// signed it.
    async fn presign(&self, key: &ObjectKey, expires_in: Duration) -> Result<String, Error> {
        let link = self.link(key, expires_in).await;
        link.map_err(|fault| self.error("the link", key.as_str(), fault))
    }

    fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }
}
