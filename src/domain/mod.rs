//! The vocabulary of the platform: ids, pins, offsets, digests, closed word lists, laws.
//!
//! **Invariant:** nothing here performs IO, reads a clock or draws a random number; it can only
//! compute or refuse.

pub mod canonical;
pub mod card;
pub mod digest;
pub mod ids;
pub mod keys;
pub mod law;
pub mod offset;
pub mod planted;
pub mod time;
pub mod vocabulary;
