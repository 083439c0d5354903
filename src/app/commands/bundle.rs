//! `fraudplat bundle check` and `bundle import`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::app::bundles;
use crate::app::cli::BundleCommand;
use crate::app::commands::Refusal;
use crate::app::output::Output;
use crate::app::run::DONE;
use crate::contracts::attributes::Attributes;
use crate::contracts::code::Code;
use crate::domain::digest::Digest;
use crate::engine::scoring;

pub(crate) fn run(
    command: &BundleCommand,
    declared: Option<&Attributes>,
    output: &Output,
) -> anyhow::Result<u8> {
    match command {
        BundleCommand::Check { dir } => check(dir, declared, output),
        BundleCommand::Import { file, out, rename } => import(file, out, rename, output),
    }
}

/// What `--json` prints of a bundle that is in order.
#[derive(Debug, Serialize)]
struct Checked {
    bundle_digest: Digest,
    feature_set_digest: Digest,
    policy_digest: Digest,
    has_model: bool,
    warnings: Vec<String>,
}

fn check(dir: &Path, declared: Option<&Attributes>, output: &Output) -> anyhow::Result<u8> {
    let (bundle, files) = bundles::sources(Some(dir))?;
    let compiled = bundles::compile(&bundle, &files, declared)?;
    let warnings = compiled.policy.warnings().iter();
    let checked = Checked {
        bundle_digest: compiled.bundle_digest,
        feature_set_digest: compiled.feature_set_digest,
        policy_digest: compiled.policy_digest,
        has_model: compiled.model.is_some(),
        warnings: warnings.map(ToString::to_string).collect(),
    };
    for warning in &checked.warnings {
        output.note(warning);
    }
    output.result(&checked, |it| {
        format!(
            "{} is in order\n\nbundle       {}\nfeature set  {}\npolicy       {}",
            dir.display(),
            it.bundle_digest,
            it.feature_set_digest,
            it.policy_digest
        )
    });
    Ok(DONE)
}

fn import(file: &Path, out: &Path, rename: &[String], output: &Output) -> anyhow::Result<u8> {
    let refused = |detail: String| Refusal::new(Code::BundleInvalid, detail);
    let mut names = BTreeMap::new();
    for pair in rename {
        let Some((column, feature)) = pair.split_once('=') else {
            let detail = format!("--rename takes COLUMN=FEATURE, not `{pair}`");
            return Err(Refusal::new(Code::QueryInvalid, detail).into());
        };
        names.insert(column, feature);
    }
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let renamed = |column: &str| (*names.get(column).unwrap_or(&column)).to_owned();
    let trees = scoring::from_lightgbm(&text, renamed)
        .map_err(|error| refused(format!("{}: {error}", file.display())))?;
    let json = serde_json::to_vec(&trees)?;
    std::fs::write(out, json).with_context(|| format!("writing {}", out.display()))?;
    output.line(format!(
        "{} has {} trees over {}",
        out.display(),
        trees.trees.len(),
        trees.features.join(", ")
    ));
    Ok(DONE)
}
