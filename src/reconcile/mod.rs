//! Reconciliation: balances the durable rows of a run at a pinned cut and audits every reference
//! between them (L5, L6, L11). The oracle of every storm.
//!
//! **Invariant:** it only reads, but for the one artifact it writes create-once.
//! **Invariant:** it believes nothing that it can recompute: hashes, links and keys are made again.
//! **Invariant:** memory holds one event class at a time, some 40 bytes an event.
//!
//! Every check is explained in `docs/reconciliation.md`.

mod actions;
mod archive;
mod artifact;
mod bus;
mod check;
mod context;
mod cut;
mod decisions;
mod error;
mod gate;
mod index;
mod receipts;
mod references;
mod segments;

use std::time::Duration;

use crate::contracts::reconciliation::{Reconciliation, SCHEMA_VERSION};
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::EventClass;
use crate::reconcile::check::Findings;
use crate::reconcile::cut::{Cut, Positions};
use crate::reconcile::decisions::DecisionLog;
use crate::reconcile::index::Index;
use crate::runtime::ground::Ground;
use crate::substrate::objects::ObjectKey;

pub use error::Error;

/// How far the audit goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long to wait until every group has passed the cut. What is left then is reported.
    pub wait: Duration,
    /// Reads every archive segment and compares its hash; else only asks whether it is there.
    pub hash_archive: bool,
    /// Decisions whose evidence is followed to the bus, spread evenly over the chain.
    pub evidence_samples_max: u64,
    /// Follows the evidence of every decision.
    pub deep: bool,
    /// Whether this platform archives; a profile may switch that off.
    pub has_archive: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            wait: Duration::ZERO,
            hash_archive: true,
            evidence_samples_max: 2_000,
            deep: false,
            has_archive: true,
        }
    }
}

/// Told what is being done and how many it has done, every few thousand.
pub type Progress<'a> = &'a (dyn Fn(&str, u64) + Send + Sync);

/// What was found, and where the artifact rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    pub reconciliation: Reconciliation,
    pub object_key: ObjectKey,
}

/// What every part of the audit works on.
struct Audit<'a> {
    ground: &'a Ground,
    run: PlatformRunId,
    options: Options,
    progress: Progress<'a>,
    cut: Cut,
    positions: Positions,
}

/// Balances a run and writes the artifact. An unbalanced run is a result, not an error.
///
/// # Errors
/// [`Error::UnknownRun`], and those of the substrates: a log that retention has cut is refused,
/// never guessed (L8).
pub async fn reconcile(
    ground: &Ground,
    run: &PlatformRunId,
    options: Options,
    progress: Progress<'_>,
) -> Result<Reconciled, Error> {
    let cut = Cut::take(ground, run).await?;
    let positions = cut::wait(ground, run, &cut, &options).await?;
    let audit = Audit {
        ground,
        run: *run,
        options,
        progress,
        cut,
        positions,
    };
    let mut findings = Findings::default();
    audit.balance(&mut findings).await?;
    let checks = findings.into_checks();
    let reconciliation = Reconciliation {
        schema_version: SCHEMA_VERSION,
        platform_run_id: *run,
        cut: audit.cut.basis(),
        made_at: ground.clock.now(),
        balanced: checks.iter().all(|check| check.balances()),
        checks,
        stamps: ground.stamps.clone(),
    };
    let object_key = artifact::write(ground.objects.as_ref(), &reconciliation).await?;
    Ok(Reconciled {
        reconciliation,
        object_key,
    })
}

impl Audit<'_> {
    async fn balance(&self, findings: &mut Findings) -> Result<(), Error> {
        let counts = gate::counts(self, findings).await?;
        let batches = gate::batches(self, findings).await?;
        receipts::audit(self, &batches, findings).await?;
        gate::quarantine(self, &counts, findings).await?;

        let mut traffic = Index::load(self, EventClass::Traffic).await?;
        let mut log = decisions::walk(self, &mut traffic).await?;
        let mut on_bus = 0;
        on_bus += self
            .class(EventClass::Traffic, traffic, &mut log, &counts, findings)
            .await?;
        for class in [
            EventClass::ArrivalEvent,
            EventClass::ArrivalEntities,
            EventClass::FlowAnchor,
        ] {
            let index = Index::load(self, class).await?;
            on_bus += self
                .class(class, index, &mut log, &counts, findings)
                .await?;
        }
        log.references.report(findings);
        actions::audit(self, findings).await?;
        segments::audit(self, findings).await?;
        archive::audit(self, on_bus, findings).await?;
        gate::leftovers(self, findings).await
    }

    /// One class from its rows to the bus to its consumer. Returns the records on the bus that the
    /// archive has passed.
    async fn class(
        &self,
        class: EventClass,
        mut index: Index,
        log: &mut DecisionLog,
        counts: &gate::Counts,
        findings: &mut Findings,
    ) -> Result<i64, Error> {
        gate::rows(self, class, &index, counts, findings).await?;
        let tally = bus::scan(self, class, &mut index, &mut log.references).await?;
        let (passed, archived) = (tally.passed, tally.archived);
        bus::report(self, class, &index, tally, findings).await?;
        match class {
            EventClass::Traffic => {
                decisions::balance(self, &mut index, log, passed, findings).await?;
            }
            _ => context::balance(self, class, &mut index, passed, findings).await?,
        }
        Ok(archived)
    }
}
