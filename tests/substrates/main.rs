//! The substrates against the real thing: one conformance suite per trait, real servers.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "../support/aws_proxy.rs"]
mod aws_proxy;
mod bus;
mod bus_crash;
mod bus_embedded;
mod bus_suite;
mod data_dir;
mod database;
mod helper;
mod kinesis;
mod kinesis_faults;
mod kinesis_reshard;
#[path = "../support/kinesis_server.rs"]
mod kinesis_server;
mod objects;
mod objects_suite;
mod private_postgres;
#[path = "../support/postgres.rs"]
mod support;
