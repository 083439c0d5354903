//! The command line: what there is, in words that teach.

mod actions;
mod auth;
mod bench;
mod decision;
mod fabric;
mod graph;
mod ig;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub(crate) use crate::app::cli::actions::ActionsCommand;
pub(crate) use crate::app::cli::auth::{AuthCommand, KeyCommand, KeyCreate};
pub(crate) use crate::app::cli::bench::{
    Bench, BenchFeatures, BenchIngest, BenchLoop, BenchScore, BenchWorld,
};
pub(crate) use crate::app::cli::decision::{DecisionCommand, PostureCommand, PostureForce};
pub(crate) use crate::app::cli::fabric::{
    BundleCommand, ListAdd, ListCommand, ListPlace, MprCommand,
};
pub(crate) use crate::app::cli::graph::{GraphCommand, Of as GraphOf};
pub(crate) use crate::app::cli::ig::{Ambiguous, Ig, Quarantine, Receipts};

/// The heading of what every command takes: among a command's own options it would hide them.
const EVERYWHERE: &str = "Options of every command";

/// A fraud decision platform in one executable: payments in, decisions out, every one recomputable.
#[derive(Debug, Parser)]
#[command(
    name = "fraudplat",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FRAUDPLAT_RELEASE"), ")"),
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Try it:\n  fraudplat demo                       a small world, streamed and decided, then what to look at\n  fraudplat --role all                 the platform, until Ctrl-C\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a law or a gate, with the reason."
)]
pub(crate) struct Cli {
    /// The profile: a shipped name or a path to a YAML file
    #[arg(
        long,
        global = true,
        default_value = "embedded",
        value_name = "NAME|PATH",
        help_heading = EVERYWHERE
    )]
    pub(crate) profile: String,
    /// Where state lives [default: $XDG_DATA_HOME/fraudplat; not set, as root: /var/lib/fraudplat]
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Results as JSON on stdout; progress and remarks stay on stderr
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Run these roles until SIGTERM or Ctrl-C, then drain
    #[arg(long, value_name = "ROLE[,ROLE…]", value_delimiter = ',', value_enum)]
    pub(crate) role: Vec<Role>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Cli {
    /// What clap cannot say of options that every command takes: either roles or one command.
    ///
    /// # Errors
    /// The usage error to print; its exit code is 2.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let (kind, why) = match (self.role.is_empty(), &self.command) {
            (true, None) => (
                ErrorKind::MissingSubcommand,
                "give a command, or --role all",
            ),
            (false, Some(_)) => (
                ErrorKind::ArgumentConflict,
                "--role runs a service and takes no command; give one or the other",
            ),
            _ => return Ok(()),
        };
        Err(Cli::command().error(kind, why))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Every service role, one process, one port
    All,
    /// Ingestion Gate
    Ig,
    /// Context Store, flow bindings, entity graph, archive
    RtdlInlet,
    /// Features, join, decisions, actions
    Decision,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A world made from a scenario, streamed and decided from end to end, checked and reported
    Demo(Demo),
    /// Bring the database schema up to date, or tell what is missing
    Migrate {
        /// Only tell; exit 3 if something is missing
        #[arg(long)]
        check: bool,
    },
    /// Make what the platform stands on: streams, bucket, schema; harmless to repeat
    Provision,
    /// Scenario Runner: pin a world and its run, and say READY
    #[command(subcommand)]
    Sr(Sr),
    /// World Streamer: send the world of a run to the gate
    #[command(subcommand)]
    Wsp(Wsp),
    /// Runs: what there is and how far they have come
    #[command(subcommand)]
    Run(RunCommand),
    /// Ingestion Gate: what it refused, what the bus did not answer
    #[command(subcommand)]
    Ig(Ig),
    /// The decisions as they are made: what they may draw on
    #[command(subcommand)]
    Decision(DecisionCommand),
    /// Recompute decisions from the archive and compare byte for byte
    #[command(subcommand)]
    Replay(Replay),
    /// The decision log: list it, export it, verify its chain
    #[command(subcommand)]
    Dla(Dla),
    /// The entity graph: who uses what, who shares it with whom, as of any time
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Action Layer: what was asked for, what became of it, dead letters
    #[command(subcommand)]
    Actions(ActionsCommand),
    /// Balance a run's durable rows and audit its references
    #[command(subcommand)]
    Reconcile(Reconcile),
    /// Governance: facts and anomalies
    #[command(subcommand)]
    Gov(Gov),
    /// Retention: prune and drop what is due, with proof
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Who may call: the keys of this data directory
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Measure on this machine: ratios taken in one run, with what they are made of
    #[command(subcommand)]
    Bench(Bench),
    /// Policies: check a file
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Feature sets: check a file
    #[command(subcommand)]
    Features(FeaturesCommand),
    /// Bundles: check a folder, import a model
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// The registry of bundles: which one is in force for whom
    #[command(subcommand)]
    Mpr(MprCommand),
    /// The lists that policies look entities up in
    #[command(subcommand)]
    List(ListCommand),
    /// Profiles: show, check, compare
    #[command(subcommand)]
    Profile(ProfileCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The scenario whose world is made: a YAML file, or the name of a shipped scenario
    #[arg(long, default_value = "small", value_name = "NAME|FILE")]
    pub(crate) scenario: String,
    /// Another seed than the scenario's own: another world of the same kind
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
    /// Only the first N payments of the world, leaving the run open
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) payments: Option<i64>,
    /// Stay up afterwards, until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sr {
    /// Pin a run: of a scenario, of a data set (--dataset, --mapping) or a live one (--live)
    Run(SrRun),
    /// Draw what a world looks like: of a scenario or of a data set, beside another
    Describe(SrDescribe),
}

/// Where a world comes from; whoever flattens it has the group `source`.
#[derive(Debug, Default, Args)]
pub(crate) struct WorldSource {
    /// The scenario whose world is made: a YAML file, or the name of a shipped scenario
    #[arg(long, group = "source", value_name = "NAME|FILE")]
    pub(crate) scenario: Option<String>,
    /// Another seed than the scenario's own: another world of the same kind
    #[arg(long, requires = "scenario", value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
    /// The data file, Parquet or CSV
    #[arg(long, group = "source", requires = "mapping", value_name = "FILE")]
    pub(crate) dataset: Option<PathBuf>,
    /// How its columns become payments: a YAML file, or the name of a shipped mapping
    #[arg(long, requires = "dataset", value_name = "FILE|NAME")]
    pub(crate) mapping: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct SrDescribe {
    #[command(flatten)]
    pub(crate) world: WorldSource,
    /// A data set to stand beside it
    #[arg(long, requires = "against_mapping", value_name = "FILE")]
    pub(crate) against_dataset: Option<PathBuf>,
    /// The mapping of that data set
    #[arg(long, requires = "against_dataset", value_name = "FILE|NAME")]
    pub(crate) against_mapping: Option<String>,
    /// Draw the charts into this directory, as SVG files
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct SrRun {
    #[command(flatten)]
    pub(crate) world: WorldSource,
    /// A live run of this name: events come from outside and have no end
    #[arg(long, group = "source", value_name = "NAME")]
    pub(crate) live: Option<String>,
    /// Tells apart runs of the same world
    #[arg(long, default_value = "", value_name = "LABEL")]
    pub(crate) label: String,
    /// Only the first N payments of the data set; a scenario is made whole
    #[arg(long, requires = "dataset", value_name = "N")]
    pub(crate) limit: Option<i64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Wsp {
    /// Stream a run's world; goes on where an earlier call stopped
    Stream(WspStream),
}

#[derive(Debug, Args)]
pub(crate) struct WspStream {
    /// The run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// Event time per wall time, or as fast as the gate takes it
    #[arg(long, default_value = "max", value_name = "X|max")]
    pub(crate) speedup: String,
    /// Lanes, each with one request in flight; a customer's payments stay in one lane
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) concurrency: usize,
    /// Wait after each period of event time until everyone has passed it, such as 1d or 6h
    #[arg(long, value_name = "PERIOD")]
    pub(crate) lockstep: Option<String>,
    /// Stop after the first N arrivals of the world, leaving the run open
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<i64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Every run
    List,
    /// One run: its facts, its world, how far each group has come
    Show {
        #[arg(value_name = "RUN")]
        run: String,
    },
    /// Count a run, check it and write its report: one HTML file that needs nothing else
    Report {
        #[arg(value_name = "RUN")]
        run: String,
        /// Where to write it [default: reports/RUN.html in the data directory]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Close a run: the gate takes nothing more for it
    Cancel {
        #[arg(value_name = "RUN")]
        run: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Replay {
    /// One decision, several, or a sample of a run
    Decision(ReplayDecision),
    /// Every decision of a run, or those between two places of its chain
    Range(ReplayRange),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct ReplayDecision {
    /// The decisions
    #[arg(group = "which", value_name = "DECISION_ID")]
    pub(crate) ids: Vec<String>,
    /// A run to sample from
    #[arg(long, group = "which", value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// How many decisions of the run, spread by the seed
    #[arg(long, requires = "run", default_value_t = 100, value_name = "N")]
    pub(crate) sample: usize,
    #[arg(long, requires = "run", default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayRange {
    /// The run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// The first place in the chain; `dla list` shows them
    #[arg(long, default_value_t = 1, value_name = "SEQ")]
    pub(crate) from: i64,
    /// The last place, included [default: the newest]
    #[arg(long, value_name = "SEQ")]
    pub(crate) to: Option<i64>,
    /// Decisions held in memory at a time, about 4 KiB each; a longer range takes a pass over the archive for
    /// each so many
    #[arg(long, default_value_t = crate::app::commands::replay::PASS_MAX, value_name = "N",
        value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) at_a_time: i64,
    /// Also hold the archive against the bus, as far as the bus still keeps the payments and labels of the range
    #[arg(long)]
    pub(crate) against_bus: bool,
    /// Decide again by the bundle in this directory, and show which outcomes would change; nothing is logged
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dla {
    /// Verify the hash chain of a run; names the first altered record
    Verify {
        #[arg(long, value_name = "RUN")]
        run: String,
    },
    /// The decisions of a run in order of its chain, or those that meet what is said
    List(DlaList),
    /// Why a decision is what it is: rules, features and inputs, with the values that they met
    Explain {
        #[arg(value_name = "DECISION_ID")]
        id: String,
    },
    /// How the shadow bundles of a run agree with what was decided: outcomes and scores side by side
    Shadows {
        #[arg(long, value_name = "RUN")]
        run: String,
        /// Only this slot, such as shadow_1 [default: all]
        #[arg(long, value_name = "SLOT")]
        slot: Option<String>,
    },
    /// Write the decisions of a run to a file, body and evidence, one JSON object a line
    Export {
        #[arg(long, value_name = "RUN")]
        run: String,
        /// Only those that follow this place in the chain
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        after: i64,
        /// At most so many [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<i64>,
        /// The file to write; one that exists is not overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DlaList {
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// The decision on this event
    #[arg(long, value_name = "EVENT_ID")]
    pub(crate) event_id: Option<String>,
    /// Only where the event names this entity, such as customer_id:c1
    #[arg(long, value_name = "KIND:ID")]
    pub(crate) entity: Option<String>,
    /// Only this outcome: APPROVE, STEP_UP, REVIEW or DECLINE
    #[arg(long, value_name = "OUTCOME")]
    pub(crate) outcome: Option<String>,
    /// Only where this rule fired
    #[arg(long, value_name = "RULE_ID")]
    pub(crate) rule: Option<String>,
    /// Only events of this day or time, or later
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only events before this day or time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Only decisions on less than the whole frame; `false`: only the others
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) degraded: Option<bool>,
    /// Only those that follow this place in the chain
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub(crate) after: i64,
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) limit: i64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Reconcile {
    /// Balance one run; exit 3 if it does not
    Run {
        #[arg(long, value_name = "RUN")]
        run: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Gov {
    /// The newest facts, of a run or of all
    Facts {
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only this type, such as PAYLOAD_HASH_MISMATCH
        #[arg(long = "type", value_name = "FACT_TYPE")]
        fact_type: Option<String>,
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// One pass now, as the platform does by itself from time to time
    #[command(
        after_help = "A day of evidence leaves only when everything in it is proven to be elsewhere; one that is due and stays is listed with the reason, and docs/operating.md says what to do."
    )]
    Run {
        /// Change nothing; only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// As if it were this day, which may not lie ahead [default: today]
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeaturesCommand {
    /// Read a file, check every name and type, say what is wrong where
    Check {
        /// The YAML file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read a file, check every name and type, say what is wrong where
    Check {
        /// The YAML file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The feature set that it is checked against [default: the built-in one]
        #[arg(long, value_name = "FILE")]
        features: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// The resolved profile, with its digests
    Show,
    /// Read a profile and say what is wrong
    Check,
    /// What differs from another profile
    Diff {
        /// A shipped name or a path
        #[arg(value_name = "NAME|PATH")]
        other: String,
    },
}
