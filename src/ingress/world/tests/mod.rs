//! Whole worlds: from files and a mapping to objects and back.

#[path = "../../../../tests/support/corner_shops.rs"]
mod corner_shops;
mod faults;
mod handbook;
mod lookups;
mod p2p;
mod worlds;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;

use crate::contracts::ready::WorldFacts;
use crate::contracts::world::Arrival;
use crate::domain::digest::Digest;
use crate::ingress::world::{Error, Plan, Selection, World, WorldReader, materialise};
use crate::substrate::objects::{self, Listed, ObjectKey, Objects, Put};

/// Objects in a map, for looking at what was written and for spoiling it.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<ObjectKey, Bytes>>);

impl Shelf {
    fn all(&self) -> BTreeMap<ObjectKey, Bytes> {
        self.0.lock().unwrap().clone()
    }

    fn spoil(&self, key: &str, with: Option<&[u8]>) {
        let key: ObjectKey = key.parse().unwrap();
        let mut held = self.0.lock().unwrap();
        let before = match with {
            Some(bytes) => held.insert(key, Bytes::copy_from_slice(bytes)),
            None => held.remove(&key),
        };
        assert!(before.is_some());
    }
}

#[async_trait]
impl Objects for Shelf {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, objects::Error> {
        let mut held = self.0.lock().unwrap();
        Ok(match held.get(key) {
            Some(stored) if *stored == body => Put::Same,
            Some(stored) => Put::Conflict {
                stored: Digest::of_bytes(stored),
            },
            None => {
                held.insert(key.clone(), body);
                Put::Created
            }
        })
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, objects::Error> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, objects::Error> {
        let body = self.get(key).await?;
        Ok(body.map(|it| it.slice(start as usize..end as usize)))
    }

    async fn list(
        &self,
        _: &str,
        _: Option<&ObjectKey>,
        _: usize,
    ) -> Result<Vec<Listed>, objects::Error> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), objects::Error> {
        unreachable!()
    }

    async fn presign(&self, key: &ObjectKey, _: Duration) -> Result<String, objects::Error> {
        Ok(key.to_string())
    }

    fn puts(&self) -> u64 {
        0
    }
}

/// A dataset of text files in a directory of its own.
struct Dataset {
    directory: TempDir,
}

impl Dataset {
    fn new(files: &[(&str, &str)]) -> Dataset {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Dataset { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

const ALL: Selection = Selection { limit: None };

fn plan(mapping: &str, dataset: &Path, limit: Option<u64>) -> Result<Plan, Error> {
    Plan::parse(
        "mapping.yaml",
        mapping.to_owned(),
        dataset,
        Selection { limit },
    )
}

async fn world(shelf: &Shelf, mapping: &str, dataset: &Path) -> Result<World, Error> {
    materialise(shelf, plan(mapping, dataset, None)?, |_, _| ()).await
}

async fn arrivals(
    shelf: &Arc<Shelf>,
    facts: &WorldFacts,
    from: i64,
    max: usize,
) -> Result<Vec<Arrival>, Error> {
    let mut reader = WorldReader::open(shelf.clone(), facts.clone(), from);
    let mut all = Vec::new();
    loop {
        let batch = reader.next(max).await?;
        assert!(batch.len() <= max);
        if batch.is_empty() {
            return Ok(all);
        }
        all.extend(batch);
        assert_eq!(reader.position(), from + all.len() as i64);
    }
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("profiles/mappings")
        .join(name)
}
