//! A bundle: what decides. Its parts as their sources, so that the digest pins the exact bytes and a
//! replay compiles the same things years later.

use std::collections::BTreeMap;

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
    /// The JSON text of the model (`fraudplat/trees/v1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The YAML text of `bundle.yaml`: a [`Manifest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl Bundle {
    /// A bundle of two texts.
    #[must_use]
    pub fn new(name: &str, feature_set: &str, policy: &str) -> Bundle {
        Bundle {
            schema_version: SCHEMA_VERSION,
            name: name.to_owned(),
            feature_set: feature_set.to_owned(),
            policy: policy.to_owned(),
            model: None,
            manifest: None,
        }
    }

    /// What a decision body names: the same sources make the same bundle. A part that is absent
    /// does not enter, so that bundles of two texts keep the digest they always had.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut tagged = Tagged::new("bundle")
            .text(&self.feature_set)
            .text(&self.policy);
        for (part, text) in [("model", &self.model), ("manifest", &self.manifest)] {
            if let Some(text) = text {
                tagged = tagged.text(part).text(text);
            }
        }
        tagged.digest()
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

/// `bundle.yaml`: what a bundle says beside features, policy and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// A name, for people.
    pub bundle: String,
    #[schemars(range(min = 1))]
    pub version: i64,
    /// Read by rules as `thresholds.NAME`. `step_up`, `review` and `decline` act by themselves: a
    /// model's score that reaches one speaks for that outcome.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f64>,
    #[serde(default)]
    pub reason_texts: ReasonTexts,
    #[serde(default)]
    pub compatibility: Compatibility,
    /// Who made it, from what: texts for people and audits.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

/// A decision's reasons in words. `{value}` is the value of the feature itself, `{name}` that of the
/// feature `name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonTexts {
    /// By reason code.
    #[serde(default)]
    pub codes: BTreeMap<String, String>,
    /// By feature of the model: said when it pushes the score most.
    #[serde(default)]
    pub features: BTreeMap<String, String>,
}

/// What a bundle needs of the platform that is to run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compatibility {
    /// The least engine revision.
    #[serde(default)]
    pub engine_rev: Option<i64>,
    /// The feature set that model and policy were made for.
    #[serde(default)]
    pub feature_set_digest: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_enters_the_digest_and_only_when_it_is_there() {
        let plain = Bundle::new("b", "f", "p");
        let with = |model: Option<&str>, manifest: Option<&str>| Bundle {
            model: model.map(str::to_owned),
            manifest: manifest.map(str::to_owned),
            ..plain.clone()
        };
        let old = Tagged::new("bundle").text("f").text("p").digest();
        assert_eq!(plain.digest(), old);
        let digests = [
            plain.digest(),
            with(Some("x"), None).digest(),
            with(None, Some("x")).digest(),
            with(Some("x"), Some("y")).digest(),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
