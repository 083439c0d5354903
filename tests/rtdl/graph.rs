//! The projection of the entity graph: order, repeats and late records do not show; every answer is
//! the engine's own over the same records and labels; rebuilt from the archive it is what it was.

mod labels;

use std::collections::BTreeMap;

use bytes::Bytes;
use fraudplat::contracts::code::Code;
use fraudplat::contracts::envelope::AdmittedEvent;
use fraudplat::contracts::graph::{EntityKind, EntityRef};
use fraudplat::contracts::payload::ArrivalEntities;
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::engine::event::LabelRecord;
use fraudplat::engine::graph::{HUB_LINKS_MAX, Met, Node};
use fraudplat::engine::{EventRecord, Graph};
use fraudplat::rtdl::graph::{self, Asked, GraphProjection, Options};
use fraudplat::runtime::archive::Flush;
use fraudplat::runtime::ground::Ground;
use fraudplat::substrate::tasks::Tasks;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::archiver::{archive_all, patient};
use crate::graph::labels::{labels, put_labels};
use crate::world::{World, admitted, bytes, eventually, pins, world};

const DAY: i64 = 86_400_000_000;
const START: i64 = 1_735_689_600_000_000;

/// Every row as text, in order.
async fn links(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for sql in [
        "SELECT encode(platform_run_id, 'hex'), lead_kind::text, lead_id, other_kind::text, other_id,
                extract(epoch FROM first_seen)::text, last_day::text
         FROM rtdl.graph_link ORDER BY 1, 2, 3, 4, 5",
        "SELECT encode(platform_run_id, 'hex'), event_id, customer_id FROM rtdl.graph_payment ORDER BY 1, 2",
        "SELECT encode(platform_run_id, 'hex'), event_id, extract(epoch FROM observed_time)::text,
                label_assertion_id, is_fraud::text
         FROM rtdl.graph_label ORDER BY 1, 2, 3, 4",
    ] {
        lines.extend(world.lines(sql).await);
    }
    lines
}

const STREAMS: [Stream; 3] = [Stream::Traffic, Stream::ArrivalEntities, Stream::Labels];

async fn project(world: &World) {
    let tips = world.tips(&STREAMS).await;
    let mut tasks = Tasks::new(CancellationToken::new());
    GraphProjection::create(Options::default(), &world.ground).start(&mut tasks);
    world.until_read(&tips).await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

/// The run's row, without which nobody is answered.
async fn pin(world: &World, run: &Pins) {
    let client = world.db.owner.get().await.unwrap();
    let sql = "INSERT INTO governance.run (platform_run_id, scenario_run_id, manifest_fingerprint, name, label,
                   run_facts_ref, run_facts_digest, ready, created_at, actor_id, source_type, service_release_id)
               VALUES ($1, $2, $3, 'graph', '', '', '', '', now(), 'test', 'SYSTEM', 'test')";
    let (scenario, world_of) = (&run.scenario_run_id, &run.manifest_fingerprint);
    client
        .execute(sql, &[&run.platform_run_id, scenario, world_of])
        .await
        .unwrap();
}

fn event(run: &Pins, class: EventClass, id: &str, ts: i64, payload: Value) -> AdmittedEvent {
    let mut event = admitted(run, class, id, payload);
    event.envelope.ts_utc = Time::from_micros(ts);
    event.payload_hash = event.envelope.payload_hash().unwrap();
    event
}

/// 600 records: payments of 40 customers on shared cards and devices, and links beside them; one
/// address that all share is a hub from some day on.
fn records(run: &Pins) -> Vec<(Stream, AdmittedEvent)> {
    let mut records = Vec::new();
    for nth in 0..600_i64 {
        // Neither in order nor without ties.
        let ts = START + nth * 7_919 % 30 * DAY + nth % 3;
        let customer = format!("c{:02}", nth * 31 % 40);
        let device = format!("d{}", nth * 17 % 25);
        let card = format!("k{}", nth * 13 % 60);
        let id = format!("e{nth}");
        if nth % 2 == 0 {
            let payload = json!({
                "flow_id": id, "customer_id": customer, "merchant_id": "m", "card_id": card,
                "device_id": device, "amount_minor": 1, "currency": "EUR", "channel": "ecom",
            });
            records.push((
                Stream::Traffic,
                event(run, EventClass::Traffic, &id, ts, payload),
            ));
        } else {
            let mut payload = json!({"merchant_id": "m", "arrival_seq": nth, "device_id": device});
            match nth % 3 {
                0 => payload["card_id"] = json!(card),
                _ => payload["customer_id"] = json!(customer),
            }
            let class = EventClass::ArrivalEntities;
            records.push((Stream::ArrivalEntities, event(run, class, &id, ts, payload)));
        }
    }
    for nth in 0..=i64::try_from(HUB_LINKS_MAX).unwrap() {
        let payload = json!({
            "merchant_id": "h", "arrival_seq": nth + 1, "customer_id": format!("h{nth}"), "ip": "10.0.0.1",
        });
        let (class, id) = (EventClass::ArrivalEntities, format!("h{nth}"));
        let ts = START + 10 * DAY + nth;
        records.push((Stream::ArrivalEntities, event(run, class, &id, ts, payload)));
    }
    records
}

async fn put(world: &World, records: &[(Stream, AdmittedEvent)]) {
    for stream in [Stream::Traffic, Stream::ArrivalEntities] {
        let of = records.iter().filter(|it| it.0 == stream);
        let data: Vec<Bytes> = of.map(|(_, event)| bytes(event)).collect();
        world.put(stream, data).await;
    }
}

fn in_memory(records: &[(Stream, AdmittedEvent)]) -> Graph {
    let mut graph = Graph::default();
    for (_, event) in records {
        let (ts, payload) = (event.envelope.ts_utc, &event.envelope.payload);
        match event.envelope.event_class.as_str() {
            "traffic" => graph.apply_event(&EventRecord::parse(event).unwrap()),
            _ => {
                let arrival = ArrivalEntities::deserialize(payload).unwrap();
                graph.apply(Met::in_arrival(&arrival), ts);
            }
        }
    }
    graph
}

#[tokio::test(flavor = "multi_thread")]
async fn links_do_not_depend_on_order_or_repeats() {
    let run = pins("a");
    let mut found = Vec::new();
    for is_other_way in [false, true] {
        let world = world().await;
        let mut records = records(&run);
        if is_other_way {
            let again: Vec<_> = records.iter().step_by(3).cloned().collect();
            records.extend(again);
            records.reverse();
        }
        // In two goes, so that links meet their own rows.
        let (one, other) = records.split_at(records.len() / 3);
        let mut labels = labels(&run);
        if is_other_way {
            labels.reverse();
            put_labels(&world, &labels).await;
        }
        for part in [one, other] {
            put(&world, part).await;
            put_labels(&world, &labels[..40]).await;
            project(&world).await;
        }
        put_labels(&world, &labels).await;
        project(&world).await;
        found.push(links(&world).await);
    }
    assert!(found[0].len() > 500, "{}", found[0].len());
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_that_of_the_engine_over_the_same_records() {
    let (world, run) = (world().await, pins("a"));
    let (records, other) = (records(&run), records(&pins("another run")));
    put(&world, &records).await;
    put(&world, &other[..100]).await;
    let labels = labels(&run);
    put_labels(&world, &labels).await;
    // Of payments with the same ids, in another run.
    put_labels(&world, &self::labels(&pins("another run"))[..9]).await;
    project(&world).await;
    let ground = &world.ground;
    let of = |as_of: i64| Asked {
        run: run.platform_run_id,
        as_of: Time::from_micros(as_of),
    };
    let unknown = graph::component(ground, of(START), "ip:x".parse().unwrap(), 9).await;
    assert_eq!(unknown.unwrap_err().code(), Code::RunUnknown);
    pin(&world, &run).await;
    let mut memory = in_memory(&records);
    let known = labels.iter().filter_map(LabelRecord::of);
    known.for_each(|it| memory.apply_label(&it));
    let mut n_labelled = 0;
    let entities = [
        "customer_id:c03",
        "device_id:d7",
        "card_id:k12",
        "ip:10.0.0.1",
        "customer_id:h5",
    ];
    let entities = entities.map(|it| it.parse::<EntityRef>().unwrap());
    for as_of in [
        START - 1,
        START + 3 * DAY,
        START + 10 * DAY + 200,
        START + 40 * DAY,
    ] {
        let at = Time::from_micros(as_of);
        for entity in &entities {
            let node: Node<'_> = (entity.kind, &entity.id);
            let told = pages(&world, of(as_of), entity).await;
            let expect = memory.neighbours(node, at).into_iter();
            let expect: Vec<_> = expect.map(|(node, since)| (named(&node), since)).collect();
            assert_eq!(told, expect, "{entity} {at}");
            components(ground, &memory, of(as_of), entity).await;
            paths(ground, &memory, of(as_of), (entity, &entities)).await;
            n_labelled += labelled(ground, &memory, of(as_of), entity).await;
        }
        shared(ground, &memory, of(as_of)).await;
    }
    assert!(n_labelled > 5, "{n_labelled}");
}

/// How many there were.
async fn labelled(ground: &Ground, memory: &Graph, asked: Asked, entity: &EntityRef) -> usize {
    let (at, node): (Time, Node<'_>) = (asked.as_of, (entity.kind, &entity.id));
    let mut count = 0;
    for hops in 1..=3 {
        let told = graph::labelled(ground, asked, entity.clone(), hops, 10_000);
        let told = told.await.unwrap();
        assert!(told.is_whole);
        let all = memory.component(node, at, 10_000);
        let near = all.members().into_iter().filter(|it| it.1 <= hops);
        let near: Vec<_> = near.map(|(it, n, _)| (*it, n)).collect();
        assert_eq!(told.entities_count, i64::try_from(near.len()).unwrap());
        let is_known = |it: &&(Node<'_>, u32)| {
            it.0.0 == EntityKind::Customer && memory.is_labelled(it.0.1, at)
        };
        let expect = near.iter().filter(is_known);
        let expect: Vec<_> = expect.map(|(it, n)| (named(it), *n)).collect();
        let found = told.labelled.iter();
        let found: Vec<_> = found.map(|it| (it.entity.to_string(), it.hops)).collect();
        assert_eq!(found, expect, "{entity} {at} {hops}");
        let is_dated = told
            .labelled
            .iter()
            .all(|it| it.observed_time <= at && it.payments_count > 0);
        assert!(is_dated, "{told:?}");
        count += found.len();
    }
    count
}

fn named((kind, id): &Node<'_>) -> String {
    format!("{kind}:{id}")
}

async fn components(ground: &Ground, memory: &Graph, asked: Asked, entity: &EntityRef) {
    let (at, node): (Time, Node<'_>) = (asked.as_of, (entity.kind, &entity.id));
    for limit in [1, 7, 10_000] {
        let told = graph::component(ground, asked, entity.clone(), limit)
            .await
            .unwrap();
        let expect = memory.component(node, at, limit);
        let told_members = told.members.iter().map(|it| {
            (
                it.entity.to_string(),
                it.hops,
                it.from.as_ref().map(ToString::to_string),
            )
        });
        let members = expect.members().into_iter();
        let members = members.map(|(it, hops, from)| (named(it), hops, from.map(named)));
        assert_eq!(
            told_members.collect::<Vec<_>>(),
            members.collect::<Vec<_>>()
        );
        let hubs: Vec<String> = expect.hubs().map(named).collect();
        assert_eq!(
            told.hubs
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            hubs
        );
        assert_eq!(told.is_whole, expect.is_whole());
    }
}

async fn paths(
    ground: &Ground,
    memory: &Graph,
    asked: Asked,
    (entity, entities): (&EntityRef, &[EntityRef]),
) {
    let (at, node): (Time, Node<'_>) = (asked.as_of, (entity.kind, &entity.id));
    for to in entities {
        let told = graph::path(ground, asked, entity.clone(), to.clone())
            .await
            .unwrap();
        let way = memory.path((node, (to.kind, &to.id)), at, 10_000);
        let steps: Vec<String> = way.steps().iter().map(named).collect();
        assert_eq!(
            told.steps
                .iter()
                .map(|it| it.entity.to_string())
                .collect::<Vec<_>>(),
            steps
        );
        let dated = told
            .steps
            .iter()
            .skip(1)
            .all(|it| it.first_seen.is_some_and(|it| it <= at));
        assert!(dated, "{told:?}");
    }
}

async fn shared(ground: &Ground, memory: &Graph, asked: Asked) {
    let at = asked.as_of;
    for kind in [EntityKind::Card, EntityKind::Device] {
        let told = graph::shared(ground, asked, kind, (2, ""), 1_000)
            .await
            .unwrap();
        let users = |it: &fraudplat::contracts::graph::SharedEntity| {
            let users = it.customers.iter();
            users
                .map(|it| (it.customer_id.clone(), it.first_seen))
                .collect::<Vec<_>>()
        };
        let told: BTreeMap<_, _> = told
            .shared
            .iter()
            .map(|it| (it.entity.id.clone(), users(it)))
            .collect();
        let expect = memory.shared(kind, at).into_iter();
        let expect = expect.map(|(id, users)| {
            (
                id.to_owned(),
                users
                    .into_iter()
                    .map(|(id, at)| (id.to_owned(), at))
                    .collect::<Vec<_>>(),
            )
        });
        assert_eq!(told, expect.collect::<BTreeMap<_, _>>(), "{kind} {at}");
    }
}

/// All neighbours, three a page.
async fn pages(world: &World, asked: Asked, entity: &EntityRef) -> Vec<(String, Time)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = graph::neighbours(&world.ground, asked, entity.clone(), (None, after), 3).await;
        let page = page.unwrap();
        all.extend(
            page.neighbours
                .iter()
                .map(|it| (it.entity.to_string(), it.first_seen)),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_from_the_archive_it_is_what_it_was() {
    let (world, run) = (world().await, pins("a"));
    let records = records(&run);
    put(&world, &records).await;
    put(&world, &self::records(&pins("another run"))[..100]).await;
    let labels = labels(&run);
    put_labels(&world, &labels).await;
    project(&world).await;
    pin(&world, &run).await;
    let before = links(&world).await;
    let ask = || async {
        let asked = Asked {
            run: run.platform_run_id,
            as_of: Time::from_micros(START + 40 * DAY),
        };
        graph::component(&world.ground, asked, "card_id:k12".parse().unwrap(), 100).await
    };
    let told = ask().await.unwrap();
    archive_all(&world, patient()).await;

    // Rows that no record made, rows that are gone, one that says too much: all is put right.
    let client = world.db.owner.get().await.unwrap();
    for sql in [
        "DELETE FROM rtdl.graph_link WHERE lead_id = 'c03' AND platform_run_id = $1",
        "UPDATE rtdl.graph_link SET other_id = 'never met' WHERE other_id = 'k12' AND platform_run_id = $1",
        "UPDATE rtdl.graph_link SET first_seen = '2001-01-01Z' WHERE lead_id = 'c07' AND platform_run_id = $1",
        "UPDATE rtdl.graph_payment SET customer_id = 'c01' WHERE event_id = 'e4' AND platform_run_id = $1",
        "UPDATE rtdl.graph_label SET is_fraud = NOT is_fraud WHERE platform_run_id = $1",
        "DELETE FROM rtdl.graph_payment WHERE event_id = 'e6' AND platform_run_id = $1",
    ] {
        assert!(
            client.execute(sql, &[&run.platform_run_id]).await.unwrap() > 0,
            "{sql}"
        );
    }
    assert_ne!(links(&world).await, before);
    // Broken off half-way, it answers nobody; started again, it comes to an end.
    let (stop, flush) = (CancellationToken::new(), Flush::default());
    stop.cancel();
    let id = &run.platform_run_id;
    let broken = graph::rebuild(&world.ground, id, &flush, &|_| (), &stop).await;
    assert_eq!(broken.unwrap_err().code(), Code::GraphRebuilding);
    assert_eq!(ask().await.unwrap_err().code(), Code::GraphRebuilding);
    let go_on = CancellationToken::new();
    let rebuilt = graph::rebuild(&world.ground, id, &flush, &|_| (), &go_on)
        .await
        .unwrap();
    let n_records = records.len() + labels.len();
    assert_eq!(rebuilt.records_read, n_records as u64);
    assert_eq!(links(&world).await, before);
    assert_eq!(ask().await.unwrap(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_beside_running_consumers_loses_nothing() {
    let (world, run) = (world().await, pins("a"));
    let records = records(&run);
    pin(&world, &run).await;
    let mut tasks = Tasks::new(CancellationToken::new());
    let options = Options {
        consumer: fraudplat::runtime::consumer::Options {
            batch_records_max: 20,
            ..Options::default().consumer
        },
    };
    GraphProjection::create(options, &world.ground).start(&mut tasks);
    let archive = crate::archiver::Running::start(&world, patient());
    let (id, go_on) = (run.platform_run_id, CancellationToken::new());
    for part in records.chunks(150) {
        put(&world, part).await;
        put_labels(&world, &labels(&run)).await;
        let rebuilt = graph::rebuild(&world.ground, &id, &archive.flush, &|_| (), &go_on).await;
        rebuilt.unwrap();
    }
    world.until_read(&world.tips(&STREAMS).await).await;
    let memory = in_memory(&records);
    let expect = i64::try_from(memory.size().1).unwrap();
    let sql = "SELECT count(*) FROM rtdl.graph_link";
    eventually("every link", async || world.number(sql).await == expect).await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
    archive.drain().await;
}
