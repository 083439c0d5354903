//! The Action Layer as the profile has it: how patient it is, and whom it calls.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::app::commands::Refusal;
use crate::app::profile::{self, Profile};
use crate::app::secrets;
use crate::contracts::action_intent::IntentType;
use crate::contracts::code::Code;
use crate::rtdl::actions::{BreakerLimits, Endpoint, Options};
use crate::substrate::webhook::{self, Target};

pub(crate) fn options(profile: &Profile) -> Options {
    let it = &profile.actions;
    Options {
        attempts_max: it.attempts_max.get(),
        backoff_ms_first: it.backoff_ms_first.get().into(),
        backoff_ms_max: it.backoff_ms_max.get().into(),
        calls_max: usize::try_from(it.calls_max.get()).unwrap_or(usize::MAX),
        breaker: BreakerLimits {
            failures_max: it.breaker_failures_max.get(),
            open_ms: it.breaker_open_ms.get().into(),
        },
    }
}

/// The types that an endpoint takes.
pub(crate) fn routed(profile: &Profile) -> BTreeSet<IntentType> {
    let endpoints = profile.actions.endpoints.values();
    endpoints.flat_map(|it| it.intent_types.clone()).collect()
}

/// The receivers, ready to be called.
///
/// # Errors
/// [`Refusal`] for a secret or a certificate that cannot be read.
pub(crate) fn endpoints(profile: &Profile) -> Result<Vec<Endpoint>, Refusal> {
    let call_ms_max = profile.actions.call_ms_max.get();
    let timeout = Duration::from_millis(call_ms_max.into());
    let endpoints = profile.actions.endpoints.iter();
    endpoints
        .map(|(name, it)| endpoint(name, it, timeout))
        .collect()
}

fn endpoint(name: &str, it: &profile::Endpoint, timeout: Duration) -> Result<Endpoint, Refusal> {
    let secrets = match (&it.secret, &it.secret_file) {
        (Some(secret), _) => vec![secret.clone()],
        (None, Some(path)) => secrets::signing_secrets(path)?,
        (None, None) => Vec::new(),
    };
    let target = Target::open(webhook::Options {
        url: it.url.clone(),
        ca_file: it.ca_file.clone(),
        secrets,
        timeout,
    });
    let target = target.map_err(|cause| {
        let cause = anyhow::Error::from(cause);
        let detail = format!("actions.endpoints.{name}: {cause:#}");
        Refusal::new(Code::SecretUnreadable, detail)
    })?;
    Ok(Endpoint {
        name: name.to_owned(),
        intent_types: it.intent_types.clone(),
        target: Arc::new(target),
    })
}
