//! What crosses a wire or rests in a store, one file each; corridor traits.
//!
//! **Invariant:** these types carry meaning and no behaviour beyond their own form: hashing,
//! checking, naming. A stored form is for ever: `tests/golden` keeps a sample of each, and every
//! old sample loads.

pub mod action_intent;
pub mod action_outcome;
pub mod archive_row;
pub mod attributes;
pub mod bundle;
pub mod bundle_registry;
pub mod bundle_resolver;
pub mod canonical;
pub mod case_message;
pub mod case_trigger;
pub mod chain_anchor;
pub mod chunks;
pub mod code;
pub mod control;
pub mod decision;
pub mod decision_notice;
pub mod envelope;
pub mod fact;
pub mod feature_set;
pub mod graph;
pub mod groups;
pub mod label_assertion;
pub mod mapping;
pub mod payload;
pub mod payload_schemas;
pub mod permission;
pub mod policy;
pub mod problem;
pub mod progress;
pub mod ready;
pub mod receipt;
pub mod reconciliation;
pub mod run_position;
pub mod run_report;
pub mod run_snapshot;
pub mod scenario;
pub mod schema;
pub mod stamps;
pub mod trees;
pub mod verdict;
pub mod world;
