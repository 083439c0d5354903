//! One pass, in order: what is pruned first makes room for what is dropped after it.

use std::fmt;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::groups;
use crate::maintenance::Error;
use crate::maintenance::days::{self, DayReport, Outcome};
use crate::maintenance::role::Options;
use crate::maintenance::{context, dedupe, runs, segments, snapshots};
use crate::runtime::ground::Ground;
use crate::runtime::lease::{LEASE_MS, Lease, LeaseKey};
use crate::substrate::db::{Day, Db};

const RENEW_EVERY: std::time::Duration = std::time::Duration::from_millis(LEASE_MS as u64 / 4);
/// How long a pass waits for another one, at most a dead one's lease and some.
const LEASE_WAIT: std::time::Duration = std::time::Duration::from_millis(LEASE_MS as u64 + 2_000);
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// What a pass is to do.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// As if it were this day; today where it is not said. A day to come is refused.
    pub as_of: Option<Day>,
    /// Only tell.
    pub dry_run: bool,
    /// Wait for another pass to end, instead of leaving it to that one.
    pub wait: bool,
}

/// What a pass did, or would do.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub as_of: String,
    pub dry_run: bool,
    /// Rows that left the dedupe index.
    pub dedupe_rows: u64,
    /// Ended runs whose repeats nobody needs to know any more.
    pub runs_closed: u64,
    /// Segments of the decision log that were written, and the decisions that they hold.
    pub segments: u64,
    pub segment_decisions: u64,
    /// Rows of context that no payment can meet any more.
    pub context_rows: u64,
    /// Superseded objects.
    pub snapshots: u64,
    /// Days of evidence that are due, dropped or not, and why not.
    pub days: Vec<DayReport>,
}

impl Report {
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_dropped = |it: &DayReport| it.outcome == Outcome::Dropped;
        let n_done = self.dedupe_rows + self.runs_closed + self.segments;
        n_done + self.context_rows + self.snapshots == 0 && !self.days.iter().any(is_dropped)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_days = |outcome| self.days.iter().filter(|it| it.outcome == outcome).count();
        write!(
            f,
            "{} dedupe rows pruned, {} runs closed, {} decisions written in {} segments, \
             {} context rows and {} snapshots removed, {} days dropped, {} kept",
            self.dedupe_rows,
            self.runs_closed,
            self.segment_decisions,
            self.segments,
            self.context_rows,
            self.snapshots,
            n_days(Outcome::Dropped) + n_days(Outcome::WouldDrop),
            n_days(Outcome::Kept)
        )
    }
}

/// What every step works with.
pub(super) struct Pass<'a> {
    pub(super) ground: &'a Ground,
    pub(super) identity: &'a Db,
    pub(super) options: &'a Options,
    pub(super) as_of: Day,
    pub(super) dry_run: bool,
    stop: &'a CancellationToken,
    lease: Lease,
    renewed: Instant,
}

impl Pass<'_> {
    /// Between two steps: keeps the lease, and says whether to go on.
    pub(super) async fn goes_on(&mut self) -> Result<bool, Error> {
        if self.renewed.elapsed() >= RENEW_EVERY {
            self.lease.renew(&self.ground.db.get().await?, None).await?;
            self.renewed = Instant::now();
        }
        Ok(!self.stop.is_cancelled())
    }

    /// The day that the context was last swept as of.
    pub(super) fn swept(&self) -> Option<Day> {
        self.lease.position.parse().ok().map(Day)
    }

    pub(super) async fn has_swept(&mut self) -> Result<(), Error> {
        let mut client = self.ground.db.get().await?;
        let tx = client.transaction().await?;
        let to = self.as_of.0.to_string();
        self.lease.advance(&tx, &to, None).await?;
        tx.commit().await?;
        self.lease.moved(to);
        Ok(())
    }
}

/// Does one pass.
///
/// # Errors
/// [`Error::Busy`] when another process is at it, and those of the substrates; what was done stands.
pub async fn run(
    ground: &Ground,
    identity: &Db,
    options: &Options,
    asked: &Asked,
    stop: &CancellationToken,
) -> Result<Report, Error> {
    let today = Day::of(ground.clock.now());
    let as_of = asked.as_of.unwrap_or(today);
    if today < as_of {
        return Err(Error::Future { as_of });
    }
    let mut pass = Pass {
        lease: take(ground, asked.wait).await?,
        ground,
        identity,
        options,
        as_of,
        dry_run: asked.dry_run,
        stop,
        renewed: Instant::now(),
    };
    let mut report = Report {
        as_of: as_of.to_string(),
        dry_run: asked.dry_run,
        ..Report::default()
    };
    let done = steps(&mut pass, &mut report).await;
    pass.lease.release(&ground.db.get().await?).await?;
    done.map(|()| report)
}

async fn steps(pass: &mut Pass<'_>, report: &mut Report) -> Result<(), Error> {
    report.dedupe_rows += dedupe::prune_live(pass).await?;
    let (closed, rows) = runs::close(pass).await?;
    report.runs_closed = closed;
    report.dedupe_rows += rows;
    let written = segments::write(pass).await?;
    (report.segments, report.segment_decisions) = (written.segments, written.decisions);
    report.days = days::drop_due(pass).await?;
    let over = runs::drained(pass).await?;
    report.snapshots = snapshots::remove(pass, &over).await?;
    report.context_rows = context::sweep(pass, &over).await?;
    Ok(())
}

/// The lease of maintenance. A pass of this very process counts as another one.
async fn take(ground: &Ground, wait: bool) -> Result<Lease, Error> {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let holder = format!("{} maintenance {number}", ground.holder);
    let key = LeaseKey::new(groups::MAINTENANCE, "all");
    let deadline = Instant::now() + LEASE_WAIT;
    loop {
        let taken = key.take(&ground.db.get().await?, &holder, "").await?;
        match taken {
            Some(lease) => return Ok(lease),
            None if !wait || deadline <= Instant::now() => return Err(Error::Busy),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
