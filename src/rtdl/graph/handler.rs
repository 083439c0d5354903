//! What a group of the projection does with a batch: its links, each once, in one statement.

use async_trait::async_trait;

use crate::rtdl::graph::rows::Links;
use crate::rtdl::graph::store;
use crate::runtime::consumer::{Batch, Error, Handler};
use crate::substrate::db::Transaction;

pub(super) struct Projecting {
    group: &'static str,
}

impl Projecting {
    pub(super) fn new(group: &'static str) -> Projecting {
        Projecting { group }
    }
}

#[async_trait]
impl Handler for Projecting {
    type Prepared = Links;

    fn group(&self) -> &'static str {
        self.group
    }

    async fn prepare(&mut self, batch: &Batch) -> Result<Links, Error> {
        let mut links = Links::default();
        for guarded in batch.records.iter().flatten() {
            links.take(guarded);
        }
        Ok(links)
    }

    /// What stands already is left out by the statement, inside the transaction: a rebuild that
    /// throws rows away holds the positions, so it falls before or after, never between.
    async fn write(&self, tx: &Transaction<'_>, links: &Links) -> Result<(), Error> {
        Ok(store::upsert(tx, links).await?)
    }

    fn committed(&mut self, _: &Links) {}
}
