//! `fraudplat profile`: show, check, diff.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::cli::ProfileCommand;
use crate::app::commands::Refusal;
use crate::app::commands::table::table;
use crate::app::environment;
use crate::app::output::Output;
use crate::app::profile::{self, Profile};
use crate::app::run::DONE;
use crate::contracts::code::Code;

#[derive(Serialize)]
struct Shown {
    semantic_digest: String,
    run_config_digest: String,
    profile: Profile,
}

pub(crate) fn run(name: &str, command: &ProfileCommand, output: &Output) -> anyhow::Result<u8> {
    let profile = load(name)?;
    match command {
        ProfileCommand::Show => {
            let shown = Shown {
                semantic_digest: profile.semantic_digest().to_string(),
                run_config_digest: profile.config_digest().to_string(),
                profile,
            };
            let settings = flat(&shown.profile)?;
            output.result(&shown, |shown| {
                let digests = [
                    vec!["semantic_digest".to_owned(), shown.semantic_digest.clone()],
                    vec![
                        "run_config_digest".to_owned(),
                        shown.run_config_digest.clone(),
                    ],
                ];
                let settings = settings.into_iter().map(|(key, value)| vec![key, value]);
                table(&["KEY", "VALUE"], digests.into_iter().chain(settings), &[])
            });
        }
        ProfileCommand::Check => {
            may_start(&profile)?;
            output.line(format!("{} is in order", profile.profile));
        }
        ProfileCommand::Diff { other } => diff(&profile, &load(other)?, output)?,
    }
    Ok(DONE)
}

/// # Errors
/// [`Refusal`]: what the environment of the profile demands and is not there.
pub(crate) fn may_start(profile: &Profile) -> Result<(), Refusal> {
    environment::admits(profile, &profile::release())
        .map_err(|(code, why)| Refusal::new(code, format!("profile {}: {why}", profile.profile)))
}

/// The profile of this name or path.
///
/// # Errors
/// [`Refusal`] with what is wrong, and where.
pub(crate) fn load(name: &str) -> Result<Profile, Refusal> {
    Profile::load(name).map_err(|error| Refusal::new(Code::ProfileInvalid, error.to_string()))
}

fn diff(ours: &Profile, theirs: &Profile, output: &Output) -> anyhow::Result<()> {
    let (left, right) = (flat(ours)?, flat(theirs)?);
    let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let of =
        |side: &BTreeMap<String, String>, key: &str| side.get(key).cloned().unwrap_or_default();
    let rows = keys
        .into_iter()
        .filter(|key| left.get(*key) != right.get(*key));
    let rows: Vec<Vec<String>> = rows
        .map(|key| vec![key.clone(), of(&left, key), of(&right, key)])
        .collect();
    let verdict = match ours.semantic_digest() == theirs.semantic_digest() {
        true => "the same semantics: equal semantic_digest",
        false => "DIFFERENT SEMANTICS: decisions of the two cannot be compared",
    };
    output.result(&rows, |rows| {
        format!(
            "{}\n{verdict}",
            table(&["KEY", &ours.profile, &theirs.profile], rows.clone(), &[])
        )
    });
    Ok(())
}

/// `http.bind` → its value, for every leaf.
fn flat(profile: &Profile) -> anyhow::Result<BTreeMap<String, String>> {
    let mut leaves = BTreeMap::new();
    descend("", &serde_json::to_value(profile)?, &mut leaves);
    Ok(leaves)
}

fn descend(path: &str, value: &serde_json::Value, leaves: &mut BTreeMap<String, String>) {
    let Some(fields) = value.as_object() else {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        leaves.insert(path.to_owned(), text);
        return;
    };
    for (key, field) in fields {
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        descend(&below, field, leaves);
    }
}
