//! A bell that makes the archive of this process write out what it holds: lockstep and drain ring
//! it, so that nobody waits for a segment's age.

use tokio::sync::watch;

/// The bell; clones ring the same one.
#[derive(Debug, Clone)]
pub struct Flush(watch::Sender<u64>);

/// One listener's ear.
#[derive(Debug, Clone)]
pub struct FlushAsked(watch::Receiver<u64>);

impl Default for Flush {
    fn default() -> Flush {
        Flush(watch::Sender::new(0))
    }
}

impl Flush {
    /// Asks every shard's writer to read to the tip and write out what it holds. Returns at once;
    /// the archive has come far enough when `ArchiveReader::require` says so.
    pub fn ask(&self) {
        self.0.send_modify(|asked| *asked += 1);
    }

    #[must_use]
    pub fn listen(&self) -> FlushAsked {
        FlushAsked(self.0.subscribe())
    }
}

impl FlushAsked {
    /// Returns when someone asked since the last return; never, once every bell is gone.
    pub async fn asked(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
