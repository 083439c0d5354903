//! Reading: whole, in part, by name. A body is as long as its head says, or it was not read.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::S3Objects;
use super::fault::Fault;
use super::retry::late;
use crate::substrate::objects::{Error, Listed, ObjectKey};

/// What S3 gives at once.
const PAGE_KEYS_MAX: usize = 1_000;

/// What a question for a range of bytes found.
enum Ranged {
    Bytes(Bytes),
    Missing,
    /// The object is so large, and the range not within it.
    Outside(u64),
}

impl S3Objects {
    pub(super) async fn read(&self, key: &ObjectKey) -> Result<Option<Bytes>, Fault> {
        self.again(|| self.read_once(key)).await
    }

    pub(super) async fn read_once(&self, key: &ObjectKey) -> Result<Option<Bytes>, Fault> {
        let get = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(key.as_str());
        match self.within(0, get.send()).await {
            Ok(found) => Ok(Some(self.body(found).await?)),
            Err(Fault::Missing(_)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn body(&self, found: GetObjectOutput) -> Result<Bytes, Fault> {
        let n_bytes = found.content_length.unwrap_or_default();
        let n_bytes = u64::try_from(n_bytes).unwrap_or_default();
        let limit = self.limit(n_bytes);
        let mut stream = found.body;
        let collect = async {
            // What a head says is no reason to reserve more than an object has.
            let room = usize::try_from(n_bytes).unwrap_or(usize::MAX).min(64 << 20);
            let mut bytes = BytesMut::with_capacity(room);
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk.map_err(Fault::unsure)?);
            }
            Ok::<Bytes, Fault>(bytes.freeze())
        };
        let bytes = timeout(limit, collect).await.map_err(|_| late(limit))??;
        if found.content_length.is_some() && bytes.len() as u64 != n_bytes {
            return Err(Fault::unsure(format!(
                "{} of {n_bytes} bytes came",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// The size of what stands there, in bytes.
    pub(super) async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, Fault> {
        let head = self
            .client
            .head_object()
            .bucket(&self.options.bucket)
            .key(key.as_str());
        match self.within(0, head.send()).await {
            Ok(found) => match found.content_length.map(u64::try_from) {
                Some(Ok(size)) => Ok(Some(size)),
                _ => Err(Fault::unsure("a head without a length")),
            },
            Err(Fault::Missing(_)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn read_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error> {
        let ranged = self.again(|| self.range_once(key, start, end)).await;
        match ranged.map_err(|fault| self.error("the read", key.as_str(), fault))? {
            Ranged::Bytes(bytes) => Ok(Some(bytes)),
            Ranged::Missing => Ok(None),
            Ranged::Outside(size) => Err(Error::Range {
                key: key.to_string(),
                size,
                start,
                end,
            }),
        }
    }

    async fn range_once(&self, key: &ObjectKey, start: u64, end: u64) -> Result<Ranged, Fault> {
        // The protocol has no empty ranges, and cuts one that reaches too far without a word.
        if end <= start {
            return Ok(match self.size(key).await? {
                None => Ranged::Missing,
                Some(size) if start == end && end <= size => Ranged::Bytes(Bytes::new()),
                Some(size) => Ranged::Outside(size),
            });
        }
        let get = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(key.as_str())
            .range(format!("bytes={start}-{}", end - 1));
        match self.within(0, get.send()).await {
            Ok(found) => {
                let bytes = self.body(found).await?;
                if bytes.len() as u64 == end - start {
                    return Ok(Ranged::Bytes(bytes));
                }
            }
            Err(Fault::Missing(_)) => return Ok(Ranged::Missing),
            Err(Fault::OutOfRange) => {}
            Err(fault) => return Err(fault),
        }
        match self.size(key).await? {
            None => Ok(Ranged::Missing),
            Some(size) if size < end => Ok(Ranged::Outside(size)),
            Some(_) => Err(Fault::unsure("less than the range came")),
        }
    }

    pub(super) async fn read_list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Fault> {
        // What cannot begin a key begins none. Servers differ in what they make of it.
        if limit == 0 || (!prefix.is_empty() && format!("{prefix}x").parse::<ObjectKey>().is_err())
        {
            return Ok(Vec::new());
        }
        if self.options.lists_unsorted {
            return self.list_and_sort(prefix, after, limit).await;
        }
        let mut listed: Vec<Listed> = Vec::new();
        let mut after = after.map(ToString::to_string);
        while listed.len() < limit {
            let page_max = (limit - listed.len()).min(PAGE_KEYS_MAX);
            // Continued by key, not by token: a token may die with the server that gave it.
            let ask = self
                .ask_for(prefix, page_max)
                .set_start_after(after.clone());
            let page = self.again(|| self.page(ask.clone())).await?;
            in_order(after.as_deref(), &page.names)?;
            listed.extend(page.objects);
            after = page.names.last().cloned();
            if !page.is_more || after.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    /// All that the prefix has, for a server whose order is its own.
    async fn list_and_sort(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut token = None;
        loop {
            let ask = self.ask_for(prefix, PAGE_KEYS_MAX);
            let ask = ask.set_continuation_token(token);
            let page = self.again(|| self.page(ask.clone())).await?;
            let wanted = |it: &Listed| after.is_none_or(|after| *after < it.key);
            listed.extend(page.objects.into_iter().filter(wanted));
            token = page.next;
            if !page.is_more || token.is_none() {
                break;
            }
        }
        listed.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        listed.truncate(limit);
        Ok(listed)
    }

    fn ask_for(&self, prefix: &str, limit: usize) -> ListObjectsV2FluentBuilder {
        self.client
            .list_objects_v2()
            .bucket(&self.options.bucket)
            .prefix(prefix)
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
    }

    async fn page(&self, ask: ListObjectsV2FluentBuilder) -> Result<Page, Fault> {
        let found = self.within(0, ask.send()).await?;
        let objects = found.contents().iter().filter_map(|it| {
            // What has no legal key was not written here: a folder that a console made, say.
            let key = it.key.as_deref()?.parse().ok()?;
            let size = u64::try_from(it.size?).ok()?;
            Some(Listed { key, size })
        });
        let names = found.contents().iter().filter_map(|it| it.key.clone());
        Ok(Page {
            objects: objects.collect(),
            names: names.collect(),
            is_more: found.is_truncated.unwrap_or_default(),
            next: found.next_continuation_token.clone(),
        })
    }

    pub(super) async fn link(&self, key: &ObjectKey, expires: Duration) -> Result<String, Fault> {
        let until = PresigningConfig::expires_in(expires);
        let until = until.map_err(|cause| Fault::Refused(cause.into()))?;
        let get = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(key.as_str());
        // Signing may fetch credentials first.
        let signed = self.within(0, get.presigned(until)).await?;
        Ok(signed.uri().to_owned())
    }
}

struct Page {
    objects: Vec<Listed>,
    /// Every name, also those that are no key of ours.
    names: Vec<String>,
    is_more: bool,
    next: Option<String>,
}

/// A listing out of order would end before all is told, without a word.
fn in_order(after: Option<&str>, names: &[String]) -> Result<(), Fault> {
    let names = after.into_iter().chain(names.iter().map(String::as_str));
    if names.is_sorted_by(|one, next| one < next) {
        return Ok(());
    }
    Err(Fault::Refused(
        "the store does not list in byte order; lists_unsorted in the profile says so".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_out_of_order_is_refused() {
        let check = |after, names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            in_order(after, &names).is_ok()
        };
        assert!(check(None, &[]) && check(None, &["a"]) && check(Some("a"), &["a-b", "a/b"]));
        assert!(!check(None, &["a/b", "a-b"]));
        assert!(!check(Some("a"), &["a"]));
        assert!(!check(Some("b"), &["a"]));
    }
}
