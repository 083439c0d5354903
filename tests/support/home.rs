//! A data directory with the processes that work on it. All of it is gone when the test ends,
//! however it ends: a shell that outlives the test kills what was started and removes the files.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::events::Port;

/// Generous: what waits this long has failed, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(240);

pub(crate) const DONE: i32 = 0;
pub(crate) const FAILED: i32 = 1;
pub(crate) const USAGE: i32 = 2;
pub(crate) const REFUSED: i32 = 3;

/// When a live run degrades: as by default, but for a lag of its own, which a slow machine may have at any time.
const POSTURE: [(&str, &str); 8] = [
    ("DEGRADED_1__MISSING_PERCENT", "20"),
    ("DEGRADED_1__STORE_ERRORS", "3"),
    ("DEGRADED_1__OWN_LAG_MS", "300000"),
    ("DEGRADED_2__MISSING_PERCENT", "50"),
    ("DEGRADED_2__STORE_ERRORS", "10"),
    ("DEGRADED_2__OWN_LAG_MS", "300000"),
    ("RECENT_DECISIONS", "200"),
    ("CALM_MS", "30000"),
];

/// A directory for one test.
pub(crate) struct Home {
    dir: PathBuf,
    sweeper: Mutex<Child>,
    started: AtomicU32,
    /// Of every process that is started here.
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home::with(&[])
    }

    /// The same with settings for every process.
    pub(crate) fn with(env: &[(&str, &str)]) -> Home {
        let dir = tempfile::Builder::new()
            .prefix("fp-e2e.")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        // As root, Postgres runs as another account, which must pass through.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        let sweeper = Mutex::new(sweeper(&dir));
        let posture = POSTURE.map(|(key, value)| {
            let name = format!("FRAUDPLAT__SEMANTICS__POSTURE__{key}");
            (name, value.to_owned())
        });
        Home {
            dir,
            sweeper,
            started: AtomicU32::new(0),
            args: Vec::new(),
            env: posture.into_iter().chain(owned(env)).collect(),
        }
    }

    /// Whatever is started from now on gets this profile, and these settings too.
    pub(crate) fn under(&mut self, profile: &str, env: &[(&str, &str)]) {
        self.args = vec!["--profile".to_owned(), profile.to_owned()];
        self.env.extend(owned(env));
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Writes a file beside the data directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts `fraudplat` with these arguments, in a process group of its own.
    pub(crate) fn start(&self, args: &[&str]) -> Process<'_> {
        self.start_with(args, &[])
    }

    /// The same with settings in its environment.
    pub(crate) fn start_with(&self, args: &[&str], env: &[(&str, &str)]) -> Process<'_> {
        self.launch(Some(self.data()), args, env, None)
    }

    /// Starts it on a data directory of this name beside the usual one.
    pub(crate) fn start_at(&self, name: &str, args: &[&str], env: &[(&str, &str)]) -> Process<'_> {
        self.launch(Some(self.dir.join(name)), args, env, None)
    }

    /// The same with a terminal as its stderr.
    pub(crate) fn start_on(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
        terminal: Stdio,
    ) -> Process<'_> {
        self.launch(Some(self.data()), args, env, Some(terminal))
    }

    /// Runs `bench` as it is without a data directory: below a temporary directory of this test.
    pub(crate) fn bench(&self, args: &[&str]) -> Finished {
        let tmp = self.dir.join("tmp");
        std::fs::create_dir_all(&tmp).unwrap();
        std::fs::set_permissions(&tmp, std::fs::Permissions::from_mode(0o711)).unwrap();
        let all = [&["--json", "bench"], args].concat();
        self.launch(None, &all, &[("TMPDIR", tmp.to_str().unwrap())], None)
            .wait()
    }

    fn launch(
        &self,
        data: Option<PathBuf>,
        args: &[&str],
        env: &[(&str, &str)],
        terminal: Option<Stdio>,
    ) -> Process<'_> {
        let n = self.started.fetch_add(1, Ordering::SeqCst);
        let path = |kind: &str| self.dir.join(format!("{n}.{kind}"));
        let (stdout, stderr) = (path("out"), path("err"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fraudplat"));
        if let Some(data) = &data {
            command.arg("--data-dir").arg(data);
        }
        let child = command
            .args(&self.args)
            .args(args)
            .env("FRAUDPLAT__HTTP__BIND", "127.0.0.1:0")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .envs(env.iter().copied())
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(terminal.unwrap_or_else(|| File::create(&stderr).unwrap().into()))
            .process_group(0)
            .spawn()
            .unwrap();
        self.sweep(&format!("+{}", child.id()));
        Process {
            home: self,
            data: data.unwrap_or_default(),
            child,
            stdout,
            stderr,
            args: args.join(" "),
        }
    }

    /// Starts every role and waits until they listen.
    pub(crate) fn serve(&self) -> (Process<'_>, Port) {
        let mut all = self.start(&["--role", "all"]);
        let port = self.port(&all.listening());
        (all, port)
    }

    /// A client of a process on this data directory, as the developer at the keyboard.
    pub(crate) fn port(&self, addr: &str) -> Port {
        Port::at(addr, &self.key("local"))
    }

    /// A key that the data directory was made with.
    pub(crate) fn key(&self, name: &str) -> String {
        let path = self.data().join(format!("auth/{name}.key"));
        std::fs::read_to_string(path).unwrap()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.start(args).wait()
    }

    /// Runs a command that must succeed, and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        self.run(&all).expect(DONE).json()
    }

    /// The first process of the private Postgres, as its own pid file names it.
    pub(crate) fn postmaster(&self) -> Option<Pid> {
        let path = self.data().join("pg/data/postmaster.pid");
        let text = std::fs::read_to_string(path).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    /// Where the owner of the data directory listens, once it has said so.
    pub(crate) fn announced(&self) -> Option<String> {
        announced(&self.data())
    }

    /// Signals the process that owns the data directory.
    pub(crate) fn signal_owner(&self, signal: Signal) {
        let pid = owner(&self.data()).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Has the process group of a helper killed with everything else, if it is left.
    pub(crate) fn sweep_group(&self, pid: u32) {
        self.sweep(&format!("+{pid}"));
    }

    /// What every process that was started here has said so far, in order of their starts.
    pub(crate) fn said(&self) -> Vec<String> {
        let started = 0..self.started.load(Ordering::SeqCst);
        let said = started.map(|n| std::fs::read_to_string(self.dir.join(format!("{n}.err"))));
        said.map(Result::unwrap_or_default).collect()
    }

    fn sweep(&self, line: &str) {
        let mut sweeper = self.sweeper.lock().unwrap();
        let to = sweeper.stdin.as_mut().unwrap();
        writeln!(to, "{line}").unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        if let Ok(sweeper) = self.sweeper.get_mut() {
            drop(sweeper.stdin.take());
            drop(sweeper.wait());
        }
    }
}

impl Home {
    /// What the processes said last, for who looks at a failed test.
    fn show(&self) {
        for n in 0..self.started.load(Ordering::SeqCst) {
            let path = self.dir.join(format!("{n}.err"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let from = text.len().saturating_sub(1_500);
            let tail = text.get(from..).unwrap_or(&text);
            let mut to = std::io::stderr().lock();
            drop(writeln!(to, "--- {} ends with:\n{tail}", path.display()));
        }
    }
}

/// Reads `+PID` and `-PID`; at the end of its input, which comes when the test is gone, it kills the
/// groups that are left, waits for Postgres and removes the directory.
fn sweeper(dir: &Path) -> Child {
    let script = r#"
        groups=" "
        while read -r line; do
            case $line in
                +*) groups="$groups${line#+} " ;;
                -*) groups=${groups%% "${line#-}" *}" "${groups#* "${line#-}" } ;;
            esac
        done
        for group in $groups; do kill -9 -- "-$group" 2>/dev/null; done
        waits=0
        while read -r pid < "$1"/data/pg/data/postmaster.pid && kill -0 "$pid" &&
            [ "$waits" -lt 600 ]; do
            sleep 0.1; waits=$((waits + 1))
        done
        # The socket's directory is outside; its owner and its watchdog were killed alike.
        socket_dir=$(cat "$1/data/pg/socket_dir" 2>/dev/null)
        case $socket_dir in
            /tmp/fp.*) rm -f "$socket_dir"/.s.PGSQL.*; rmdir "$socket_dir" 2>/dev/null ;;
        esac
        # A backend may outlive its postmaster for a moment and write.
        until rm -rf "$1" || [ "$waits" -gt 600 ]; do sleep 0.1; waits=$((waits + 1)); done
    "#;
    Command::new("/bin/sh")
        .args(["-c", script, "fraudplat-e2e-sweeper"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C is for the test, not for who cleans up behind it.
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Where the owner of a data directory listens, once it has said so.
fn announced(data: &Path) -> Option<String> {
    let addr = std::fs::read_to_string(data.join("run/http.addr")).ok()?;
    let addr = addr.trim().to_owned();
    (!addr.is_empty()).then_some(addr)
}

/// The process that owns a data directory, or did so last.
fn owner(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("LOCK")).ok()?;
    text.trim().parse().ok()
}

fn owned(env: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = env.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A running `fraudplat`. Dropped, it is killed with everything it started.
pub(crate) struct Process<'h> {
    home: &'h Home,
    data: PathBuf,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    args: String,
}

impl Process<'_> {
    /// Tells it to stop, as Ctrl-C and service managers do, and waits until it has drained.
    #[track_caller]
    pub(crate) fn stop(self, signal: Signal) -> Finished {
        self.signal(signal);
        self.wait()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills the whole process group: the platform, its Postgres, its watchdog.
    pub(crate) fn kill_all(mut self) {
        kill_process_group(self.pid(), Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it wrote to stderr so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until it says where it listens.
    #[track_caller]
    pub(crate) fn listening(&mut self) -> String {
        let addr = self.try_listening();
        addr.unwrap_or_else(|| panic!("it ended: {}", self.said()))
    }

    /// Its port, once it listens; nothing if it ends before.
    pub(crate) fn port(&mut self) -> Option<Port> {
        let addr = self.try_listening()?;
        Some(self.home.port(&addr))
    }

    /// The same; nothing if it ends before.
    pub(crate) fn try_listening(&mut self) -> Option<String> {
        until("an address in run/http.addr", LONG, || {
            if !self.is_running() {
                return Some(None);
            }
            self.announced().map(Some)
        })
    }

    /// Where it listens, if it has said so.
    pub(crate) fn announced(&self) -> Option<String> {
        // A killed owner leaves its address behind; the next removes it before it signs.
        let is_owner = owner(&self.data) == Some(self.child.id());
        is_owner.then(|| announced(&self.data))?
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Finished {
        let what = format!("the end of `{}`", self.args);
        let status = until(&what, LONG * 4, || self.child.try_wait().unwrap());
        Finished {
            status,
            stdout: std::fs::read_to_string(&self.stdout).unwrap(),
            stderr: self.said(),
            args: self.args.clone(),
        }
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|it| it.is_none()) {
            kill_process_group(self.pid(), Signal::KILL).ok();
            drop(self.child.wait());
        }
        self.home.sweep(&format!("-{}", self.child.id()));
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    args: String,
}

impl Finished {
    /// Asserts its exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Finished {
        let Finished {
            status,
            stdout,
            stderr,
            args,
        } = &self;
        assert_eq!(
            status.code(),
            Some(code),
            "`{args}` ended with {status}\nstdout: {stdout}\nstderr: {stderr}"
        );
        self
    }

    /// Asserts that stdout is one JSON value and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|cause| panic!("`{}`: {cause}: {}", self.args, self.stdout))
    }
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none before the deadline.
#[track_caller]
pub(crate) fn until<T>(what: &str, at_most: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {at_most:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
