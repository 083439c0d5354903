//! The commands of the Action Layer.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ActionsCommand {
    /// The newest first, a page at a time
    List {
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only OPEN, DEAD, SUCCEEDED or FAILED ones
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only this type, such as block_payment
        #[arg(long = "type", value_name = "INTENT_TYPE")]
        intent_type: Option<String>,
        /// Only those that follow the page that ended here
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// One, with every attempt and how it ended
    Show {
        #[arg(value_name = "ACTION_INTENT_ID")]
        id: String,
    },
    /// Have a dead letter tried again, under the same idempotency key; exit 3 if it is none
    Requeue {
        #[arg(value_name = "ACTION_INTENT_ID")]
        id: String,
        /// Why it will fare otherwise; stays on record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give a dead letter up: its outcome is FAILED, for ever; exit 3 if it is none
    Abandon {
        #[arg(value_name = "ACTION_INTENT_ID")]
        id: String,
        /// Why; stays on record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}
