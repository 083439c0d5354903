//! Which bundle is in force: the corridor between who decides and the registry that names bundles.
//! The registry says what it names; whether that may decide is judged by who asks.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::{Environment, Mode, vocabulary};

/// What a bundle is in force for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeKey {
    pub environment: Environment,
    pub mode: Mode,
    pub bundle_slot: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
}

vocabulary!(
    /// Where a bundle is looked for, in this order.
    ResolutionStep {
        /// The bundle that is ACTIVE for the tenant.
        Tenant = "TENANT",
        /// The one that is ACTIVE for whoever has none of their own.
        Global = "GLOBAL",
        /// The one that is declared safe where none of these may decide.
        Fallback = "FALLBACK",
    }
);

/// What a registry names at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Absent,
    /// A bundle in force: the object `mpr/bundles/{bundle_digest}.json`.
    Active {
        bundle_digest: Digest,
        /// Keys of the objects that it was put in force upon, such as reports of its evaluation.
        evidence: Vec<String>,
        /// Why the registry could not put the bundle into the store, where it could not.
        unstored: Option<String>,
    },
    /// A bundle that was taken out of force and has no successor.
    Retired { bundle_digest: Digest },
    /// Nobody knows: the registry does not answer, or what it says cannot be read.
    Unreachable { cause: String },
}

/// What a registry names for a scope, a step each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBundles {
    /// Absent where the scope has no tenant.
    pub tenant: Named,
    pub global: Named,
    pub fallback: Named,
}

impl NamedBundles {
    /// Nobody knows anything.
    #[must_use]
    pub fn unreachable(cause: &str) -> NamedBundles {
        let unknown = || Named::Unreachable {
            cause: cause.to_owned(),
        };
        NamedBundles {
            tenant: unknown(),
            global: unknown(),
            fallback: unknown(),
        }
    }
}

/// A registry of bundles. Asked about once a second, by any number of callers.
#[async_trait]
pub trait BundleResolver: Send + Sync {
    /// What is named for the scope now. What cannot be answered is [`Named::Unreachable`].
    async fn named(&self, scope: &ScopeKey) -> NamedBundles;
}
