//! Writing once: an answer that something is there leads to a look at it, never to a guess.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;

use super::fault::Fault;
use super::{Encryption, S3Objects};
use crate::domain::digest::Digest;
use crate::substrate::objects::{ObjectKey, Put};

/// Only where nothing is.
pub(super) const ANYTHING: &str = "*";

impl S3Objects {
    /// S3 answers the same where there is none.
    pub(super) async fn remove_key(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.again(|| async {
            let delete = self
                .client
                .delete_object()
                .bucket(&self.options.bucket)
                .key(key.as_str());
            match self.within(0, delete.send()).await {
                Ok(_) | Err(Fault::Missing(_)) => Ok(()),
                Err(fault) => Err(fault),
            }
        })
        .await
    }

    /// In one request. After a lost reply the next try may find what the first one wrote: then the
    /// bytes are the same, and that is the answer.
    pub(super) async fn put_whole(&self, key: &ObjectKey, body: &Bytes) -> Result<Put, Fault> {
        self.again(async || match self.put_once(key, body).await {
            Ok(()) => Ok(Put::Created),
            Err(Fault::Exists(_)) => self.compare(key, body).await,
            Err(fault) => Err(fault),
        })
        .await
    }

    async fn put_once(&self, key: &ObjectKey, body: &Bytes) -> Result<(), Fault> {
        let (encryption, kms_key_id) = self.encryption();
        // A body in memory carries its checksum in a header, which every server takes; one that
        // streams would carry it behind itself, which some do not.
        let put = self
            .client
            .put_object()
            .bucket(&self.options.bucket)
            .key(key.as_str())
            .if_none_match(ANYTHING)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key_id)
            .body(ByteStream::from(body.clone()));
        self.count_put();
        self.within(body.len() as u64, put.send()).await?;
        Ok(())
    }

    /// What stands there against what was brought. It may be gone again: then the write is tried
    /// again.
    pub(super) async fn compare(&self, key: &ObjectKey, body: &Bytes) -> Result<Put, Fault> {
        match self.read_once(key).await? {
            Some(stored) if stored == *body => Ok(Put::Same),
            Some(stored) => Ok(Put::Conflict {
                stored: Digest::of_bytes(&stored),
            }),
            None => Err(Fault::Racing("it was there and is gone".into())),
        }
    }

    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::KmsKeyId(id) => (Some(ServerSideEncryption::AwsKms), Some(id.clone())),
        }
    }
}
