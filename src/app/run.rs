//! From arguments to an exit code: owns the data directory and runs the command in this process,
//! or asks the process that owns it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app::auth;
use crate::app::bench;
use crate::app::cli::{Cli, Command, Role};
use crate::app::commands::{self, Call, Refusal};
use crate::app::output::{Frame, Output, Terminal};
use crate::app::owner;
use crate::app::platform::Platform;
use crate::app::profile::{self, Profile, SubstrateKind};
use crate::app::roles;
use crate::contracts::code::Code;
use crate::substrate::clock::SystemEntropy;
use crate::substrate::data_dir::{DataDir, Opened};

/// 0 done, 1 failed, 2 wrong usage, 3 refused by a law or a gate.
pub(crate) const DONE: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const REFUSED: u8 = 3;
/// Ended by a second Ctrl-C, as shells say it.
const INTERRUPTED: u8 = 130;

/// Runs the command of `args` (the program's name first) and returns its exit code.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    if let Err(usage) = cli.check() {
        usage.exit();
    }
    start_tracing();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = %error, "no runtime");
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(Box::pin(run_here_or_there(cli, args)));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    ExitCode::from(code)
}

fn start_tracing() {
    let filter =
        EnvFilter::try_from_env("FRAUDPLAT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if subscriber.try_init().is_err() {
        tracing::debug!("tracing was started already");
    }
}

async fn run_here_or_there(cli: Cli, args: Vec<OsString>) -> u8 {
    let terminal = Arc::new(Terminal::new());
    let drawing = Arc::clone(&terminal);
    let output = Output::new(cli.json, move |frame| drawing.draw(&frame));
    let result = Box::pin(execute(cli, args, &output)).await;
    terminal.finish();
    match result {
        Ok(code) => code,
        Err(error) => report(&output, &error),
    }
}

/// Says what went wrong and returns the exit code for it.
pub(crate) fn report(output: &Output, error: &anyhow::Error) -> u8 {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        output.note(format!("refused: {} {}", refusal.code, refusal.detail));
        output.note(format!("  {}", refusal.code.advice()));
        return REFUSED;
    }
    output.note(format!("error: {error:#}"));
    FAILED
}

async fn execute(cli: Cli, args: Vec<OsString>, output: &Output) -> anyhow::Result<u8> {
    if let Some(code) = commands::without_platform(&cli, output).await? {
        return Ok(code);
    }
    let profile = Profile::load(&cli.profile)
        .map_err(|error| Refusal::new(Code::ProfileInvalid, error.to_string()))?;
    commands::profiles::may_start(&profile)?;
    if profile.substrates.kind == SubstrateKind::Embedded {
        refuse_split_roles(&cli.role)?;
    }
    let fresh = bench::fresh_dir(&cli)?;
    let dir = match (&fresh, &cli.data_dir) {
        (Some(fresh), _) => fresh.path().join("data"),
        (None, Some(dir)) => dir.clone(),
        (None, None) => profile::default_data_dir(),
    };
    let owned = match DataDir::open(&dir, &SystemEntropy)? {
        Opened::Owned(owned) => owned,
        Opened::Busy { http_addr, pid } => {
            // A service, or a bench, which would measure what else the owner does.
            let is_own = !cli.role.is_empty() || matches!(cli.command, Some(Command::Bench(_)));
            return match http_addr {
                Some(addr) if !is_own => {
                    let owner = auth::to_owner(&profile, &dir, &addr)?;
                    owner::ask(&owner, args, output).await
                }
                _ => Err(busy(&dir, pid).into()),
            };
        }
    };
    let stop = stop_on_signal(output.clone());
    if let Some(Command::Migrate { check: true }) = cli.command {
        return commands::migrate::check(&profile, &owned, output).await;
    }
    if let (Some(Command::Provision | Command::Migrate { .. }), Some(managed)) =
        (&cli.command, &profile.substrates.managed)
    {
        let provision = commands::provision::managed(&profile, managed, &owned, output);
        return Box::pin(provision).await;
    }
    let profile = bench::with_bundle(cli.command.as_ref(), profile, &owned)?;
    let platform = Platform::open(profile, owned).await?;
    let lost = end_without_database(platform.database_lost(), output.clone());
    let work = async {
        match cli.command {
            None => {
                roles::serve(platform, &cli.role, output, stop).await?;
                Ok(DONE)
            }
            Some(command) => Box::pin(in_process(platform, command, output, stop)).await,
        }
    };
    tokio::select! {
        result = work => result,
        never = lost => match never {},
    }
}

/// Ends the process when its database has ended: nothing can be admitted or decided without it, and
/// the next start repairs what is half done. At once, so that the lock on the data directory outlives
/// every task.
async fn end_without_database(
    lost: impl Future<Output = String>,
    output: Output,
) -> std::convert::Infallible {
    let status = lost.await;
    output.note(format!(
        "error: the private Postgres ended by itself ({status}); what was acknowledged is safe, start \
         again to go on"
    ));
    output.frame(Frame::Exit { code: FAILED });
    std::process::exit(FAILED.into())
}

/// Runs one command with what it needs started here; afterwards drains and leaves.
async fn in_process(
    platform: Platform,
    command: Command,
    output: &Output,
    stop: CancellationToken,
) -> anyhow::Result<u8> {
    let elsewhere = platform.profile.gate.addr.clone();
    let is_served_elsewhere = elsewhere.is_some() && matches!(command, Command::Wsp(_));
    let roles = match commands::needs_roles(&command) && !is_served_elsewhere {
        true => Some(roles::start(&platform, &[Role::All], &stop, roles::Listen::Any).await?),
        false => None,
    };
    let cwd = std::env::current_dir()?;
    let call = Call {
        profile: platform.profile.clone(),
        maintenance: platform.maintenance.clone(),
        bells: roles.as_ref().map(|roles| roles.bells.clone()),
        data_dir: platform.data_dir.path().to_owned(),
        ground: roles
            .as_ref()
            .map_or_else(|| platform.ground.clone(), |it| it.ground.clone()),
        gate_addr: roles
            .as_ref()
            .map(|roles| roles.addr.to_string())
            .or(elsewhere),
        cwd,
        output: output.clone(),
        stop: stop.clone(),
    };
    let result = Box::pin(commands::run(&call, command)).await;
    drop(call);
    if let Some(roles) = roles {
        roles.drain(output).await?;
    }
    platform.close().await?;
    result
}

/// On the embedded profile the substrates belong to one process, so roles cannot be split.
fn refuse_split_roles(roles: &[Role]) -> Result<(), Refusal> {
    match roles {
        [] | [Role::All] => Ok(()),
        _ => Err(Refusal::new(
            Code::SharedSubstratesRequired,
            "the embedded profile keeps log and database inside one process",
        )),
    }
}

fn busy(dir: &std::path::Path, pid: Option<u32>) -> Refusal {
    let pid = pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    );
    Refusal::new(
        Code::DataDirBusy,
        format!("{} is owned by {pid}", dir.display()),
    )
}

/// The first Ctrl-C or SIGTERM drains, the second ends at once; a kill loses nothing either way.
fn stop_on_signal(output: Output) -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if wait_for_signal().await.is_err() {
            return;
        }
        output.note("draining; once more to end at once");
        told.cancel();
        if wait_for_signal().await.is_ok() {
            // Takes down what is drawn, so that the shell's next line begins a line.
            output.frame(Frame::Exit { code: INTERRUPTED });
            std::process::exit(INTERRUPTED.into());
        }
    });
    stop
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal,
        _ = term.recv() => Ok(()),
    }
}
