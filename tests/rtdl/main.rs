//! Inlets, archive and decisions on a real Postgres, the embedded bus and local objects.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod anchors;
mod archive;
mod archive_reader;
mod archiver;
mod audits;
mod corridor;
mod decider;
mod fabric;
mod flips;
mod graph;
mod histories;
mod inlet;
mod inlet_faults;
#[path = "../support/kinesis_server.rs"]
mod kinesis_server;
mod labels;
#[path = "../support/postgres.rs"]
mod postgres;
mod posture;
mod reshard;
mod resolution;
mod restore;
mod search;
mod shadow;
#[path = "../support/tcp_proxy.rs"]
mod tcp_proxy;
mod told;
mod world;
