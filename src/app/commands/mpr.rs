//! `fraudplat mpr resolve`: which bundle decides for whom, and why.

use serde::Serialize;

use crate::app::bundles;
use crate::app::cli::MprCommand;
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal};
use crate::app::run::DONE;
use crate::contracts::bundle_resolver::ScopeKey;
use crate::contracts::code::Code;
use crate::contracts::decision::BundleState;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::TenantId;
use crate::engine::resolution::Tried;

pub(crate) async fn run(call: &Call, command: &MprCommand) -> anyhow::Result<u8> {
    let MprCommand::Resolve { tenant, slot } = command;
    resolve(call, tenant.as_deref(), slot).await
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Resolved {
    scope: ScopeKey,
    bundle_state: BundleState,
    /// Of the built-in one that fails closed where none may decide.
    bundle: String,
    bundle_digest: Digest,
    feature_set_digest: Digest,
    policy_digest: Digest,
    steps: Vec<Tried>,
}

async fn resolve(call: &Call, tenant: Option<&str>, slot: &str) -> anyhow::Result<u8> {
    let tenant: Option<TenantId> = tenant
        .map(str::parse)
        .transpose()
        .map_err(|cause: ParseError| Refusal::new(Code::QueryInvalid, cause.to_string()))?;
    // Whoever may type a command on this data directory operates it.
    let ground = call.ground.acting_as("operator");
    let bundles = bundles::resolver(&call.profile, &ground).await?;
    let scope = bundles.scope(tenant.as_ref(), slot);
    let resolution = bundles.ask(&scope).await?;
    let bundle = match resolution.bundle {
        Some(bundle) => bundle,
        None => bundles.closed().await?,
    };
    let resolved = Resolved {
        scope,
        bundle_state: resolution.state,
        bundle: bundle.name.clone(),
        bundle_digest: bundle.bundle_digest,
        feature_set_digest: bundle.feature_set_digest,
        policy_digest: bundle.policy_digest,
        steps: resolution.steps,
    };
    call.output.result(&resolved, shown);
    Ok(DONE)
}

fn shown(it: &Resolved) -> String {
    let whose = it.scope.tenant_id.as_ref();
    let whose = whose.map_or("runs without a tenant", TenantId::as_str);
    let says = match it.bundle_state {
        BundleState::Resolved => "decides",
        BundleState::Fallback => "decides as the declared fallback: DEGRADED_1",
        BundleState::None => "decides, as no other may: FAIL_CLOSED, everything is declined",
    };
    let steps = it.steps.iter().map(|tried| {
        let digest = tried.bundle_digest.map(|it| it.to_string());
        vec![
            tried.step.to_string(),
            tried.result.to_string(),
            digest.unwrap_or_default(),
            tried.why.clone().unwrap_or_default(),
        ]
    });
    let steps = table(&["STEP", "RESULT", "BUNDLE", "WHY"], steps, &[]);
    format!(
        "slot {} of {whose}: {} {says}\n{}\n\n{steps}",
        it.scope.bundle_slot, it.bundle, it.bundle_digest
    )
}
