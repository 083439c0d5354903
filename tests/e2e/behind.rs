//! Replay reads the archive and nothing else: where it is off, or has not come far enough, replay
//! says so and recomputes nothing.

use rustix::process::Signal;

use crate::events::{decision_id, till};
use crate::home::{DONE, Home, REFUSED};

const NO_ARCHIVE: [(&str, &str); 1] = [("FRAUDPLAT__ARCHIVE__ENABLED", "false")];

#[test]
fn replay_refuses_what_the_archive_does_not_hold() {
    let home = Home::new();
    let mut all = home.start_with(&["--role", "all"], &NO_ARCHIVE);
    let port = home.port(&all.listening());
    let till = till(&home, "till");
    for verdict in port.send(&till.payment("p1", 1, 1_200)) {
        assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
    }
    port.decision(&till.run, "p1");
    let id = decision_id(&till.run, "p1");
    let replay = ["--json", "replay", "decision", &id];
    // The owner keeps no archive.
    let refused = home.run(&replay).expect(REFUSED);
    assert!(refused.stderr.contains("ARCHIVE_REQUIRED"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let refused = home.run(&["demo", "--payments", "10"]).expect(REFUSED);
    assert!(refused.stderr.contains("ARCHIVE_REQUIRED"), "{refused:?}");
    // Nobody waits for an archive that there is not.
    all.stop(Signal::TERM).expect(DONE);

    // There is one now, but nobody has written to it: no command starts the roles for that.
    let refused = home.run(&replay).expect(REFUSED);
    assert!(refused.stderr.contains("ARCHIVE_BEHIND"), "{refused:?}");
    assert_eq!(refused.stdout, "");

    // A start and a drain, and it has caught up.
    let (all, _) = home.serve();
    all.stop(Signal::TERM).expect(DONE);
    let replayed = home.json(&["replay", "decision", &id]);
    assert_eq!(replayed["compared"], 1);
    assert_eq!(replayed["mismatched"], 0);
}
