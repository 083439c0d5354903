//! `bench`: what is measured, and how much of it.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[command(
    after_help = "A bench has a data directory of its own, gone afterwards, unless --data-dir names one. Numbers of a busy machine mean little: the load average is printed beside them. docs/bench.md says what each measures."
)]
pub(crate) enum Bench {
    /// Events admitted over HTTP: against COPY and one row a transaction, with ten times as much offered, and what
    /// each costs in requests
    Ingest(BenchIngest),
    /// Time an event takes in the feature engine, over windows and keys, against a naive loop
    Features(BenchFeatures),
    /// Time a row takes in a tree ensemble, against a naive walk and LightGBM
    Score(BenchScore),
    /// Payments decided a second from end to end, CPU time per million, where it goes; one payment at a time; recovery
    Loop(BenchLoop),
    /// Decisions recomputed from the archive a second, against the live rate of the same run
    Replay(BenchWorld),
    /// The load generator of `ingest`, which starts it: a plan on its input
    #[command(hide = true)]
    Load,
}

#[derive(Debug, Args)]
pub(crate) struct BenchIngest {
    /// How many events, in three rounds, before the overload
    #[arg(long, default_value_t = 120_000, value_name = "N")]
    pub(crate) events: u64,
    /// How long the gate is kept at its peak, and then under ten times as much, in each of three rounds; 0: not
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) overload_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchFeatures {
    /// How many events in a stream
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    pub(crate) events: usize,
    /// How many keys at most, against a hundredth of them; 10 million take some 6 GB
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    pub(crate) keys: u64,
    /// How much memory the keys of a stream may take; the rest is put away in a file in the folder of
    /// temporary files
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub(crate) memory_mib: usize,
}

#[derive(Debug, Args)]
pub(crate) struct BenchScore {
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) trees: u32,
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=12))]
    pub(crate) depth: u32,
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) rows: u32,
    /// Of the trees and the rows
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLoop {
    #[command(flatten)]
    pub(crate) world: BenchWorld,
    /// So many payments more, each sent when the one before is decided; 0: none
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) one_by_one: u32,
}

#[derive(Debug, Args)]
pub(crate) struct BenchWorld {
    /// The scenario whose payments are streamed
    #[arg(long, default_value = "small", value_name = "NAME|FILE")]
    pub(crate) scenario: String,
    /// At most so many arrivals of its world
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) payments: i64,
    /// Another seed than the scenario's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
}
