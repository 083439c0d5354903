//! `fraudplat features check` and `policy check`: reads a file, names every fault with its place.

use std::path::Path;

use anyhow::Context;

use crate::app::bundles::{shipped, undeclared};
use crate::app::cli::{FeaturesCommand, PolicyCommand};
use crate::app::commands::Refusal;
use crate::app::commands::table::table;
use crate::app::output::Output;
use crate::app::run::DONE;
use crate::contracts::attributes::Attributes;
use crate::contracts::code::Code;
use crate::engine::policy::Beside;
use crate::engine::{Diagnostic, FeatureSet, Policy, attributes};

pub(crate) fn features(
    command: &FeaturesCommand,
    declared: Option<&Attributes>,
    output: &Output,
) -> anyhow::Result<u8> {
    let FeaturesCommand::Check { file } = command;
    let (name, text) = read(file)?;
    let set = FeatureSet::compile(&name, &text).map_err(|found| refusal(&found))?;
    let found = declared.map(|it| attributes::of_features(&set, it));
    undeclared(&found.unwrap_or_default())?;
    let names: Vec<(String, String)> = set
        .features()
        .map(|(name, kind)| (name.to_owned(), format!("{kind:?}").to_lowercase()))
        .collect();
    output.result(&names, |names| {
        let rows = names
            .iter()
            .map(|(name, kind)| vec![name.clone(), kind.clone()]);
        format!(
            "{} is in order\n\n{}",
            file.display(),
            table(&["FEATURE", "TYPE"], rows, &[])
        )
    });
    Ok(DONE)
}

pub(crate) fn policy(
    command: &PolicyCommand,
    declared: Option<&Attributes>,
    output: &Output,
) -> anyhow::Result<u8> {
    let PolicyCommand::Check { file, features } = command;
    let set = feature_set(features.as_deref())?;
    let (name, text) = read(file)?;
    let beside = Beside {
        features: Some(&set),
        ..Beside::default()
    };
    let compiled = Policy::compile_against(&name, &text, &beside);
    let policy = compiled.map_err(|found| refusal(&found))?;
    let found = declared.map(|it| attributes::of_policy(&policy, it));
    undeclared(&found.unwrap_or_default())?;
    for warning in policy.warnings() {
        output.note(warning.to_string());
    }
    output.line(format!("{} is in order", file.display()));
    Ok(DONE)
}

fn feature_set(file: Option<&Path>) -> anyhow::Result<FeatureSet> {
    let (name, text) = match file {
        Some(file) => read(file)?,
        None => {
            let (text, name) = shipped("bundles/baseline/feature_set.yaml")?;
            (name, text)
        }
    };
    Ok(FeatureSet::compile(&name, &text).map_err(|found| refusal(&found))?)
}

fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok((file.display().to_string(), text))
}

fn refusal(found: &[Diagnostic]) -> Refusal {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    Refusal::new(Code::BundleInvalid, format!("\n{}", lines.join("\n")))
}
