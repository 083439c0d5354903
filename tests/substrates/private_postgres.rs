//! The private server: started, stopped, killed in every way, started again, as root and not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::data_dir::{DataDir, Opened, OwnedDataDir};
use fraudplat::substrate::db::private::{Error, PrivatePostgres};
use fraudplat::substrate::db::{Client, Db, Endpoint, PoolOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::helper::{self, Helper};
use crate::support::{options, temporary_data_dir};

async fn start(data_dir: &OwnedDataDir) -> PrivatePostgres {
    PrivatePostgres::start(data_dir, &options()).await.unwrap()
}

async fn client(endpoint: &Endpoint) -> Client {
    let db = Db::open(endpoint, &PoolOptions::default()).unwrap();
    db.get().await.unwrap()
}

/// Commits one more row and returns how many there are.
async fn add_row(postgres: &PrivatePostgres) -> i64 {
    let client = client(&postgres.owner()).await;
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)")
        .await
        .unwrap();
    let row = client.query_one("SELECT count(*) FROM kept", &[]).await;
    row.unwrap().get(0)
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The postmaster and its children, by parentage: found otherwise than the code under test does.
fn family(postmaster: i32) -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')')
            .next()?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| *pid == postmaster || parent(*pid) == Some(postmaster))
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(240);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Postgres itself says when a backend has its statement. That a process is runnable says nothing: a backend
/// that still waits for its statement is so too while it wakes, and sees its postmaster go.
async fn wait_until_it_computes(postgres: &PrivatePostgres, backend: i32) {
    let watcher = client(&postgres.owner()).await;
    let computes = "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%LOOP%' AND wait_event IS NULL";
    let deadline = Instant::now() + Duration::from_secs(60);
    while watcher
        .query_opt(computes, &[&backend])
        .await
        .unwrap()
        .is_none()
    {
        assert!(Instant::now() < deadline, "the backend does not compute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_live(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| !it.is_empty())
}

#[tokio::test]
async fn it_starts_stops_and_starts_again_with_its_rows() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let postgres = start(&data_dir).await;
    assert_eq!(add_row(&postgres).await, 1);
    let pid = postgres.pid() as i32;
    let server = fs::metadata(format!("/proc/{pid}")).unwrap();
    assert_ne!(server.uid(), 0, "the server runs as root");
    for secret in ["password", "password.app"] {
        let meta = fs::metadata(data_dir.pg().join(secret)).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o600, "{secret}");
    }
    let socket_dir = fs::read_to_string(data_dir.pg().join("socket_dir")).unwrap();
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o7777, 0o700);

    postgres.stop().await.unwrap();
    assert!(!is_live(pid));
    assert!(!Path::new(&socket_dir).exists());

    let postgres = start(&data_dir).await;
    assert_eq!(add_row(&postgres).await, 2);
    let app = client(&postgres.app()).await;
    let refused = app.batch_execute("CREATE TABLE mine (n int)").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "42501");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_with_a_busy_orphan_does_not_stop_the_next_start() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let postgres = start(&data_dir).await;
    add_row(&postgres).await;
    let client = client(&postgres.owner()).await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let backend: i32 = row.unwrap().get(0);
    // It computes and waits for nothing, so it does not notice that its postmaster is gone.
    let busy = tokio::spawn(async move {
        let spin = "SET statement_timeout = 0; DO $$ BEGIN LOOP NULL; END LOOP; END $$";
        client.batch_execute(spin).await
    });
    wait_until_it_computes(&postgres, backend).await;
    kill(postgres.pid() as i32, Signal::KILL);
    postgres.exited().await;
    assert!(is_live(backend), "no orphan to cope with");

    let again = start(&data_dir).await;
    assert!(!is_live(backend), "the orphan still runs");
    assert!(busy.await.unwrap().is_err());
    assert_eq!(add_row(&again).await, 2);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn it_recovers_after_all_its_processes_were_killed() {
    let (data_dir, _sweeper) = temporary_data_dir();
    for count in 1..=3 {
        let postgres = start(&data_dir).await;
        assert_eq!(add_row(&postgres).await, count);
        let family = family(postgres.pid() as i32);
        assert!(4 < family.len(), "{family:?}");
        family.iter().for_each(|pid| {
            kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).ok();
        });
        postgres.exited().await;
    }
    let postgres = start(&data_dir).await;
    assert_eq!(add_row(&postgres).await, 4);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_still_runs_is_ended_before_the_next() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let old = start(&data_dir).await;
    add_row(&old).await;
    let new = start(&data_dir).await;
    assert!(!is_live(old.pid() as i32));
    assert!(old.exited().await.unwrap().success(), "ended, not killed");
    assert_eq!(add_row(&new).await, 2);
    new.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_put_aside() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let postgres = start(&data_dir).await;
    add_row(&postgres).await;
    postgres.stop().await.unwrap();
    let data = data_dir.pg().join("data");
    let owner = fs::metadata(&data).unwrap();
    let mut stranger = stranger(owner.uid(), owner.gid());
    let file = data.join("postmaster.pid");
    let text = format!("{}\n{}\n1\n5432\n/tmp\n\n", stranger.id(), data.display());
    fs::write(&file, text).unwrap();
    chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();

    let postgres = start(&data_dir).await;
    assert_eq!(add_row(&postgres).await, 2);
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was ended"
    );
    postgres.stop().await.unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// A process of the server's account: the kind that PostgreSQL takes for its own.
fn stranger(uid: u32, gid: u32) -> Child {
    let mut command = Command::new("cat");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(uid).gid(gid);
    }
    command.spawn().unwrap()
}

#[tokio::test]
async fn half_an_initdb_is_swept_away() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let half = data_dir.pg().join("init.dead");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "15").unwrap();
    let postgres = start(&data_dir).await;
    assert!(!half.exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_ends_with_an_owner_that_was_killed() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let path = data_dir.path().to_owned();
    drop(data_dir);
    let helper = Helper::start("serve", &path);
    let pid: i32 = helper.says().parse().unwrap();
    let socket_dir = fs::read_to_string(path.join("pg/socket_dir")).unwrap();
    assert!(is_live(pid));
    helper.kill();
    until("the server ends", || !is_live(pid)).await;
    until("its socket goes", || !Path::new(&socket_dir).exists()).await;

    // At once, not after the server of the killed one has ended.
    let helper = Helper::start("serve", &path);
    helper.says();
    helper.kill();
    let Opened::Owned(data_dir) = DataDir::open(&path, &SystemEntropy).unwrap() else {
        panic!("a killed owner owns");
    };
    let postgres = start(&data_dir).await;
    assert_eq!(add_row(&postgres).await, 3);
    postgres.stop().await.unwrap();
}

/// The owner that is killed in the test above.
pub(crate) fn serve(path: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _postgres = runtime.block_on(async {
        let Opened::Owned(data_dir) = DataDir::open(path, &SystemEntropy).unwrap() else {
            panic!("another owner");
        };
        let postgres = start(&data_dir).await;
        add_row(&postgres).await;
        helper::say(&postgres.pid().to_string());
        helper::wait_to_be_killed();
        postgres
    });
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let postgres = start(&data_dir).await;
    let pid = postgres.pid() as i32;
    drop(postgres);
    until("the server ends", || !is_live(pid)).await;
}

#[tokio::test]
async fn what_cannot_work_is_said_precisely() {
    let (data_dir, _sweeper) = temporary_data_dir();
    let mut nowhere = options();
    nowhere.binaries_dir = Some("/nowhere".into());
    let refusal = PrivatePostgres::start(&data_dir, &nowhere).await;
    assert!(
        matches!(refusal, Err(Error::BadBinaries { .. })),
        "{refusal:?}"
    );

    start(&data_dir).await.stop().await.unwrap();
    fs::remove_file(data_dir.pg().join("password")).unwrap();
    let refusal = PrivatePostgres::start(&data_dir, &options()).await;
    assert!(
        matches!(refusal, Err(Error::SecretLost { .. })),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn as_root_a_parent_that_bars_the_way_is_named() {
    if !rustix::process::geteuid().is_root() {
        // Nobody's way is barred but the server's, and it runs as us.
        return;
    }
    let (data_dir, _sweeper) = temporary_data_dir();
    let parent = data_dir.path().parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o700)).unwrap();
    let refusal = PrivatePostgres::start(&data_dir, &options())
        .await
        .unwrap_err();
    let text = refusal.to_string();
    assert!(text.contains(&format!("`{}`", parent.display())), "{text}");
    assert!(matches!(refusal, Error::Impassable { mode: 0o700, .. }));
}

/// The same tests again as a user without rights; run by a user they need no repeating.
#[test]
fn a_normal_user_can_do_the_same() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // The target directory may lie where that user cannot go.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let copy = dir.path().join("substrates");
    // Written by another process: what other tests start meanwhile inherits no handle that could write it, for as
    // long as one is open the copy does not run (ETXTBSY).
    let copying = Command::new("cp")
        .arg(std::env::current_exe().unwrap())
        .arg(&copy)
        .status();
    assert!(copying.unwrap().success());
    for test in [
        "it_starts_stops_and_starts_again_with_its_rows",
        "it_recovers_after_all_its_processes_were_killed",
        "a_pid_file_that_names_a_stranger_is_put_aside",
        "the_server_ends_with_an_owner_that_was_killed",
    ] {
        let output = Command::new(&copy)
            .args(["--exact", &format!("private_postgres::{test}")])
            .current_dir("/")
            .env_remove("TMPDIR")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }
}
