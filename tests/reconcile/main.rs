//! Reconciliation on a real Postgres, the embedded log and local objects: a small world balances,
//! and each kind of damage is caught by the check that is there for it.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod actions;
mod damage;
mod log;
mod objects;
#[path = "../support/postgres.rs"]
mod postgres;
mod world;
