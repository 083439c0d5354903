//! The commands of the decision role: the posture.

use clap::{Args, Subcommand};

use crate::domain::time::Time;
use crate::domain::vocabulary::Posture;

#[derive(Debug, Subcommand)]
pub(crate) enum DecisionCommand {
    /// NORMAL, DEGRADED_1, DEGRADED_2, FAIL_CLOSED: what stands, and an operator's word on it
    #[command(subcommand)]
    Posture(PostureCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PostureCommand {
    /// What is forced, and the newest change of every run that had one
    Show,
    /// Force a posture on a run, or on all
    Force(PostureForce),
    /// Release what was forced
    Release {
        /// Of this run [default: what was forced on all]
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PostureForce {
    /// NORMAL, DEGRADED_1 (without graph features and shadows), DEGRADED_2 (without the model too) or FAIL_CLOSED
    /// (every payment is declined)
    #[arg(value_name = "POSTURE")]
    pub(crate) posture: Posture,
    /// On this run [default: all]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Until when, such as 2026-01-31T14:00:00Z [default: until it is released]
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<Time>,
}
