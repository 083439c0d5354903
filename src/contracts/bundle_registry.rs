//! `registry.yaml`: a folder of bundles as a registry, until there is one with a history. It names every
//! bundle by its digest, so that a folder which is being edited is never in force.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::{Environment, Mode};

pub const FORM: i64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRegistry {
    /// The form of the file: 1.
    pub registry: i64,
    /// Whoever runs in another environment or mode is answered nothing.
    pub environment: Environment,
    pub mode: Mode,
    /// By name.
    pub bundles: BTreeMap<String, RegisteredBundle>,
    #[serde(default)]
    pub active: Vec<InForce>,
    /// Declared safe: decides where no active bundle may.
    #[serde(default)]
    pub fallback: Vec<InForce>,
    /// Names: bundles that must not decide any more, whoever names them.
    #[serde(default)]
    pub retired: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredBundle {
    /// As `fraudplat bundle check` prints it.
    pub digest: Digest,
    /// The folder beside `registry.yaml` that holds it; left out: that of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Keys of objects without which it must not decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A bundle in a slot, of a tenant or of everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    pub slot: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    pub bundle: String,
}

impl BundleRegistry {
    /// What contradicts itself, the first of it.
    ///
    /// # Errors
    /// A sentence that names it.
    pub fn check(&self) -> Result<(), String> {
        if self.registry != FORM {
            return Err(format!(
                "its form is {}, this release reads {FORM}",
                self.registry
            ));
        }
        for (what, entries) in [("active", &self.active), ("fallback", &self.fallback)] {
            let mut met = BTreeSet::new();
            for entry in entries {
                if !self.bundles.contains_key(&entry.bundle) {
                    return Err(format!("{what}: no bundle is called `{}`", entry.bundle));
                }
                if !met.insert((&entry.slot, &entry.tenant)) {
                    let (slot, whose) = (&entry.slot, entry.tenant.as_ref());
                    let whose = whose.map_or("everybody", TenantId::as_str);
                    return Err(format!("{what}: two bundles in slot {slot} of {whose}"));
                }
            }
        }
        let unknown = self.retired.iter();
        match unknown
            .into_iter()
            .find(|it| !self.bundles.contains_key(*it))
        {
            Some(name) => Err(format!("retired: no bundle is called `{name}`")),
            None => Ok(()),
        }
    }

    /// Whether this name, or its bundle under another one, is retired.
    #[must_use]
    pub fn is_retired(&self, digest: &Digest) -> bool {
        let retired = self.retired.iter();
        retired
            .filter_map(|name| self.bundles.get(name))
            .any(|it| it.digest == *digest)
    }
}
