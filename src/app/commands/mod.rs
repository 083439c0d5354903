//! The commands: each takes what the call stands on and speaks through its output.

mod actions;
mod auth;
mod bundle;
mod check;
mod decision;
pub(crate) mod demo;
mod describe;
mod describe_charts;
mod dla;
mod explain;
mod gov;
mod graph;
mod ig;
mod list;
mod maintain;
pub(crate) mod migrate;
mod mpr;
pub(crate) mod profiles;
pub(crate) mod provision;
mod receipts;
mod reconcile;
pub(crate) mod replay;
pub(crate) mod report;
mod requeue;
mod runs;
mod shadows;
pub(crate) mod sr;
pub(crate) mod table;
mod what_if;
pub(crate) mod wsp;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::app::bench;
use crate::app::cli::{AuthCommand, Bench, Cli, Command, DecisionCommand, Dla, KeyCommand, Sr};
use crate::app::output::Output;
use crate::app::profile::{self, Profile};
use crate::app::roles::Bells;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::ids::PlatformRunId;
use crate::runtime::ground::Ground;
use crate::substrate::db::Db;

/// What a command stands on, in this process or in the owner's.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) profile: Profile,
    pub(crate) ground: Ground,
    /// Connected as the identity that may drop days of evidence.
    pub(crate) maintenance: Db,
    /// Of the roles in this process; none when they are not started.
    pub(crate) bells: Option<Bells>,
    /// Where the gate of this process listens; none when its roles are not started.
    pub(crate) gate_addr: Option<String>,
    /// Where relative paths of the caller begin.
    pub(crate) cwd: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) output: Output,
    pub(crate) stop: CancellationToken,
}

/// A law or a gate says no: exit 3, with a stable code.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Refusal {
        Refusal {
            code,
            detail: detail.into(),
        }
    }
}

impl Call {
    /// How a command on the same data begins, to be typed as it stands.
    fn program(&self) -> String {
        if self.data_dir == profile::default_data_dir() {
            return "fraudplat".to_owned();
        }
        format!("fraudplat --data-dir {}", self.data_dir.display())
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.cwd.join(path)
    }
}

fn parse_run(text: &str) -> Result<PlatformRunId, Refusal> {
    text.parse()
        .map_err(|error: crate::domain::digest::ParseError| {
            Refusal::new(Code::RunUnknown, error.to_string())
        })
}

/// Commands that read files and need nothing else.
///
/// # Errors
/// Those of the command.
pub(crate) async fn without_platform(cli: &Cli, output: &Output) -> anyhow::Result<Option<u8>> {
    match &cli.command {
        Some(Command::Profile(command)) => profiles::run(&cli.profile, command, output).map(Some),
        Some(Command::Policy(command)) => {
            let semantics = profiles::load(&cli.profile)?.semantics;
            check::policy(command, semantics.attributes.as_ref(), output).map(Some)
        }
        Some(Command::Auth(AuthCommand::Key(KeyCommand::Print { name }))) => {
            auth::print(cli, name, output).map(Some)
        }
        Some(Command::Bench(Bench::Load)) => bench::load::generate().await.map(Some),
        Some(Command::Bench(Bench::Features(asked))) => {
            bench::features::run(asked, output).map(Some)
        }
        Some(Command::Bench(Bench::Score(asked))) => bench::score::run(asked, output).map(Some),
        Some(Command::Bundle(command)) => {
            let semantics = profiles::load(&cli.profile)?.semantics;
            bundle::run(command, semantics.attributes.as_ref(), output).map(Some)
        }
        Some(Command::Features(command)) => {
            let semantics = profiles::load(&cli.profile)?.semantics;
            check::features(command, semantics.attributes.as_ref(), output).map(Some)
        }
        Some(Command::Sr(Sr::Describe(asked))) => {
            Box::pin(describe::run(asked, output)).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether the command needs gate and consumers running.
#[must_use]
pub(crate) fn needs_roles(command: &Command) -> bool {
    match command {
        Command::Demo(_) | Command::Wsp(_) => true,
        Command::Ig(command) => ig::needs_roles(command),
        Command::Bench(command) => bench::needs_roles(command),
        _ => false,
    }
}

/// Carries out a command. One that only reads ends where it stands when it is told to stop; the
/// others come to an end of their own.
///
/// # Errors
/// [`Refusal`] for exit 3; anything else for exit 1.
pub(crate) async fn run(call: &Call, command: Command) -> anyhow::Result<u8> {
    let only_reads = matches!(
        command,
        Command::Reconcile(_)
            | Command::Replay(_)
            | Command::Dla(Dla::Verify { .. } | Dla::Shadows { .. })
    );
    let carried_out = Box::pin(carry_out(call, command));
    if !only_reads {
        return carried_out.await;
    }
    tokio::select! {
        result = carried_out => result,
        () = call.stop.cancelled() => anyhow::bail!("stopped; nothing was changed"),
    }
}

async fn carry_out(call: &Call, command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Demo(options) => Box::pin(demo::run(call, &options)).await,
        Command::Migrate { .. } => {
            // Opening the platform brought the schema up to date; `--check` of an owner's, too.
            call.output.line("the schema is up to date");
            Ok(DONE)
        }
        Command::Provision => provision::run(call).await,
        Command::Sr(command) => Box::pin(sr::run(call, &command)).await,
        Command::Wsp(command) => Box::pin(wsp::run(call, &command)).await,
        Command::Run(command) => Box::pin(runs::run(call, &command)).await,
        Command::Ig(command) => ig::run(call, &command).await,
        Command::Decision(DecisionCommand::Posture(command)) => {
            decision::posture(call, command).await
        }
        Command::Replay(command) => Box::pin(replay::run(call, &command)).await,
        Command::Dla(command) => dla::run(call, &command).await,
        Command::Graph(command) => Box::pin(graph::run(call, command)).await,
        Command::Actions(command) => actions::run(call, &command).await,
        Command::Reconcile(command) => Box::pin(reconcile::run(call, &command)).await,
        Command::Bench(command) => Box::pin(bench::run(call, &command)).await,
        Command::Gov(command) => gov::run(call, &command).await,
        Command::Maintenance(command) => Box::pin(maintain::run(call, &command)).await,
        Command::Auth(command) => auth::run(call, &command).await,
        Command::List(command) => list::run(call, &command).await,
        Command::Mpr(command) => mpr::run(call, &command).await,
        Command::Policy(_) | Command::Features(_) | Command::Bundle(_) | Command::Profile(_) => {
            Ok(DONE)
        }
    }
}
