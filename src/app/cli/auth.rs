//! `fraudplat auth`: who may call.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Keys, where the profile's auth.mode is api_key
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Every key by its id: whose it is, what it may do; never the key
    List,
    /// Make a key and print it, once
    Create(KeyCreate),
    /// End a key; within a second nobody gets in with it
    Revoke {
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
    /// Print a key that the data directory was made with: local, wsp, ig or viewer
    Print {
        #[arg(default_value = "local", value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// Its id, part of the key: lowercase letters, digits, `-`; never used again
    #[arg(long, value_name = "KEY_ID")]
    pub(crate) id: String,
    /// What its holder may do, such as producer, investigator, auditor, operator
    #[arg(
        long,
        required = true,
        value_name = "ROLE[,ROLE…]",
        value_delimiter = ','
    )]
    pub(crate) role: Vec<String>,
    /// As whom its holder acts [default: the id]
    #[arg(long, value_name = "ACTOR_ID")]
    pub(crate) actor: Option<String>,
    /// Its holder is a person
    #[arg(long)]
    pub(crate) human: bool,
    /// When it ends, such as 2027-01-01T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
}
