//! The registry of what decides. So far the lists that policies look entities up in.

pub mod lists;
