//! The only room that meets the outside: bus, objects, database, routes, credentials, clock, entropy, tasks.
//!
//! **Invariant:** nothing outside this room names a vendor's SDK, a database driver or a path of
//! evidence. Each seam is a small trait with one conformance suite over every implementation.

pub mod auth;
pub mod aws;
pub mod bus;
pub mod clock;
pub mod data_dir;
pub mod db;
pub mod fault;
pub mod http;
pub mod meter;
pub mod objects;
pub mod scratch;
pub mod secret;
pub mod tasks;
pub mod tls;
pub mod webhook;
