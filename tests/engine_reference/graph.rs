//! The entity graph against a naive reference that looks at every record for every question:
//! random records in random order, late and repeated ones, labels before and after their events,
//! questions as of any time, restarts from bytes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fraudplat::contracts::decision::Value;
use fraudplat::contracts::feature_set::GraphMeasure;
use fraudplat::contracts::graph::EntityKind;
use fraudplat::domain::canonical::Reader;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::time::Time;
use fraudplat::engine::graph::{Graph, HUB_LINKS_MAX, Measure, Met, Node};
use fraudplat::engine::{FeatureSet, FeatureState};
use proptest::prelude::*;

use crate::case::SECOND;
use crate::graph_case::{Case, Owned, Record, Reference, Step, apply, bytes, case, label};

fn run(case: &Case) -> Result<(), TestCaseError> {
    let mut graph = Graph::default();
    let mut reference = Reference {
        case,
        records: BTreeSet::new(),
        labels: BTreeSet::new(),
    };
    for step in &case.steps {
        match step {
            Step::Record(nth) => {
                apply(&mut graph, case, *nth);
                reference.records.insert(*nth);
            }
            Step::Label(nth) => {
                graph.apply_label(&label(case, *nth));
                reference.labels.insert(*nth);
            }
            Step::Restart => {
                let written = bytes(&graph);
                let mut reader = Reader::new(&written);
                graph =
                    Graph::read(&mut reader).map_err(|it| TestCaseError::fail(it.to_string()))?;
                prop_assert_eq!(bytes(&graph), written);
            }
            Step::Ask(t) => ask(&graph, &reference, *t)?,
        }
    }
    let mut in_order = Graph::default();
    for nth in &reference.labels {
        in_order.apply_label(&label(case, *nth));
    }
    for nth in &reference.records {
        apply(&mut in_order, case, *nth);
    }
    prop_assert_eq!(
        bytes(&graph),
        bytes(&in_order),
        "the way shows in the bytes"
    );
    Ok(())
}

fn ask(graph: &Graph, reference: &Reference<'_>, t: i64) -> Result<(), TestCaseError> {
    let as_of = Time::from_micros(t * SECOND);
    let entities = reference.entities();
    for entity in &entities {
        let node: Node<'_> = (entity.0, &entity.1);
        let expect = reference.neighbours(entity, t);
        let found = graph.neighbours(node, as_of).into_iter();
        let found = found.map(|((kind, id), at)| ((kind, id.to_owned()), at.micros() / SECOND));
        prop_assert_eq!(
            found.collect::<Vec<_>>(),
            expect.into_iter().collect::<Vec<_>>()
        );
        around(graph, reference, entity, t)?;
        let customer = &entity.1;
        if entity.0 == EntityKind::Customer {
            let expect = reference.is_fraud(customer, t);
            prop_assert_eq!(graph.is_labelled(customer, as_of), expect, "{}", customer);
        }
    }
    for kind in EntityKind::ALL {
        shared(graph, reference, &entities, (*kind, t))?;
    }
    Ok(())
}

/// Component, paths and measures of one entity.
fn around(
    graph: &Graph,
    reference: &Reference<'_>,
    entity: &Owned,
    t: i64,
) -> Result<(), TestCaseError> {
    let as_of = Time::from_micros(t * SECOND);
    let node: Node<'_> = (entity.0, &entity.1);
    let away = reference.distances(entity, t);
    let walk = graph.component(node, as_of, usize::MAX);
    prop_assert!(walk.is_whole());
    let found = walk.members().into_iter();
    let found = found.map(|((kind, id), hops, _)| ((*kind, (*id).to_owned()), hops as usize));
    prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), away.clone());
    for max in 1..4 {
        let walk = graph.component(node, as_of, max);
        prop_assert_eq!(walk.members().len(), max.min(away.len()));
        prop_assert_eq!(walk.is_whole(), away.len() <= max);
    }
    for other in reference.entities() {
        let way = graph.path((node, (other.0, &other.1)), as_of, usize::MAX);
        let steps = way.steps();
        prop_assert_eq!(steps.len(), away.get(&other).map_or(0, |it| it + 1));
        for pair in steps.windows(2) {
            let behind = reference.neighbours(&(pair[0].0, pair[0].1.to_owned()), t);
            prop_assert!(behind.contains_key(&(pair[1].0, pair[1].1.to_owned())));
        }
    }
    let others = away.iter().filter(|(it, _)| *it != entity);
    let within = |hops: usize| others.clone().filter(move |(_, at)| **at <= hops);
    let is_customer = |it: &Owned| it.0 == EntityKind::Customer;
    let labelled = |it: &Owned| is_customer(it) && reference.is_fraud(&it.1, t);
    let expect = [
        (GraphMeasure::Degree, 2, within(1).count()),
        (
            GraphMeasure::SharedCustomers,
            2,
            within(2).filter(|it| is_customer(it.0)).count(),
        ),
        (GraphMeasure::ComponentSize, 2, away.len()),
        (
            GraphMeasure::LabelledNeighbours,
            1,
            within(1).filter(|it| labelled(it.0)).count(),
        ),
        (
            GraphMeasure::LabelledNeighbours,
            2,
            within(2).filter(|it| labelled(it.0)).count(),
        ),
    ];
    for (measure, hops, expect) in expect {
        let asked = Measure {
            measure,
            kind: entity.0,
            through: EntityKind::ALL.to_vec(),
            hops,
        };
        let expect = Value::Int(i64::try_from(expect).unwrap());
        prop_assert_eq!(
            asked.of(graph, &entity.1, as_of),
            expect,
            "{:?} of {:?}",
            asked,
            entity
        );
    }
    Ok(())
}

fn shared(
    graph: &Graph,
    reference: &Reference<'_>,
    entities: &BTreeSet<Owned>,
    (kind, t): (EntityKind, i64),
) -> Result<(), TestCaseError> {
    let mut expect = Vec::new();
    for entity in entities.iter().filter(|it| it.0 == kind) {
        let users = reference.neighbours(entity, t).into_iter();
        let users = users.filter(|((kind, _), _)| *kind == EntityKind::Customer);
        let users: Vec<(String, i64)> = users.map(|((_, id), at)| (id, at)).collect();
        if users.len() > 1 {
            expect.push((entity.1.clone(), users));
        }
    }
    let found = graph
        .shared(kind, Time::from_micros(t * SECOND))
        .into_iter();
    let found = found.map(|(id, users)| {
        let users = users.into_iter();
        let users = users.map(|(id, at)| (id.to_owned(), at.micros() / SECOND));
        (id.to_owned(), users.collect())
    });
    prop_assert_eq!(found.collect::<Vec<(String, Vec<_>)>>(), expect);
    Ok(())
}

#[test]
fn every_answer_of_the_graph_is_what_its_definition_says() {
    let config = ProptestConfig {
        cases: crate::cases() / 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&case(), |case| run(&case));
    result.unwrap_or_else(|found| panic!("{found}"));
}

/// Customers 1 to `n` on device 1, one a second; customer 1 also has card 1 with customer 9000.
fn office(n: u16) -> Graph {
    let mut graph = Graph::default();
    let mut meet = |ids: [Option<u16>; 6], ts: i64| {
        let record = Record {
            ids,
            ts,
            is_payment: false,
        };
        graph.apply(
            Met::in_arrival(&record.arrival()),
            Time::from_micros(ts * SECOND),
        );
    };
    // The latest first: the order of arrival must not show.
    for customer in (1..=n).rev() {
        meet(
            [Some(customer), None, None, Some(1), None, None],
            customer.into(),
        );
    }
    meet([Some(1), None, Some(1), None, None, None], 1);
    meet([Some(9_000), None, Some(1), None, None, None], 1);
    graph
}

#[test]
fn nothing_is_reached_through_a_hub_and_one_link_less_is_none() {
    let n = u16::try_from(HUB_LINKS_MAX).unwrap() + 1;
    let graph = office(n);
    let (before, at) = (i64::from(n) - 1, i64::from(n));
    let of = |measure, kind, id: &str, t: i64| {
        let through = EntityKind::ALL.to_vec();
        let asked = Measure {
            measure,
            kind,
            through,
            hops: 2,
        };
        asked.of(&graph, id, Time::from_micros(t * SECOND))
    };
    use EntityKind::{Customer, Device};
    use GraphMeasure::{ComponentSize, Degree, SharedCustomers};
    let all = i64::from(n);
    assert_eq!(
        of(SharedCustomers, Customer, "1", before),
        Value::Int(all - 1)
    );
    assert_eq!(of(SharedCustomers, Customer, "1", at), Value::Int(1));
    assert_eq!(of(Degree, Device, "1", at), Value::Int(all));
    assert_eq!(
        of(SharedCustomers, Device, "1", before),
        Value::Int(all - 1)
    );
    assert_eq!(of(SharedCustomers, Device, "1", at), Value::Missing);
    // 300 customers, device, card, customer 9000; then customer 1, device, card, customer 9000.
    assert_eq!(
        of(ComponentSize, Customer, "1", before),
        Value::Int(all - 1 + 3)
    );
    assert_eq!(of(ComponentSize, Customer, "1", at), Value::Int(4));

    let as_of = |t: i64| Time::from_micros(t * SECOND);
    let ends = ((Customer, "2"), (Customer, "9000"));
    assert_eq!(graph.path(ends, as_of(before), 1_000).steps().len(), 5);
    let none = graph.path(ends, as_of(at), 1_000);
    assert!(none.steps().is_empty() && none.is_whole());
    // A way may end at a hub, and so begin at one.
    for ends in [
        ((Device, "1"), (Customer, "9000")),
        ((Customer, "9000"), (Device, "1")),
    ] {
        let way = graph.path(ends, as_of(at), 1_000);
        let steps = way.steps();
        assert_eq!(
            (steps.len(), steps.first(), steps.last()),
            (4, Some(&ends.0), Some(&ends.1))
        );
    }
    let walk = graph.component((Customer, "2"), as_of(at), 1_000);
    assert_eq!(walk.hubs().collect::<Vec<_>>(), [&(Device, "1")]);
    assert!(walk.is_whole());
}

const SET: &str = "
feature_set: graph
version: 1
features:
  - {name: customers, graph: degree, entity: [device_id]}
  - {name: cards, graph: degree, entity: [customer_id], through: [card_id]}
  - {name: sharers, graph: shared_customers, entity: [customer_id]}
  - {name: together, graph: component_size, entity: [customer_id]}
  - {name: near, graph: labelled_neighbours, entity: [customer_id], hops: 1}
  - {name: tainted, graph: labelled_neighbours, entity: [card_id]}
";

/// The features of a payment by the definitions, from the payments taken so far.
fn features(reference: &Reference<'_>, nth: usize) -> Vec<Value> {
    let record = &reference.case.records[nth];
    let t = record.ts;
    let named = |kind: EntityKind| {
        let id = record.ids[kind as usize].or((kind == EntityKind::Customer).then_some(0));
        id.map(|it| (kind, it.to_string()))
    };
    let counted = |kind, count: &dyn Fn(&Owned) -> usize| match named(kind) {
        None => Value::Missing,
        Some(entity) => Value::Int(i64::try_from(count(&entity)).unwrap()),
    };
    let within = |entity: &Owned, hops: usize, is_labelled: bool| {
        let away = reference.distances(entity, t).into_iter();
        let others = away.filter(|(it, at)| it != entity && *at <= hops);
        let counts = |(kind, id): &Owned| {
            *kind == EntityKind::Customer && (!is_labelled || reference.is_fraud(id, t))
        };
        others.filter(|(it, _)| counts(it)).count()
    };
    let cards = |entity: &Owned| {
        let neighbours = reference.neighbours(entity, t).into_keys();
        neighbours.filter(|it| it.0 == EntityKind::Card).count()
    };
    use EntityKind::{Card, Customer, Device};
    vec![
        counted(Device, &|it| reference.neighbours(it, t).len()),
        counted(Customer, &cards),
        counted(Customer, &|it| within(it, 2, false)),
        counted(Customer, &|it| reference.distances(it, t).len()),
        counted(Customer, &|it| within(it, 1, true)),
        counted(Card, &|it| within(it, 2, true)),
    ]
}

/// A feature state over the payments of a case, in whatever order, through restarts.
fn run_features(set: &Arc<FeatureSet>, case: &Case) -> Result<(), TestCaseError> {
    let digest = Digest::of_bytes(SET.as_bytes());
    let mut state = FeatureState::new(Arc::clone(set));
    let mut reference = Reference {
        case,
        records: BTreeSet::new(),
        labels: BTreeSet::new(),
    };
    for step in &case.steps {
        match step {
            Step::Record(nth) if case.records[*nth].is_payment => {
                let event = case.records[*nth].payment(*nth);
                prop_assert_eq!(state.apply_event(&event), Ok(()));
                reference.records.insert(*nth);
                let found = state.compute(&event).unwrap().values;
                prop_assert_eq!(
                    found,
                    features(&reference, *nth),
                    "{:?}",
                    case.records[*nth]
                );
            }
            Step::Label(nth) => {
                state.apply_label(&label(case, *nth)).unwrap();
                reference.labels.insert(*nth);
            }
            Step::Restart => {
                let bytes = state.to_bytes(&digest).unwrap();
                let read = FeatureState::from_bytes(Arc::clone(set), &digest, &bytes);
                state = read.map_err(|it| TestCaseError::fail(it.to_string()))?;
                prop_assert_eq!(state.to_bytes(&digest).unwrap(), bytes);
            }
            Step::Record(_) | Step::Ask(_) => {}
        }
    }
    let mut in_order = FeatureState::new(Arc::clone(set));
    for nth in &reference.records {
        prop_assert_eq!(
            in_order.apply_event(&case.records[*nth].payment(*nth)),
            Ok(())
        );
    }
    for nth in &reference.labels {
        in_order.apply_label(&label(case, *nth)).unwrap();
    }
    prop_assert_eq!(
        state.to_bytes(&digest).unwrap(),
        in_order.to_bytes(&digest).unwrap()
    );
    Ok(())
}

#[test]
fn every_graph_feature_is_what_its_definition_says() {
    let set = FeatureSet::compile("graph.yaml", SET);
    let set = Arc::new(set.unwrap_or_else(|found| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{}", found.join("\n"))
    }));
    let config = ProptestConfig {
        cases: crate::cases() / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&case(), |case| run_features(&set, &case));
    result.unwrap_or_else(|found| panic!("{found}"));
}

#[test]
fn what_the_graph_cannot_be_asked_is_told_where_it_stands() {
    for (feature, message) in [
        ("graph: degree", "a `graph` needs its `entity`"),
        (
            "graph: degree, entity: [merchant_id]",
            "is a place, no node",
        ),
        (
            "graph: degree, entity: [card_id, device_id]",
            "asks about one entity",
        ),
        (
            "graph: degree, entity: [card_id], window: 7d",
            "`window` does not go with `graph`",
        ),
        (
            "graph: degree, entity: [card_id], agg: count",
            "`agg` does not go with `graph`",
        ),
        (
            "graph: degree, entity: [card_id], hops: 2",
            "belongs to `labelled_neighbours`",
        ),
        (
            "graph: degree, entity: [card_id], through: []",
            "at least one kind",
        ),
        (
            "graph: degree, entity: [card_id], through: [terminal_id]",
            "is a place, no node",
        ),
        (
            "graph: degree, entity: [card_id], through: [ip, ip]",
            "a kind stands twice",
        ),
        (
            "graph: labelled_neighbours, entity: [card_id], hops: 3",
            "`hops` is 1 or 2",
        ),
        (
            "graph: centrality, entity: [card_id]",
            "unknown word `centrality`",
        ),
        (
            "agg: count, entity: [card_id], window: 7d, hops: 1",
            "belongs to a feature with `graph`",
        ),
    ] {
        let text = format!("feature_set: s\nversion: 1\nfeatures:\n  - {{name: f, {feature}}}\n");
        let found = FeatureSet::compile("s.yaml", &text).unwrap_err();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let found = found.join("\n");
        assert!(
            found.contains("s.yaml:4:") && found.contains(message),
            "{feature}: {found}"
        );
    }
}
