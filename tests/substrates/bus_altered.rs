//! The files of the embedded log, cut and altered: a torn end is cut off, an altered one is named, and nothing that was
//! acknowledged is lost in silence.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fraudplat::domain::offset::ShardId;
use fraudplat::substrate::bus::Bus;
use fraudplat::substrate::bus::embedded::{EmbeddedBus, Error};
use fraudplat::substrate::clock::SetClock;

use crate::bus::options;
use crate::bus_subject::{OTHER, T0, drain, record};

const RECORDS: usize = 6;

struct Log {
    dir: tempfile::TempDir,
    /// Where the last batch begins in the journal.
    last_at: usize,
    journal: Vec<u8>,
}

fn shard() -> ShardId {
    ShardId("shard-000000".to_owned())
}

impl Log {
    /// Six records in a batch each, and a journal that ends with the last one.
    async fn written() -> Log {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log {
            dir,
            last_at: 0,
            journal: Vec::new(),
        };
        for at in 0..RECORDS {
            // Opening cuts off the zeros behind the last batch.
            let bus = log.open().unwrap();
            bus.close().await.unwrap();
            log.last_at = fs::read(log.file()).unwrap().len();
            let bus = log.open().unwrap();
            bus.put_records(OTHER, vec![record("k", at.to_string())])
                .await;
            bus.close().await.unwrap();
        }
        log.journal = fs::read(log.file()).unwrap();
        assert!(log.last_at < log.journal.len());
        log
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("log/0.jnl")
    }

    fn open(&self) -> Result<EmbeddedBus, Error> {
        EmbeddedBus::open(self.dir.path(), options(&SetClock::at(T0)))
    }

    /// The records with such a journal.
    async fn read(&self, journal: &[u8]) -> Result<Vec<Bytes>, Error> {
        fs::write(self.file(), journal).unwrap();
        let bus = self.open()?;
        let records = drain(&bus, OTHER, &shard(), 100).await;
        bus.close().await.unwrap();
        Ok(records.into_iter().map(|it| it.data).collect())
    }
}

#[track_caller]
fn names(error: &Error, file: &Path) {
    let Error::Altered { what, .. } = error else {
        panic!("{error}");
    };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(what.contains(name), "{what}");
}

#[tokio::test]
async fn an_append_that_was_cut_short_is_cut_off() {
    let log = Log::written().await;
    let all = log.read(&log.journal).await.unwrap();
    assert_eq!(all.len(), RECORDS);
    for end in (log.last_at..log.journal.len()).step_by(3) {
        let cut = log.read(&log.journal[..end]).await.unwrap();
        assert_eq!(cut, all[..RECORDS - 1], "cut at {end}");
        // As it is where zeros were laid out ahead.
        let mut laid_out = log.journal[..end].to_vec();
        laid_out.resize(end + 10_000, 0);
        let cut = log.read(&laid_out).await.unwrap();
        assert_eq!(cut, all[..RECORDS - 1], "cut at {end}, before zeros");
    }
}

#[tokio::test]
async fn no_bit_of_an_acknowledged_batch_changes_in_silence() {
    let log = Log::written().await;
    let all = log.read(&log.journal).await.unwrap();
    // The last batch, which an end that was cut short looks like the most; a prime visits every place of a byte.
    for bit in (8 * log.last_at..8 * log.journal.len()).step_by(5) {
        let mut altered = log.journal.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        match log.read(&altered).await {
            // The store's own number of the batch, higher: it stays the last.
            Ok(read) => assert_eq!(read, all, "bit {bit}"),
            Err(error) => names(&error, &log.file()),
        }
    }
    let mut early = log.journal.clone();
    early[log.last_at - 20] ^= 1;
    names(&log.read(&early).await.unwrap_err(), &log.file());
    // A bit in what was laid out ahead has no meaning.
    let mut laid_out = log.journal.clone();
    laid_out.resize(log.journal.len() + 10_000, 0);
    laid_out[log.journal.len() + 5_000] = 4;
    assert_eq!(log.read(&laid_out).await.unwrap(), all);
}

#[tokio::test]
async fn an_altered_list_of_tables_is_named() {
    let log = Log::written().await;
    let keyspaces = log.dir.path().join("log/keyspaces");
    for keyspace in fs::read_dir(keyspaces).unwrap() {
        for file in fs::read_dir(keyspace.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.is_dir() {
                continue;
            }
            let whole = fs::read(&file).unwrap();
            for at in [0, whole.len() / 2, whole.len() - 1] {
                let mut altered = whole.clone();
                altered[at] ^= 0x10;
                fs::write(&file, altered).unwrap();
                let error = log.open().err().unwrap();
                assert!(matches!(error, Error::Altered { .. }), "{error}");
            }
            fs::write(&file, whole).unwrap();
        }
    }
    assert_eq!(log.read(&log.journal).await.unwrap().len(), RECORDS);
}
