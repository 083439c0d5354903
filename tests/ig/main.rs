//! The gate over real HTTP, on a real Postgres, the embedded bus and local objects.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod aged;
mod cards;
mod encoding;
mod gate;
mod held_bus;
mod limits;
mod lockstep;
mod malformed;
mod outbox;
#[path = "../support/postgres.rs"]
mod postgres;
mod publish;
mod receipts;
mod repeats;
mod retention;
mod segments;
mod year;
