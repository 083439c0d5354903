//! Writing a large body in parts: they are nothing until the upload is completed, which creates the
//! object under the same condition as a single write does.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::S3Objects;
use super::fault::Fault;
use super::write::ANYTHING;
use crate::substrate::objects::{ObjectKey, Put};

const PART_BYTES: usize = 8 << 20;
/// S3 takes no more.
const PARTS_MAX: usize = 10_000;
/// Parts on the wire at once.
const PARTS_AT_ONCE: usize = 4;

impl S3Objects {
    /// A lost reply of the completion, an upload that is unknown by then, or another writer's object:
    /// all lead to a look at what stands there, and only where nothing does to another upload.
    pub(super) async fn put_parts(&self, key: &ObjectKey, body: &Bytes) -> Result<Put, Fault> {
        self.again(async || {
            // Parts are dear: do not send them to be told at the end that all was there.
            if self.size(key).await?.is_some() {
                return self.compare(key, body).await;
            }
            let upload = self.begin(key).await?;
            match self.send_and_complete(key, &upload, body).await {
                Ok(()) => Ok(Put::Created),
                Err(fault) => {
                    self.give_up(key, &upload).await;
                    match fault {
                        Fault::Exists(_) => self.compare(key, body).await,
                        Fault::NoUpload(cause) => Err(Fault::Racing(cause)),
                        fault => Err(fault),
                    }
                }
            }
        })
        .await
    }

    async fn begin(&self, key: &ObjectKey) -> Result<String, Fault> {
        let (encryption, kms_key_id) = self.encryption();
        let begin = self
            .client
            .create_multipart_upload()
            .bucket(&self.options.bucket)
            .key(key.as_str())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key_id);
        self.count_put();
        let begun = self.within(0, begin.send()).await?;
        begun
            .upload_id
            .ok_or_else(|| Fault::unsure("an upload without an id"))
    }

    async fn send_and_complete(
        &self,
        key: &ObjectKey,
        upload: &str,
        body: &Bytes,
    ) -> Result<(), Fault> {
        let sends = slices(body.len()).enumerate().map(|(at, range)| {
            let (number, bytes) = (at + 1, body.slice(range));
            async move {
                self.again(|| self.send_part(key, upload, number, &bytes))
                    .await
            }
        });
        let parts: Vec<CompletedPart> = stream::iter(sends)
            .buffered(PARTS_AT_ONCE)
            .try_collect()
            .await?;
        let upload_of_parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        // Tried again only by the caller, who looks first: the first try may have done it.
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.options.bucket)
            .key(key.as_str())
            .upload_id(upload)
            .if_none_match(ANYTHING)
            .multipart_upload(upload_of_parts);
        self.count_put();
        self.within(body.len() as u64, complete.send()).await?;
        Ok(())
    }

    /// A part that is sent twice replaces itself.
    async fn send_part(
        &self,
        key: &ObjectKey,
        upload: &str,
        number: usize,
        bytes: &Bytes,
    ) -> Result<CompletedPart, Fault> {
        let number = i32::try_from(number).map_err(|cause| Fault::Refused(cause.into()))?;
        let send = self
            .client
            .upload_part()
            .bucket(&self.options.bucket)
            .key(key.as_str())
            .upload_id(upload)
            .part_number(number)
            .body(ByteStream::from(bytes.clone()));
        self.count_put();
        let sent = self.within(bytes.len() as u64, send.send()).await?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_crc32_c(sent.checksum_crc32_c)
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
            .set_checksum_sha1(sent.checksum_sha1)
            .set_checksum_sha256(sent.checksum_sha256)
            .build())
    }

    /// Frees what the parts take. What fails here is left to the bucket's own rule for uploads that
    /// were never completed.
    async fn give_up(&self, key: &ObjectKey, upload: &str) {
        let given_up = self
            .again(async || {
                let abort = self
                    .client
                    .abort_multipart_upload()
                    .bucket(&self.options.bucket)
                    .key(key.as_str())
                    .upload_id(upload);
                match self.within(0, abort.send()).await {
                    Ok(_) | Err(Fault::NoUpload(_) | Fault::Missing(_)) => Ok(()),
                    Err(fault) => Err(fault),
                }
            })
            .await;
        if let Err(fault) = given_up {
            tracing::warn!(%key, ?fault, "the parts of an upload that failed are left behind");
        }
    }
}

/// The ranges of the parts: as many as are allowed, none empty but that of an empty body.
fn slices(n_bytes: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let part = PART_BYTES.max(n_bytes.div_ceil(PARTS_MAX));
    (0..n_bytes.max(1))
        .step_by(part)
        .map(move |start| start..n_bytes.min(start + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_body_and_are_not_too_many() {
        for n_bytes in [
            1,
            PART_BYTES - 1,
            PART_BYTES,
            PART_BYTES + 1,
            PART_BYTES * PARTS_MAX,
            PART_BYTES * PARTS_MAX + 1,
            1 << 40,
        ] {
            let parts: Vec<_> = slices(n_bytes).collect();
            assert!(parts.len() <= PARTS_MAX, "{n_bytes}");
            assert_eq!(parts[0].start, 0);
            assert_eq!(parts[parts.len() - 1].end, n_bytes);
            assert!(parts.windows(2).all(|it| it[0].end == it[1].start));
            let all_but_last = &parts[..parts.len() - 1];
            assert!(all_but_last.iter().all(|it| PART_BYTES <= it.len()));
        }
    }
}
