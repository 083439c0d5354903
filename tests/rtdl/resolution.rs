//! Which bundle decides while a run goes on: promotions between batches, failing closed and coming back, a
//! registry that stops answering; and every decision of it is recomputed from the archive.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::bundle_resolver::{BundleResolver, Named, NamedBundles, ScopeKey};
use fraudplat::contracts::decision::{BundleState, DecisionBody, DecisionEvidence, Value};
use fraudplat::contracts::fact::Fact;
use fraudplat::domain::vocabulary::{EventClass, FactType, Outcome, Posture};
use fraudplat::engine::bundle::fail_closed;
use fraudplat::governance::facts;
use fraudplat::rtdl::decision::{Bundles, Error, KEEP_MS, Shadows};
use fraudplat::substrate::clock::{Clock, SetClock, SystemClock};
use fraudplat::substrate::tasks::Tasks;

use crate::decider::{FEATURES, OTHER_FEATURES, POLICY, Run, bundle};
use crate::world::{DEADLINE, eventually, world};

/// What a test says that is in force.
#[derive(Clone)]
struct Registry(Arc<Mutex<NamedBundles>>);

#[async_trait]
impl BundleResolver for Registry {
    async fn named(&self, _: &ScopeKey) -> NamedBundles {
        self.0.lock().unwrap().clone()
    }
}

fn active(bundle: &Bundle) -> Named {
    Named::Active {
        bundle_digest: bundle.digest(),
        evidence: Vec::new(),
        unstored: None,
    }
}

fn global(global: Named, fallback: Named) -> NamedBundles {
    NamedBundles {
        tenant: Named::Absent,
        global,
        fallback,
    }
}

impl Registry {
    fn of(named: NamedBundles) -> Registry {
        Registry(Arc::new(Mutex::new(named)))
    }

    fn say(&self, named: NamedBundles) {
        *self.0.lock().unwrap() = named;
    }
}

/// A run that is decided by what a registry says.
struct Scene {
    run: Run,
    registry: Registry,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl Scene {
    async fn open(mut run: Run, first: NamedBundles) -> Scene {
        let registry = Registry::of(first);
        let ground = run.world.ground.acting_as("svc:decision");
        let bundles = Bundles::of(Arc::new(registry.clone()), &ground, None);
        let tasks = run.start_resolving(bundles, Shadows::default());
        let clock = Arc::clone(&run.world.ground.clock);
        run.pay(0).await;
        Scene {
            run,
            registry,
            clock,
            tasks,
        }
    }

    /// One payment that is admitted and decided now.
    async fn pay(&mut self) -> (DecisionBody, DecisionEvidence) {
        for seq in self.run.expect(1) {
            let now = self.clock.now();
            self.run.put_at(EventClass::ALL, seq, now).await;
        }
        self.run.world.run_inlets().await;
        self.run.decided().await;
        self.run.log().await.pop().unwrap()
    }

    /// Pays until a bundle decides, and returns its first decision.
    async fn pay_until(&mut self, wanted: &Bundle) -> (DecisionBody, DecisionEvidence) {
        // A registry is asked once a second: how many payments that are is the machine's.
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let (body, evidence) = self.pay().await;
            if body.bundle_digest == wanted.digest() {
                return (body, evidence);
            }
            assert!(tokio::time::Instant::now() < deadline, "it never decides");
        }
    }

    /// Every payment of the customer counts that is not after this one: all are of one time, so their ids
    /// order them.
    async fn check_memory(&self, body: &DecisionBody) {
        let log = self.run.log().await;
        let before = log
            .iter()
            .filter(|(it, _)| it.event_id.as_str() <= body.event_id.as_str());
        let n = i64::try_from(before.count()).unwrap();
        assert_eq!(body.features["n"], Value::Int(n), "{body:?}");
    }

    /// The anomalies of this run, the oldest first.
    async fn anomalies(&self) -> Vec<Fact> {
        let client = self.run.world.ground.db.get().await.unwrap();
        let kind = Some(FactType::IncompatibleBundleResolution);
        let mut found = facts::list(&client, Some(self.run.id()), kind, 100)
            .await
            .unwrap();
        found.sort_by_key(|it| it.observed_time);
        found
    }

    async fn told(&self, n: usize) -> Vec<Fact> {
        eventually("the anomaly is told", async || {
            self.anomalies().await.len() == n
        })
        .await;
        self.anomalies().await
    }

    async fn end(self) -> Vec<(DecisionBody, DecisionEvidence)> {
        self.tasks.stop_token().cancel();
        self.tasks.join().await.unwrap();
        self.run.replay().await;
        self.run.log().await
    }
}

fn other_policy() -> Bundle {
    let policy = POLICY.replace("policy_rev: 1", "policy_rev: 2");
    Bundle::new("second", FEATURES, &policy.replace("> 5", "> 0"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_takes_over_between_batches_and_keeps_the_memory() {
    let (first, second, third) = (bundle(FEATURES), other_policy(), bundle(OTHER_FEATURES));
    let run = Run::open().await;
    run.store(&second).await;
    let mut scene = Scene::open(run, global(active(&first), Named::Absent)).await;
    for _ in 0..3 {
        let (body, evidence) = scene.pay().await;
        assert_eq!(
            (body.bundle_digest, body.outcome),
            (first.digest(), Outcome::Approve)
        );
        assert_eq!(
            evidence.stamps.policy_rev,
            first.policy_digest().to_string()
        );
    }
    scene.registry.say(global(active(&second), Named::Absent));
    let (body, evidence) = scene.pay_until(&second).await;
    assert_eq!(body.outcome, Outcome::Review, "{body:?}");
    scene.check_memory(&body).await;
    assert_eq!(
        evidence.stamps.policy_rev,
        second.policy_digest().to_string()
    );
    assert_eq!(body.posture, Posture::Normal);
    // Other features: the memory is brought back under them.
    scene.registry.say(global(active(&third), Named::Absent));
    let (body, _) = scene.pay_until(&third).await;
    assert_eq!(body.feature_set_digest, third.feature_set_digest());
    scene.check_memory(&body).await;
    // And back to where it was.
    scene.registry.say(global(active(&first), Named::Absent));
    scene.pay_until(&first).await;
    assert_eq!(scene.anomalies().await, []);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_force_declines_and_says_why_once() {
    let first = bundle(FEATURES);
    let digest = first.digest();
    let run = Run::open().await;
    let mut scene = Scene::open(run, global(active(&first), Named::Absent)).await;
    scene.pay().await;
    let retired = Named::Retired {
        bundle_digest: digest,
    };
    scene.registry.say(global(retired, Named::Absent));
    let (body, evidence) = scene.pay_until(&fail_closed()).await;
    assert_eq!(
        (body.outcome, body.posture),
        (Outcome::Decline, Posture::FailClosed)
    );
    assert!(body.features.is_empty() && body.reasons.contains(&"POSTURE_FAIL_CLOSED".to_owned()));
    assert_eq!(evidence.posture_reason, "BUNDLE_NONE");
    let signals = evidence.posture_signals.unwrap();
    assert_eq!(signals.bundle, BundleState::None);
    for _ in 0..3 {
        assert_eq!(scene.pay().await.0.outcome, Outcome::Decline);
    }
    let told = scene.told(1).await;
    let details = &told[0].details;
    assert_eq!(details["GLOBAL"], format!("RETIRED {digest}"));
    assert_eq!(
        (&*details["TENANT"], &*details["FALLBACK"]),
        ("ABSENT", "ABSENT")
    );
    assert_eq!(details["decides"], fail_closed().digest().to_string());
    assert_eq!(details["bundle_state"], "NONE");
    assert_eq!(told[0].actor.actor_id.as_str(), "svc:decision");
    // In force again: the ladder comes up step by step and does not blame the bundle any more.
    scene.registry.say(global(active(&first), Named::Absent));
    let (body, evidence) = scene.pay_until(&first).await;
    assert_eq!(
        (body.outcome, body.posture),
        (Outcome::Decline, Posture::FailClosed)
    );
    assert_eq!(evidence.posture_reason, "BUNDLE_RESTORED");
    // Gone once more: another change, another fact.
    scene.registry.say(global(Named::Absent, Named::Absent));
    scene.pay_until(&fail_closed()).await;
    let told = scene.told(2).await;
    assert_eq!(told[1].details["GLOBAL"], "ABSENT");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_decide_is_passed_over_for_the_fallback() {
    let (safe, tampered) = (other_policy(), bundle(OTHER_FEATURES));
    let needs_more = Bundle {
        manifest: Some("bundle: b\nversion: 1\ncompatibility: {engine_rev: 99}\n".to_owned()),
        ..bundle(FEATURES)
    };
    let run = Run::open().await;
    run.store(&safe).await;
    run.store(&needs_more).await;
    // Stored under its name is another bundle.
    let file = run.file(&format!("mpr/bundles/{}.json", tampered.digest()));
    std::fs::write(file, serde_json::to_vec(&safe).unwrap()).unwrap();
    let nowhere = Bundle::new("gone", FEATURES, "never stored");
    let named = NamedBundles {
        tenant: active(&tampered),
        global: active(&needs_more),
        fallback: active(&safe),
    };
    let mut scene = Scene::open(run, named).await;
    let (body, evidence) = scene.pay().await;
    assert_eq!(
        (body.bundle_digest, body.posture),
        (safe.digest(), Posture::Degraded1)
    );
    assert_eq!(evidence.posture_reason, "BUNDLE_FALLBACK");
    let details = scene.told(1).await.remove(0).details;
    assert!(
        details["TENANT"].contains("is not the bundle that it names"),
        "{details:?}"
    );
    assert!(details["GLOBAL"].contains("INCOMPATIBLE"), "{details:?}");
    assert!(
        details["GLOBAL"].contains("engine revision 99"),
        "{details:?}"
    );
    assert!(details["FALLBACK"].starts_with("DECIDES"), "{details:?}");
    // A report that it was put in force upon is not there; nor is the fallback's object.
    scene.registry.say(global(
        Named::Active {
            bundle_digest: bundle(FEATURES).digest(),
            evidence: vec!["mf/eval/none.json".to_owned()],
            unstored: None,
        },
        active(&nowhere),
    ));
    scene.pay_until(&fail_closed()).await;
    let details = scene.told(2).await.remove(1).details;
    let missing = "mf/eval/none.json is not in the store";
    assert!(details["GLOBAL"].ends_with(missing), "{details:?}");
    assert!(
        details["FALLBACK"].starts_with("EVIDENCE_MISSING"),
        "{details:?}"
    );
    // It comes, and counts from then on.
    let key = "mf/eval/none.json".parse().unwrap();
    let objects = &scene.run.world.ground.objects;
    objects.put_new(&key, "{}".into()).await.unwrap();
    scene.pay_until(&bundle(FEATURES)).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_waited_for_and_then_nothing_decides() {
    let clock = SetClock::at(SystemClock.now());
    let start = clock.now();
    let first = bundle(FEATURES);
    let run = Run::live(clock.clone()).await;
    let mut scene = Scene::open(run, global(active(&first), Named::Absent)).await;
    scene.pay().await;
    scene.registry.say(NamedBundles::unreachable("no route"));
    clock.set(start.plus_ms(KEEP_MS - 1_000));
    for _ in 0..5 {
        let (body, evidence) = scene.pay().await;
        assert_eq!(
            (body.bundle_digest, body.posture),
            (first.digest(), Posture::Normal)
        );
        let signals = evidence.posture_signals.unwrap();
        assert_eq!(signals.bundle, BundleState::Resolved);
    }
    clock.set(start.plus_ms(2 * KEEP_MS));
    let (body, _) = scene.pay_until(&fail_closed()).await;
    assert_eq!(body.posture, Posture::FailClosed);
    let details = scene.told(1).await.remove(0).details;
    assert_eq!(details["GLOBAL"], "REGISTRY_UNREACHABLE: no route");
    scene.registry.say(global(active(&first), Named::Absent));
    scene.pay_until(&first).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_is_told_which_bundle_decides() {
    let world = world().await;
    let registry = Registry::of(global(Named::Absent, Named::Absent));
    let asked_by = async |actor: &str| {
        let ground = world.ground.acting_as(actor);
        let bundles = Bundles::of(Arc::new(registry.clone()), &ground, None);
        bundles.in_force(&bundles.scope(None, "primary")).await
    };
    let told = asked_by("svc:decision").await.unwrap();
    assert_eq!(told.bundle.bundle_digest, fail_closed().digest());
    for actor in ["svc:ig", "producer", "investigator"] {
        let denied = asked_by(actor).await.err();
        assert!(matches!(denied, Some(Error::Corridor(_))), "{actor}");
    }
}
