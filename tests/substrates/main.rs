//! The substrates against the real thing: one conformance suite per trait, real servers.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod data_dir;
mod database;
mod helper;
mod private_postgres;
#[path = "../support/postgres.rs"]
mod support;
