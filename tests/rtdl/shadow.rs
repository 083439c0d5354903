//! Shadow bundles beside the one that acts: a feature set that comes later is warmed up and then scores what a replay
//! from the archive says, and nothing that a shadow says is acted on.

use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::feature_set::Entity;
use fraudplat::contracts::policy::ListChange;
use fraudplat::contracts::run_snapshot::RunSnapshot;
use fraudplat::domain::vocabulary::EventClass;
use fraudplat::governance::counters::Counter;
use fraudplat::learning::mpr::lists::{self, Place};
use fraudplat::rtdl::audit;
use fraudplat::substrate::tasks::Tasks;

use crate::decider::{FEATURES, OTHER_FEATURES, Run, bundle};
use crate::world::eventually;

const SAID_WARM: &str = r#"SELECT count(*) FROM runtime.feature_state WHERE feature_sets LIKE '%"WARM"%'
    AND feature_sets NOT LIKE '%"WARMING"%' AND feature_sets NOT LIKE '%"COLD"%'"#;

/// Never asks for anything.
fn quiet() -> Bundle {
    let policy =
        "policy: quiet\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules: []\n";
    Bundle {
        policy: policy.to_owned(),
        ..bundle(FEATURES)
    }
}

async fn stop(tasks: Tasks) {
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

impl Run {
    /// So many payments while a role decides: their context first, for a posture that lacks it leaves
    /// shadows out.
    async fn pay_beside(&mut self, n: i64) {
        let seqs = self.expect(n);
        for class in [
            EventClass::ArrivalEvent,
            EventClass::ArrivalEntities,
            EventClass::FlowAnchor,
        ] {
            self.put(class, seqs.clone()).await;
        }
        self.world.run_inlets().await;
        self.put(EventClass::Traffic, seqs).await;
    }

    async fn warm(&self) {
        eventually("every feature set is warm", async || {
            self.world.number(SAID_WARM).await == 1
        })
        .await;
    }

    async fn scored(&self, slot: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM dla.shadow_score WHERE bundle_slot = '{slot}'");
        self.world.number(&sql).await
    }
}

#[tokio::test]
async fn a_set_that_comes_later_is_warmed_up_and_scores_what_a_replay_says() {
    let mut run = Run::open().await;
    run.store(&quiet()).await;
    run.pay(1_400).await;
    stop_when_decided(&run, &[]).await;
    assert_eq!(run.scored("shadow_1").await, 0);

    // One of another set, one of the primary's own that needs no warm-up.
    let shadows = [
        ("shadow_1", bundle(OTHER_FEATURES)),
        ("shadow_2", bundle(FEATURES)),
    ];
    run.pay(60).await;
    let tasks = run.start_beside(&quiet(), &shadows, 0);
    run.decided().await;
    run.warm().await;
    let (cold, shared) = (run.scored("shadow_1").await, run.scored("shadow_2").await);
    assert!(cold <= 60 && shared == 60, "{cold} and {shared}");
    run.pay_beside(100).await;
    run.decided().await;
    stop(tasks).await;
    assert_eq!(run.scored("shadow_1").await, cold + 100);
    assert_eq!(run.scored("shadow_2").await, 160);
    let skipped = 60 - cold.unsigned_abs();
    assert_eq!(run.count(Counter::ShadowSkipped), skipped);
    assert_eq!(run.count(Counter::ShadowScored), cold.unsigned_abs() + 260);
    assert_eq!(run.count(Counter::ShadowFailed), 0);

    // The drain's snapshot holds both sets: nothing is cold again.
    let newest = std::fs::read(run.snapshots().pop().unwrap()).unwrap();
    assert_eq!(RunSnapshot::from_bytes(&newest).unwrap().further.len(), 1);
    run.pay(40).await;
    stop_when_decided(&run, &shadows).await;
    assert_eq!(run.scored("shadow_1").await, cold + 140);
    run.replay().await;

    // Both shadows review every payment, as nobody sees.
    let reviews = "SELECT count(*) FROM dla.shadow_score WHERE outcome = 'REVIEW'";
    assert_eq!(run.world.number(reviews).await, cold + 140 + 200);
    for nothing in [
        "SELECT coalesce(sum(escalated), 0)::bigint FROM dla.decision_count",
        "SELECT count(*) FROM runtime.outbox",
        "SELECT count(*) FROM al.intent",
        "SELECT count(*) FROM dla.decision WHERE outcome <> 'APPROVE'",
    ] {
        assert_eq!(run.world.number(nothing).await, 0, "{nothing}");
    }
    agrees(&run, (cold + 140).unsigned_abs()).await;
}

async fn stop_when_decided(run: &Run, shadows: &[(&str, Bundle)]) {
    let tasks = run.start_beside(&quiet(), shadows, 0);
    run.decided().await;
    stop(tasks).await;
}

async fn agrees(run: &Run, wanted: u64) {
    let agreement = audit::agreement(&run.world.ground, &run.id(), Some("shadow_1")).await;
    let [slot] = agreement.unwrap().slots.try_into().unwrap();
    assert_eq!(
        (slot.compared, slot.differ, slot.differ_share),
        (wanted, wanted, 1.0)
    );
    assert_eq!(slot.outcomes.len(), 1, "{:?}", slot.outcomes);
    assert_eq!((slot.primary.max, slot.shadow.p50), (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn a_warm_up_that_was_killed_begins_again() {
    let mut run = Run::open().await;
    run.store(&quiet()).await;
    run.pay(1_200).await;
    stop_when_decided(&run, &[]).await;
    let shadows = [("shadow_1", bundle(OTHER_FEATURES))];
    for _ in 0..3 {
        run.pay(10).await;
        let tasks = run.start_beside(&quiet(), &shadows, 0);
        eventually("it has begun", async || {
            let said =
                "SELECT count(*) FROM runtime.feature_state WHERE feature_sets LIKE '%shadow_1%'";
            run.world.number(said).await == 1
        })
        .await;
        // Its tasks end wherever they are, the lease is not given back.
        drop(tasks);
    }
    run.pay(10).await;
    let tasks = run.start_beside(&quiet(), &shadows, 0);
    run.decided().await;
    run.warm().await;
    run.pay_beside(50).await;
    run.decided().await;
    stop(tasks).await;
    assert!(run.scored("shadow_1").await >= 50);
    run.replay().await;
}

#[tokio::test]
async fn a_broken_slot_is_counted_and_costs_no_decision() {
    let mut run = Run::open().await;
    run.store(&quiet()).await;
    run.pay(30).await;
    let tasks = run.start_beside(&quiet(), &[("shadow_2", bundle(FEATURES))], 1);
    run.decided().await;
    stop(tasks).await;
    assert_eq!(run.count(Counter::ShadowFailed), 30);
    assert_eq!(run.count(Counter::ShadowScored), 30);
    run.replay().await;
}

/// The primary knows no list: what a shadow's own say stands in its row, and a replay needs no list.
#[tokio::test]
async fn a_shadow_has_lists_of_its_own() {
    let mut run = Run::open().await;
    run.store(&quiet()).await;
    let policy = "policy: listed\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nlists:\n\
        \x20 - {name: blocked, kind: deny, entity: customer_id, reason_code: BLOCKED}\nrules: []\n";
    let listed = Bundle {
        policy: policy.to_owned(),
        ..bundle(OTHER_FEATURES)
    };
    run.store(&listed).await;
    let blocked = Place {
        list: "blocked".to_owned(),
        entity: Entity::CustomerId,
        value: "c".to_owned(),
    };
    let ground = run.world.ground.clone();
    let change = async |change| {
        lists::change(&ground, &blocked, change, None, "test")
            .await
            .unwrap()
    };
    change(ListChange::Added).await;
    run.pay(10).await;
    let shadows = [("shadow_1", listed)];
    stop_when_decided(&run, &shadows).await;
    change(ListChange::Removed).await;
    run.pay(10).await;
    stop_when_decided(&run, &shadows).await;
    let declined = "SELECT count(*) FROM dla.shadow_score WHERE outcome = 'DECLINE' AND seq <= 10";
    assert_eq!(run.world.number(declined).await, 10);
    let approved = "SELECT count(*) FROM dla.shadow_score WHERE outcome = 'APPROVE' AND seq > 10";
    assert_eq!(run.world.number(approved).await, 10);
    for (body, evidence) in run.log().await {
        assert!(!body.reasons.iter().any(|it| it == "BLOCKED"));
        assert_eq!(evidence.lists, []);
    }
    run.replay().await;
}

#[tokio::test]
async fn an_altered_shadow_score_is_refused() {
    let mut run = Run::open().await;
    run.store(&quiet()).await;
    run.pay(30).await;
    stop_when_decided(&run, &[("shadow_1", bundle(OTHER_FEATURES))]).await;
    run.replay().await;
    let client = run.unguarded_of("dla.shadow_score").await;
    let alter = "UPDATE dla.shadow_score SET outcome = 'DECLINE' WHERE seq = 7";
    client.batch_execute(alter).await.unwrap();
    let all = audit::list(&run.world.ground, &run.id(), 0, 100)
        .await
        .unwrap();
    let refused = audit::replay(&run.world.ground, &all, &|_, _| {}).await;
    assert!(refused.unwrap_err().to_string().contains("shadow score"));
}
