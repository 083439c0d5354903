//! Objects in memory, for tests of other rooms.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::digest::Digest;
use crate::substrate::objects::{Error, Listed, ObjectKey, Objects, Put, check_removable};

#[derive(Debug, Default)]
pub struct MemoryObjects {
    kept: Mutex<BTreeMap<ObjectKey, Bytes>>,
    puts: AtomicU64,
}

impl MemoryObjects {
    #[must_use]
    pub fn new() -> MemoryObjects {
        MemoryObjects::default()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Bytes>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, Error> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept();
        match kept.get(key) {
            None => {
                kept.insert(key.clone(), body);
                Ok(Put::Created)
            }
            Some(stored) if *stored == body => Ok(Put::Same),
            Some(stored) => Ok(Put::Conflict {
                stored: Digest::of_bytes(stored),
            }),
        }
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, Error> {
        Ok(self.kept().get(key).cloned())
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error> {
        let Some(body) = self.kept().get(key).cloned() else {
            return Ok(None);
        };
        let size = body.len() as u64;
        if end < start || size < end {
            return Err(Error::Range {
                key: key.to_string(),
                size,
                start,
                end,
            });
        }
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(Some(body.slice(place(start)..place(end))))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept();
        let listed = kept
            .range((from, Bound::Unbounded))
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .take(limit)
            .map(|(key, body)| Listed {
                key: key.clone(),
                size: body.len() as u64,
            });
        Ok(listed.collect())
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        check_removable(key)?;
        self.kept().remove(key);
        Ok(())
    }

    /// A link that nothing outside this process can follow.
    async fn presign(&self, key: &ObjectKey, _: Duration) -> Result<String, Error> {
        Ok(format!("memory:{key}"))
    }

    fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }
}
