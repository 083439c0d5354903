//! Searches the decision log of a run: by batches that may hold what is wanted, and by segments where days have left.
//! Work is bounded: a page that is not full may have a next one.

use crate::contracts::decision::{DecisionBody, RuleResult};
use crate::domain::ids::{DecisionId, EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, Outcome};
use crate::runtime::decisions::keys::{degraded_key, entity_key, key_words, outcome_key, rule_key};
use crate::runtime::decisions::log::next_segment;
use crate::runtime::decisions::{Error, StoredDecision, after, find};
use crate::runtime::ground::Ground;
use crate::substrate::db::Client;

const BATCHES: &str = include_str!("sql/search_batches.sql");
const ROWS: &str = include_str!("sql/search_rows.sql");

/// Batches and segments that one page opens at most.
const BATCHES_MAX: usize = 4_096;
const SEGMENTS_MAX: usize = 16;
/// Batches opened at a time, from the first to the last time.
const TOGETHER: (usize, usize) = (4, 256);

/// What is looked for: all that is said must hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only what follows this place of the chain.
    pub after: i64,
    pub limit: usize,
    pub event_id: Option<EventId>,
    /// Its kind, such as `customer_id`, and its value.
    pub entity: Option<(&'static str, String)>,
    pub outcome: Option<Outcome>,
    /// A rule that fired.
    pub rule: Option<String>,
    pub degraded: Option<bool>,
    /// Of the event's own time; `to` is the first that is not wanted.
    pub from: Option<Time>,
    pub to: Option<Time>,
}

/// What was found, in order of the chain.
#[derive(Debug, Default)]
pub struct Found {
    pub decisions: Vec<(StoredDecision, DecisionBody)>,
    /// What to search after to go on; absent at the end of the log.
    pub next: Option<i64>,
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.entity.is_none()
            && self.outcome.is_none()
            && self.rule.is_none()
            && self.degraded.is_none()
            && self.from.is_none()
            && self.to.is_none()
    }

    /// What stands beside each decision that is wanted.
    fn keys(&self) -> Vec<i64> {
        let entity = self.entity.as_ref().map(|(kind, it)| entity_key(kind, it));
        let rule = self.rule.as_deref().map(rule_key);
        entity.into_iter().chain(rule).collect()
    }

    /// What the filter of its batch is asked for.
    fn words(&self) -> Vec<i64> {
        let outcome = self.outcome.map(outcome_key);
        let degraded = self.degraded.map(degraded_key);
        let keys = self.keys().into_iter().chain(outcome).chain(degraded);
        keys.flat_map(key_words).collect()
    }

    /// Whether a body is wanted; its entities are not in it.
    fn takes(&self, body: &DecisionBody) -> bool {
        let fired = |rule: &String| {
            let of_rule = body.trace.iter().find(|it| it.rule_id == *rule);
            of_rule.is_some_and(|it| it.result == RuleResult::Fired)
        };
        self.outcome.is_none_or(|it| it == body.outcome)
            && self
                .degraded
                .is_none_or(|it| it != body.degraded.is_empty())
            && self.from.is_none_or(|it| it <= body.ts_utc)
            && self.to.is_none_or(|it| body.ts_utc < it)
            && self.rule.as_ref().is_none_or(fired)
    }

    /// Whether its event names the entity; unknown of decisions without keys.
    fn takes_keys(&self, keys: Option<&[i64]>) -> bool {
        let Some((kind, value)) = &self.entity else {
            return true;
        };
        keys.is_some_and(|keys| keys.contains(&entity_key(kind, value)))
    }
}

/// A page of what is wanted of a run.
///
/// # Errors
/// A record or segment that is missing or altered, and those of the substrates.
pub async fn search(ground: &Ground, run: &PlatformRunId, wanted: &Wanted) -> Result<Found, Error> {
    if let Some(event_id) = &wanted.event_id {
        return by_event(ground, run, event_id, wanted).await;
    }
    let mut search = Search {
        ground,
        run,
        wanted,
        at: wanted.after,
        found: Vec::new(),
        n_batches: 0,
        n_segments: 0,
    };
    let is_end = match wanted.is_all() {
        true => search.take_all().await?,
        false => search.look().await?,
    };
    Ok(search.end(is_end))
}

/// The id of a decision follows from its event.
async fn by_event(
    ground: &Ground,
    run: &PlatformRunId,
    event_id: &EventId,
    wanted: &Wanted,
) -> Result<Found, Error> {
    let mut page = Found::default();
    let id = DecisionId::of(run, EventClass::Traffic, event_id);
    let found = match find(ground, &[id]).await {
        Ok(found) => found,
        Err(Error::Unknown(_)) => return Ok(page),
        Err(error) => return Err(error),
    };
    for stored in found {
        let (body, _) = stored.open()?;
        // Whose entity it names is not in the log for sure, so the index is asked.
        let is_of_entity = match &wanted.entity {
            None => true,
            Some(_) => has_keys(ground, run, stored.seq, wanted).await?,
        };
        if wanted.after < stored.seq && is_of_entity && wanted.takes(&body) {
            page.decisions.push((stored, body));
        }
    }
    Ok(page)
}

async fn has_keys(
    ground: &Ground,
    run: &PlatformRunId,
    seq: i64,
    asked: &Wanted,
) -> Result<bool, Error> {
    let keys = &asked.keys();
    let client = ground.db.get().await?;
    let wanted = Wanted {
        limit: 1,
        entity: asked.entity.clone(),
        ..Wanted::default()
    };
    let rows = rows(&client, run, &wanted, (&[seq - 1], &[seq]), keys).await?;
    if !rows.is_empty() {
        return Ok(true);
    }
    let segment = next_segment(&client, run, seq - 1).await?;
    let Some(segment) = segment.filter(|it| it.first <= seq) else {
        return Ok(false);
    };
    let decisions = segment.read_with_keys(ground.objects.as_ref()).await?;
    let found = decisions.into_iter().find(|(it, _)| it.seq == seq);
    Ok(found.is_some_and(|(_, of)| of.is_some_and(|of| keys.iter().all(|it| of.contains(it)))))
}

/// A page that is being filled.
struct Search<'a> {
    ground: &'a Ground,
    run: &'a PlatformRunId,
    wanted: &'a Wanted,
    /// Up to here everything was looked at.
    at: i64,
    /// One more than is given, so that the last page is known as such.
    found: Vec<(StoredDecision, DecisionBody)>,
    n_batches: usize,
    n_segments: usize,
}

impl Search<'_> {
    fn is_full(&self) -> bool {
        self.found.len() > self.wanted.limit
    }

    fn left(&self) -> usize {
        (self.wanted.limit + 1).saturating_sub(self.found.len())
    }

    fn add(&mut self, stored: StoredDecision) -> Result<(), Error> {
        let (body, _) = stored.open()?;
        if self.wanted.takes(&body) && !self.is_full() {
            self.found.push((stored, body));
        }
        Ok(())
    }

    fn end(mut self, is_end: bool) -> Found {
        let is_full = self.is_full();
        self.found.truncate(self.wanted.limit);
        let last = self.found.last().map(|(it, _)| it.seq);
        let next = match (is_full, is_end) {
            (true, _) => last,
            (false, true) => None,
            (false, false) => Some(self.at),
        };
        Found {
            decisions: self.found,
            next,
        }
    }

    async fn take_all(&mut self) -> Result<bool, Error> {
        let limit = i64::try_from(self.left()).unwrap_or(i64::MAX);
        for stored in after(self.ground, self.run, self.at, limit).await? {
            self.add(stored)?;
        }
        Ok(!self.is_full())
    }

    /// Looks through rows and segments in turns, as they follow one another. Whether the end was reached.
    async fn look(&mut self) -> Result<bool, Error> {
        loop {
            let client = self.ground.db.get().await?;
            let segment = next_segment(&client, self.run, self.at).await?;
            let up_to = segment.as_ref().map_or(i64::MAX, |it| it.first - 1);
            if self.at < up_to && !self.look_at_rows(&client, up_to).await? {
                return Ok(false);
            }
            drop(client);
            let Some(segment) = segment else {
                return Ok(true);
            };
            if self.n_segments == SEGMENTS_MAX {
                return Ok(false);
            }
            self.n_segments += 1;
            let after = self.at;
            let objects = self.ground.objects.as_ref();
            for (stored, keys) in segment.read_with_keys(objects).await? {
                if after < stored.seq && self.wanted.takes_keys(keys.as_deref()) {
                    self.add(stored)?;
                }
            }
            self.at = segment.last;
            if self.is_full() {
                return Ok(false);
            }
        }
    }

    /// Whether all rows up to there were looked at.
    async fn look_at_rows(&mut self, client: &Client, up_to: i64) -> Result<bool, Error> {
        let (words, keys) = (self.wanted.words(), self.wanted.keys());
        let mut together = TOGETHER.0;
        loop {
            let left = (BATCHES_MAX - self.n_batches).min(together);
            if left == 0 {
                return Ok(false);
            }
            let (afters, lasts) = self.batches(client, up_to, &words, left).await?;
            let Some(last) = lasts.last().copied() else {
                self.at = up_to;
                return Ok(true);
            };
            let wanted = Wanted {
                limit: self.left(),
                ..self.wanted.clone()
            };
            let found = rows(client, self.run, &wanted, (&afters, &lasts), &keys).await?;
            // Rows without keys may come in vain: then the batches are not through yet.
            let is_cut = found.len() == wanted.limit;
            let seen = found.last().map(|it| it.seq).filter(|_| is_cut);
            for stored in found {
                self.add(stored)?;
            }
            if self.is_full() {
                return Ok(false);
            }
            self.at = seen.unwrap_or(last.min(up_to));
            self.n_batches += lasts.len();
            together = (2 * together).min(TOGETHER.1);
        }
    }

    /// The next batches that may hold what is wanted: after what, and up to where.
    async fn batches(
        &self,
        client: &Client,
        up_to: i64,
        words: &[i64],
        n: usize,
    ) -> Result<(Vec<i64>, Vec<i64>), Error> {
        let statement = client.prepare_cached(BATCHES).await?;
        let limit = i64::try_from(n).unwrap_or(i64::MAX);
        let (from, to) = (&self.wanted.from, &self.wanted.to);
        let found = client
            .query(
                &statement,
                &[&self.run, &self.at, &up_to, &words, from, to, &limit],
            )
            .await?;
        let afters = found.iter().map(|row| self.at.max(row.get(0)));
        let lasts = found.iter().map(|row| up_to.min(row.get(1)));
        Ok((afters.collect(), lasts.collect()))
    }
}

async fn rows(
    client: &Client,
    run: &PlatformRunId,
    wanted: &Wanted,
    (afters, lasts): (&[i64], &[i64]),
    keys: &[i64],
) -> Result<Vec<StoredDecision>, Error> {
    let outcome = wanted.outcome.map(Outcome::as_str);
    // Of a row without keys its rules are in the trace, its entities nowhere.
    let without_keys = wanted.entity.is_none();
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let statement = client.prepare_cached(ROWS).await?;
    let rows = client
        .query(
            &statement,
            &[
                run,
                &afters,
                &lasts,
                &outcome,
                &wanted.degraded,
                &wanted.from,
                &wanted.to,
                &without_keys,
                &keys,
                &limit,
            ],
        )
        .await?;
    Ok(rows.iter().map(StoredDecision::read).collect())
}
