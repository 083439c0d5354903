//! `fraudplat auth key`: who may call, by key.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::app::auth::{self, Own};
use crate::app::cli::{AuthCommand, Cli, KeyCommand, KeyCreate};
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal};
use crate::app::output::Output;
use crate::app::profile;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::time::Time;
use crate::domain::vocabulary::SourceType;
use crate::governance::facts;
use crate::substrate::auth::key_files;
use crate::substrate::auth::keys::{Entry, Keys, draw, hash};
use crate::substrate::clock::SystemEntropy;

/// What `--json` prints of a new key: the only time that anybody sees it.
#[derive(Debug, Serialize)]
struct Created {
    id: String,
    key: String,
}

/// Prints a key of the data directory: whoever can read its file may.
///
/// # Errors
/// [`Refusal`]: there is none of this name, or it cannot be read.
pub(crate) fn print(cli: &Cli, name: &str, output: &Output) -> anyhow::Result<u8> {
    let data_dir = cli.data_dir.clone();
    let data_dir = data_dir.unwrap_or_else(profile::default_data_dir);
    let known = Own::ALL.iter().find(|own| own.name() == name);
    let Some(own) = known else {
        let names = Own::ALL.map(Own::name).join(", ");
        let detail = format!("`{name}` has no key here; {names} have");
        return Err(Refusal::new(Code::KeyRefused, detail).into());
    };
    let path = key_files::key_path(&auth::dir(&data_dir), own.name());
    let key = std::fs::read_to_string(&path).map_err(|cause| {
        let detail = format!("{}: {cause}", path.display());
        Refusal::new(Code::SecretUnreadable, detail)
    })?;
    output.line(key.trim());
    Ok(DONE)
}

/// Carries out a command on the key file of this data directory.
pub(crate) async fn run(call: &Call, command: &AuthCommand) -> anyhow::Result<u8> {
    let AuthCommand::Key(command) = command;
    match command {
        KeyCommand::List => list(call)?,
        KeyCommand::Create(asked) => create(call, asked).await?,
        KeyCommand::Revoke { id } => revoke(call, id).await?,
        // Done already: it needs no platform.
        KeyCommand::Print { .. } => {}
    }
    Ok(DONE)
}

fn file(call: &Call) -> Result<PathBuf, Refusal> {
    auth::keys_file(&call.profile, &call.data_dir).ok_or_else(|| {
        let detail = "callers show no keys under this profile: auth.mode is another";
        Refusal::new(Code::KeyRefused, detail)
    })
}

fn refused(error: key_files::Error) -> anyhow::Error {
    match error {
        key_files::Error::Refused(detail) => Refusal::new(Code::KeyRefused, detail).into(),
        key_files::Error::Unread { .. } | key_files::Error::Read { .. } => {
            let detail = format!("{:#}", anyhow::Error::from(error));
            Refusal::new(Code::SecretUnreadable, detail).into()
        }
        error @ key_files::Error::Write(_) => error.into(),
    }
}

fn list(call: &Call) -> anyhow::Result<()> {
    let keys = key_files::read(&file(call)?).map_err(refused)?;
    let entries: Vec<&Entry> = keys.entries().collect();
    let now = call.ground.clock.now();
    call.output.result(&entries, |entries| {
        let rows = entries.iter().map(|it| {
            let roles = it.roles.iter().map(|role| role.as_str());
            vec![
                it.id.clone(),
                it.actor_id.to_string(),
                roles.collect::<Vec<_>>().join(" "),
                state(it, now),
            ]
        });
        table(&["KEY", "ACTOR", "ROLES", "STATE"], rows, &[])
    });
    Ok(())
}

fn state(entry: &Entry, now: Time) -> String {
    match (entry.revoked_at, entry.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "in force".to_owned(),
    }
}

async fn create(call: &Call, asked: &KeyCreate) -> anyhow::Result<()> {
    let key = draw(&asked.id, &SystemEntropy);
    let actor_id = asked.actor.clone().unwrap_or_else(|| asked.id.clone());
    let refuse = |cause: String| Refusal::new(Code::KeyRefused, cause);
    let entry = Entry {
        id: asked.id.clone(),
        hash: hash(&key),
        actor_id: actor_id
            .parse()
            .map_err(|cause| refuse(format!("--actor: {cause}")))?,
        source_type: match asked.human {
            true => SourceType::Human,
            false => SourceType::System,
        },
        roles: asked
            .role
            .iter()
            .map(|role| role.parse())
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(|cause| refuse(format!("--role: {cause}")))?,
        expires_at: asked
            .expires
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|cause| refuse(format!("--expires: {cause}")))?,
        revoked_at: None,
    };
    change(call, move |keys| keys.add(entry)).await?;
    let created = Created {
        id: asked.id.clone(),
        key,
    };
    call.output.result(&created, |it| it.key.clone());
    call.output
        .note("this is the only time that the key is shown; it is in force within a second");
    Ok(())
}

async fn revoke(call: &Call, id: &str) -> anyhow::Result<()> {
    let now = call.ground.clock.now();
    change(call, |keys| keys.revoke(id, now)).await?;
    call.output.line(format!(
        "{id} is revoked; nobody gets in with it a second from now"
    ));
    Ok(())
}

/// Changes the key file. Where the roles of this process run they see it and leave the fact.
async fn change(
    call: &Call,
    change: impl FnOnce(&mut Keys) -> Result<(), String>,
) -> anyhow::Result<()> {
    let rotation = key_files::edit(&file(call)?, change).map_err(refused)?;
    if call.bells.is_none() {
        let fact = auth::rotated(&call.ground, &rotation);
        facts::append_alone(&call.ground.db, &[fact]).await?;
    }
    Ok(())
}
