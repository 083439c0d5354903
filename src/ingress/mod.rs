//! The ingress plane: what brings worlds and events in.

pub mod ig;
