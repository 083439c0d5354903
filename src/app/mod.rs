//! Profile, wiring and command line: the only room that names every other.
//!
//! **Invariant:** nothing but this room knows which roles run in this process.

mod access;
mod actions;
mod auth;
mod bench;
mod bundles;
mod charts;
mod cli;
mod commands;
mod doc;
mod environment;
mod http;
mod live;
mod output;
mod owner;
mod platform;
mod profile;
mod progress;
mod report;
mod roles;
mod run;
mod secrets;
mod substrates;

pub use http::document;
pub use run::run;
