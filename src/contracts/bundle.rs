//! A bundle: what decides. Feature set and policy as their YAML sources, so that the digest pins
//! the exact bytes and a replay compiles the same things years later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::{Digest, Tagged};

pub const SCHEMA_VERSION: i64 = 1;

/// The object `mpr/bundles/{digest}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub schema_version: i64,
    pub name: String,
    /// The YAML text of the feature set.
    pub feature_set: String,
    /// The YAML text of the policy.
    pub policy: String,
}

impl Bundle {
    /// What a decision body names: the same sources make the same bundle.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Tagged::new("bundle")
            .text(&self.feature_set)
            .text(&self.policy)
            .digest()
    }

    #[must_use]
    pub fn feature_set_digest(&self) -> Digest {
        Tagged::new("feature_set").text(&self.feature_set).digest()
    }

    /// The `policy_rev` stamp.
    #[must_use]
    pub fn policy_digest(&self) -> Digest {
        Tagged::new("policy").text(&self.policy).digest()
    }
}
