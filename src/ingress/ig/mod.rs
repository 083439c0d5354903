//! The Ingestion Gate: validates, tokenises, dedupes, publishes, receipts, quarantines (DESIGN §4).
//!
//! **Invariant:** every parsed envelope of a known run ends in exactly one of ADMITTED, DUPLICATE,
//! QUARANTINED, or stays open; an answer never says more than what is durable (L1, L5).
//! **Invariant:** one payload per (run, class, event id) is ever admitted; another is an anomaly (L3).
//! **Invariant:** no card number in clear leaves the memory of a request.

mod backfill;
mod batch;
mod body;
mod doc;
mod encoding;
mod error;
mod http;
mod item;
mod listing;
mod lists;
mod lookup;
mod pipeline;
mod publish;
mod quarantine;
mod queue;
mod rates;
mod receipts;
mod receive;
mod requeue;
mod resolver;
mod role;
mod runs;
mod segments;
mod settled;
mod store;
mod terminal;
mod tokenise;
mod validate;
mod wait;

pub use backfill::Backfilled;
pub use error::Error;
pub use http::api;
pub use listing::{PAGE_MAX, Place, ReceiptPage, Wanted};
pub use lookup::{Named, receipt_list, receipt_show};
pub use quarantine::{
    QuarantinePage, QuarantinePlace, Quarantined, quarantine_list, quarantine_show,
};
pub use requeue::{Requeued, Try, never_requeued, requeued, requeues};
pub use role::{Ig, Options};
