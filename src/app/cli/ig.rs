//! The commands of the gate: receipts, what was refused, what the bus did not answer.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Ig {
    /// Proofs of what was admitted
    #[command(subcommand)]
    Receipts(Receipts),
    /// Events that were received and refused
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Batches of which the bus did not say whether it took them
    #[command(subcommand)]
    Ambiguous(Ambiguous),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Those of a run, the newest first, a page at a time
    List {
        #[arg(long, value_name = "RUN")]
        run: String,
        /// Only those that follow the page that ended here
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
        /// Only this code, such as SCHEMA_INVALID
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = page_limit())]
        limit: u64,
    },
    /// One, with its payload and what became of it since
    Show {
        #[arg(value_name = "QUARANTINE_ID")]
        id: String,
    },
    /// Submit one to the gate again, once its cause is gone; exit 3 if the gate refuses it again
    #[command(
        after_help = "The kept payload is sent unchanged and judged like any other event: after an upgrade that knows its class or schema version, or when a time that was ahead has come. Each try is appended to the record that `show` prints. A payload that must change is sent by its producer instead."
    )]
    Requeue {
        #[arg(value_name = "QUARANTINE_ID")]
        id: String,
        /// Why its cause is gone; stays on record with the try
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// Those of a run in order of admission, a page at a time, also of days that have left the database
    List {
        #[arg(long, value_name = "RUN")]
        run: String,
        /// Only those that follow the page that ended here
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
        /// Only this class, such as traffic
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// Only ADMITTED, or only PUBLISH_IN_FLIGHT
        #[arg(long, value_name = "RESULT")]
        result: Option<String>,
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = page_limit())]
        limit: u64,
    },
    /// That of one event
    Show {
        #[arg(long, value_name = "RUN")]
        run: String,
        #[arg(long, default_value = "traffic", value_name = "CLASS")]
        class: String,
        /// The day of its admission: an old receipt is found faster
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: Option<String>,
        #[arg(value_name = "EVENT_ID")]
        event_id: String,
    },
    /// Write what stands in no segment yet, each receipt once
    #[command(
        after_help = "The gate does the same by itself for its own receipts and those of gates that are gone. A segment that could not be written is written again; what a restored database no longer knows as missing is found here."
    )]
    Backfill {
        #[arg(long, value_name = "RUN")]
        run: String,
    },
}

/// As many rows as one page of the HTTP interface has at most.
fn page_limit() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1_000)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ambiguous {
    /// Those that are open
    List,
    /// Look now whether the log has them, publish what it has not; exit 3 if some stay open
    #[command(
        after_help = "The gate does the same by itself from time to time. A batch stays open while the log does not answer; its events are kept until then."
    )]
    Resolve,
}
