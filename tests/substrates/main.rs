//! Each substrate trait has one suite, run unchanged over every implementation.

mod bus;
mod bus_crash;
mod bus_embedded;
mod bus_suite;
mod objects;
mod objects_suite;
