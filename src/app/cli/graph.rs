//! The arguments of `fraudplat graph`.

use clap::{Args, Subcommand};

use crate::contracts::graph::{EntityKind, EntityRef};
use crate::domain::time::Time;

#[derive(Debug, Subcommand)]
pub(crate) enum GraphCommand {
    /// What an entity is linked with, and since when
    Neighbours {
        #[command(flatten)]
        of: Of,
        /// Kind, colon, id: customer_id:c17
        #[arg(value_name = "ENTITY")]
        entity: EntityRef,
        /// Only neighbours of this kind, such as card_id
        #[arg(long, value_name = "KIND")]
        kind: Option<EntityKind>,
        /// Only those that follow this neighbour
        #[arg(long, value_name = "ENTITY")]
        after: Option<EntityRef>,
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Cards, devices and so on that several customers use
    Shared {
        #[command(flatten)]
        of: Of,
        /// What is shared: card_id, device_id, account_id, ip, beneficiary_id
        #[arg(long, value_name = "KIND")]
        kind: EntityKind,
        /// Customers at least
        #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        min: i64,
        /// Only those whose id follows this one
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        after: String,
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// What hangs together with an entity, through anything but hubs
    Component {
        #[command(flatten)]
        of: Of,
        /// Kind, colon, id: card_id:tok_41
        #[arg(value_name = "ENTITY")]
        entity: EntityRef,
        #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Customers known for fraud near an entity, itself included
    Labelled {
        #[command(flatten)]
        of: Of,
        /// Kind, colon, id: device_id:d7
        #[arg(value_name = "ENTITY")]
        entity: EntityRef,
        /// Links away at most
        #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4))]
        hops: u32,
        /// Entities to look at
        #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// A shortest way between two entities; exit 1 if there is none
    Path {
        #[command(flatten)]
        of: Of,
        #[arg(value_name = "FROM")]
        from: EntityRef,
        #[arg(value_name = "TO")]
        to: EntityRef,
    },
    /// Throw the links of a run away and read them back from the archive
    Rebuild {
        #[arg(long, value_name = "RUN")]
        run: String,
    },
}

/// Of which run, as of when.
#[derive(Debug, Args)]
pub(crate) struct Of {
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// Links first seen up to this time of events, such as 2025-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<Time>,
}
