//! Ports for servers that cannot find one by themselves: below those that the system hands out, so that between the
//! look and the server's start, or while it is down, no other test's listener or connection takes them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::sync::Mutex;

/// Linux hands out ports from 32,768 on.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of this machine's loopback that nobody listens on, and that this process gives nobody else.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    // Other processes look for theirs elsewhere.
    let from = RandomState::new().hash_one(std::process::id()) % u64::from(COUNT);
    let offsets = (from..from + u64::from(COUNT)).map(|it| it % u64::from(COUNT));
    let mut ports = offsets.map(|it| FIRST + u16::try_from(it).unwrap());
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find(|it| !given.contains(it) && is_free(it)).unwrap();
    given.insert(port);
    port
}
