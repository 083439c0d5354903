//! `kill -9` and a full disk against the embedded bus: a child of this test binary puts as fast
//! as it can and tells what was acknowledged; it is killed, and the parent looks for all of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use fraudplat::domain::offset::{Position, ShardId};
use fraudplat::substrate::bus::embedded::EmbeddedBus;
use fraudplat::substrate::bus::{Bus, PutOutcome, RefusalCode};
use fraudplat::substrate::clock::SetClock;

use crate::bus::options;
use crate::bus_subject::{STREAM, T0, drain, record};

const CHILD_DIR: &str = "FRAUDPLAT_TEST_CHILD_BUS_DIR";
const CHILD_SALT: &str = "FRAUDPLAT_TEST_CHILD_SALT";
const CHILD: &str = "bus_crash::child_that_puts_until_it_is_killed";
const PUTTERS: usize = 4;

/// The child's part, by name; without its environment, as in a plain run of the tests, it has
/// nothing to do. Prints `stored <shard> <number> <data>` for each acknowledged record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told its part by its parent"
)]
async fn child_that_puts_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let salt = std::env::var(CHILD_SALT).unwrap();
    let bus = EmbeddedBus::open(Path::new(&dir), options(&SetClock::at(T0))).unwrap();
    let bus = Arc::new(bus);
    tell("open\n");
    let putters = (0..PUTTERS).map(|putter| {
        let (bus, salt) = (bus.clone(), salt.clone());
        tokio::spawn(async move {
            for at in 0u64.. {
                let record = |it: u64| {
                    let data = format!("{salt}-{putter}-{at}-{it}-{}", "x".repeat(600));
                    record(&format!("key-{}", (at + it) % 23), data)
                };
                let records: Vec<_> = (0..16).map(record).collect();
                let outcomes = bus.put_records(STREAM, records.clone()).await;
                let mut told = String::new();
                for (record, outcome) in records.iter().zip(&outcomes) {
                    let data = std::str::from_utf8(&record.data).unwrap();
                    let data = data.trim_end_matches('x');
                    told += &match outcome {
                        PutOutcome::Stored(it) => {
                            format!("stored {} {} {data}\n", it.shard_id, it.sequence_number)
                        }
                        PutOutcome::Unknown { .. } => "unknown\n".to_owned(),
                        PutOutcome::Refused { code } => {
                            assert_eq!(*code, RefusalCode::Unavailable);
                            "refused\n".to_owned()
                        }
                    };
                }
                tell(&told);
                if !matches!(outcomes[0], PutOutcome::Stored(_)) && 3 < at {
                    return;
                }
            }
        })
    });
    futures::future::join_all(putters).await;
}

/// One write, so that lines of the putters do not mix and a killed child has told whole ones.
fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).unwrap();
    out.flush().unwrap();
}

fn child(dir: &Path, salt: usize, program: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", program, "child"])
        .arg(test)
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_SALT, salt.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// What was acknowledged: shard and number, to data.
type Told = BTreeMap<(String, u64), String>;

fn note(line: &str, told: &mut Told) {
    if let Some((_, stored)) = line.split_once("stored ")
        && let [shard, number, data] = stored.split(' ').collect::<Vec<_>>()[..]
        && data.ends_with('-')
    {
        let place = (shard.to_owned(), number.parse().unwrap());
        let before = told.insert(place, data.to_owned());
        assert_eq!(before, None, "a number was given twice: {line}");
    }
}

/// Everything told is there, and numbers are dense.
async fn verify(dir: &Path, told: &Told) {
    let bus = EmbeddedBus::open(dir, options(&SetClock::at(T0))).unwrap();
    let mut found = Told::new();
    for shard in bus.shards(STREAM).await.unwrap() {
        let records = drain(&bus, STREAM, &shard.shard_id, 5_000).await;
        for (at, record) in (1u64..).zip(&records) {
            assert_eq!(record.sequence_number.as_str(), at.to_string());
            let data = std::str::from_utf8(&record.data)
                .unwrap()
                .trim_end_matches('x');
            found.insert((shard.shard_id.to_string(), at), data.to_owned());
        }
        let newest = records.last().map(|it| it.sequence_number.clone());
        let tip = bus
            .tip(STREAM, &ShardId(shard.shard_id.to_string()))
            .await
            .unwrap();
        assert_eq!(tip, newest.map_or(Position::Start, Position::After));
    }
    for (place, data) in told {
        assert_eq!(found.get(place), Some(data), "{place:?}");
    }
    bus.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    // After so many lines: at once, soon, in the thick of it, and past flushes of 32 MiB a shard.
    for (salt, n_lines) in [1, 40, 700, 3_000, 300_000, 20].into_iter().enumerate() {
        let mut child = child(dir.path(), salt, "exec \"$@\"").spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..n_lines {
            line.clear();
            assert_ne!(
                lines.read_line(&mut line).unwrap(),
                0,
                "the child ended by itself"
            );
            note(line.trim_end(), &mut told);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for rest in lines.lines() {
            note(&rest.unwrap(), &mut told);
        }
        verify(dir.path(), &told).await;
    }
    assert!(100_000 < told.len(), "{}", told.len());
}

/// The limit on the size of a file stands for a full disk: the journal cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_is_unknown_and_ends_the_puts() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    verify(dir.path(), &told).await;
    // Blocks of 512 bytes: 4 MiB. The signal is ignored, so that the write answers with an error.
    let program = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";
    let output = child(dir.path(), 0, program).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    for line in output.lines() {
        note(line, &mut told);
    }
    let count = |word: &str| output.lines().filter(|it| it.ends_with(word)).count();
    assert!(16 < told.len(), "{output}");
    assert!(0 < count("unknown"), "{output}");
    assert!(
        count("unknown") <= 16 * PUTTERS,
        "puts went on after a failed commit"
    );
    verify(dir.path(), &told).await;
}
