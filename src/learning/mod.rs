//! The learning plane: what decides is kept and changed here.

pub mod mpr;
