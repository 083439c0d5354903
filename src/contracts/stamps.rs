//! What every evidence surface carries about who made it, under which configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::{Environment, Mode, SourceType};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stamps {
    /// Image digest, else git revision.
    pub service_release_id: String,
    pub environment: Environment,
    pub mode: Mode,
    /// Digest of the policy set; `none` where no policy applies.
    pub policy_rev: String,
    /// Digest of the resolved profile without secrets.
    pub run_config_digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_slot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
}

/// Who changed something (L10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    pub actor_id: crate::domain::ids::ActorId,
    pub source_type: SourceType,
}
