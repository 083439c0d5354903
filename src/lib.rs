//! fraudplat: payments in, decisions out, every one recomputable. The rooms, in reading order;
//! `tests/architecture.rs` keeps who may name whom.

/// Pure: ids, pins, offsets, canonical digests, vocabularies, laws.
pub mod domain;

/// What crosses a wire or rests in a store.
pub mod contracts;

/// Pure: features, policy, decide; the same code for live decisions, replay and backtests.
pub mod engine;

/// The only room that meets the outside.
pub mod substrate;

/// Counters and facts.
pub mod governance;

/// Leases, consumers, the outbox.
pub mod runtime;

/// Worlds in, events through the gate.
pub mod ingress;

/// Real time: from the bus to a decision.
pub mod rtdl;

/// What decides is kept and changed here.
pub mod learning;

/// Balances a run: the oracle of every storm.
pub mod reconcile;

/// Keeps what runs for years bounded: prunes, drops after proof.
pub mod maintenance;

/// Profile, wiring, command line.
pub mod app;
