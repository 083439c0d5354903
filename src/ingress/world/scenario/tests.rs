//! Worlds of scenarios: what campaigns do, what is learnt of them, and what a failing store does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::contracts::world::{Arrival, Truth};
use crate::domain::vocabulary::{ArrivalKind, Channel};
use crate::ingress::world::{
    Error, ScenarioPlan, World, WorldReader, materialise_scenario, read_truth,
};
use crate::substrate::objects::memory::MemoryObjects;
use crate::substrate::objects::{self, Listed, ObjectKey, Objects, Put};

const TOWN: &str = "scenario: town
seed: 7
start: 2025-01-01T00:00:00Z
days: 20
population: {customers: 200, merchants: 120, terminals_per_merchant: [1, 2]}
payments: {per_customer_day: 2}
";

fn plan(more: &str) -> ScenarioPlan {
    ScenarioPlan::parse("town.yaml", format!("{TOWN}{more}"), None).unwrap()
}

struct Made {
    arrivals: Vec<Arrival>,
    truths: Vec<Truth>,
}

impl Made {
    fn of(&self, truth: &Truth) -> &Arrival {
        let row: usize = truth.event_id.as_str()["town:".len()..].parse().unwrap();
        &self.arrivals[row - 1]
    }

    fn frauds(&self) -> impl Iterator<Item = (&Truth, &Arrival)> {
        let frauds = self
            .truths
            .iter()
            .filter(|it| it.is_fraud && it.label_type.as_str() == "fraud_disposition");
        frauds.map(|it| (it, self.of(it)))
    }
}

async fn make(more: &str) -> Made {
    let shelf = Arc::new(MemoryObjects::new());
    let world = materialise_scenario(shelf.as_ref(), &plan(more), 2, |_, _| ())
        .await
        .unwrap();
    let mut reader = WorldReader::open(shelf.clone(), world.facts.clone(), 0);
    let mut arrivals = Vec::new();
    loop {
        let batch = reader.next(10_000).await.unwrap();
        if batch.is_empty() {
            break;
        }
        arrivals.extend(batch);
    }
    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    Made { arrivals, truths }
}

fn campaign(what: &str) -> String {
    format!("campaigns: [{{{what}}}]\n")
}

/// Devices with which more than one card was tried.
async fn devices_of_many_cards(adaptation: f64) -> usize {
    let made = make(&campaign(&format!(
        "type: stolen_card, per_day: 5, stealth: 0, adaptation: {adaptation}"
    )))
    .await;
    let mut cards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, arrival) in made.frauds() {
        let entities = &arrival.entities;
        let card = entities.card_id.as_deref().unwrap();
        cards
            .entry(entities.device_id.as_deref().unwrap())
            .or_default()
            .insert(card);
    }
    assert!(50 < cards.len(), "{}", cards.len());
    cards.values().filter(|it| 1 < it.len()).count()
}

#[tokio::test]
async fn thieves_who_adapt_take_the_next_card_and_others_do_not() {
    assert_eq!(devices_of_many_cards(0.0).await, 0);
    assert!(10 < devices_of_many_cards(1.0).await);
}

#[tokio::test]
async fn the_stealthy_are_stopped_less() {
    let mut stopped = Vec::new();
    for stealth in [0.0, 1.0] {
        let what = format!("type: account_takeover, per_day: 10, stealth: {stealth}");
        let made = make(&campaign(&what)).await;
        let (frauds, blocked) = made.frauds().fold((0, 0), |(all, blocked), (it, _)| {
            (all + 1, blocked + u32::from(it.is_blocked))
        });
        assert!(300 < frauds, "{frauds}");
        stopped.push(f64::from(blocked) / f64::from(frauds));
    }
    assert!(stopped[1] * 2.0 < stopped[0], "{stopped:?}");
}

#[tokio::test]
async fn a_copied_card_was_at_the_terminal_before() {
    let made = make(&campaign(
        "type: compromised_terminal, per_day: 1, days: 10, take_rate: 0.2",
    ))
    .await;
    let mut used = 0;
    for (_, fraud) in made.frauds() {
        let card = &fraud.entities.card_id;
        let before = made.arrivals[..fraud.index as usize].iter().any(|it| {
            it.entities.card_id == *card
                && it
                    .payment
                    .as_ref()
                    .is_some_and(|it| it.channel == Channel::Pos)
        });
        assert!(before, "{fraud:?}");
        used += 1;
    }
    assert!(20 < used, "{used}");
}

#[tokio::test]
async fn a_takeover_begins_with_the_link_of_its_device() {
    let made = make(&campaign("type: account_takeover, per_day: 2")).await;
    let mut linked = BTreeSet::new();
    for arrival in &made.arrivals {
        if arrival.kind == ArrivalKind::Link {
            assert!(arrival.payment.is_none());
            let entities = &arrival.entities;
            linked.insert((&entities.customer_id, &entities.device_id));
        }
    }
    let mut seen = 0;
    for (_, fraud) in made.frauds() {
        let entities = &fraud.entities;
        assert!(linked.contains(&(&entities.customer_id, &entities.device_id)));
        seen += 1;
    }
    assert!(50 < seen, "{seen}");
}

#[tokio::test]
async fn money_of_a_ring_goes_from_mule_to_mule() {
    let made = make(&campaign("type: mule_ring, per_day: 1")).await;
    let received: BTreeSet<String> = made
        .frauds()
        .filter_map(|(_, it)| it.entities.beneficiary_id.clone())
        .collect();
    let passed_on = made
        .frauds()
        .filter(|(_, it)| received.contains(it.entities.account_id.as_deref().unwrap()))
        .count();
    assert!(20 < passed_on, "{passed_on}");
}

#[tokio::test]
async fn labels_are_late_missing_and_wrong_as_the_scenario_says() {
    let made = make(
        "campaigns: [{type: stolen_card, per_day: 40}, {type: friendly_fraud, per_day: 10}]
labels: {never: 0.2, wrong: 0.1, reported: 0, chargeback_days: {p50: 20, p95: 60}}
",
    )
    .await;
    let mut delays = Vec::new();
    let (mut open, mut never, mut learnt, mut wrong) = (0.0, 0.0, 0.0, 0.0);
    for (truth, _) in made.frauds() {
        if truth.is_blocked {
            assert_eq!(truth.observed_time, None);
            continue;
        }
        open += 1.0;
        match truth.observed_time {
            None => never += 1.0,
            Some(observed) => {
                learnt += 1.0;
                let is_wrong = truth.value == "CONFIRMED_LEGIT";
                wrong += f64::from(u8::from(is_wrong));
                delays.push((observed.micros() - truth.effective_time.micros()) / 3_600_000_000);
            }
        }
    }
    delays.sort_unstable();
    assert!((0.17..0.23).contains(&(never / open)), "{never} of {open}");
    assert!(
        (0.08..0.12).contains(&(wrong / learnt)),
        "{wrong} of {learnt}"
    );
    let days = |share: f64| delays[(share * delays.len() as f64) as usize] / 24;
    assert!((18..22).contains(&days(0.5)), "{}", days(0.5));
    assert!((52..68).contains(&days(0.95)), "{}", days(0.95));
    let disputed = made
        .truths
        .iter()
        .filter(|it| it.scenario == "friendly_fraud");
    let mut denied = 0;
    for truth in disputed {
        assert!(!truth.is_fraud && !truth.is_blocked);
        assert!(truth.value == "CONFIRMED_FRAUD" || truth.value == "OPENED");
        denied += 1;
    }
    assert!(200 < denied, "{denied}");
}

#[tokio::test]
async fn what_drifts_is_otherwise_from_its_day_on() {
    let made = make("drift: [{day: 10, online: 2, amounts: 1.5}]\n").await;
    let first = made.arrivals[0].ts_utc.day();
    let mut halves = [(0.0, 0.0, 0.0); 2];
    for arrival in &made.arrivals {
        let Some(payment) = &arrival.payment else {
            continue;
        };
        let half = &mut halves[usize::from(10 <= arrival.ts_utc.day() - first)];
        half.0 += 1.0;
        half.1 += f64::from(u8::from(payment.channel == Channel::Ecom));
        half.2 += (payment.amount_minor as f64).ln();
    }
    let [before, after] = halves.map(|(count, online, logs)| (online / count, logs / count));
    assert!(before.0 * 1.6 < after.0, "{before:?} {after:?}");
    assert!(before.1 + 0.3 < after.1, "{before:?} {after:?}");
}

/// A store that takes so many objects.
#[derive(Default)]
struct Full {
    under: MemoryObjects,
    puts: AtomicU32,
}

#[async_trait]
impl Objects for Full {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, objects::Error> {
        if self.puts.fetch_add(1, Ordering::SeqCst) == 0 {
            return self.under.put_new(key, body).await;
        }
        Err(objects::Error::Io {
            action: "writing",
            key: key.to_string(),
            source: "no space".into(),
        })
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, objects::Error> {
        self.under.get(key).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, objects::Error> {
        self.under.get_range(key, start, end).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, objects::Error> {
        self.under.list(prefix, after, limit).await
    }

    async fn remove(&self, _: &ObjectKey) -> Result<(), objects::Error> {
        unreachable!()
    }

    async fn presign(
        &self,
        key: &ObjectKey,
        expires_in: Duration,
    ) -> Result<String, objects::Error> {
        self.under.presign(key, expires_in).await
    }

    fn puts(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_making_with_its_own_error() {
    let full = Full::default();
    let failed = materialise_scenario(&full, &plan(""), 2, |_, _| ()).await;
    assert!(matches!(failed, Err(Error::Objects(_))), "{failed:?}");
    // What was half made is completed by the next, and then found to be there.
    let make = || async {
        let made = materialise_scenario(&full.under, &plan(""), 1, |_, _| ()).await;
        made.unwrap()
    };
    let (first, second): (World, World) = (make().await, make().await);
    assert_eq!((first.reused, second.reused), (false, true));
    assert_eq!(first.facts, second.facts);
}
