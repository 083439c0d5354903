//! `?wait=decision` where gate, inlet and decision are processes of their own, on Kinesis, S3 and a Postgres by
//! URL: the gate is told by the commit of the process that decides.

use rustix::process::Signal;

use crate::events::{NDJSON, Port, Till};
use crate::home::{DONE, Home, LONG, until};
use crate::servers;

/// The value of the counter whose line has this name and label.
fn count(port: &Port, name: &str, label: &str) -> u64 {
    let metrics = port.metrics();
    let is_it = |it: &&str| it.starts_with(&format!("{name}{{")) && it.contains(label);
    let found = metrics.lines().find(is_it);
    let found = found.unwrap_or_else(|| panic!("no {name} {label} in {metrics}"));
    found.rsplit(' ').next().unwrap().parse().unwrap()
}

fn told(gate: &Port) -> [u64; 3] {
    ["memory", "notice", "look"].map(|way| count(gate, "decision_told", way))
}

fn pay(gate: &Port, till: &Till, id: &str, seq: i64, query: &str) -> serde_json::Value {
    let lines = till.payment(id, seq, 23_000).map(|it| it.to_string());
    let answer = gate.post(&format!("/v1/events{query}"), NDJSON, lines.join("\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["results"][3].clone()
}

#[test]
fn a_gate_answers_with_what_another_process_decided() {
    let mut home = Home::new();
    let (_servers, key) = servers::provisioned(&mut home, &[]);
    let role = |name: &str, role: &str| {
        let mut process = home.start_at(name, &["--role", role], &[]);
        let port = Port::at(&process.listening(), &key);
        (process, port)
    };
    let (gate_process, gate) = role("ig", "ig");
    let (_inlet, _) = role("inlet", "rtdl-inlet");
    let (_decision, decision) = role("decision", "decision");
    let till = crate::events::till(&home, "apart");

    // Nobody waits: nobody is told.
    assert_eq!(pay(&gate, &till, "first", 1, "")["result"], "ADMITTED");
    decision.decision(&till.run, "first");
    assert_eq!(count(&decision, "decision_notices", ""), 0);

    // The first may have been decided before the gate listened, and now and then a look comes just before the
    // notice; the others are told by their commits.
    let mut seq = 1;
    until("decisions that are told by notice", LONG, || {
        seq += 1;
        let id = format!("waits-{seq}");
        let verdict = pay(&gate, &till, &id, seq, "?wait=decision&timeout_ms=30000");
        let stored = decision.decision(&till.run, &id);
        for field in ["decision_id", "outcome", "reasons"] {
            assert_eq!(
                verdict["decision"][field], stored["body"][field],
                "{verdict}"
            );
        }
        let [memory, notice, look] = told(&gate);
        let waited = seq.unsigned_abs() - 1;
        assert_eq!((memory, notice + look), (0, waited));
        (notice >= 4).then_some(())
    });
    // What the gate takes and what the bus takes are measured where they are spent. The process that decides
    // counts after the commit that tells.
    let (paid, waited) = (seq.unsigned_abs(), seq.unsigned_abs() - 1);
    until("the counts of the decisions", LONG, || {
        let is_counted = count(&decision, "bus_decision_seconds_count", "") == paid
            && count(&decision, "decision_notices", "") >= 4;
        is_counted.then_some(())
    });
    assert_eq!(told(&decision), [0, 0, 0]);
    for (port, latency, n) in [
        (&gate, "gate_admission_seconds_count", paid),
        (&gate, "gate_decision_seconds_count", waited),
        (&gate, "bus_decision_seconds_count", 0),
        (&decision, "gate_admission_seconds_count", 0),
    ] {
        assert_eq!(count(port, latency, ""), n, "{latency}");
    }
    gate_process.stop(Signal::TERM).expect(DONE);
}
