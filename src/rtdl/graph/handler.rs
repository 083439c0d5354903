//! What a group of the projection does with a batch: its rows, each once, a statement a table.

use async_trait::async_trait;

use crate::domain::vocabulary::Stream;
use crate::rtdl::graph::rows::Rows;
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
    type Prepared = Rows;

    fn group(&self) -> &'static str {
        self.group
    }

    async fn prepare(&mut self, batch: &Batch) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        match batch.shard.stream {
            Stream::Labels => batch.raw.iter().for_each(|it| rows.take_label(it, None)),
            _ => {
                let events = batch.records.iter().flatten();
                events.for_each(|it| rows.take_event(it));
            }
        }
        Ok(rows)
    }

    /// What stands already is left out by the statement, inside the transaction: a rebuild that
    /// throws rows away holds the positions, so it falls before or after, never between.
    async fn write(&self, tx: &Transaction<'_>, rows: &Rows) -> Result<(), Error> {
        Ok(store::write(tx, rows).await?)
    }

    fn committed(&mut self, _: &Rows) {}
}
