//! The substrates against the real thing: one conformance suite per trait, real servers.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "../support/aws_proxy.rs"]
mod aws_proxy;
mod bus;
mod bus_altered;
mod bus_crash;
mod bus_embedded;
mod bus_subject;
mod bus_suite;
mod data_dir;
mod database;
mod database_managed;
mod database_suite;
mod helper;
mod kinesis;
mod kinesis_faults;
mod kinesis_read_faults;
mod kinesis_reshard;
#[path = "../support/kinesis_server.rs"]
mod kinesis_server;
#[path = "../support/managed.rs"]
mod managed;
mod objects;
mod objects_s3;
mod objects_s3_wires;
mod objects_suite;
#[path = "../support/ports.rs"]
mod ports;
mod private_postgres;
#[path = "../support/s3_server.rs"]
mod s3_server;
#[path = "../support/postgres.rs"]
mod support;
#[path = "../support/tcp_proxy.rs"]
mod tcp_proxy;
#[path = "../support/tools.rs"]
mod tools;
