//! The bundle that decides: from a directory or the built-in one, compiled, and put under its
//! digest where replay finds it years later.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::app::commands::Refusal;
use crate::app::profile::Shipped;
use crate::contracts::attributes::Attributes;
use crate::contracts::bundle::{Bundle, SCHEMA_VERSION};
use crate::contracts::code::Code;
use crate::engine::attributes;
use crate::engine::bundle::{CompiledBundle, FileNames};
use crate::runtime::ground::Ground;
use crate::substrate::objects::{self, ObjectKey, Put};

/// The sources of the bundle in `dir`, or the built-in baseline, with the names of their files.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn sources(dir: Option<&Path>) -> anyhow::Result<(Bundle, [String; 2])> {
    let read = |file: &str| match dir {
        Some(dir) => {
            let path = dir.join(file);
            let text = std::fs::read_to_string(&path);
            Ok((
                text.with_context(|| format!("reading {}", path.display()))?,
                path.display().to_string(),
            ))
        }
        None => shipped(&format!("bundles/baseline/{file}")),
    };
    let (feature_set, feature_file) = read("feature_set.yaml")?;
    let (policy, policy_file) = read("policy.yaml")?;
    let name = dir
        .and_then(Path::file_name)
        .map_or("baseline".into(), |name| name.to_string_lossy());
    let part = |file: &str| match dir {
        Some(dir) => optional(&dir.join(file)),
        None => Ok(None),
    };
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        name: name.into_owned(),
        feature_set,
        policy,
        model: part("model.json")?,
        manifest: part("bundle.yaml")?,
    };
    Ok((bundle, [feature_file, policy_file]))
}

/// The text of a part that a bundle may do without.
fn optional(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// A file that the executable carries, with the name to show.
///
/// # Errors
/// When it carries no such file.
pub(crate) fn shipped(path: &str) -> anyhow::Result<(String, String)> {
    let found = Shipped::get(path).with_context(|| format!("the executable carries no {path}"))?;
    Ok((
        String::from_utf8_lossy(&found.data).into_owned(),
        format!("builtin:{path}"),
    ))
}

/// The names of the files that the executable carries in a folder, without their extension.
pub(crate) fn shipped_names(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = Shipped::iter()
        .filter_map(|path| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some(name.strip_suffix(".yaml")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Compiles a bundle that is to be put in force, where these attributes are declared.
///
/// # Errors
/// [`Refusal`] with every fault, its file, line and column; then with every attribute that it
/// reads otherwise than it is declared.
pub(crate) fn compile(
    bundle: &Bundle,
    files: &[String; 2],
    declared: Option<&Attributes>,
) -> Result<Arc<CompiledBundle>, Refusal> {
    let compiled = CompiledBundle::compile(
        bundle,
        FileNames {
            feature_set: &files[0],
            policy: &files[1],
        },
    );
    let compiled = compiled.map_err(|diagnostics| {
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        Refusal::new(Code::BundleInvalid, format!("\n{}", lines.join("\n")))
    })?;
    let found = declared.map(|it| attributes::disagreements(&compiled, it));
    undeclared(&found.unwrap_or_default())?;
    Ok(Arc::new(compiled))
}

/// The bundle of a folder in a shadow slot, put under its digest.
///
/// # Errors
/// When it cannot be read, compiled or stored.
pub(crate) async fn shadow(
    ground: &Ground,
    (slot, dir): (&str, &Path),
    declared: Option<&Attributes>,
) -> anyhow::Result<Arc<CompiledBundle>> {
    let (bundle, files) = sources(Some(dir))?;
    let compiled = compile(&bundle, &files, declared)?;
    store(ground, &bundle).await?;
    let compiled = Arc::into_inner(compiled).context("the bundle is in use already")?;
    Ok(Arc::new(compiled.in_slot(slot)))
}

/// Refuses what disagrees with the declared attributes.
///
/// # Errors
/// [`Refusal`] where anything does.
pub(crate) fn undeclared(found: &[String]) -> Result<(), Refusal> {
    if found.is_empty() {
        return Ok(());
    }
    let detail = format!("semantics.attributes:\n{}", found.join("\n"));
    Err(Refusal::new(Code::BundleInvalid, detail))
}

/// Puts the bundle under its digest.
///
/// # Errors
/// [`Refusal`] when the object store does not take it; another bundle under this digest is corruption.
pub(crate) async fn store(ground: &Ground, bundle: &Bundle) -> anyhow::Result<()> {
    let away = |error: objects::Error| {
        let code = error.code();
        let cause = anyhow::Error::from(error);
        Refusal::new(code, format!("storing the bundle: {cause:#}"))
    };
    let key: ObjectKey = format!("mpr/bundles/{}.json", bundle.digest()).parse()?;
    // The name is a label, not part of the identity: the first one stands.
    let body = serde_json::to_vec_pretty(bundle)?;
    let put = ground.objects.put_new(&key, body.into()).await;
    match put.map_err(away)? {
        Put::Created | Put::Same => Ok(()),
        Put::Conflict { .. } => {
            let stored = ground.objects.get(&key).await.map_err(away)?;
            let stored = stored.context("the bundle vanished")?;
            let stored: Bundle = serde_json::from_slice(&stored)?;
            anyhow::ensure!(
                stored.digest() == bundle.digest(),
                "object {key} is not the bundle it names"
            );
            Ok(())
        }
    }
}
