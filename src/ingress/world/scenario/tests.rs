//! Worlds of scenarios: properties that hold of every one.
