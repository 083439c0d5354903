//! Asking for actions, in the transaction of whoever asks: the decision's own, or that of a request over
//! HTTP. `rtdl/actions` carries them out.
//!
//! **Invariant:** an intent is taken once, whoever asks and however often; another payload under its id
//! changes nothing and leaves a fact (L2, L3).

use std::collections::BTreeMap;

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::fact::Fact;
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::digest::Digest;
use crate::domain::ids::{ActionIntentId, CaseId, DecisionId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::FactType;
use crate::governance::facts;
use crate::substrate::db::{self, Day, Transaction};

const REQUEST: &str = include_str!("sql/request.sql");
const READ_KNOWN: &str = include_str!("sql/read_known.sql");

/// What [`request`] and the executors write; their partitions are to be there before.
pub const TABLES: &[&str] = &[
    "al.intent",
    "al.attempt",
    "al.outcome",
    "al.dead_letter",
    "al.requeued",
];

/// Who asks, when, under which release.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub actor: &'a Actor,
    pub stamps: &'a Stamps,
    pub now: Time,
    /// In the transaction of the decision that asks.
    pub with_decision: bool,
}

/// What became of one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was asked for then, now for the first time or not.
    At { requested_at: Time, is_new: bool },
    /// Another payload is known under its id.
    Other { first: Digest },
}

/// Takes the intents, in order; what is known already is answered as it was the first time. Each is
/// [`ActionIntent::check`]ed before.
///
/// # Errors
/// Those of the database; the transaction is then to be rolled back.
pub async fn request(
    tx: &Transaction<'_>,
    asker: Asker<'_>,
    intents: &[&ActionIntent],
) -> Result<Vec<Taken>, db::Error> {
    if intents.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: Vec<Digest> = intents.iter().map(|it| it.payload_hash()).collect();
    // Sorted, so that overlapping batches wait for one another in one order; the first of an id counts.
    let mut fresh: BTreeMap<ActionIntentId, (&ActionIntent, Digest)> = BTreeMap::new();
    for (intent, hash) in intents.iter().zip(&hashes) {
        let id = intent.action_intent_id;
        fresh.entry(id).or_insert((intent, *hash));
    }
    let new = insert(tx, asker, &fresh).await?;
    let mut known: BTreeMap<ActionIntentId, (Digest, Time)> = new
        .into_iter()
        .map(|id| (id, (fresh[&id].1, asker.now)))
        .collect();
    let n_new = known.len();
    let is_new: Vec<bool> = intents
        .iter()
        .map(|it| known.contains_key(&it.action_intent_id))
        .collect();
    if n_new < fresh.len() {
        let left = fresh.keys().filter(|id| !known.contains_key(id));
        let left: Vec<ActionIntentId> = left.copied().collect();
        for row in tx.query(READ_KNOWN, &[&left]).await? {
            known.insert(row.get(0), (row.get(1), row.get(2)));
        }
    }
    let mut taken = Vec::with_capacity(intents.len());
    let mut told = Vec::new();
    for ((intent, hash), is_new) in intents.iter().zip(&hashes).zip(is_new) {
        let found = known.get(&intent.action_intent_id);
        let (first, requested_at) =
            found.ok_or_else(|| db::Error::form("action", &"a known intent is gone"))?;
        taken.push(match first == hash {
            true => Taken::At {
                requested_at: *requested_at,
                is_new,
            },
            false => {
                told.push(mismatch(asker, intent, hash, first));
                Taken::Other { first: *first }
            }
        });
    }
    facts::append(tx, &told).await?;
    Ok(taken)
}

async fn insert(
    tx: &Transaction<'_>,
    asker: Asker<'_>,
    fresh: &BTreeMap<ActionIntentId, (&ActionIntent, Digest)>,
) -> Result<Vec<ActionIntentId>, db::Error> {
    let of = || fresh.values().map(|(intent, _)| *intent);
    let ids: Vec<ActionIntentId> = fresh.keys().copied().collect();
    let runs: Vec<PlatformRunId> = of().map(|it| it.pins.platform_run_id).collect();
    let types: Vec<&str> = of().map(|it| it.intent_type.as_str()).collect();
    let subject_types: Vec<&str> = of().map(|it| it.subject.subject_type.as_str()).collect();
    // A text column takes no NUL; the intent beside it says what it was.
    let storable = |it: &ActionIntent| it.subject.subject_id.replace('\0', "\u{fffd}");
    let subject_ids: Vec<String> = of().map(storable).collect();
    let cases: Vec<CaseId> = of().map(|it| CaseId::of(&it.source.event)).collect();
    let decisions: Vec<Option<DecisionId>> = of().map(|it| it.source.decision_id).collect();
    let bodies: Vec<Vec<u8>> = of()
        .map(|it| serde_json::to_vec(it).expect("an intent is plain JSON"))
        .collect();
    let hashes: Vec<Digest> = fresh.values().map(|(_, hash)| *hash).collect();
    let stamps = serde_json::to_string(asker.stamps).expect("stamps are plain JSON");
    let (actor, source) = (&asker.actor.actor_id, asker.actor.source_type);
    let statement = tx.prepare_cached(REQUEST).await?;
    let rows = tx
        .query(
            &statement,
            &[
                &Day::of(asker.now),
                &asker.now,
                &actor.as_str(),
                &source.as_str(),
                &stamps,
                &ids,
                &runs,
                &types,
                &subject_types,
                &subject_ids,
                &cases,
                &decisions,
                &bodies,
                &hashes,
                &asker.with_decision,
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// One fact an intent and payload, however often it is sent (L2).
fn mismatch(asker: Asker<'_>, intent: &ActionIntent, hash: &Digest, first: &Digest) -> Fact {
    let (id, run) = (
        intent.action_intent_id.to_string(),
        intent.pins.platform_run_id,
    );
    let key = [&run.to_string(), "action_intent", &id, &hash.to_string()];
    let (actor, stamps) = (asker.actor.clone(), asker.stamps.clone());
    let fact_type = FactType::PayloadHashMismatch;
    let mut fact = Fact::new(fact_type, &key, Some(run), actor, asker.now, stamps);
    let detail = format!("the payload hashes to {hash}, the first was {first}");
    fact.details.insert("detail".to_owned(), detail);
    fact
}
