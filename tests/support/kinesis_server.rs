//! Servers that speak the protocol of Kinesis: kinesalite for all but resharding, kinesis-local for
//! that. Neither ever throttles, refuses a part of a put or loses a reply: `aws_proxy.rs` does.
//!
//! A server never outlives the test process: a shell that only this process holds a pipe to ends it
//! and removes its files when the pipe closes, however the process ends.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Streams that kinesalite makes, splits and deletes stand at once. It listens on loopback alone and
/// finds a port by itself, which its own command cannot.
const KINESALITE: &str = r#"
    const [kinesalite, path, behind_ms] = process.argv.slice(1);
    const now = Date.now;
    Date.now = () => now() - Number(behind_ms);
    const options = { path, shardLimit: 10000, createStreamMs: 5, deleteStreamMs: 5, updateStreamMs: 5 };
    const server = require(kinesalite)(options);
    server.keepAliveTimeout = 60000;
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// Both its listeners go to loopback and to ports that they find; the one without TLS is told, by
/// the number that it has when nobody asks for another.
const KINESIS_LOCAL: &str = r#"
    const net = require("net"), listen = net.Server.prototype.listen, PLAIN = 4568;
    net.Server.prototype.listen = function (port, ...rest) {
        if (port === PLAIN) this.once("listening", () => console.log(this.address().port));
        return listen.call(this, 0, "127.0.0.1", ...rest);
    };
    require(process.argv[1]);
"#;

/// A server of its own; ended when dropped.
pub(crate) struct KinesisServer {
    keeper: Child,
    pub(crate) endpoint_url: String,
}

impl KinesisServer {
    /// The kinesalite that all tests of this binary share: each has streams of its own.
    pub(crate) fn shared() -> &'static KinesisServer {
        static SERVER: OnceLock<KinesisServer> = OnceLock::new();
        SERVER.get_or_init(|| KinesisServer::kinesalite(&directory(), Duration::ZERO))
    }

    /// The kinesis-local that all tests of this binary share.
    pub(crate) fn shared_local() -> &'static KinesisServer {
        static SERVER: OnceLock<KinesisServer> = OnceLock::new();
        SERVER.get_or_init(KinesisServer::kinesis_local)
    }

    /// A kinesalite over a directory, which it removes at the end, and whose clock is behind.
    pub(crate) fn kinesalite(dir: &Path, behind: Duration) -> KinesisServer {
        let behind_ms = behind.as_millis().to_string();
        let mut keeper = keeper(dir);
        keeper
            .arg(node())
            .args(["-e", KINESALITE])
            .arg(package("kinesalite"))
            .arg(dir.join("data"))
            .arg(behind_ms);
        KinesisServer::start(keeper)
    }

    fn kinesis_local() -> KinesisServer {
        let package = package("kinesis-local");
        let mut keeper = keeper(&directory());
        keeper
            .arg(node())
            .args(["-e", KINESIS_LOCAL])
            .arg(package.join("main.js"))
            .env("SHARD_LIMIT", "1000")
            .env("LOG_LEVEL", "ERROR")
            .envs(DURATIONS.map(|it| (it, "5ms")))
            // It reads its certificate from where it stands.
            .current_dir(package);
        KinesisServer::start(keeper)
    }

    /// The first line that a server says is its port.
    fn start(mut keeper: Command) -> KinesisServer {
        let mut keeper = keeper.stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        let said = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut port);
        assert!(
            said.is_ok() && !port.is_empty(),
            "the server did not start; `scripts/setup` installs it"
        );
        KinesisServer {
            keeper,
            endpoint_url: format!("http://127.0.0.1:{}", port.trim()),
        }
    }
}

const DURATIONS: [&str; 5] = [
    "CREATE_STREAM_DURATION",
    "DELETE_STREAM_DURATION",
    "SPLIT_SHARD_DURATION",
    "MERGE_SHARDS_DURATION",
    "UPDATE_SHARD_COUNT_DURATION",
];

impl Drop for KinesisServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

/// Each test binary uses what it needs of this file; what it leaves is no dead code.
const _: fn() -> [&'static str; 2] = || {
    let servers = [KinesisServer::shared(), KinesisServer::shared_local()];
    servers.map(|it| it.endpoint_url.as_str())
};

/// A directory that the server removes when it ends.
pub(crate) fn directory() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("fp-kinesis.").tempdir();
    dir.unwrap().keep()
}

/// Runs what its arguments say until its standard input is closed, then removes the directory,
/// unless a file in it says that it is wanted again.
fn keeper(dir: &Path) -> Command {
    let script = r#"
        dir=$1; shift
        "$@" </dev/null &
        read -r _
        kill -9 $!
        wait
        [ -e "$dir/keep" ] || rm -rf "$dir"
    "#;
    let mut keeper = Command::new("/bin/sh");
    keeper
        .args(["-c", script, "fraudplat-test-keeper"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        // A Ctrl-C is for the test, not for who cleans up behind it.
        .process_group(0);
    keeper
}

fn cache() -> PathBuf {
    let env = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = env("XDG_CACHE_HOME").or_else(|| Some(env("HOME")?.join(".cache")));
    cache.unwrap_or_default().join("fraudplat")
}

fn node() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|it| it.join("node"));
    let found = on_path
        .chain([cache().join("tools/bin/node")])
        .find(|it| it.is_file());
    found.unwrap_or_else(|| {
        panic!("no `node` on PATH nor in the cache; `scripts/setup` installs it")
    })
}

fn package(name: &str) -> PathBuf {
    let package = cache().join("node/node_modules").join(name);
    assert!(
        package.is_dir(),
        "{} is not there; `scripts/setup` installs it",
        package.display()
    );
    package
}
