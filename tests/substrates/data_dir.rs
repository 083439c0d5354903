//! The data directory: one owner, and everybody else is told where it answers.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::data_dir::{DataDir, Error, Opened, OwnedDataDir};
use rustix::process::{Pid, Signal, kill_process};

use crate::helper::{self, Helper};

fn open(path: &Path) -> Opened {
    DataDir::open(path, &SystemEntropy).unwrap()
}

fn own(path: &Path) -> OwnedDataDir {
    match open(path) {
        Opened::Owned(owned) => owned,
        busy @ Opened::Busy { .. } => panic!("{busy:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn one_owns_and_the_others_learn_where_it_answers() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    let owned = own(&path);
    let Opened::Busy { http_addr, pid } = open(&path) else {
        panic!("two owners");
    };
    assert_eq!((http_addr, pid), (None, Some(std::process::id())));

    owned.announce("127.0.0.1:7070").unwrap();
    let Opened::Busy { http_addr, .. } = open(&path) else {
        panic!("two owners");
    };
    assert_eq!(http_addr.as_deref(), Some("127.0.0.1:7070"));

    drop(owned);
    assert!(!path.join("run/http.addr").exists());
    assert!(!path.join("run/owner.token").exists());
    own(&path);
}

#[test]
fn an_address_left_by_a_killed_owner_is_gone_with_the_next() {
    let home = tempfile::tempdir().unwrap();
    let helper = Helper::start("own", home.path());
    assert_eq!(helper.says(), "owned");
    let Opened::Busy { http_addr, pid } = open(home.path()) else {
        panic!("two owners");
    };
    assert_eq!(http_addr.as_deref(), Some("127.0.0.1:1"));
    assert_eq!(pid, Some(helper.pid()));
    helper.kill();

    assert!(
        home.path().join("run/http.addr").exists(),
        "killed too gently"
    );
    let _owned = own(home.path());
    assert!(!home.path().join("run/http.addr").exists());
}

/// The other process of the test above.
pub(crate) fn helper(path: &Path) {
    let owned = own(path);
    owned.announce("127.0.0.1:1").unwrap();
    helper::say("owned");
    helper::wait_to_be_killed();
    drop(owned);
}

#[test]
fn each_ownership_has_its_own_secret() {
    let home = tempfile::tempdir().unwrap();
    let token = || {
        let owned = own(home.path());
        assert_eq!(mode(&owned.token_path()), 0o600);
        fs::read_to_string(owned.token_path()).unwrap()
    };
    let (first, second) = (token(), token());
    assert_eq!(first.len(), 64);
    assert!(first.bytes().all(|it| it.is_ascii_hexdigit()));
    assert_ne!(first, second);
}

#[test]
fn only_what_the_server_must_pass_is_open_to_others() {
    let home = tempfile::tempdir().unwrap();
    let owned = own(home.path());
    let as_root = rustix::process::geteuid().is_root();
    assert_eq!(mode(owned.path()), if as_root { 0o711 } else { 0o700 });
    for private in [owned.bus(), owned.objects(), owned.path().join("run")] {
        assert_eq!(mode(&private), 0o700, "{private:?}");
    }
}

#[test]
fn somebodys_directory_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join("thesis.tex"), "").unwrap();
    let refusal = DataDir::open(home.path(), &SystemEntropy).unwrap_err();
    assert!(matches!(refusal, Error::Foreign { .. }), "{refusal:?}");
    assert_eq!(mode(home.path()), 0o755);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn the_lock_is_free_at_once_when_its_owner_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let helper = Helper::start("own", home.path());
    assert_eq!(helper.says(), "owned");
    kill_process(Pid::from_raw(helper.pid() as i32).unwrap(), Signal::KILL).unwrap();
    helper.reap();
    own(home.path());
}
