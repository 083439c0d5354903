//! `fraudplat bundle`, `fraudplat mpr` and `fraudplat list`: what decides, for whom, and who stands on which
//! list.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Read a folder as a bundle, check every part against the others, say what is wrong where
    Check {
        /// With feature_set.yaml and policy.yaml, and with model.json and bundle.yaml where it has them
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Write a LightGBM text model as model.json
    #[command(
        after_help = "Columns take the names of features: --rename Column_0=amount_to_mean_30d, once for each that is called otherwise. What would give other scores (categorical splits, linear leaves, several classes) is refused."
    )]
    Import {
        /// As Booster.save_model writes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The model.json to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[arg(long, value_name = "COLUMN=FEATURE")]
        rename: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MprCommand {
    /// Which bundle decides in a scope, and why: tenant, global, fallback, or none
    #[command(
        after_help = "Asks registry and object store now. A running worker asks about once a second; while the registry does not answer it keeps what it was told for five minutes."
    )]
    Resolve {
        /// Whose decisions [default: those of runs without a tenant]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[arg(long, default_value = "primary", value_name = "SLOT")]
        slot: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// Put an entity on a list; to repeat it is harmless
    Add(ListAdd),
    /// Take an entity off a list; its history stays
    Remove {
        #[command(flatten)]
        place: ListPlace,
    },
    /// What stands on a list, or on all, the newest first
    Show {
        #[arg(value_name = "LIST")]
        list: Option<String>,
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListAdd {
    #[command(flatten)]
    pub(crate) place: ListPlace,
    /// Until then, and no longer: 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "for_time")]
    pub(crate) until: Option<String>,
    /// For so long from now: 90s, 15m, 6h, 30d
    #[arg(long = "for", value_name = "SPAN")]
    pub(crate) for_time: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListPlace {
    /// As a policy names it
    #[arg(value_name = "LIST")]
    pub(crate) list: String,
    /// customer_id, account_id, card_id, device_id, ip, merchant_id, terminal_id or beneficiary_id
    #[arg(value_name = "ENTITY")]
    pub(crate) entity: String,
    /// The entity as events name it: a card by its token
    #[arg(value_name = "VALUE")]
    pub(crate) value: String,
    /// Kept with the entry
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who changes it
    #[arg(long, default_value = "human:cli", value_name = "ACTOR")]
    pub(crate) actor: String,
}
