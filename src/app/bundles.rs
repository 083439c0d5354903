//! The bundles that decide: one from a directory or built in, compiled and put under its digest where replay
//! finds it years later, or those that a registry names.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::app::commands::Refusal;
use crate::app::platform::Platform;
use crate::app::profile::{Profile, Shipped};
use crate::contracts::attributes::Attributes;
use crate::contracts::bundle::Bundle;
use crate::contracts::code::Code;
use crate::domain::digest::Digest;
use crate::engine::attributes;
use crate::engine::bundle::{CompiledBundle, FileNames, PRIMARY_SLOT};
use crate::learning::mpr::{Directory, folder};
use crate::rtdl::decision::{self, Bundles};
use crate::runtime::bundles as stored;
use crate::runtime::ground::Ground;

/// The sources of the bundle in `dir`, or the built-in baseline, with the names of their files.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn sources(dir: Option<&Path>) -> anyhow::Result<(Bundle, [String; 2])> {
    let files = [folder::FEATURE_SET, folder::POLICY];
    match dir {
        Some(dir) => {
            let files = files.map(|file| dir.join(file).display().to_string());
            Ok((folder::read(dir)?, files))
        }
        None => {
            let [features, policy] = files.map(|file| shipped(&format!("bundles/baseline/{file}")));
            let ((features, feature_file), (policy, policy_file)) = (features?, policy?);
            let bundle = Bundle::new("baseline", &features, &policy);
            Ok((bundle, [feature_file, policy_file]))
        }
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
    stored::store(ground.objects.as_ref(), &bundle).await?;
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

/// Where the bundles come from that decide: the registry that the profile names, or the one bundle of the
/// profile, which is in the store from then on.
///
/// # Errors
/// [`Refusal`] when the one bundle does not compile, or the object store does not take what may decide.
pub(crate) async fn resolver(profile: &Profile, ground: &Ground) -> anyhow::Result<Bundles> {
    let attributes = profile.semantics.attributes.as_ref();
    let Some(dir) = &profile.decision.registry_dir else {
        let (bundle, files) = sources(profile.decision.bundle_dir.as_deref())?;
        let compiled = compile(&bundle, &files, attributes)?;
        let stored = stored::store(ground.objects.as_ref(), &bundle).await;
        stored.map_err(unstored)?;
        return Ok(Bundles::only(compiled, ground));
    };
    let registry = Directory::new(dir.clone(), ground.objects.clone());
    Ok(Bundles::of(Arc::new(registry), ground, attributes.cloned()))
}

/// That the store does not take a bundle.
fn unstored(error: stored::Error) -> anyhow::Error {
    match error {
        stored::Error::Objects(error) => {
            let code = error.code();
            let cause = anyhow::Error::from(error);
            Refusal::new(code, format!("storing the bundle: {cause:#}")).into()
        }
        error => error.into(),
    }
}

/// The bundles of the service roles, and the policy in force for the profile's own tenant.
///
/// # Errors
/// As [`resolver`].
pub(crate) async fn deciding(platform: &Platform) -> anyhow::Result<(Arc<Bundles>, Digest)> {
    let (profile, ground) = (&platform.profile, &platform.ground);
    let bundles = resolver(profile, &ground.acting_as("svc:decision")).await?;
    if profile.decision.registry_dir.is_some() {
        // Who starts while the store is away must not find out with the first payment.
        bundles.closed().await.map_err(|error| match error {
            decision::Error::Bundle(error) => unstored(error),
            error => error.into(),
        })?;
    }
    let scope = bundles.scope(profile.semantics.tenant_id.as_ref(), PRIMARY_SLOT);
    let policy = bundles.in_force(&scope).await?.bundle.policy_digest;
    Ok((Arc::new(bundles), policy))
}
