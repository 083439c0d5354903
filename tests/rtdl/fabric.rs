//! A bundle with a model and lists over a real run: list entries come into force and leave, and a
//! replay recomputes every body from its evidence alone.

use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::decision::{DecisionBody, DecisionEvidence, RuleResult};
use fraudplat::contracts::feature_set::Entity;
use fraudplat::contracts::policy::ListChange;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Outcome;
use fraudplat::learning::mpr::lists::{self, Place};
use fraudplat::rtdl::audit;
use fraudplat::substrate::clock::{Clock, SystemClock};

use crate::decider::Run;

const FEATURES: &str = r"
feature_set: listed
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 1d}
  - {name: cents, type: int, expr: '100'}
";
const POLICY: &str = r#"
policy: listed
policy_rev: 1
default: APPROVE
precedence: strictest
lists:
  - {name: blocked, kind: deny, entity: customer_id, reason_code: BLOCKED}
  - {name: watched, kind: watch, entity: merchant_id, reason_code: WATCHED}
  - {name: vips, kind: allow, entity: customer_id, reason_code: VIP}
rules:
  - {id: R1, owner: t, description: "Scored", when: "model.score > thresholds.high && !lists.vips", outcome: STEP_UP, reason_code: SCORED}
"#;
/// Always 1 / (1 + exp(-1)): which payment is decided last is chance.
const MODEL: &str = r#"{"form": "fraudplat/trees/v1", "features": ["cents"], "base": -1.0, "link": "logistic",
    "split": "less_equal", "trees": [{"feature": [0, -1, -1], "threshold": [5.0, 0.0, 0.0],
    "missing_left": [true, true, true], "left": [1, 0, 0], "right": [2, 0, 0], "value": [0.5, 0.0, 2.0]}]}"#;
const MANIFEST: &str = r#"
bundle: listed
version: 1
thresholds: {high: 0.6, decline: 0.99}
reason_texts:
  codes: {BLOCKED: "The customer is blocked"}
  features: {cents: "{value} cents"}
"#;

fn bundle() -> Bundle {
    Bundle {
        model: Some(MODEL.to_owned()),
        manifest: Some(MANIFEST.to_owned()),
        ..Bundle::new("listed", FEATURES, POLICY)
    }
}

fn place(list: &str, entity: Entity, value: &str) -> Place {
    Place {
        list: list.to_owned(),
        entity,
        value: value.to_owned(),
    }
}

async fn last(run: &Run) -> (DecisionBody, DecisionEvidence) {
    let all = audit::list(&run.world.ground, &run.pins.platform_run_id, 0, 1_000).await;
    all.unwrap().last().unwrap().open().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_in_force_from_batch_to_batch_and_replay_needs_none() {
    let mut run = Run::open().await;
    run.store(&bundle()).await;
    let ground = run.world.ground.clone();
    let (added, removed) = (ListChange::Added, ListChange::Removed);
    let blocked = place("blocked", Entity::CustomerId, "c");
    let vips = place("vips", Entity::CustomerId, "c");
    let watched = place("watched", Entity::MerchantId, "m");
    let put = async |place: &Place, change: ListChange, until: Option<Time>| {
        let changed = lists::change(&ground, place, change, until, "test").await;
        changed.unwrap().outcome
    };

    // The same value as another entity, and another list, say nothing.
    put(&place("blocked", Entity::MerchantId, "c"), added, None).await;
    put(&place("other", Entity::CustomerId, "c"), added, None).await;
    run.pay(10).await;
    run.decide_under(&bundle()).await;
    let (body, evidence) = last(&run).await;
    assert_eq!((body.outcome, evidence.lists.len()), (Outcome::StepUp, 0));
    assert_eq!(body.reasons, ["SCORED", "CONFLICTING_ARRIVAL_ENTITIES"]);
    assert_eq!(body.reason_texts, ["100 cents (+1.50)"]);
    assert_eq!(body.score, Some(1.0 / (1.0 + libm::exp(-1.0))));

    put(&watched, added, None).await;
    run.pay(1).await;
    run.decide_under(&bundle()).await;
    assert_eq!(last(&run).await.0.outcome, Outcome::Review);

    put(&vips, added, None).await;
    run.pay(1).await;
    run.decide_under(&bundle()).await;
    let (body, evidence) = last(&run).await;
    assert_eq!(body.outcome, Outcome::Approve);
    assert_eq!(body.reasons[..2], ["WATCHED", "VIP"]);
    assert_eq!(evidence.lists.len(), 2);

    let hour = Time::from_micros(SystemClock.now().micros() + 3_600_000_000);
    assert_eq!(put(&blocked, added, Some(hour)).await, lists::Outcome::Done);
    assert_eq!(
        put(&blocked, added, Some(hour)).await,
        lists::Outcome::AsItWas
    );
    run.pay(1).await;
    run.decide_under(&bundle()).await;
    let (body, evidence) = last(&run).await;
    assert_eq!(body.outcome, Outcome::Decline);
    assert_eq!(body.reason_texts[0], "The customer is blocked");
    assert_eq!(body.trace[0].rule_id, "list:blocked");
    assert_eq!(body.trace[0].result, RuleResult::Fired);
    assert_eq!(evidence.lists[0].expires_at, Some(hour));

    // Expired, and taken off: as if it had never been there.
    put(&blocked, added, Some(Time::from_micros(1))).await;
    put(&vips, removed, None).await;
    put(&watched, removed, None).await;
    assert_eq!(put(&watched, removed, None).await, lists::Outcome::AsItWas);
    run.pay(1).await;
    run.decide_under(&bundle()).await;
    let (body, evidence) = last(&run).await;
    assert_eq!((body.outcome, evidence.lists.len()), (Outcome::StepUp, 0));

    let shown = lists::entries(&ground.db.get().await.unwrap(), None, 10).await;
    let shown: Vec<String> = shown.unwrap().into_iter().map(|it| it.list).collect();
    assert_eq!(shown, ["blocked", "other", "blocked"]);
    run.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_list_is_for_ever() {
    let run = Run::open().await;
    let place = place("blocked", Entity::CustomerId, "c");
    let ground = &run.world.ground;
    let change = lists::change(ground, &place, ListChange::Added, None, "test");
    change.await.unwrap();
    let client = ground.db.get().await.unwrap();
    for sql in [
        "UPDATE mpr.list_change SET value = 'd'",
        "DELETE FROM mpr.list_change",
    ] {
        assert!(client.execute(sql, &[]).await.is_err(), "{sql}");
    }
}
