//! The posture end to end, on a clock that the test sets: what degrades a live run, and what does not.

use fraudplat::contracts::decision::{DecisionBody, DecisionEvidence};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, FactType, Outcome, Posture, SourceType};
use fraudplat::governance::counters::Counter;
use fraudplat::governance::facts;
use fraudplat::rtdl::decision::force::{self, Order};
use fraudplat::rtdl::inlet::{Inlet, Options};
use fraudplat::substrate::clock::{Clock, SetClock, SystemClock};
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::decider::{FEATURES, Run};
use crate::world::eventually;

const MINUTE_MS: u64 = 60_000;

struct Scene {
    run: Run,
    clock: SetClock,
    start: Time,
}

impl Scene {
    async fn open() -> Scene {
        let start = SystemClock.now();
        let clock = SetClock::at(start);
        let run = Run::live(clock.clone()).await;
        Scene { run, clock, start }
    }

    /// So long after the start.
    fn at(&self, ms: u64) -> Time {
        self.start.plus_ms(ms)
    }

    /// Puts payments whole, each admitted `step_ms` after the other.
    async fn pay(&mut self, n: i64, from: Time, step_ms: u64, classes: &[EventClass]) {
        for (nth, seq) in self.run.expect(n).enumerate() {
            let admitted_at = from.plus_ms(step_ms * nth as u64);
            self.run.put_at(classes, seq, admitted_at).await;
        }
    }

    async fn waits(&self) {
        eventually("the decision group waits for context", async || {
            self.run.count(Counter::JoinWaitCount) > 0
        })
        .await;
    }

    /// One payment that is admitted and decided now.
    async fn pay_now(&mut self) -> (DecisionBody, DecisionEvidence) {
        self.pay(1, self.clock.now(), 0, EventClass::ALL).await;
        self.run.world.run_inlets().await;
        self.run.decided().await;
        self.run.log().await.pop().unwrap()
    }

    /// Each change of posture: from, to, why.
    async fn changes(&self) -> Vec<String> {
        let client = self.run.world.ground.db.get().await.unwrap();
        let kind = Some(FactType::PostureChanged);
        let mut found = facts::list(&client, Some(self.run.id()), kind, 100)
            .await
            .unwrap();
        found.sort_by_key(|it| it.natural_key[1].parse::<i64>().unwrap());
        let told = found.iter().map(|it| {
            let (from, to) = (&it.details["from"], &it.natural_key[2]);
            format!("{from} {to} {}", it.details["reason"])
        });
        told.collect()
    }

    /// The pure function gives the same bytes again, whatever the posture.
    async fn replay(&self) {
        self.run.replay().await;
    }
}

async fn stop(tasks: Tasks) {
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_stopped_inlets_and_the_catch_up_degrade_nothing() {
    let mut scene = Scene::open().await;
    // Admitted over an hour, while nobody reads context.
    scene
        .pay(31, scene.start, 2 * MINUTE_MS, EventClass::ALL)
        .await;
    let decider = scene.run.start(FEATURES);
    scene.waits().await;
    scene.clock.set(scene.at(60 * MINUTE_MS));
    let mut inlets = Tasks::new(CancellationToken::new());
    Inlet::create(Options::default(), &scene.run.world.ground).start(&mut inlets);
    scene.run.decided().await;
    // What is admitted while the rest is worked off is late, too: a minute.
    stop(decider).await;
    scene.clock.set(scene.at(62 * MINUTE_MS));
    scene
        .pay(5, scene.at(61 * MINUTE_MS), 0, EventClass::ALL)
        .await;
    let decider = scene.run.start(FEATURES);
    scene.run.decided().await;
    stop(decider).await;
    stop(inlets).await;
    for (body, evidence) in scene.run.log().await {
        // Every part was there (the entities of this world name other customers than its traffic).
        assert_eq!(body.posture, Posture::Normal, "{evidence:?}");
        assert_eq!(body.degraded, ["CONFLICTING_ARRIVAL_ENTITIES"]);
        assert_eq!(body.inputs.len(), 4);
        let signals = evidence.posture_signals.unwrap();
        assert_eq!(signals.own_lag_ms, Some(0));
        // As late as they are; what has been caught up is excused no longer.
        assert!(signals.excused_ms >= MINUTE_MS, "{signals:?}");
    }
    assert_eq!(scene.changes().await, [""; 0]);
    scene.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_really_missing_degrades() {
    let mut scene = Scene::open().await;
    let bare = [
        EventClass::Traffic,
        EventClass::ArrivalEvent,
        EventClass::ArrivalEntities,
    ];
    scene.pay(50, scene.start, 0, &bare).await;
    let decider = scene.run.start(FEATURES);
    scene.waits().await;
    // Long enough that the watermark judges it.
    scene.clock.set(scene.at(10 * MINUTE_MS));
    let mut inlets = Tasks::new(CancellationToken::new());
    Inlet::create(Options::default(), &scene.run.world.ground).start(&mut inlets);
    scene.run.decided().await;
    stop(decider).await;
    stop(inlets).await;
    let log = scene.run.log().await;
    assert!(
        log.iter()
            .all(|(body, _)| body.degraded.contains(&"MISSING_FLOW_ANCHOR".to_owned()))
    );
    let (body, evidence) = log.last().unwrap();
    assert_eq!(body.posture, Posture::Degraded2);
    assert!(body.degraded.contains(&"POSTURE_DEGRADED_2".to_owned()));
    assert_eq!(evidence.posture_reason, "MISSING_CONTEXT");
    let signals = evidence.posture_signals.as_ref().unwrap();
    assert_eq!((signals.recent, signals.missing), (50, 50));
    // The wait for what never came is no lag of the group.
    assert_eq!(signals.own_lag_ms, Some(0));
    assert_eq!(scene.changes().await, ["NORMAL DEGRADED_2 MISSING_CONTEXT"]);
    let text = scene.run.world.ground.counters.render();
    let counted = text
        .lines()
        .find(|it| it.contains("reason=\"MISSING_CONTEXT\""));
    assert!(counted.is_some(), "{text}");
    scene.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_comes_back_late_degrades_by_its_lag_and_recovers() {
    let mut scene = Scene::open().await;
    scene.pay(30, scene.start, 0, EventClass::ALL).await;
    scene.run.world.run_inlets().await;
    // Context is there; nobody decided for two minutes.
    scene.clock.set(scene.at(2 * MINUTE_MS));
    let decider = scene.run.start(FEATURES);
    scene.run.decided().await;
    for (body, evidence) in scene.run.log().await {
        assert_eq!(body.posture, Posture::Degraded2);
        assert_eq!(evidence.posture_reason, "OWN_LAG");
        let signals = evidence.posture_signals.unwrap();
        assert_eq!(signals.own_lag_ms, Some(2 * MINUTE_MS));
    }
    // Another takes over: the posture is where it was.
    stop(decider).await;
    let decider = scene.run.start(FEATURES);
    let mut postures = Vec::new();
    for seconds in [0, 29, 30, 59, 60] {
        scene.clock.set(scene.at(2 * MINUTE_MS + 1_000 * seconds));
        let (body, evidence) = scene.pay_now().await;
        assert_eq!(evidence.posture, body.posture);
        postures.push(body.posture.as_str());
    }
    stop(decider).await;
    let expected = [
        "DEGRADED_2",
        "DEGRADED_2",
        "DEGRADED_1",
        "DEGRADED_1",
        "NORMAL",
    ];
    assert_eq!(postures, expected);
    let changes = [
        "NORMAL DEGRADED_2 OWN_LAG",
        "DEGRADED_2 DEGRADED_1 OWN_LAG",
        "DEGRADED_1 NORMAL CALM",
    ];
    assert_eq!(scene.changes().await, changes);
    scene.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_word_holds_until_it_expires_and_is_named() {
    let mut scene = Scene::open().await;
    let mut operator = scene.run.world.ground.acting_as("ops:ann");
    operator.actor.source_type = SourceType::Human;
    let order = Order {
        run: Some(scene.run.id()),
        posture: Some(Posture::FailClosed),
        reason: "drill".to_owned(),
        expires_at: Some(scene.at(MINUTE_MS)),
    };
    let all = Order {
        run: None,
        posture: Some(Posture::Degraded1),
        expires_at: None,
        ..order.clone()
    };
    force::record(&operator, all.clone()).await.unwrap();
    let forced = force::record(&operator, order.clone()).await.unwrap();
    let decider = scene.run.start(FEATURES);
    let (body, evidence) = scene.pay_now().await;
    assert_eq!(
        (body.posture, body.outcome),
        (Posture::FailClosed, Outcome::Decline)
    );
    assert!(body.trace.is_empty() && evidence.capabilities.is_empty());
    assert_eq!(evidence.posture_reason, "FORCED");
    let by = evidence.posture_signals.unwrap().forced.unwrap();
    assert_eq!(
        (by.force_id, by.actor_id.as_str()),
        (forced.force_id, "ops:ann")
    );
    // It expires: what was said of all is left, until that is released.
    scene.clock.set(scene.at(MINUTE_MS));
    let (body, _) = scene.pay_now().await;
    assert_eq!(body.posture, Posture::Degraded1);
    let release = Order {
        posture: None,
        ..all
    };
    force::record(&operator, release).await.unwrap();
    let (body, evidence) = scene.pay_now().await;
    assert_eq!(
        (body.posture, evidence.posture_reason.as_str()),
        (Posture::Normal, "CALM")
    );
    stop(decider).await;
    let changes = [
        "NORMAL FAIL_CLOSED FORCED",
        "FAIL_CLOSED DEGRADED_1 FORCED",
        "DEGRADED_1 NORMAL CALM",
    ];
    assert_eq!(scene.changes().await, changes);
    let words = "SELECT fact_type FROM governance.fact WHERE actor_id = 'ops:ann' ORDER BY 1";
    let words = scene.run.world.lines(words).await;
    assert_eq!(
        words,
        ["POSTURE_FORCED", "POSTURE_FORCED", "POSTURE_RELEASED"]
    );
    for refused in [
        Order {
            reason: " ".to_owned(),
            ..order.clone()
        },
        Order {
            expires_at: Some(scene.clock.now()),
            ..order
        },
    ] {
        let refusal = force::record(&operator, refused).await.unwrap_err();
        assert_eq!(refusal.code().as_str(), "POSTURE_REFUSED");
    }
    scene.replay().await;
}
