//! A bundle made ready to decide: its feature set and policy compiled, its digests taken.

use std::sync::Arc;

use crate::contracts::bundle::Bundle;
use crate::domain::digest::Digest;
use crate::engine::diagnostic::Diagnostic;
use crate::engine::features::FeatureSet;
use crate::engine::policy::Policy;

/// The slot that acts.
pub const PRIMARY_SLOT: &str = "primary";

/// What the two texts of a bundle are called in diagnostics.
#[derive(Debug, Clone, Copy)]
pub struct FileNames<'f> {
    pub feature_set: &'f str,
    pub policy: &'f str,
}

#[derive(Debug)]
pub struct CompiledBundle {
    pub name: String,
    /// `primary`, or a shadow's.
    pub slot: String,
    pub feature_set: Arc<FeatureSet>,
    pub policy: Policy,
    pub bundle_digest: Digest,
    pub feature_set_digest: Digest,
    pub policy_digest: Digest,
}

impl CompiledBundle {
    /// Compiles both texts, for the primary slot.
    ///
    /// # Errors
    /// Everything found wrong in either: the policy is checked even where the feature set fails.
    pub fn compile(
        bundle: &Bundle,
        files: FileNames<'_>,
    ) -> Result<CompiledBundle, Vec<Diagnostic>> {
        let feature_set = FeatureSet::compile(files.feature_set, &bundle.feature_set);
        let against = feature_set.as_ref().ok();
        let policy = Policy::compile_against(files.policy, &bundle.policy, against);
        match (feature_set, policy) {
            (Ok(feature_set), Ok(policy)) => Ok(CompiledBundle {
                name: bundle.name.clone(),
                slot: PRIMARY_SLOT.to_owned(),
                feature_set: Arc::new(feature_set),
                policy,
                bundle_digest: bundle.digest(),
                feature_set_digest: bundle.feature_set_digest(),
                policy_digest: bundle.policy_digest(),
            }),
            (feature_set, policy) => {
                let mut found = feature_set.err().unwrap_or_default();
                found.extend(policy.err().unwrap_or_default());
                Err(found)
            }
        }
    }

    /// The same bundle in another slot.
    #[must_use]
    pub fn in_slot(self, slot: &str) -> CompiledBundle {
        CompiledBundle {
            slot: slot.to_owned(),
            ..self
        }
    }
}
