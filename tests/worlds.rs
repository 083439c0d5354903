//! The shipped scenarios: their worlds are the same bytes on one thread and on two, those that are
//! committed, and every promise about a world holds of them.
//!
//! After a change of the generator (which counts `GENERATOR_REV` up) or of a scenario:
//! `UPDATE_DOCS=1 cargo test --test worlds`, then read the difference.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fraudplat::contracts::scenario::{CampaignType, Scenario};
use fraudplat::contracts::world::{Arrival, Truth};
use fraudplat::domain::card::is_card_number;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::time::MICROS_PER_DAY;
use fraudplat::domain::vocabulary::{ArrivalKind, LabelType};
use fraudplat::ingress::world::{
    ScenarioPlan, World, WorldReader, materialise_scenario, parse_scenario, read_truth,
};
use fraudplat::substrate::objects::memory::MemoryObjects;

/// Every shipped scenario with bounds of its payments and of its share of fraud, in thousandths.
const SHIPPED: [(&str, [i64; 2], [f64; 2]); 5] = [
    ("small", [18_000, 22_000], [3.0, 10.0]),
    ("retail", [180_000, 220_000], [1.0, 10.0]),
    ("bank-month", [450_000, 550_000], [1.0, 10.0]),
    ("attack-week", [90_000, 110_000], [3.0, 12.0]),
    ("drift", [180_000, 220_000], [1.0, 10.0]),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder("profiles/scenarios").join(format!("{name}.yaml")))
        .expect("a shipped scenario is readable")
}

#[test]
fn all_that_are_shipped_are_tested() {
    let files: BTreeSet<String> = std::fs::read_dir(folder("profiles/scenarios"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    let tested = SHIPPED.map(|(name, ..)| format!("{name}.yaml"));
    assert_eq!(files, tested.into());
}

#[test]
fn every_type_of_campaign_is_shipped() {
    let mut types = BTreeSet::new();
    for (name, ..) in SHIPPED {
        let scenario = parse_scenario(name, &text(name)).unwrap();
        types.extend(scenario.campaigns.iter().map(|it| it.campaign_type.value));
    }
    assert_eq!(types, CampaignType::ALL.iter().copied().collect());
}

#[tokio::test]
async fn small() {
    check("small").await;
}

#[tokio::test]
async fn retail() {
    check("retail").await;
}

#[tokio::test]
async fn bank_month() {
    check("bank-month").await;
}

#[tokio::test]
async fn attack_week() {
    check("attack-week").await;
}

#[tokio::test]
async fn drift() {
    check("drift").await;
}

async fn check(name: &str) {
    let plan = ScenarioPlan::parse(name, text(name), None).expect("a shipped scenario");
    let one = MemoryObjects::new();
    let on_one = materialise_scenario(&one, &plan, 1, |_, _| ())
        .await
        .expect("a world");
    drop(one);
    let objects = Arc::new(MemoryObjects::new());
    let made = materialise_scenario(objects.as_ref(), &plan, 2, |_, _| ()).await;
    let world = made.expect("a world");
    assert_eq!(world, on_one, "one thread and two make different worlds");
    committed(name, &world);

    let scenario = parse_scenario(name, &text(name)).expect("a shipped scenario");
    let mut reader = WorldReader::open(objects.clone(), world.facts.clone(), 0);
    let mut walk = Walk::new(&scenario);
    loop {
        let arrivals = reader.next(10_000).await.expect("arrivals");
        if arrivals.is_empty() {
            break;
        }
        for arrival in &arrivals {
            walk.meet(arrival);
        }
    }
    assert_eq!(walk.count, world.facts.arrivals_count);
    let payments = walk.times.len() as i64;
    assert_eq!(payments, world.facts.payments_count);
    assert!(walk.links > 0, "no new card or device");
    let truths = read_truth(objects.as_ref(), &world.facts)
        .await
        .expect("truth");
    let (_, [least, most], share) = SHIPPED.iter().find(|it| it.0 == name).expect("its bounds");
    assert!((*least..=*most).contains(&payments), "{payments} payments");
    let frauds = truth_holds(&scenario, &truths, &walk.times);
    let thousandths = frauds as f64 * 1_000.0 / payments as f64;
    assert!(
        share[0] <= thousandths && thousandths <= share[1],
        "{frauds} frauds of {payments}: {thousandths:.1} in a thousand"
    );
}

/// Holds the promises about arrivals while they pass.
struct Walk {
    range: [i64; 2],
    count: i64,
    last_ts: i64,
    seqs: HashMap<String, i64>,
    ids: HashSet<String>,
    links: u64,
    /// Of every payment.
    times: HashMap<String, i64>,
}

impl Walk {
    fn new(scenario: &Scenario) -> Walk {
        let start = scenario.start.value.micros();
        Walk {
            range: [
                start,
                start + i64::from(scenario.days.value) * MICROS_PER_DAY,
            ],
            count: 0,
            last_ts: start,
            seqs: HashMap::new(),
            ids: HashSet::new(),
            links: 0,
            times: HashMap::new(),
        }
    }

    fn meet(&mut self, it: &Arrival) {
        assert_eq!(it.index, self.count);
        self.count += 1;
        let ts = it.ts_utc.micros();
        assert!(self.last_ts <= ts && ts < self.range[1], "{it:?}");
        self.last_ts = ts;
        let seq = self.seqs.entry(it.merchant_id.clone()).or_default();
        *seq += 1;
        assert_eq!(it.arrival_seq, *seq, "{it:?}");
        assert!(self.ids.insert(it.event_id.to_string()), "{it:?}");
        let entities = &it.entities;
        for text in [
            &entities.customer_id,
            &entities.account_id,
            &entities.card_id,
            &entities.device_id,
            &entities.ip,
            &entities.terminal_id,
            &entities.beneficiary_id,
        ]
        .into_iter()
        .flatten()
        {
            assert!(!is_card_number(text), "{it:?}");
        }
        assert!(entities.customer_id.is_some(), "{it:?}");
        assert_eq!(it.payment.is_some(), it.kind == ArrivalKind::Payment);
        match &it.payment {
            Some(payment) => {
                assert!(0 <= payment.amount_minor && payment.amount_minor <= 1_000_000_000);
                self.times.insert(it.event_id.to_string(), ts);
            }
            None => {
                self.links += 1;
                let thing = entities.card_id.is_some() != entities.device_id.is_some();
                assert!(thing, "a link joins one card or device: {it:?}");
            }
        }
    }
}

/// Holds the promises about truth; how many payments were fraud.
fn truth_holds(scenario: &Scenario, truths: &[Truth], times: &HashMap<String, i64>) -> usize {
    let mut subjects = HashSet::new();
    let mut frauds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut made_by: BTreeSet<&str> = BTreeSet::new();
    let mut last = i64::MIN;
    let (mut never, mut wrong, mut blocked) = (0, 0, 0);
    for it in truths {
        let ts = times.get(it.event_id.as_str());
        assert_eq!(ts, Some(&it.effective_time.micros()), "{it:?}");
        assert!(subjects.insert((&it.event_id, it.label_type)), "{it:?}");
        assert!(
            it.label_type.values().contains(&it.value.as_str()),
            "{it:?}"
        );
        let observed = it.observed_time.map_or(i64::MAX, |it| it.micros());
        assert!(it.effective_time.micros() < observed, "{it:?}");
        assert!(last <= observed, "{it:?}");
        last = observed;
        assert!(!it.is_blocked || it.observed_time.is_none(), "{it:?}");
        made_by.insert(&it.scenario);
        if it.label_type != LabelType::FraudDisposition {
            continue;
        }
        if it.is_fraud {
            assert!(!it.scenario.is_empty(), "fraud without a campaign: {it:?}");
            *frauds.entry(&it.scenario).or_default() += 1;
            never += usize::from(!it.is_blocked && it.observed_time.is_none());
            wrong += usize::from(it.observed_time.is_some() && it.value == "CONFIRMED_LEGIT");
            blocked += usize::from(it.is_blocked);
        }
    }
    for campaign in &scenario.campaigns {
        let by_type = campaign.campaign_type.value.as_str();
        let name = campaign.name.as_ref().map_or(by_type, |it| &it.value);
        assert!(made_by.contains(name), "{name} never occurred: {made_by:?}");
        let is_friendly = campaign.campaign_type.value == CampaignType::FriendlyFraud;
        assert_eq!(frauds.contains_key(name), !is_friendly, "{name}");
    }
    assert!(
        0 < never && 0 < wrong && 0 < blocked,
        "{never} {wrong} {blocked}"
    );
    frauds.values().sum()
}

/// The facts pin every byte; they are those that are committed.
#[track_caller]
fn committed(name: &str, world: &World) {
    let facts = serde_json::to_vec(&world.facts).expect("facts");
    let line = format!(
        "{name} {} {} {}",
        world.manifest_fingerprint,
        Digest::of_bytes(&facts),
        world.facts.payments_count
    );
    let file = folder("tests/worlds").join(format!("{name}.txt"));
    if std::env::vars_os().any(|(name, _)| name == "UPDATE_DOCS") {
        std::fs::create_dir_all(folder("tests/worlds")).expect("a folder");
        std::fs::write(&file, format!("{line}\n")).expect("a file");
        return;
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        stands.trim_end(),
        line,
        "another world than the committed one; if that is meant, count GENERATOR_REV up and run \
         UPDATE_DOCS=1 cargo test --test worlds"
    );
}
