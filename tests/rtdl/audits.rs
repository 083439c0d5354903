//! What the audit says of decisions beside their replay: why they are what they are, what another bundle would have
//! made of them, and whether the bus still holds what the archive does.

use fraudplat::contracts::decision::RuleResult;
use fraudplat::domain::vocabulary::{EventClass, Outcome};
use fraudplat::engine::bundle::FileNames;
use fraudplat::engine::{CompiledBundle, ENGINE_REV};
use fraudplat::rtdl::audit::{self, RuleMoved};
use fraudplat::runtime::decisions::StoredDecision;
use fraudplat::runtime::ground::Ground;
use fraudplat::substrate::bus::Bus;
use serde_json::json;

use crate::decider::{FEATURES, Run, bundle};
use crate::world::{bytes, context, world};

async fn decided(n: i64) -> (Run, Vec<StoredDecision>) {
    let mut run = Run::open().await;
    run.pay(n).await;
    run.decide(FEATURES).await;
    run.replay().await;
    let all = audit::list(&run.world.ground, &run.id(), 0, 1_000)
        .await
        .unwrap();
    (run, all)
}

#[tokio::test]
async fn an_explanation_has_definitions_and_the_values_that_rules_met() {
    let (run, all) = decided(30).await;
    let ground = &run.world.ground;
    let reviewed = all.iter().map(|it| (it.decision_id, it.open().unwrap().0));
    let reviewed = reviewed
        .into_iter()
        .find(|(_, it)| it.outcome == Outcome::Review);
    let (id, body) = reviewed.unwrap();
    let explained = audit::explain(ground, id).await.unwrap();
    assert_eq!(explained.notes, [""; 0]);
    assert_eq!(explained.fired, ["R1"]);
    assert!(
        explained.summary.contains("R1 fired; reasons MANY"),
        "{}",
        explained.summary
    );
    assert_eq!(explained.reasons[0].text, "Many");
    let feature = &explained.features[0];
    assert_eq!(
        (feature.name.as_str(), feature.what.as_str()),
        ("n", "count by customer_id over 1d")
    );
    assert_eq!(feature.value, body.features["n"]);
    let sum = &explained.features[1];
    assert_eq!(sum.what, "sum of event.amount_minor by customer_id over 1d");
    let rule = &explained.rules[0];
    assert_eq!(rule.result, RuleResult::Fired);
    let n = serde_json::to_value(&body.features["n"]).unwrap();
    assert_eq!(rule.operands["features.n"], n);
    assert_eq!(rule.rule.as_ref().unwrap().owner, "t");
    assert_eq!(explained.inputs.len(), 4);
    assert!(explained.inputs.iter().all(|it| it.reference.is_some()));

    // What is not there is said, and the rest is shown.
    let key = format!("mpr/bundles/{}.json", body.bundle_digest);
    std::fs::remove_file(run.file(&key)).unwrap();
    let bare = audit::explain(ground, id).await.unwrap();
    assert_eq!(bare.notes.len(), 1, "{:?}", bare.notes);
    assert!(
        bare.notes[0].contains("is not in the object store"),
        "{:?}",
        bare.notes
    );
    assert_eq!(bare.features[0].definition, json!(null));
    assert_eq!(bare.fired, ["R1"]);
}

#[tokio::test]
async fn another_bundle_is_tried_and_nothing_is_logged() {
    let (run, all) = decided(40).await;
    let ground = &run.world.ground;
    let names = FileNames {
        feature_set: "f",
        policy: "p",
    };
    let same = CompiledBundle::compile(&bundle(FEATURES), names).unwrap();
    let report = audit::what_if(ground, &all, &same, &|_, _| ())
        .await
        .unwrap();
    assert_eq!((report.compared, report.changed), (40, 0));
    assert_eq!((report.engine_rev, report.other_engine), (ENGINE_REV, 0));

    let mut other = bundle(FEATURES);
    other.policy = other
        .policy
        .replace("features.n > 5", "event.amount_minor > 30");
    other.policy = other.policy.replace("outcome: REVIEW", "outcome: DECLINE");
    let other = CompiledBundle::compile(&other, names).unwrap();
    let report = audit::what_if(ground, &all, &other, &|_, _| ())
        .await
        .unwrap();
    let was = |it: &StoredDecision| it.open().unwrap().0.outcome;
    let n_reviewed = all.iter().filter(|it| was(it) == Outcome::Review).count() as u64;
    // The amounts are 1 to 40, each once.
    let rules = [RuleMoved {
        rule_id: "R1".to_owned(),
        fired: n_reviewed,
        would_fire: 10,
    }];
    assert_eq!(report.rules, rules);
    let declined = report
        .outcomes
        .iter()
        .filter(|it| it.to == Outcome::Decline);
    let declined: Vec<_> = declined.collect();
    assert_eq!(declined.iter().map(|it| it.decisions).sum::<u64>(), 10);
    let minor = declined
        .iter()
        .map(|it| it.amount_minor["EUR"])
        .sum::<i128>();
    assert_eq!(minor, (31..=40).sum::<i128>());
    assert!(declined.iter().all(|it| !it.examples.is_empty()));
    let n = run.world.number("SELECT count(*) FROM dla.decision").await;
    assert_eq!(n, 40, "nothing was logged");
}

#[tokio::test]
async fn a_bus_that_holds_something_else_than_the_archive_is_a_basis_mismatch() {
    let (run, all) = decided(30).await;
    let ground = &run.world.ground;
    let last = all.last().unwrap();
    let on_bus = audit::against_bus(ground, last).await.unwrap();
    assert_eq!(
        on_bus, 32,
        "two of three repeats lie before the last decision"
    );

    // The same places, one of them with another payload; and one of them empty.
    for (wrong, says) in [(17, "is another"), (0, "not on the bus")] {
        let other = world().await;
        let mut records = Vec::new();
        for seq in 1..=30 {
            let shown = if seq == wrong { 1_000 } else { seq };
            let record = bytes(&context(&run.pins, EventClass::Traffic, shown));
            records.push(record.clone());
            if seq % 10 == 0 {
                records.push(record);
            }
        }
        if wrong == 0 {
            let mut strange = context(&run.pins, EventClass::Traffic, 1);
            strange.payload_hash = fraudplat::domain::digest::Digest::of_bytes(b"other");
            records[20] = bytes(&strange);
        }
        other.put(EventClass::Traffic.stream(), records).await;
        let bus: std::sync::Arc<dyn Bus> = other.log.clone();
        let ground = Ground {
            bus,
            ..ground.clone()
        };
        let refused = audit::against_bus(&ground, last).await.unwrap_err();
        assert_eq!(
            refused.code().as_str(),
            "REPLAY_BASIS_MISMATCH",
            "{refused}"
        );
        assert!(refused.to_string().contains(says), "{refused}");
    }
}
