//! The server process: its settings, its socket, its log, and the watchdog that ends it when we
//! cannot.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::binaries::Binaries;
use super::cluster::Cluster;
use super::{Error, failed};
use crate::substrate::data_dir::write_atomic;

/// Given on the command line, so that nothing in the data directory can override them.
const SETTINGS: &[&str] = &[
    // Nobody but us, through the socket.
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    // A commit that was answered is on disk.
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=256MB",
    // Bulk loads checkpoint by time, not every 64 MB.
    "max_wal_size=4GB",
    "wal_compression=on",
    // Batches in flight are written and deleted all the time: their room is used again soon.
    "autovacuum_naptime=10s",
    // Short statements only: compiling them costs more than it saves.
    "jit=off",
    // Every partition of every table that a statement touches takes one.
    "max_locks_per_transaction=256",
    "idle_in_transaction_session_timeout=60s",
    // GMT is the one zone that the server knows without zone files.
    "timezone=GMT",
    "log_timezone=GMT",
    "log_destination=stderr",
    "logging_collector=off",
    "log_checkpoints=off",
    "log_line_prefix=%m [%p] %q%u@%d ",
    // Details quote rows, and a payload never enters a log (L11).
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];

/// Waits on a pipe that only we hold: its end means that we are gone, however that happened. Then
/// a fast shutdown, and the socket's directory is removed.
const WATCHDOG: &str = r#"
read -r _
kill -INT "$1" 2>/dev/null || exit 0
waits=0
while kill -0 "$1" 2>/dev/null && [ "$waits" -lt 600 ]; do sleep 0.1; waits=$((waits + 1)); done
rm -f "$2"/.s.PGSQL.* && rmdir "$2"
"#;

const LOG_BYTES_MAX: u64 = 16 << 20;
const LOG_TAIL_BYTES_MAX: u64 = 4 << 10;

/// A fresh, short (a socket's path has at most 107 bytes), private directory for the socket.
#[derive(Debug)]
pub(super) struct SocketDir(tempfile::TempDir);

impl SocketDir {
    /// Makes one, and removes the one that a killed owner left.
    pub(super) fn create(cluster: &Cluster) -> Result<SocketDir, Error> {
        let note = cluster.dir.join("socket_dir");
        if let Ok(old) = fs::read_to_string(&note) {
            remove_abandoned(Path::new(old.trim()), cluster.account.uid());
        }
        let dir = tempfile::Builder::new()
            .prefix("fp.")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .map_err(failed("create a directory in", Path::new("/tmp")))?;
        cluster.account.own(dir.path())?;
        write_atomic(&note, dir.path().as_os_str().as_encoded_bytes(), 0o600)?;
        Ok(SocketDir(dir))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes sockets and then the directory if nothing else is in it. Not recursive, and only if it
/// is still the server's: the name may be someone else's by now.
fn remove_abandoned(dir: &Path, uid: u32) {
    let ours = dir.starts_with("/tmp")
        && fs::symlink_metadata(dir).is_ok_and(|it| it.is_dir() && it.uid() == uid);
    if !ours {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            fs::remove_file(entry.path()).ok();
        }
    }
    fs::remove_dir(dir).ok();
}

/// The server's log and where in it this start begins.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// Opens `pg/log`, putting a long one aside: it holds what went wrong, not what happened.
    pub(super) fn open(cluster: &Cluster) -> Result<Log, Error> {
        let path = cluster.dir.join("log");
        let mut from = fs::metadata(&path).map_or(0, |it| it.len());
        if LOG_BYTES_MAX < from {
            fs::rename(&path, cluster.dir.join("log.1")).map_err(failed("rename", &path))?;
            from = 0;
        }
        Ok(Log { path, from })
    }

    fn writer(&self) -> Result<File, Error> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(failed("open", &self.path))
    }

    /// The last lines of this start, for an error message.
    pub(super) fn tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.path)?;
            let end = file.metadata()?.len();
            let from = self.from.max(end.saturating_sub(LOG_TAIL_BYTES_MAX));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_else(|error| format!("(unreadable: {error})"))
    }
}

/// A server process under watch.
pub(super) struct Launched {
    pub(super) pid: u32,
    /// Signals for the server; closing the channel asks it to stop.
    pub(super) signals: mpsc::Sender<Signal>,
    /// Set once, when the process has ended.
    pub(super) exited: watch::Receiver<Option<ExitStatus>>,
}

pub(super) fn spawn(
    cluster: &Cluster,
    binaries: &Binaries,
    socket_dir: &SocketDir,
    log: &Log,
) -> Result<Launched, Error> {
    let mut command = binaries.command("postgres");
    command.arg("-D").arg(cluster.data());
    for setting in SETTINGS {
        command.arg("-c").arg(setting);
    }
    command
        .arg("-c")
        .arg(format!("cluster_name={}", cluster.name()))
        .arg("-c")
        .arg(format!(
            "unix_socket_directories={}",
            socket_dir.path().display()
        ))
        .current_dir(&cluster.dir)
        .stdin(Stdio::null())
        .stdout(log.writer()?)
        .stderr(log.writer()?);
    cluster.account.dress(&mut command);
    let program = binaries.dir.join("postgres");
    let server = command.spawn().map_err(failed("run", &program))?;
    // Only a child that was waited for has no id.
    let pid = server.id().expect("a process just spawned has an id");
    let watchdog = watchdog(cluster, pid, socket_dir)?;

    let (signals, inbox) = mpsc::channel(2);
    let (exit, exited) = watch::channel(None);
    tokio::spawn(watch_over(server, watchdog, inbox, exit));
    Ok(Launched {
        pid,
        signals,
        exited,
    })
}

fn watchdog(cluster: &Cluster, pid: u32, socket_dir: &SocketDir) -> Result<Child, Error> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", WATCHDOG, "fraudplat-postgres-watchdog"])
        .arg(pid.to_string())
        .arg(socket_dir.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    cluster.account.dress(&mut command);
    command.spawn().map_err(failed("run", Path::new("/bin/sh")))
}

/// Holds the server and the watchdog's pipe. It alone signals the server, so that no signal can
/// reach a process that got the number of a dead one.
async fn watch_over(
    mut server: Child,
    mut watchdog: Child,
    mut inbox: mpsc::Receiver<Signal>,
    exit: watch::Sender<Option<ExitStatus>>,
) {
    let mut is_open = true;
    let status = loop {
        tokio::select! {
            status = server.wait() => break status,
            signal = inbox.recv(), if is_open => {
                is_open = signal.is_some();
                let pid = server.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    // It may have ended in this moment; then the wait says so.
                    kill_process(pid, signal.unwrap_or(Signal::INT)).ok();
                }
            }
        }
    };
    // First the watchdog: its number to watch is free from here on.
    watchdog.kill().await.ok();
    exit.send_replace(status.ok());
}
