//! Kinesis, S3 and Postgres servers as `scripts/parity` starts them, and the settings of whoever
//! stands on them. Each can be killed; what is down comes up again on its data and its port.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;

/// Killed when dropped: their data go with the home, so nothing is worth a shutdown of seconds.
pub(crate) struct Servers {
    dir: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

/// One of them, by the name that the script gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    Kinesis,
    S3,
    Postgres,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Server::Kinesis => "kinesis",
            Server::S3 => "s3",
            Server::Postgres => "postgres",
        }
    }
}

impl Servers {
    pub(crate) fn up(home: &Home) -> Servers {
        let dir = home.dir().join("servers");
        up(home, &dir);
        let env = settings(&dir);
        Servers { dir, env }
    }

    /// Starts what is down.
    pub(crate) fn up_again(&self, home: &Home) {
        up(home, &self.dir);
    }

    /// Kills a server and every process it has started.
    pub(crate) fn kill(&self, server: Server) {
        let path = self.dir.join(format!("{}.pid", server.name()));
        let pid = std::fs::read_to_string(path).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        // A child may have ended by itself when its parent did, and a server when nobody looked.
        let children = children(pid);
        for process in std::iter::once(pid).chain(children) {
            kill_process(process, Signal::KILL).ok();
        }
    }

    /// The value of a setting that the servers give.
    pub(crate) fn setting(&self, name: &str) -> &str {
        let found = self.env.iter().find(|(known, _)| known == name);
        &found.unwrap().1
    }

    /// The settings of processes that share the keys of one data directory, which `provision` has
    /// made there.
    pub(crate) fn env_with_keys(&self, home: &Home, keys: &str) -> Vec<(String, String)> {
        let auth = home.dir().join(keys).join("auth");
        let token_key = home.file("token.key", &"k".repeat(32));
        let shared = [
            ("FRAUDPLAT__AUTH__KEYS_FILE", auth.join("keys.yaml")),
            (
                "FRAUDPLAT__AUTH__CREDENTIAL__BEARER_FILE",
                auth.join("wsp.key"),
            ),
            ("FRAUDPLAT__GATE__TOKEN_KEY_FILE", token_key),
        ];
        let shared = shared.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        self.env.iter().cloned().chain(shared).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in [Server::Kinesis, Server::S3, Server::Postgres] {
            self.kill(server);
        }
    }
}

/// The servers stay in the script's process group, which outlives it and goes with the test.
fn up(home: &Home, dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/parity");
    let mut command = Command::new("bash");
    command.arg(script).arg("up").arg(dir).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    home.sweep_group(child.id());
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "parity up: {said}");
}

/// What the file that the script writes sets.
fn settings(dir: &Path) -> Vec<(String, String)> {
    let script = format!("source {}/env && env -0", dir.display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env_clear();
    let printed = shell.env("PATH", "/usr/bin:/bin").output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    let named = |name: &str| name.starts_with("AWS_") || name.starts_with("FRAUDPLAT__");
    let pairs = text.split('\0').filter_map(|it| it.split_once('='));
    pairs
        .filter(|(name, _)| named(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The processes whose parent this is.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_child = |pid: &i32| parent_of(*pid) == Some(parent);
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// The fourth field of `/proc/PID/stat`, whose second may hold anything but a closing bracket last.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}
