//! `POST /v1/actions/intents`: one intent or an array of them, a verdict each, in order.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::code::Code;
use crate::contracts::ready::Ready;
use crate::contracts::stamps::Actor;
use crate::domain::digest::Digest;
use crate::domain::ids::{ActionIntentId, PlatformRunId};
use crate::domain::keys::Pins;
use crate::domain::time::Time;
use crate::domain::vocabulary::vocabulary;
use crate::governance::counters::Counter;
use crate::rtdl::actions::Error;
use crate::runtime::actions::{self, Asker, Taken};
use crate::runtime::ground::Ground;
use crate::runtime::partitions::Partitions;
use crate::substrate::db::{self, Client, Day};

const READ_PINS: &str = include_str!("sql/read_run_pins.sql");

/// Intents of one request at most.
pub(super) const INTENTS_MAX: usize = 1_000;

vocabulary!(
    /// The verdict on one intent of a request.
    IntentResult {
        /// It is known, now or since an earlier request: both are answered alike.
        Accepted = "ACCEPTED",
        /// Another payload is known under its id; nothing was changed.
        Conflict = "CONFLICT",
        /// It is none; nothing was stored.
        Rejected = "REJECTED",
    }
);

/// The verdict on one intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IntentVerdict {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_intent_id: Option<ActionIntentId>,
    pub result: IntentResult,
    /// When it was asked for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_hash: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The answer to a request: a verdict an intent, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IntentsAnswer {
    pub results: Vec<IntentVerdict>,
}

impl IntentVerdict {
    fn refused(id: Option<ActionIntentId>, code: Code, detail: String) -> IntentVerdict {
        IntentVerdict {
            action_intent_id: id,
            result: match code {
                Code::PayloadHashMismatch => IntentResult::Conflict,
                _ => IntentResult::Rejected,
            },
            requested_at: None,
            payload_hash: None,
            code: Some(code),
            detail: Some(detail),
        }
    }
}

/// The items of a body as they stand in it, and whether it is an array of them.
///
/// # Errors
/// Where it is no JSON object and no array.
pub(super) fn split(body: &[u8]) -> Result<(Vec<&[u8]>, bool), String> {
    let body = body.trim_ascii();
    let Some(mut rest) = body.strip_prefix(b"[") else {
        return match body.first() {
            Some(b'{') => Ok((vec![body], false)),
            _ => Err("the body is one JSON object, or an array of objects".to_owned()),
        };
    };
    let mut items = Vec::new();
    rest = rest.trim_ascii_start();
    if let Some(after) = rest.strip_prefix(b"]") {
        return ended(after, items);
    }
    loop {
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match stream.next() {
            Some(Ok(_)) => {}
            Some(Err(cause)) => return Err(format!("item {}: {cause}", items.len() + 1)),
            None => return Err("the array does not end".to_owned()),
        }
        let (item, after) = rest.split_at(stream.byte_offset());
        items.push(item.trim_ascii());
        let after = after.trim_ascii_start();
        match after.first() {
            Some(b',') => rest = after[1..].trim_ascii_start(),
            Some(b']') => return ended(&after[1..], items),
            _ => {
                return Err(format!(
                    "item {} is followed by neither , nor ]",
                    items.len()
                ));
            }
        }
    }
}

fn ended<'b>(after: &[u8], items: Vec<&'b [u8]>) -> Result<(Vec<&'b [u8]>, bool), String> {
    match after.trim_ascii().is_empty() {
        true => Ok((items, true)),
        false => Err("something follows the array".to_owned()),
    }
}

/// Takes the intents and answers each.
///
/// # Errors
/// Those of the database; then nothing was taken.
pub(super) async fn take(
    ground: &Ground,
    partitions: &Partitions,
    actor: &Actor,
    items: &[&[u8]],
) -> Result<IntentsAnswer, Error> {
    let read: Vec<Result<ActionIntent, IntentVerdict>> = items.iter().map(|it| parse(it)).collect();
    let mut client = ground.db.get().await?;
    let pins = known_pins(&client, read.iter().flatten()).await?;
    let judged: Vec<Result<ActionIntent, IntentVerdict>> = read
        .into_iter()
        .map(|it| it.and_then(|intent| of_run(intent, &pins)))
        .collect();
    let intents: Vec<&ActionIntent> = judged.iter().flatten().collect();
    let now = ground.clock.now();
    partitions.ensure(&client, Day::of(now)).await?;
    let asker = Asker {
        actor,
        stamps: &ground.stamps,
        now,
        with_decision: false,
    };
    let tx = client.transaction().await?;
    let taken = actions::request(&tx, asker, &intents).await?;
    tx.commit().await?;
    let mut taken = taken.into_iter();
    let results = judged.into_iter().map(|it| match it {
        Ok(intent) => verdict(ground, &intent, taken.next()),
        Err(refused) => refused,
    });
    Ok(IntentsAnswer {
        results: results.collect(),
    })
}

fn parse(item: &[u8]) -> Result<ActionIntent, IntentVerdict> {
    let invalid = |id, detail| IntentVerdict::refused(id, Code::IntentInvalid, detail);
    let intent: ActionIntent =
        serde_json::from_slice(item).map_err(|cause| invalid(None, cause.to_string()))?;
    match intent.check() {
        Ok(()) => Ok(intent),
        Err(why) => Err(invalid(Some(intent.action_intent_id), why)),
    }
}

async fn known_pins(
    client: &Client,
    intents: impl Iterator<Item = &ActionIntent>,
) -> Result<BTreeMap<PlatformRunId, Pins>, Error> {
    let mut runs: Vec<PlatformRunId> = intents.map(|it| it.pins.platform_run_id).collect();
    runs.sort_unstable();
    runs.dedup();
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = client.query(READ_PINS, &[&runs]).await?;
    let read = |row: &db::Row| {
        let ready: Ready =
            serde_json::from_slice(row.get(1)).map_err(|cause| db::Error::form("READY", &cause))?;
        Ok((row.get(0), ready.pins))
    };
    rows.iter().map(read).collect()
}

fn of_run(
    intent: ActionIntent,
    pins: &BTreeMap<PlatformRunId, Pins>,
) -> Result<ActionIntent, IntentVerdict> {
    let (id, run) = (Some(intent.action_intent_id), intent.pins.platform_run_id);
    match pins.get(&run) {
        Some(pins) if *pins == intent.pins => Ok(intent),
        Some(_) => {
            let detail = format!("pins are not those of {run}");
            Err(IntentVerdict::refused(id, Code::PinsMismatch, detail))
        }
        None => {
            let detail = format!("there is no run {run}");
            Err(IntentVerdict::refused(id, Code::RunUnknown, detail))
        }
    }
}

fn verdict(ground: &Ground, intent: &ActionIntent, taken: Option<Taken>) -> IntentVerdict {
    let id = intent.action_intent_id;
    match taken.expect("each intent that was asked for was answered") {
        Taken::At {
            requested_at,
            is_new,
        } => {
            let n = u64::from(is_new);
            ground
                .counters
                .add(&intent.pins, Counter::ActionRequested, n);
            IntentVerdict {
                action_intent_id: Some(id),
                result: IntentResult::Accepted,
                requested_at: Some(requested_at),
                payload_hash: Some(intent.payload_hash()),
                code: None,
                detail: None,
            }
        }
        Taken::Other { first } => {
            let detail = format!("{id} is known with another payload, which hashes to {first}");
            IntentVerdict::refused(Some(id), Code::PayloadHashMismatch, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(body: &str, expect: Result<(&[&str], bool), &str>) {
        let found = split(body.as_bytes());
        match expect {
            Ok((items, is_array)) => {
                let items: Vec<&[u8]> = items.iter().map(|it| it.as_bytes()).collect();
                assert_eq!(found, Ok((items, is_array)), "{body}");
            }
            Err(why) => assert!(found.as_ref().unwrap_err().contains(why), "{found:?}"),
        }
    }

    #[test]
    fn a_body_is_one_object_or_an_array() {
        check(" {\"a\":1} ", Ok((&["{\"a\":1}"], false)));
        check("[]", Ok((&[], true)));
        check(
            "[ {} ,{\"a\":[1,2]}, 7 ]",
            Ok((&["{}", "{\"a\":[1,2]}", "7"], true)),
        );
        check("", Err("one JSON object"));
        check("7", Err("one JSON object"));
        check("[{}", Err("followed by"));
        check("[{},]", Err("item 2"));
        check("[{} {}]", Err("followed by"));
        check("[{\"a\":]", Err("item 1"));
        check("[] []", Err("follows the array"));
    }
}
