//! A connection beside the pool that hears a channel of the server (LISTEN). It carries no payload: who hears
//! looks for what there is, so that a notice too many, or two in one, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::watch::Wire;
use super::{Db, Error, ToSql};

/// Hears one channel until its connection breaks. Dropped, it closes the connection.
pub struct Listener {
    client: tokio_postgres::Client,
    heard: Arc<Notify>,
    ended: JoinHandle<()>,
    answer_max: Duration,
}

impl Db {
    /// Connects and listens: whatever is committed after this and notifies `channel`, a plain name, is heard.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no connection in time, or the server's own.
    pub async fn listen(&self, channel: &'static str) -> Result<Listener, Error> {
        let (config, wire, connect_max) = &*self.apart;
        let heard = Arc::<Notify>::default();
        let wire = Wire {
            heard: Some(Arc::clone(&heard)),
            ..wire.clone()
        };
        let mut config = config.clone();
        let name = config.get_application_name().unwrap_or("fraudplat");
        let name = format!("{name} listens");
        let connect = wire.connect(config.application_name(&name));
        let (client, ended) = within(*connect_max, async { Ok(connect.await?) }).await?;
        let listener = Listener {
            client,
            heard,
            ended,
            answer_max: *connect_max,
        };
        let sql = format!("LISTEN {channel}");
        within(*connect_max, async {
            Ok(listener.client.batch_execute(&sql).await?)
        })
        .await?;
        Ok(listener)
    }
}

impl Listener {
    /// The next notice; several that came meanwhile are one. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection has ended: what was notified since is not known.
    pub async fn heard(&mut self) -> Result<(), Error> {
        tokio::select! {
            () = self.heard.notified() => Ok(()),
            _ = &mut self.ended => Err(gone("the connection that listens has ended")),
        }
    }

    /// Carries a statement out, which also shows that the connection lives.
    ///
    /// # Errors
    /// Those of the server, and [`Error::Unavailable`] when it does not answer in the time of a connect.
    pub async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        within(self.answer_max, async {
            Ok(self.client.execute(sql, values).await?)
        })
        .await
    }
}

async fn within<T>(
    at_most: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = tokio::time::timeout(at_most, work).await;
    done.map_err(|_| gone("it does not answer in time"))?
}

fn gone(what: &'static str) -> Error {
    Error::Unavailable { what, source: None }
}
