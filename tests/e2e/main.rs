//! The executable as its users have it: commands in a shell, events over HTTP, kills at any moment.
//! Every test owns a data directory; nothing but command lines, HTTP, files and exit codes is used
//! to look at the platform.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod behind;
mod commands;
#[path = "../support/corner_shops.rs"]
mod corner_shops;
mod demo;
mod events;
mod handbook;
mod home;
mod kills;
mod live;
mod lockstep;
mod malformed;
mod repeats;
mod shop;
mod slice;
mod terminal;
