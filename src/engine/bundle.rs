//! A bundle made ready to decide: its parts compiled, its digests taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contracts::bundle::Bundle;
use crate::domain::digest::Digest;
use crate::engine::diagnostic::{Diagnostic, Severity};
use crate::engine::features::FeatureSet;
use crate::engine::manifest::{self, Manifest};
use crate::engine::policy::{Beside, Policy};
use crate::engine::scoring::{self, Model};

/// The slot that acts.
pub const PRIMARY_SLOT: &str = "primary";

/// The bundle that decides where none may (L8): it looks at nothing and declines. Its texts are for ever: every
/// decision that it made names their digest.
#[must_use]
pub fn fail_closed() -> Bundle {
    Bundle::new(
        "fail-closed",
        include_str!("../../profiles/bundles/fail-closed/feature_set.yaml"),
        include_str!("../../profiles/bundles/fail-closed/policy.yaml"),
    )
}

/// What the texts of a bundle are called in diagnostics; model and manifest stand beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct FileNames<'f> {
    pub feature_set: &'f str,
    pub policy: &'f str,
}

impl FileNames<'_> {
    /// Those of a bundle that comes from the store.
    pub const PLAIN: FileNames<'static> = FileNames {
        feature_set: "feature_set.yaml",
        policy: "policy.yaml",
    };

    /// The name of a part that stands beside the policy.
    fn beside(&self, name: &str) -> String {
        match self.policy.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }
}

#[derive(Debug)]
pub struct CompiledBundle {
    pub name: String,
    /// `primary`, or a shadow's.
    pub slot: String,
    pub feature_set: Arc<FeatureSet>,
    pub policy: Policy,
    pub model: Option<Model>,
    pub(crate) manifest: Manifest,
    pub bundle_digest: Digest,
    pub feature_set_digest: Digest,
    pub policy_digest: Digest,
}

/// What is found wrong in any part, gathered.
#[derive(Default)]
struct Found(Vec<Diagnostic>);

impl Found {
    fn keep<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Option<T> {
        result.map_err(|it| self.0.extend(it)).ok()
    }
}

impl CompiledBundle {
    /// Compiles all parts, for the primary slot.
    ///
    /// # Errors
    /// Everything found wrong in any: a part is checked even where another is at fault.
    pub fn compile(
        bundle: &Bundle,
        files: FileNames<'_>,
    ) -> Result<CompiledBundle, Vec<Diagnostic>> {
        let mut found = Found::default();
        let set = found.keep(FeatureSet::compile(files.feature_set, &bundle.feature_set));
        let model = found.keep(compile_model(bundle, &files, set.as_ref()));
        let manifest_file = files.beside("bundle.yaml");
        let read = bundle.manifest.as_deref().map(|text| {
            let read = manifest::read(&manifest_file, text);
            (text, found.keep(read))
        });
        let none = BTreeMap::new();
        let beside = Beside {
            features: set.as_ref(),
            model: Some(bundle.model.is_some()),
            thresholds: match &read {
                None => Some(&none),
                Some((_, read)) => read.as_ref().map(|(_, shape)| &shape.thresholds),
            },
        };
        let policy = found.keep(Policy::compile_against(
            files.policy,
            &bundle.policy,
            &beside,
        ));
        let parts = manifest::Parts {
            set: set.as_ref(),
            feature_set_digest: bundle.feature_set_digest(),
            has_model: bundle.model.is_some(),
            model: model.as_ref().and_then(Option::as_ref),
        };
        let manifest = match &read {
            Some((text, Some((root, shape)))) => found.keep(Manifest::compile(
                &manifest_file,
                text,
                (root, shape),
                &parts,
            )),
            Some((_, None)) => None,
            None => Some(Manifest::default()),
        };
        match (set, model, policy, manifest) {
            (Some(set), Some(model), Some(policy), Some(manifest)) => Ok(CompiledBundle {
                name: bundle.name.clone(),
                slot: PRIMARY_SLOT.to_owned(),
                feature_set: Arc::new(set),
                policy,
                model,
                manifest,
                bundle_digest: bundle.digest(),
                feature_set_digest: bundle.feature_set_digest(),
                policy_digest: bundle.policy_digest(),
            }),
            _ => Err(found.0),
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

/// The bundle's model, if it has one and there is a feature set to compile it against.
fn compile_model(
    bundle: &Bundle,
    files: &FileNames<'_>,
    set: Option<&FeatureSet>,
) -> Result<Option<Model>, Vec<Diagnostic>> {
    let (Some(text), Some(set)) = (&bundle.model, set) else {
        return Ok(None);
    };
    Model::compile(text, set).map(Some).map_err(|error| {
        let (line, column) = match &error {
            scoring::CompileError::Json { line, column, .. } => (*line, *column),
            _ => (1, 1),
        };
        let file = files.beside("model.json");
        // A model may stand in one line of megabytes: none of it is shown.
        vec![Diagnostic {
            severity: Severity::Error,
            file,
            line: line.max(1),
            column: column.max(1),
            message: error.to_string(),
            suggestion: None,
            snippet: "…".to_owned(),
        }]
    })
}
