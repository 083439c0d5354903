//! What a killed owner left behind: a server that still runs, backends without a server, a pid file
//! that names nobody or a stranger. All of it is ended or removed before a start.
//!
//! Nobody else can own these processes: the caller holds the data directory's lock.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::{Error, QUIT_MS_MAX, STOP_MS_MAX, failed};

/// Ends every process of this server and removes a pid file that would stop the next one.
pub(super) async fn end(cluster: &Cluster) -> Result<(), Error> {
    let postmaster = pid_in_file(cluster)?;
    let mut live = processes(cluster);
    if let Some(pid) = postmaster.filter(|it| live.contains(it)) {
        send(pid, Signal::INT);
        live = wait_for_end(cluster, STOP_MS_MAX).await;
    }
    for signal in [Signal::QUIT, Signal::KILL] {
        if live.is_empty() {
            break;
        }
        live.iter().for_each(|pid| send(*pid, signal));
        live = wait_for_end(cluster, QUIT_MS_MAX).await;
    }
    if !live.is_empty() {
        return Err(Error::Leftover { pids: live });
    }
    remove_pid_file(cluster)
}

async fn wait_for_end(cluster: &Cluster, ms_max: u64) -> Vec<i32> {
    let deadline = Instant::now() + Duration::from_millis(ms_max);
    loop {
        let live = processes(cluster);
        if live.is_empty() || deadline < Instant::now() {
            return live;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended in this moment; the wait that follows tells.
        kill_process(pid, signal).ok();
    }
}

/// PostgreSQL takes any live process of its account that the file names for its own server and
/// refuses to start, though after a reboot or in a container it is likely a stranger. We have
/// looked; the shared memory's key, made of the directory's inode, still keeps two servers apart.
fn remove_pid_file(cluster: &Cluster) -> Result<(), Error> {
    let Some(pid) = pid_in_file(cluster)? else {
        return Ok(());
    };
    let data = cluster.data();
    if may_serve(pid, &data) {
        return Ok(());
    }
    let path = data.join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether a process that we did not recognise may all the same serve these files: a postgres that
/// someone started by hand. Where the machine does not let us look, PostgreSQL decides.
fn may_serve(pid: i32, data: &Path) -> bool {
    if !Path::new("/proc/self").exists() {
        return true;
    }
    let is_postgres = command_line(pid).is_some_and(|it| program(&it) == "postgres");
    let here = fs::read_link(format!("/proc/{pid}/cwd"));
    let is_elsewhere = here.is_ok_and(|it| it != data);
    is_postgres && !is_elsewhere
}

/// The number in the first line of `postmaster.pid`.
fn pid_in_file(cluster: &Cluster) -> Result<Option<i32>, Error> {
    let path = cluster.data().join("postmaster.pid");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().next().and_then(|it| it.trim().parse().ok())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// The live processes of this server. Their command lines tell, which anyone may read; their
/// working directories would too, but a container's root may not look at those.
fn processes(cluster: &Cluster) -> Vec<i32> {
    let data = cluster.data();
    let title = format!("postgres: {}: ", cluster.name());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let is_ours = |line: &String| belongs(line, &data.to_string_lossy(), &title);
            command_line(*pid).as_ref().is_some_and(is_ours)
        })
        .collect()
}

/// Arguments joined by NUL; none for a process that has ended, waited for or not.
fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn program(command_line: &str) -> &str {
    let first = command_line.split('\0').next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or_default()
}

/// The postmaster shows its arguments, its children a title with the name of their cluster.
fn belongs(command_line: &str, data: &str, title: &str) -> bool {
    let mut arguments = command_line.split('\0').skip_while(|it| *it != "-D");
    let serves = arguments.nth(1) == Some(data);
    (program(command_line) == "postgres" && serves) || command_line.starts_with(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_this_server_are_its_own() {
        for (line, ours) in [
            (
                "/usr/lib/postgresql/15/bin/postgres\0-D\0/d/pg/data\0-c\0x=y\0",
                true,
            ),
            ("postgres: fp-12: checkpointer \0\0\0", true),
            ("/usr/bin/postgres\0-D\0/d/pg/data2\0", false),
            ("postgres: fp-13: checkpointer \0\0", false),
            ("vi\0-D\0/d/pg/data\0", false),
            ("/usr/bin/postgres\0", false),
        ] {
            assert_eq!(
                belongs(line, "/d/pg/data", "postgres: fp-12: "),
                ours,
                "{line}"
            );
        }
    }
}
