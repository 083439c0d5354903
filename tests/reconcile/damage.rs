//! Each kind of damage once, and every check that must say so: no more, no fewer.

use std::time::Duration;

use fraudplat::contracts::reconciliation::Reconciliation;
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::reconcile::{Error, Options, reconcile};

use crate::world::{Flaw, World, event, json, pins, world};

/// What is done to a balanced world.
enum Damage {
    /// Statements, as one who may do what the application may not.
    Sql(&'static str),
    /// The object that a query names is gone.
    Remove(&'static str),
    /// The object that a query names has other bytes.
    Alter(&'static str),
    /// Payment 1 stands on the bus once more, with another amount.
    OtherPayload,
    /// A record of the run whose hash is a lie.
    Lie,
    /// A record of another stream among the cases.
    Stray,
    Flaw(Flaw),
}

use Damage::{Alter, Flaw as Flawed, Lie, OtherPayload, Remove, Sql, Stray};

/// Each world is a database, a log and a directory of its own.
const CASES: &[(&str, Damage, &[&str])] = &[
    (
        "a decision is missing",
        Sql("DELETE FROM dla.decision WHERE seq = 2"),
        &["decisions_equal_admitted_traffic", "decision_seqs_are_dense", "decision_chain_holds",
            "decision_counts_equal_decisions"],
    ),
    (
        "the last decision is missing",
        Sql("DELETE FROM dla.decision WHERE seq = 3"),
        &["decisions_equal_admitted_traffic", "decision_lease_knows_head_seq", "decision_lease_knows_head_link",
            "decision_counts_equal_decisions"],
    ),
    (
        "an event is decided twice, on another day",
        Sql("INSERT INTO dla.decision SELECT day + 1, platform_run_id, 4, decision_id, event_id, ts_utc, outcome,
                 degraded, body, evidence, body_hash, evidence_hash, link, decided_at FROM dla.decision WHERE seq = 1"),
        &["decisions_equal_admitted_traffic", "events_decided_twice", "decision_chain_holds",
            "decision_lease_knows_head_seq", "decision_lease_knows_head_link", "decision_counts_equal_decisions"],
    ),
    (
        "a decision's body is altered",
        Sql("UPDATE dla.decision SET body = set_byte(body, 40, 255 - get_byte(body, 40)) WHERE seq = 2"),
        &["decision_chain_holds", "evidence_agrees_with_body"],
    ),
    (
        "a decision names an event that was never admitted",
        Sql("UPDATE dla.decision SET event_id = 'e9' WHERE seq = 2"),
        &["decisions_name_admitted_traffic", "evidence_names_bus_records"],
    ),
    (
        "evidence names the record of another payment",
        Flawed(Flaw::EvidenceElsewhere),
        &["evidence_names_bus_records"],
    ),
    (
        "a decision batch counted one too many",
        Sql("UPDATE dla.decision_count SET repeated = repeated + 1"),
        &["decision_counts_balance"],
    ),
    (
        "an intent of a decision is missing",
        Sql("DELETE FROM al.intent WHERE intent_type = 'block_payment'"),
        &["actions_equal_counts", "action_outcomes_are_told"],
    ),
    (
        "an action is done and has no outcome",
        Sql("DELETE FROM al.outcome"),
        &["actions_stand_once", "action_outcomes_are_told"],
    ),
    (
        "an action that has ended is still open",
        Sql("UPDATE runtime.action SET state = 'OPEN' WHERE state = 'DONE'"),
        &["actions_stand_once", "action_outcomes_are_told"],
    ),
    (
        "nobody knows an action that was asked for",
        Sql("DELETE FROM runtime.action WHERE state = 'DEAD'"),
        &["actions_stand_once"],
    ),
    (
        "a decision escalated and no case was asked for",
        Sql("UPDATE dla.decision_count SET escalated = escalated + 1"),
        &["escalations_ask_for_cases"],
    ),
    (
        "a case was asked for of an action that never died",
        Sql("DELETE FROM al.dead_letter"),
        &["dead_letters_ask_for_cases"],
    ),
    (
        "the stream of cases holds what is no case message",
        Stray,
        &["case_messages_are_read"],
    ),
    (
        "a terminal row is missing",
        Sql("DELETE FROM ig.batch_terminal WHERE batch_id = 2"),
        &["ig_open_batches", "receipts_match_admitted_events"],
    ),
    (
        "a batch has two terminal rows",
        Sql("INSERT INTO ig.batch_terminal SELECT day + 1, batch_id, epoch, shard_ids, sequence_numbers, terminal_at
             FROM ig.batch_terminal WHERE batch_id = 2"),
        &["ig_batches_end_once"],
    ),
    (
        "a terminal row names the places in another order",
        Sql("UPDATE ig.batch_terminal SET sequence_numbers = array_fill('999'::text, ARRAY[4]) WHERE batch_id = 2"),
        &["receipts_match_admitted_events", "bus_arrival_event_stands_at_eb_ref",
            "bus_arrival_entities_stands_at_eb_ref", "bus_flow_anchor_stands_at_eb_ref",
            "bus_traffic_stands_at_eb_ref"],
    ),
    (
        "a batch counted one event too many",
        Sql("UPDATE ig.batch_count SET received = received + 1 WHERE batch_id = 1 AND event_class = 'traffic'"),
        &["ig_received_is_settled"],
    ),
    (
        "an event is admitted twice",
        Sql("INSERT INTO ig.event SELECT day, 2, 99, event_key, platform_run_id, event_class, event_id, payload_hash,
                 ts_utc FROM ig.event WHERE event_class = 'flow_anchor' AND event_id = 'e1'"),
        &["ig_flow_anchor_rows_equal_admitted", "ig_flow_anchor_keys_distinct", "bus_flow_anchor_stands_at_eb_ref",
            "admitted_events_have_receipts"],
    ),
    (
        "an event row has another hash than the record",
        Sql("UPDATE ig.event SET payload_hash = sha256('x') WHERE event_class = 'arrival_event' AND event_id = 'e3'"),
        &["bus_arrival_event_stands_at_eb_ref", "receipts_match_admitted_events"],
    ),
    (
        "a receipt segment is gone",
        Remove("SELECT object_key FROM ig.receipt_segment WHERE first_batch_id = 2"),
        &["receipt_segments_intact", "admitted_events_have_receipts"],
    ),
    (
        "a receipt segment is altered",
        Alter("SELECT object_key FROM ig.receipt_segment WHERE first_batch_id = 2"),
        &["receipt_segments_intact", "receipts_match_admitted_events", "admitted_events_have_receipts"],
    ),
    (
        "a batch has no receipts",
        Sql("DELETE FROM ig.receipt_segment WHERE first_batch_id = 2"),
        &["admitted_events_have_receipts"],
    ),
    (
        "a batch has its receipts twice",
        Sql("INSERT INTO ig.receipt_segment SELECT day + 1, platform_run_id, gate_id, first_batch_id, last_batch_id,
                 receipts_count, object_key, content_hash, written_at FROM ig.receipt_segment WHERE first_batch_id = 2"),
        &["receipt_segments_overlapping", "receipts_match_admitted_events"],
    ),
    (
        "a quarantine object is gone",
        Remove("SELECT object_key FROM ig.quarantine"),
        &["quarantine_objects_hold_their_items"],
    ),
    (
        "a quarantine row is missing",
        Sql("DELETE FROM ig.quarantine"),
        &["ig_quarantine_rows_equal_counts"],
    ),
    (
        "an archive segment is altered",
        Alter("SELECT object_key FROM rtdl.archive_segment LIMIT 1"),
        &["archive_segments_intact"],
    ),
    (
        "an archive segment is gone",
        Remove("SELECT object_key FROM rtdl.archive_segment LIMIT 1"),
        &["archive_segments_intact"],
    ),
    (
        "an archive manifest row is missing",
        Sql("DELETE FROM rtdl.archive_segment WHERE ctid IN (SELECT ctid FROM rtdl.archive_segment LIMIT 1)"),
        &["archive_records_equal_bus"],
    ),
    (
        "a known event stands on the bus with another payload",
        OtherPayload,
        &["decision_position_reaches_traffic_tip", "archive_position_reaches_traffic_tip",
            "bus_traffic_events_equal_admitted"],
    ),
    (
        "a record on the bus lies about its hash",
        Lie,
        &["decision_position_reaches_traffic_tip", "archive_position_reaches_traffic_tip",
            "bus_traffic_refused_by_guard"],
    ),
    (
        "an inlet lost what it counted as written",
        Sql("UPDATE rtdl.inlet_count SET written = 2, deduped = 1 WHERE group_name = 'context_flow_anchor'"),
        &["context_flow_anchor_written_equals_admitted"],
    ),
    (
        "an inlet's batch is missing",
        Sql("DELETE FROM rtdl.inlet_count WHERE group_name = 'context_arrival_events'"),
        &["context_arrival_events_counts_equal_bus", "context_arrival_events_written_equals_admitted"],
    ),
    (
        "an inlet is behind",
        Sql("UPDATE runtime.lease SET position = 'start' WHERE group_name = 'context_arrival_entities'"),
        &["context_arrival_entities_position_reaches_tip", "context_arrival_entities_counts_equal_bus"],
    ),
    (
        "the archive is behind",
        Sql("UPDATE runtime.lease SET position = 'start' WHERE group_name = 'archive' AND scope LIKE '%traffic%'"),
        &["archive_position_reaches_traffic_tip", "archive_records_equal_bus"],
    ),
    (
        "the decision lease knows another head",
        Sql("UPDATE runtime.lease SET position = replace(position, '\"seq\":3', '\"seq\":4') WHERE group_name = 'decision'"),
        &["decision_lease_knows_head_seq"],
    ),
    (
        "a message waits in the outbox",
        Sql("INSERT INTO runtime.outbox (stream, partition_key, data) VALUES ('fp.bus.control.v1', 'k', '')"),
        &["outbox_is_empty"],
    ),
    (
        "the bytes of an ended batch are still there",
        Sql("INSERT INTO runtime.inflight (batch_id, day, records) VALUES (1, '2025-06-01', '')"),
        &["inflight_of_ended_batches"],
    ),
];

/// The tables that Sql may change although they are evidence.
const EVIDENCE: &[&str] = &[
    "ig.batch_count",
    "ig.event",
    "ig.batch_terminal",
    "ig.receipt_segment",
    "ig.quarantine",
    "rtdl.inlet_count",
    "rtdl.archive_segment",
    "dla.decision",
    "dla.decision_count",
    "al.intent",
    "al.outcome",
    "al.dead_letter",
];

impl Damage {
    fn flaw(&self) -> Flaw {
        match self {
            Flawed(flaw) => *flaw,
            _ => Flaw::None,
        }
    }

    async fn inflict(&self, world: &World) {
        let owner = world.db.owner.get().await.unwrap();
        match self {
            Sql(sql) => {
                for table in EVIDENCE {
                    let free = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
                    owner.batch_execute(&free).await.unwrap();
                }
                assert_ne!(
                    owner.execute(*sql, &[]).await.unwrap(),
                    0,
                    "{sql} changed nothing"
                );
            }
            Remove(sql) => {
                let key: String = owner.query_one(*sql, &[]).await.unwrap().get(0);
                std::fs::remove_file(world.file(&key)).unwrap();
            }
            Alter(sql) => {
                let key: String = owner.query_one(*sql, &[]).await.unwrap().get(0);
                let file = world.file(&key);
                let mut bytes = std::fs::read(&file).unwrap();
                bytes.insert(0, b'x');
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&file, bytes).unwrap();
            }
            OtherPayload => {
                let other = event(&world.pins, EventClass::Traffic, 1, 1, 777);
                world.put(Stream::Traffic, "e1", json(&other)).await;
            }
            Lie => {
                let mut lie = event(&world.pins, EventClass::Traffic, 1, 1, 100);
                lie.payload_hash = fraudplat::domain::digest::Digest::of_bytes(b"a lie");
                world.put(Stream::Traffic, "e1", json(&lie)).await;
            }
            Stray => {
                let stray = event(&world.pins, EventClass::Traffic, 1, 1, 100);
                world.put(Stream::CaseTriggers, "e1", json(&stray)).await;
            }
            Flawed(_) => {}
        }
    }
}

fn unbalanced(reconciliation: &Reconciliation) -> Vec<&str> {
    let checks = reconciliation
        .checks
        .iter()
        .filter(|check| !check.balances());
    checks.map(|check| check.name.as_str()).collect()
}

#[tokio::test]
async fn a_whole_world_balances_and_leaves_its_artifact() {
    let world = world(Flaw::None).await;
    let options = Options {
        deep: true,
        wait: Duration::from_secs(30),
        ..Options::default()
    };
    let first = world.reconcile(options).await;
    assert_eq!(
        unbalanced(&first.reconciliation),
        [""; 0],
        "{:#?}",
        first.reconciliation
    );
    assert!(first.reconciliation.balanced);
    let left = |name: &str| {
        let named = |check: &&fraudplat::contracts::reconciliation::Check| check.name == name;
        first
            .reconciliation
            .checks
            .iter()
            .find(named)
            .map(|check| check.left)
    };
    // What balances at nothing proves nothing.
    for (name, count) in [
        ("ig_received_is_settled", 14),
        ("receipts_match_admitted_events", 12),
        ("bus_traffic_events_equal_admitted", 3),
        ("bus_traffic_repeats_noted", 1),
        ("decisions_equal_admitted_traffic", 3),
        ("decision_chain_holds", 3),
        ("evidence_agrees_with_body", 3),
        ("evidence_names_bus_records", 12),
        ("archive_records_equal_bus", 13),
        ("quarantine_objects_hold_their_items", 1),
        ("actions_equal_counts", 2),
        ("actions_stand_once", 2),
        ("escalations_ask_for_cases", 1),
        ("dead_letters_ask_for_cases", 1),
        ("action_outcomes_are_told", 1),
    ] {
        assert_eq!(left(name), Some(count), "{name}");
    }
    let run = world.run();
    assert_eq!(
        first.object_key.as_str(),
        format!("{run}/obs/reconciliation/2025-06-01.json")
    );
    let stored = world
        .ground
        .objects
        .get(&first.object_key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Reconciliation>(&stored).unwrap(),
        first.reconciliation
    );

    world.clock.set("2025-06-01T13:00:00Z".parse().unwrap());
    let second = world.reconcile(Options::default()).await;
    let key = format!("{run}/obs/reconciliation/2025-06-01.1748782800000000.json");
    assert_eq!(second.object_key.as_str(), key);
}

#[tokio::test]
async fn every_damage_is_caught_by_its_checks() {
    let mut faults = Vec::new();
    for (what, damage, expected) in CASES {
        let world = world(damage.flaw()).await;
        damage.inflict(&world).await;
        let reconciliation = world.reconcile(Options::default()).await.reconciliation;
        let mut found = unbalanced(&reconciliation);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        if found != expected {
            let missed: Vec<_> = expected.iter().filter(|it| !found.contains(it)).collect();
            let more: Vec<_> = found.iter().filter(|it| !expected.contains(it)).collect();
            faults.push(format!("{what}: missed {missed:?}, said too {more:?}"));
        }
        assert!(!reconciliation.balanced, "{what}");
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[tokio::test]
async fn examples_name_the_offenders() {
    let world = world(Flaw::None).await;
    Sql("DELETE FROM dla.decision WHERE seq = 2")
        .inflict(&world)
        .await;
    let reconciliation = world.reconcile(Options::default()).await.reconciliation;
    let named = |name: &str| {
        let check = reconciliation
            .checks
            .iter()
            .find(|check| check.name == name)
            .unwrap();
        check.examples.clone()
    };
    assert_eq!(named("decisions_equal_admitted_traffic"), ["traffic/e2"]);
    assert_eq!(
        named("decision_chain_holds"),
        ["seq 3: the records before it are missing"]
    );
}

/// Both sides run on one thread: the update is first polled when the wait pauses.
#[tokio::test]
async fn a_wait_ends_when_the_last_group_arrives() {
    let world = world(Flaw::None).await;
    let owner = world.db.owner.get().await.unwrap();
    let hold = "UPDATE runtime.lease SET position = 'start', holder = position WHERE group_name = 'archive'";
    owner.execute(hold, &[]).await.unwrap();
    let options = Options {
        wait: Duration::from_secs(60),
        ..Options::default()
    };
    let arrive = "UPDATE runtime.lease SET position = holder WHERE group_name = 'archive'";
    let (reconciled, arrived) = tokio::join!(world.reconcile(options), owner.execute(arrive, &[]));
    arrived.unwrap();
    assert!(
        reconciled.reconciliation.balanced,
        "{:#?}",
        reconciled.reconciliation
    );
}

#[tokio::test]
async fn an_unknown_run_is_refused() {
    let world = world(Flaw::None).await;
    let unknown = pins("c").platform_run_id;
    let result = reconcile(&world.ground, &unknown, Options::default(), &|_, _| {}).await;
    assert!(matches!(result, Err(Error::UnknownRun(run)) if run == unknown));
}
