//! What the inlets make of contexts: whole, shuffled, repeated, conflicting, broken.

use bytes::Bytes;
use fraudplat::contracts::envelope::AdmittedEvent;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::keys::{FlowKey, JoinFrameKey};
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::governance::counters::Counter;
use fraudplat::rtdl::inlet::{Inlet, Options};
use fraudplat::substrate::tasks::Tasks;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{CONTEXTS, World, admitted, anchor, bytes, context, eventually, pins, world};

const CLASSES: [(EventClass, Stream); 3] = [
    (EventClass::ArrivalEvent, Stream::ArrivalEvents),
    (EventClass::ArrivalEntities, Stream::ArrivalEntities),
    (EventClass::FlowAnchor, Stream::FlowAnchor),
];

/// Everything that the join reads, in order.
async fn projections(world: &World) -> Vec<String> {
    let parts =
        "SELECT encode(frame_key, 'hex'), part::text, event_id, encode(payload_hash, 'hex'),
                 convert_from(payload, 'UTF8') FROM rtdl.frame_part ORDER BY 1, 2";
    let flows =
        "SELECT encode(flow_key, 'hex'), encode(frame_key, 'hex'), encode(payload_hash, 'hex')
                 FROM rtdl.flow_binding ORDER BY 1";
    let mut lines = world.lines(parts).await;
    lines.extend(world.lines(flows).await);
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_do_not_depend_on_order() {
    let run = pins("a");
    let mut found = Vec::new();
    for is_reversed in [false, true] {
        let world = world().await;
        for (class, stream) in CLASSES {
            let mut events: Vec<Bytes> = (1..=700)
                .map(|seq| bytes(&context(&run, class, seq)))
                .collect();
            if is_reversed {
                events.reverse();
            }
            world.put(stream, events).await;
        }
        world.run_inlets().await;
        assert_eq!(world.counted().await, [2_100, 2_100, 0, 0]);
        assert_eq!(world.count(&run, Counter::ContextUpdates), 2_100);
        assert_eq!(world.count(&run, Counter::FlowbindingWrites), 700);
        found.push(projections(&world).await);
    }
    assert_eq!(found[0].len(), 2_800);
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_what_stands_where() {
    let (world, run) = (world().await, pins("a"));
    let event = context(&run, EventClass::FlowAnchor, 7);
    let offsets = world.put(Stream::FlowAnchor, vec![bytes(&event)]).await;
    let mut inlets = Tasks::new(CancellationToken::new());
    Inlet::create(Options::default(), &world.ground).start(&mut inlets);
    world.until_read(&world.tips(&CONTEXTS).await).await;
    // A shard without records has one, too, once its consumer has found it idle.
    let watermarks = "SELECT count(*) FROM runtime.lease WHERE watermark IS NOT NULL AND group_name LIKE 'context_%'";
    eventually("a watermark of every shard", async || {
        world.number(watermarks).await == 6
    })
    .await;
    inlets.stop_token().cancel();
    inlets.join().await.unwrap();
    let frame = JoinFrameKey {
        platform_run_id: run.platform_run_id,
        merchant_id: "m".to_owned(),
        arrival_seq: 7,
    };
    let flow = FlowKey {
        platform_run_id: run.platform_run_id,
        flow_id: "f7".to_owned(),
    };
    let client = world.db.app.get().await.unwrap();
    let sql = "SELECT part, event_id, payload_hash, payload, shard_id, sequence_number, admitted_at
               FROM rtdl.frame_part WHERE frame_key = $1";
    let row = client.query_one(sql, &[&frame.digest()]).await.unwrap();
    assert_eq!((row.get::<_, i16>(0), row.get::<_, &str>(1)), (3, "e7"));
    assert_eq!(row.get::<_, Digest>(2), event.payload_hash);
    let payload: serde_json::Value = serde_json::from_slice(row.get(3)).unwrap();
    assert_eq!(payload, event.envelope.payload);
    let place = (row.get::<_, &str>(4), row.get::<_, &str>(5));
    assert_eq!(
        place,
        (
            offsets[0].shard_id.0.as_str(),
            offsets[0].sequence_number.as_str()
        )
    );
    assert_eq!(
        row.get::<_, fraudplat::domain::time::Time>(6),
        event.admitted_at
    );
    let sql = "SELECT frame_key, payload_hash FROM rtdl.flow_binding WHERE flow_key = $1";
    let row = client.query_one(sql, &[&flow.digest()]).await.unwrap();
    assert_eq!(
        (row.get(0), row.get(1)),
        (frame.digest(), event.payload_hash)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_dropped_within_a_batch_and_later() {
    let (world, run) = (world().await, pins("a"));
    for _ in 0..2 {
        for (class, stream) in CLASSES {
            let event = |seq| bytes(&context(&run, class, seq));
            world
                .put(stream, vec![event(1), event(2), event(1), event(1)])
                .await;
        }
        world.run_inlets().await;
    }
    assert_eq!(world.counted().await, [24, 6, 18, 0]);
    assert_eq!(world.count(&run, Counter::InletDeduped), 18);
    assert_eq!(projections(&world).await.len(), 8);
    assert_eq!(
        world.number("SELECT count(*) FROM governance.fact").await,
        0
    );
}

/// Puts the batches one after the other and returns the quarantined event ids and facts.
async fn conflict(
    batches: Vec<Vec<AdmittedEvent>>,
    stream: Stream,
) -> (World, Vec<String>, Vec<String>) {
    let world = world().await;
    for batch in batches {
        world
            .put_in_order(stream, batch.iter().map(bytes).collect())
            .await;
        world.run_inlets().await;
    }
    let sql = "SELECT event_id, code FROM rtdl.inlet_quarantine ORDER BY 1";
    let quarantined = world.lines(sql).await;
    let sql = "SELECT fact_type, natural_key[3] FROM governance.fact ORDER BY 1, 2";
    let facts = world.lines(sql).await;
    (world, quarantined, facts)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_payload_of_a_part_is_quarantined() {
    let run = pins("a");
    let part = |id: &str, country: &str| {
        let payload =
            json!({"merchant_id": "m", "arrival_seq": 1, "kind": "payment", "country": country});
        admitted(&run, EventClass::ArrivalEvent, id, payload)
    };
    let batches = vec![
        vec![part("e1", "DE"), part("e2", "FR")],
        vec![part("e3", "IT"), part("e4", "DE")],
    ];
    let (world, quarantined, facts) = conflict(batches, Stream::ArrivalEvents).await;
    assert_eq!(
        quarantined,
        ["e2 PAYLOAD_HASH_MISMATCH", "e3 PAYLOAD_HASH_MISMATCH"]
    );
    assert_eq!(
        facts,
        ["PAYLOAD_HASH_MISMATCH e2", "PAYLOAD_HASH_MISMATCH e3"]
    );
    let stands = projections(&world).await;
    assert!(
        stands.len() == 1 && stands[0].contains(" e1 ") && stands[0].contains("DE"),
        "{stands:?}"
    );
    assert_eq!(world.counted().await, [4, 1, 1, 2]);
    assert_eq!(world.count(&run, Counter::InletQuarantined), 2);
    assert_eq!(world.count(&run, Counter::FlowbindingConflicts), 0);
    assert_eq!(world.number("SELECT count(*) FROM runtime.outbox").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_binding_is_a_conflict_and_leaves_no_half() {
    let run = pins("a");
    let batches = vec![
        vec![anchor(&run, "e1", "f", 1), anchor(&run, "e2", "f", 2)],
        // The flow to another frame, another flow to the frame, and what both leave free.
        vec![
            anchor(&run, "e3", "f", 3),
            anchor(&run, "e4", "g", 1),
            anchor(&run, "e5", "g", 3),
            anchor(&run, "e6", "f", 1),
        ],
    ];
    let (world, quarantined, facts) = conflict(batches, Stream::FlowAnchor).await;
    let expected = ["e2", "e3", "e4"];
    assert_eq!(
        quarantined,
        expected.map(|id| format!("{id} FLOWBINDING_CONFLICT"))
    );
    assert_eq!(
        facts,
        expected.map(|id| format!("FLOWBINDING_CONFLICT {id}"))
    );
    let sql = "SELECT p.event_id, convert_from(p.payload, 'UTF8') FROM rtdl.frame_part p
               JOIN rtdl.flow_binding b USING (frame_key, payload_hash) WHERE part = 3 ORDER BY 1";
    let bound = world.lines(sql).await;
    assert!(
        bound.len() == 2 && bound[0].starts_with("e1 ") && bound[1].starts_with("e5 "),
        "{bound:?}"
    );
    assert_eq!(projections(&world).await.len(), 4);
    assert_eq!(world.counted().await, [6, 2, 1, 3]);
    assert_eq!(world.count(&run, Counter::FlowbindingConflicts), 3);
    assert_eq!(world.count(&run, Counter::FlowbindingWrites), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_refuses_is_quarantined_and_blocks_nothing() {
    let (world, run) = (world().await, pins("a"));
    let good = context(&run, EventClass::ArrivalEntities, 1);
    let altered = {
        let mut event = context(&run, EventClass::ArrivalEntities, 2);
        event.envelope.payload = json!({"merchant_id": "m", "arrival_seq": 3});
        event
    };
    let unfit = |id: &str, payload| admitted(&run, EventClass::ArrivalEntities, id, payload);
    let strange = {
        let mut event = context(&run, EventClass::ArrivalEntities, 6);
        event.envelope.event_class = "no\0class".to_owned();
        event
    };
    let data = vec![
        Bytes::from_static(b"{\"no\": json"),
        Bytes::from_static(b"\xff\xfe"),
        bytes(&context(&run, EventClass::Traffic, 4)),
        bytes(&altered),
        bytes(&unfit(
            "e5",
            json!({"merchant_id": "m", "arrival_seq": "one"}),
        )),
        bytes(&strange),
        bytes(&good),
    ];
    world.put_in_order(Stream::ArrivalEntities, data).await;
    world.run_inlets().await;
    let sql = "SELECT code, coalesce(event_id, '-') FROM rtdl.inlet_quarantine ORDER BY length(sequence_number), sequence_number";
    let expected = [
        "ITEM_UNPARSABLE -",
        "ITEM_UNPARSABLE -",
        "CLASS_UNKNOWN e4",
        "PAYLOAD_HASH_MISMATCH e2",
        "SCHEMA_INVALID e5",
        "CLASS_UNKNOWN e6",
    ];
    assert_eq!(world.lines(sql).await, expected);
    assert_eq!(world.counted().await, [7, 1, 0, 6]);
    // Two of them name no run.
    assert_eq!(world.count(&run, Counter::InletSeen), 5);
    let sql = "SELECT seen::bigint FROM rtdl.inlet_count WHERE platform_run_id = decode(repeat('00', 32), 'hex')";
    assert_eq!(world.number(sql).await, 2);
    assert_eq!(
        world.lines("SELECT fact_type FROM governance.fact").await,
        ["PAYLOAD_HASH_MISMATCH"]
    );
    assert_eq!(projections(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_share_a_stream_and_nothing_else() {
    let (world, runs) = (world().await, [pins("a"), pins("b")]);
    for (class, stream) in CLASSES {
        let both =
            (1..=50).flat_map(|seq| runs.iter().map(move |run| bytes(&context(run, class, seq))));
        world.put(stream, both.collect()).await;
    }
    world.run_inlets().await;
    assert_eq!(world.counted().await, [300, 300, 0, 0]);
    for run in &runs {
        assert_eq!(world.count(run, Counter::ContextUpdates), 150);
    }
    assert_eq!(world.tips(&CONTEXTS).await.0.len(), 6);
}
