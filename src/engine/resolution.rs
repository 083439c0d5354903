//! Which bundle decides: tenant ACTIVE → global ACTIVE → declared safe fallback → none (L8). Pure: it is told
//! what was found at each step, and answers the bundle with the reason of every step.
//!
//! What is not there is passed over, and so is what must not decide. What nobody knows is another matter: the
//! bundle that could not be asked for may be a stricter one, so after that only the declared fallback may decide.

use serde::Serialize;

use crate::contracts::bundle_resolver::ResolutionStep;
use crate::contracts::decision::BundleState;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::vocabulary::vocabulary;

/// What was found at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<B> {
    /// It is named, stored, whole, and this platform can run it.
    Fits { digest: Digest, bundle: B },
    /// Nothing is named.
    Absent,
    /// This platform cannot run it, or it is not what its digest says.
    Incompatible { digest: Digest, why: String },
    /// It was taken out of force.
    Retired { digest: Digest },
    /// Its object, or what it was put in force upon, is not in the store.
    EvidenceMissing { digest: Digest, what: String },
    /// Registry or store do not answer.
    Unreachable { cause: String },
}

vocabulary!(
    /// What became of a step.
    StepResult {
        /// The bundle that decides.
        Decides = "DECIDES",
        /// In order; one before it decides.
        StandsBy = "STANDS_BY",
        /// In order, but a step before it could not be asked.
        NotSure = "NOT_SURE",
        Absent = "ABSENT",
        Incompatible = "INCOMPATIBLE",
        Retired = "RETIRED",
        EvidenceMissing = "EVIDENCE_MISSING",
        RegistryUnreachable = "REGISTRY_UNREACHABLE",
    }
);

impl StepResult {
    /// Whether a bundle is named that should decide and cannot, or nobody knows.
    const fn is_fault(self) -> bool {
        matches!(
            self,
            StepResult::Incompatible
                | StepResult::EvidenceMissing
                | StepResult::RegistryUnreachable
        )
    }
}

/// A step, and why it decides or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    pub step: ResolutionStep,
    pub result: StepResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_digest: Option<Digest>,
    /// In words, where the result does not say it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Which bundle decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<B> {
    /// None: fail closed.
    pub bundle: Option<B>,
    pub state: BundleState,
    /// All three, in order.
    pub steps: Vec<Tried>,
}

/// Resolves what was found for tenant, global and fallback.
#[must_use]
pub fn resolve<B>(found: [Found<B>; 3]) -> Resolution<B> {
    let (mut bundle, mut state, mut is_sure) = (None, BundleState::None, true);
    let mut steps = Vec::with_capacity(found.len());
    for (step, found) in ResolutionStep::ALL.iter().copied().zip(found) {
        let (result, bundle_digest, why) = match found {
            Found::Fits { digest, .. } if bundle.is_some() => {
                (StepResult::StandsBy, Some(digest), None)
            }
            Found::Fits { digest, .. } if !is_sure && step != ResolutionStep::Fallback => {
                (StepResult::NotSure, Some(digest), None)
            }
            Found::Fits {
                digest,
                bundle: fits,
            } => {
                bundle = Some(fits);
                state = match step {
                    ResolutionStep::Tenant | ResolutionStep::Global => BundleState::Resolved,
                    ResolutionStep::Fallback => BundleState::Fallback,
                };
                (StepResult::Decides, Some(digest), None)
            }
            Found::Absent => (StepResult::Absent, None, None),
            Found::Retired { digest } => (StepResult::Retired, Some(digest), None),
            Found::Incompatible { digest, why } => {
                (StepResult::Incompatible, Some(digest), Some(why))
            }
            Found::EvidenceMissing { digest, what } => {
                (StepResult::EvidenceMissing, Some(digest), Some(what))
            }
            Found::Unreachable { cause } => {
                is_sure = false;
                (StepResult::RegistryUnreachable, None, Some(cause))
            }
        };
        steps.push(Tried {
            step,
            result,
            bundle_digest,
            why,
        });
    }
    Resolution {
        bundle,
        state,
        steps,
    }
}

impl<B> Resolution<B> {
    /// The steps that were tried before one decided.
    fn passed_over(&self) -> impl Iterator<Item = &Tried> {
        let steps = self.steps.iter();
        steps.take_while(|it| it.result != StepResult::Decides)
    }

    /// Whether somebody must look: a bundle that should decide cannot, or none that is ACTIVE does.
    #[must_use]
    pub fn is_anomaly(&self) -> bool {
        self.state != BundleState::Resolved || self.passed_over().any(|it| it.result.is_fault())
    }

    /// Whether it may be another one as soon as registry and store answer.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.passed_over()
            .any(|it| it.result == StepResult::RegistryUnreachable)
    }

    /// Tells resolutions apart by what decides and by the steps passed over; not by words, which may
    /// name the moment.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut tagged = Tagged::new("bundle_resolution");
        let decides = self
            .steps
            .iter()
            .find(|it| it.result == StepResult::Decides);
        for it in self.passed_over().chain(decides) {
            let digest = it.bundle_digest.map(|it| it.to_string());
            tagged = tagged.display(it.step).display(it.result);
            tagged = tagged.opt_text(digest.as_deref());
        }
        tagged.digest()
    }
}
