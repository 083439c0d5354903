//! Services in process call as themselves: the table holds for them as over HTTP.

use fraudplat::contracts::permission::Corridor;
use fraudplat::domain::vocabulary::FactType;
use fraudplat::governance::facts;

use crate::world::world;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_decision_role_appends_decisions() {
    let world = world().await;
    let decision = world.ground.acting_as("svc:decision");
    decision.enter(Corridor::DlaAppend).await.unwrap();
    let gate = world.ground.acting_as("svc:ig");
    // Said once an hour, or twice where an hour of UTC ends meanwhile.
    for _ in 0..3 {
        gate.enter(Corridor::DlaAppend).await.unwrap_err();
    }
    let client = world.ground.db.get().await.unwrap();
    let said = facts::list(&client, None, Some(FactType::CorridorDenied), 10).await;
    let said = said.unwrap();
    assert!((1..=2).contains(&said.len()), "{said:?}");
    assert_eq!(said[0].actor.actor_id.as_str(), "svc:ig");
    assert_eq!(said[0].details["corridor"], "DLA_APPEND");
    let counted = gate.counters.render();
    assert!(counted.contains("corridor=\"DLA_APPEND\"} 3"), "{counted}");
}
