//! Reads what is counted: the run's facts, its world, its decisions page by page, its counts.

use anyhow::Context;

use crate::app::commands::Call;
use crate::app::report::figures::{Figures, Span};
use crate::app::report::known::World;
use crate::app::report::rules::Written;
use crate::contracts::bundle::Bundle;
use crate::contracts::policy::Policy;
use crate::contracts::ready::RunFacts;
use crate::contracts::run_report::{Campaign, Events, Fraud, RuleFigures};
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::rtdl::audit;
use crate::runtime::ground::Ground;
use crate::substrate::objects::ObjectKey;

const SPAN: &str = include_str!("../sql/report_span.sql");
const COUNTS: &str = include_str!("../sql/report_counts.sql");
const RUN_FACTS: &str = include_str!("../sql/read_run_facts.sql");

/// Decisions, and arrivals of a world, read at a time.
pub(super) const PAGE: i64 = 2_000;

/// A run, counted.
pub(crate) struct Collected {
    pub(crate) facts: RunFacts,
    pub(crate) figures: Figures,
    pub(crate) events: Events,
    pub(super) world: World,
    pub(super) span: Option<Span>,
    /// The seq of the last decision counted.
    pub(super) last_seq: i64,
    /// The rules as their author wrote them, of the last bundle that decided, by id.
    pub(super) written: Vec<(String, Written)>,
    pub(super) bundle_name: String,
}

/// Counts a run up to the end of its chain as it is now.
///
/// # Errors
/// A decision, a world or a bundle that is not what its hash says, and those of the substrates.
pub(crate) async fn collect(call: &Call, run: &PlatformRunId) -> anyhow::Result<Collected> {
    let facts = run_facts(&call.ground, run).await?;
    let facts = facts.with_context(|| format!("there is no run {run}"))?;
    let client = call.ground.db.get().await?;
    let row = client.query_one(SPAN, &[run]).await?;
    let last_seq: i64 = row.get(0);
    let span = span(row.get(1), row.get(2), row.get(3), row.get(4));
    let counts = client.query_one(COUNTS, &[run]).await?;
    let received: i64 = counts.get(0);
    let events = Events {
        sent: received,
        received,
        admitted: counts.get(1),
        duplicate: counts.get(2),
        quarantined: counts.get(3),
        ambiguous: 0,
    };
    drop(client);
    let world = match &facts.world {
        Some(world) => World::read(&call.ground, world).await?,
        None => World::default(),
    };
    let figures = Figures::new(&span.unwrap_or_default());
    let mut collected = Collected {
        facts,
        figures,
        events,
        world,
        span,
        last_seq,
        written: Vec::new(),
        bundle_name: String::new(),
    };
    if let Some(bundle) = collected.decisions(call, run).await? {
        collected.read_bundle(&call.ground, &bundle).await?;
    }
    Ok(collected)
}

fn span(
    first_ts: Option<Time>,
    last_ts: Option<Time>,
    first_decided: Option<Time>,
    last_decided: Option<Time>,
) -> Option<Span> {
    Some(Span {
        first_ts: first_ts?,
        last_ts: last_ts?,
        first_decided: first_decided?,
        last_decided: last_decided?,
    })
}

impl Collected {
    /// Counts every decision; returns the digest of the bundle that made the last.
    async fn decisions(
        &mut self,
        call: &Call,
        run: &PlatformRunId,
    ) -> anyhow::Result<Option<Digest>> {
        let (mut after, mut bundle) = (0, None);
        while after < self.last_seq {
            let limit = PAGE.min(self.last_seq - after);
            let page = audit::list(&call.ground, run, after, limit).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for stored in &page {
                let (body, evidence) = stored.open()?;
                let known = self.world.get(&body.event_id);
                self.figures.add(&body, &evidence, known.as_ref());
                bundle = Some(body.bundle_digest);
            }
            let done = |seq: i64| seq.unsigned_abs();
            call.output
                .progress("counting", done(after), done(self.last_seq));
        }
        Ok(bundle)
    }

    async fn read_bundle(&mut self, ground: &Ground, digest: &Digest) -> anyhow::Result<()> {
        let key: ObjectKey = format!("mpr/bundles/{digest}.json").parse()?;
        let stored = ground.objects.get(&key).await?;
        let stored = stored.with_context(|| format!("the bundle {digest} is not stored"))?;
        let bundle: Bundle = serde_json::from_slice(&stored)?;
        anyhow::ensure!(
            bundle.digest() == *digest,
            "object {key} is not the bundle it names"
        );
        let policy: Policy = serde_saphyr::from_str(&bundle.policy)?;
        self.bundle_name = format!(
            "{} (policy {}, revision {})",
            bundle.name, policy.policy, policy.policy_rev
        );
        let written = policy.rules.into_iter().map(|rule| {
            let written = Written {
                description: rule.description,
                outcome: rule.outcome,
                reason_code: rule.reason_code,
            };
            (rule.id, written)
        });
        self.written = written.collect();
        Ok(())
    }

    /// Whether anyone knows what was fraud.
    pub(crate) fn has_truth(&self) -> bool {
        self.facts.world.is_some()
    }

    pub(crate) fn fraud(&self) -> Fraud {
        let frauds = &self.figures.frauds;
        Fraud {
            count: frauds.all.count,
            caught: frauds.all.caught,
            amount_minor: frauds.all.amount_minor,
            caught_minor: frauds.all.caught_minor,
            currency: self.world.currency().to_owned(),
            false_alarms: frauds.false_alarms,
            precision: frauds.precision(),
        }
    }

    /// The most valuable first.
    pub(crate) fn campaigns(&self) -> Vec<Campaign> {
        let by_campaign = self.figures.frauds.by_campaign.iter();
        let mut campaigns: Vec<Campaign> = by_campaign
            .map(|(number, caught)| Campaign {
                name: self.world.campaigns.name(*number).to_owned(),
                count: caught.count,
                caught: caught.caught,
                amount_minor: caught.amount_minor,
                caught_minor: caught.caught_minor,
            })
            .collect();
        campaigns.sort_by(|left, right| {
            let value = |it: &Campaign| std::cmp::Reverse(it.amount_minor);
            value(left)
                .cmp(&value(right))
                .then_with(|| left.name.cmp(&right.name))
        });
        campaigns
    }

    pub(crate) fn rules(&self) -> Vec<RuleFigures> {
        self.figures.rules.figures(self.figures.frauds.all.count)
    }

    /// A decision worth looking at: the last that was not approved.
    pub(crate) fn example(&self) -> Option<&str> {
        self.figures.example.as_deref()
    }
}

/// What a run is, as it was pinned; `None` if there is no such run.
///
/// # Errors
/// Facts that are absent or not those that the run names.
async fn run_facts(ground: &Ground, run: &PlatformRunId) -> anyhow::Result<Option<RunFacts>> {
    let row = ground.db.get().await?.query_opt(RUN_FACTS, &[run]).await?;
    let Some(row) = row else { return Ok(None) };
    let (key, digest): (&str, Digest) = (row.get(0), row.get(1));
    let stored = ground.objects.get(&key.parse()?).await?;
    let stored = stored.with_context(|| format!("the run's facts {key} are not stored"))?;
    anyhow::ensure!(
        Digest::of_bytes(&stored) == digest,
        "{key} is not what the run was made with"
    );
    Ok(Some(serde_json::from_slice(&stored)?))
}
