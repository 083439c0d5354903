//! What a profile says about the bucket, and what cannot be meant.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::substrate::objects::Error;

/// The smallest part that S3 takes, but for the last.
pub(super) const PART_BYTES_MIN: u64 = 5 << 20;
/// The largest body that S3 takes in one request.
const WHOLE_BYTES_MAX: u64 = 5 << 30;

/// Where the bucket is and how it is spoken to. Credentials come from the SDK's standard chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Of a server that is not AWS's own, `http://127.0.0.1:8333`.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// None: what the environment, the shared configuration or the machine says.
    #[serde(default)]
    pub region: Option<String>,
    pub bucket: String,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`: for servers without a wildcard name.
    #[serde(default)]
    pub path_style: bool,
    /// The server does not list in byte order, as SeaweedFS (by folder) and directory buckets do:
    /// every listing is then fetched whole and sorted here.
    #[serde(default)]
    pub lists_unsorted: bool,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "defaults::connect_ms_max")]
    pub connect_ms_max: u64,
    /// How long one try may take, besides the time that its bytes need at `bytes_per_s_min`.
    #[serde(default = "defaults::attempt_ms_max")]
    pub attempt_ms_max: u64,
    /// A wire slower than this counts as broken.
    #[serde(default = "defaults::bytes_per_s_min")]
    pub bytes_per_s_min: u64,
    /// How often a call is tried before its error is told.
    #[serde(default = "defaults::attempts_max")]
    pub attempts_max: u32,
    #[serde(default)]
    pub encryption: Encryption,
    /// From this size on a body is sent in parts of at least 8 MiB.
    #[serde(default = "defaults::multipart_threshold_bytes")]
    pub multipart_threshold_bytes: u64,
}

/// How the store encrypts what it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encryption {
    /// As the bucket is set up.
    #[default]
    None,
    /// With keys of the store.
    Aes256,
    /// With a key of the key management service.
    KmsKeyId(String),
}

mod defaults {
    pub(super) const fn connect_ms_max() -> u64 {
        3_000
    }
    pub(super) const fn attempt_ms_max() -> u64 {
        10_000
    }
    /// Two megabits: a poor line. A part of 8 MiB on a dead one is given up within 42 seconds.
    pub(super) const fn bytes_per_s_min() -> u64 {
        256 << 10
    }
    pub(super) const fn attempts_max() -> u32 {
        6
    }
    pub(super) const fn multipart_threshold_bytes() -> u64 {
        16 << 20
    }
}

impl Options {
    /// All defaults, for a bucket of AWS.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Options {
        Options {
            endpoint_url: None,
            region: None,
            bucket: bucket.into(),
            path_style: false,
            lists_unsorted: false,
            ca_file: None,
            connect_ms_max: defaults::connect_ms_max(),
            attempt_ms_max: defaults::attempt_ms_max(),
            bytes_per_s_min: defaults::bytes_per_s_min(),
            attempts_max: defaults::attempts_max(),
            encryption: Encryption::None,
            multipart_threshold_bytes: defaults::multipart_threshold_bytes(),
        }
    }

    /// # Errors
    /// [`Error::Setup`], naming the key that cannot be meant.
    pub fn check(&self) -> Result<(), Error> {
        let threshold = PART_BYTES_MIN..=WHOLE_BYTES_MAX;
        let refusal = if self.bucket.is_empty() {
            "bucket is empty".to_owned()
        } else if !threshold.contains(&self.multipart_threshold_bytes) {
            format!(
                "multipart_threshold_bytes is not within {}..={}",
                threshold.start(),
                threshold.end()
            )
        } else if self.attempts_max == 0 || self.bytes_per_s_min == 0 {
            "attempts_max and bytes_per_s_min are at least 1".to_owned()
        } else if self.attempt_ms_max == 0 || self.connect_ms_max == 0 {
            "attempt_ms_max and connect_ms_max are at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Setup {
            source: refusal.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_little_and_nothing_unknown() {
        let read = |text: &str| serde_saphyr::from_str::<Options>(text);
        assert_eq!(
            read("bucket: fraud-platform").unwrap(),
            Options::new("fraud-platform")
        );
        let kms = read("{bucket: b, encryption: {kms_key_id: alias/fp}}").unwrap();
        assert_eq!(kms.encryption, Encryption::KmsKeyId("alias/fp".to_owned()));
        let aes = read("{bucket: b, encryption: aes256}").unwrap();
        assert_eq!(aes.encryption, Encryption::Aes256);
        assert!(read("{bucket: b, buckets: c}").is_err());
        assert!(read("{region: eu-central-1}").is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let whole = Options::new("b");
        whole.check().unwrap();
        type Change = fn(&mut Options);
        let changes: [(&str, Change); 5] = [
            ("bucket", |it| it.bucket.clear()),
            ("multipart", |it| it.multipart_threshold_bytes = 1 << 20),
            ("attempts_max", |it| it.attempts_max = 0),
            ("attempt_ms_max", |it| it.attempt_ms_max = 0),
            ("bytes_per_s_min", |it| it.bytes_per_s_min = 0),
        ];
        for (word, change) in changes {
            let mut options = whole.clone();
            change(&mut options);
            let refusal = options.check().unwrap_err();
            let cause = std::error::Error::source(&refusal).unwrap().to_string();
            assert!(cause.contains(word), "{word}: {cause}");
        }
    }
}
