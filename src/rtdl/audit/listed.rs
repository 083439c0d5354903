//! Decisions as they are listed and asked for, over HTTP and at the command line.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::decision::{DecisionBody, RuleResult};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{Outcome, Posture};
use crate::rtdl::audit::Error;
use crate::runtime::decisions::{self, ENTITIES, StoredDecision, Wanted};
use crate::runtime::ground::Ground;

const KNOWS_RUN: &str = include_str!("sql/knows_run.sql");

/// Decisions on a page where the request does not say, and at most.
pub const PAGE: usize = 100;
pub const PAGE_MAX: usize = 1_000;

/// What a list may be narrowed by, in the order of the documentation.
pub(super) const FILTERS: [&str; 10] = [
    "event_id", "entity", "outcome", "rule", "from", "to", "degraded", "after", "limit", "run",
];

/// A decision as it is listed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionRow {
    /// Its place in the chain of its run.
    pub seq: i64,
    pub decision_id: DecisionId,
    pub event_id: EventId,
    pub ts_utc: Time,
    pub outcome: Outcome,
    pub rule_score: i64,
    pub reasons: Vec<String>,
    /// The rules that fired.
    pub rules: Vec<String>,
    pub degraded: Vec<String>,
    pub posture: Posture,
    pub bundle_digest: Digest,
    pub body_hash: Digest,
}

/// A page of decisions, in order of the chain.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionPage {
    pub results: Vec<DecisionRow>,
    /// What to ask after for the next page, also where this one is not full; absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why something that was asked for is none, as the end of a sentence that names it.
pub(super) type Unfit = (&'static str, String);

/// Reads what is asked for, by the names of [`FILTERS`]; `run` is read by the caller.
///
/// # Errors
/// The first that is unknown, said twice or no legal value.
pub fn wanted<'a>(asked: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Wanted, Unfit> {
    let mut wanted = Wanted {
        limit: PAGE,
        ..Wanted::default()
    };
    let mut said: Vec<&'static str> = Vec::new();
    for (name, value) in asked {
        let known = FILTERS.iter().find(|it| **it == name);
        let Some(name) = known.copied() else {
            let (first, rest) = (FILTERS[9], &FILTERS[..9]);
            return Err((
                "a parameter",
                format!("none of {first}, {}", rest.join(", ")),
            ));
        };
        if said.contains(&name) {
            return Err((name, "said twice".to_owned()));
        }
        said.push(name);
        match name {
            "event_id" => wanted.event_id = Some(parsed(name, value)?),
            "entity" => wanted.entity = Some(entity(name, value)?),
            "outcome" => wanted.outcome = Some(parsed(name, value)?),
            "rule" => wanted.rule = Some(rule(name, value)?),
            "from" => wanted.from = Some(time(name, value)?),
            "to" => wanted.to = Some(time(name, value)?),
            "degraded" => wanted.degraded = Some(truth(name, value)?),
            "after" => wanted.after = number(name, value, 0..=i64::MAX)?,
            "limit" => {
                let max = i64::try_from(PAGE_MAX).expect("it is small");
                wanted.limit = usize::try_from(number(name, value, 1..=max)?).unwrap_or(PAGE);
            }
            _ => {}
        }
    }
    Ok(wanted)
}

fn parsed<T: FromStr<Err = crate::domain::digest::ParseError>>(
    name: &'static str,
    value: &str,
) -> Result<T, Unfit> {
    let read = value.parse::<T>();
    read.map_err(|cause| (name, format!("not {}", cause.expected)))
}

fn entity(name: &'static str, value: &str) -> Result<(&'static str, String), Unfit> {
    let (kind, id) = value.split_once(':').unwrap_or((value, ""));
    let kind = ENTITIES.iter().find(|(_, it)| *it == kind);
    match kind {
        Some((_, kind)) if !id.is_empty() => Ok((kind, id.to_owned())),
        _ => {
            let kinds = ENTITIES.map(|(_, it)| it).join(", ");
            Err((
                name,
                format!("such as customer_id:c1; the kinds are {kinds}"),
            ))
        }
    }
}

fn rule(name: &'static str, value: &str) -> Result<String, Unfit> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match (1..=64).contains(&value.len()) && value.bytes().all(is_legal) {
        true => Ok(value.to_owned()),
        false => Err((name, "the id of a rule, such as R001".to_owned())),
    }
}

/// A time, or a day for its first moment.
fn time(name: &'static str, value: &str) -> Result<Time, Unfit> {
    let read = match value.len() {
        10 => format!("{value}T00:00:00Z").parse::<Time>(),
        _ => value.parse(),
    };
    let unfit = |_| {
        (
            name,
            "a day or a time such as 2025-01-31T12:00:00Z".to_owned(),
        )
    };
    read.map_err(unfit)
}

fn truth(name: &'static str, value: &str) -> Result<bool, Unfit> {
    value
        .parse()
        .map_err(|_| (name, "true or false".to_owned()))
}

fn number(
    name: &'static str,
    value: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, Unfit> {
    let is_digits = !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit());
    let number = is_digits.then(|| value.parse().ok()).flatten();
    let fits = number.filter(|it| range.contains(it));
    fits.ok_or_else(|| {
        let what = match name {
            "after" => "what the page before gave as `next`".to_owned(),
            _ => format!("a whole number from {} to {}", range.start(), range.end()),
        };
        (name, what)
    })
}

/// A page of a run; `None` for a run that there is not.
///
/// # Errors
/// Those of [`decisions::search`].
pub async fn page(
    ground: &Ground,
    run: &PlatformRunId,
    wanted: &Wanted,
) -> Result<Option<DecisionPage>, Error> {
    let client = ground.db.get().await?;
    let is_known: bool = client.query_one(KNOWS_RUN, &[run]).await?.get(0);
    drop(client);
    if !is_known {
        return Ok(None);
    }
    let found = decisions::search(ground, run, wanted).await?;
    let results = found.decisions.into_iter();
    Ok(Some(DecisionPage {
        results: results.map(|(stored, body)| row(&stored, body)).collect(),
        next: found.next.map(|it| it.to_string()),
    }))
}

fn row(stored: &StoredDecision, body: DecisionBody) -> DecisionRow {
    let fired = body.trace.iter();
    let fired = fired.filter(|it| it.result == RuleResult::Fired);
    DecisionRow {
        seq: stored.seq,
        decision_id: stored.decision_id,
        rules: fired.map(|it| it.rule_id.clone()).collect(),
        event_id: body.event_id,
        ts_utc: body.ts_utc,
        outcome: body.outcome,
        rule_score: body.rule_score,
        reasons: body.reasons,
        degraded: body.degraded,
        posture: body.posture,
        bundle_digest: body.bundle_digest,
        body_hash: stored.body_hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let read = wanted([
            ("run", "any"),
            ("entity", "customer_id:c:1"),
            ("outcome", "REVIEW"),
            ("rule", "R001"),
            ("from", "2025-01-31"),
            ("to", "2025-01-31T12:00:00Z"),
            ("degraded", "false"),
            ("after", "17"),
            ("limit", "1000"),
        ]);
        let read = read.unwrap();
        assert_eq!(read.entity, Some(("customer_id", "c:1".to_owned())));
        assert_eq!(read.outcome, Some(Outcome::Review));
        assert!(read.from < read.to);
        assert_eq!(
            (read.degraded, read.after, read.limit),
            (Some(false), 17, 1_000)
        );
    }

    #[test]
    fn what_is_no_legal_value_is_named() {
        for (name, value) in [
            ("entity", "customer_id"),
            ("entity", "customer_id:"),
            ("entity", "shoe_size:9"),
            ("outcome", "approve"),
            ("rule", ""),
            ("rule", "a b"),
            ("from", "yesterday"),
            ("to", "2025-13-01"),
            ("degraded", "yes"),
            ("after", "-1"),
            ("after", "x"),
            ("limit", "0"),
            ("limit", "1001"),
            ("event_id", ""),
        ] {
            let (of, why) = wanted([(name, value)]).unwrap_err();
            assert_eq!(of, name, "{value}: {why}");
        }
        assert_eq!(wanted([("page", "1")]).unwrap_err().0, "a parameter");
        assert_eq!(
            wanted([("limit", "1"), ("limit", "1")]).unwrap_err().1,
            "said twice"
        );
    }
}
