//! Every role a process of its own, on Kinesis, S3 and a Postgres by URL: what one leaves when it is
//! killed, or paused for longer than its lease, another takes up, and nothing is decided twice.

use rustix::process::Signal;
use serde_json::Value;

use crate::home::{DONE, Finished, Home, LONG, Process, until};
use crate::servers::Servers;

struct Site<'h> {
    home: &'h Home,
    env: Vec<(String, String)>,
}

impl Site<'_> {
    /// Starts a command on a data directory of its own.
    fn start(&self, name: &str, args: &[&str], more: &[(&str, &str)]) -> Process<'_> {
        let pairs = self.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let env: Vec<(&str, &str)> = pairs.chain(more.iter().copied()).collect();
        let all = [&["--profile", "local_parity", "--json"], args].concat();
        self.home.start_at(name, &all, &env)
    }

    fn run(&self, args: &[&str], more: &[(&str, &str)]) -> Finished {
        self.start("job", args, more).wait().expect(DONE)
    }

    /// Streams up to so many arrivals in all; returns the payments among those that were sent.
    fn stream(&self, run: &str, limit: &str, gate: &str) -> u64 {
        let args = [
            "wsp",
            "stream",
            "--run",
            run,
            "--speedup",
            "max",
            "--limit",
            limit,
        ];
        let report = self.run(&args, &[("FRAUDPLAT__GATE__ADDR", gate)]).json();
        let (events, arrivals) = (&report["events"], &report["arrivals"]);
        // A payment is four events, a link two.
        (events.as_u64().unwrap() - 2 * arrivals.as_u64().unwrap()) / 2
    }
}

/// Makes schema, bucket and streams; a repeat finds all of them.
fn provision(site: &Site<'_>) {
    let is_new = |it: &Value| it["is_new"].as_bool().unwrap();
    for expect in [true, false] {
        let made = site
            .start("keys", &["provision"], &[])
            .wait()
            .expect(DONE)
            .json();
        assert_eq!(made["is_bucket_new"], expect, "{made}");
        assert_eq!(made["applied"].as_array().unwrap().is_empty(), !expect);
        let streams = made["streams"].as_array().unwrap();
        assert!(streams.len() == 7 && streams.iter().all(|it| is_new(it) == expect));
    }
    let check = site.start("keys", &["migrate", "--check"], &[]).wait();
    assert_eq!(check.expect(DONE).json(), serde_json::json!([]));
}

#[test]
fn roles_as_processes_of_their_own_take_over_from_one_another() {
    let home = Home::new();
    let servers = Servers::up(&home);
    // The keys are made where no file of keys is named.
    provision(&Site {
        home: &home,
        env: servers.env.clone(),
    });
    let site = Site {
        home: &home,
        env: servers.env_with_keys(&home, "keys"),
    };

    let role = |name: &str, role: &str, gate: &str| {
        let mut process = site.start(name, &["--role", role], &[("FRAUDPLAT__GATE__ID", gate)]);
        let addr = process.listening();
        (process, addr)
    };
    let (first_gate, first) = role("ig0", "ig", "gate-0");
    let (_second_gate, second) = role("ig1", "ig", "gate-1");
    let (paused, _) = role("in0", "rtdl-inlet", "none");
    let (_inlet, _) = role("in1", "rtdl-inlet", "none");
    let (active, _) = role("de0", "decision", "none");

    let run = site.run(&["sr", "run", "--scenario", "small"], &[]).json();
    let run = run["platform_run_id"].as_str().unwrap().to_owned();
    let mut payments = site.stream(&run, "1000", &first);
    let (_standby, standby) = role("de1", "decision", "none");
    let decided = |payments: u64| {
        let key = std::fs::read_to_string(home.dir().join("keys/auth/local.key")).unwrap();
        let port = crate::events::Port::at(&standby, key.trim());
        until("every payment's decision", LONG, || {
            let progress = port.get(&format!("/v1/runs/{run}/progress")).body;
            (progress["decisions_count"] == payments).then_some(())
        });
    };
    decided(payments);

    first_gate.kill_all();
    active.kill_all();
    paused.signal(Signal::STOP);
    payments += site.stream(&run, "2000", &second);
    decided(payments);
    // Its leases are long lost; what it had begun must not be committed.
    paused.signal(Signal::CONT);
    payments += site.stream(&run, "2500", &second);
    decided(payments);
    assert!(payments > 2_000, "{payments}");

    // What the dead gate owed in receipts another writes once its lease is over; what the archive
    // holds back it writes after a while.
    let reconcile = ["reconcile", "run", "--run", &run];
    until("a balanced run", LONG, || {
        let reconciled = site.start("job", &reconcile, &[]).wait();
        (reconciled.json()["balanced"] == true).then_some(())
    });
    site.run(&["dla", "verify", "--run", &run], &[]);
    let sample = [
        "replay", "decision", "--run", &run, "--sample", "200", "--seed", "1",
    ];
    site.run(&sample, &[]);
}
