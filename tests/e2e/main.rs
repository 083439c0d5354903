//! The executable as its users have it: commands in a shell, events over HTTP, in any order.
//! Every test owns a data directory; nothing but command lines, HTTP, files and exit codes is used
//! to look at the platform.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod actions;
mod auth;
mod auth_managed;
mod behind;
mod bench;
#[path = "../support/checks.rs"]
mod checks;
mod commands;
#[path = "../support/corner_shops.rs"]
mod corner_shops;
mod demo;
#[path = "../support/events.rs"]
#[expect(dead_code, reason = "storms use the rest")]
mod events;
mod fabric;
mod graph;
mod handbook;
#[path = "../support/home.rs"]
#[expect(dead_code, reason = "storms use the rest")]
mod home;
mod hostile;
#[path = "../support/intents.rs"]
mod intents;
#[path = "../support/labeller.rs"]
mod labeller;
mod labels;
mod live;
mod lockstep;
mod malformed;
mod operate;
mod p2p;
mod parity;
#[path = "../support/payments.rs"]
mod payments;
mod posture;
#[path = "../support/receiver.rs"]
#[expect(dead_code, reason = "storms use the rest")]
mod receiver;
mod repeats;
mod resolution;
mod routes;
mod schemathesis;
#[path = "../support/servers.rs"]
#[expect(dead_code, reason = "storms use the rest")]
mod servers;
mod shadows;
#[path = "../support/shop.rs"]
mod shop;
mod slice;
mod slow_clients;
mod terminal;
#[path = "../support/tools.rs"]
mod tools;
mod wait;
mod wait_apart;
