//! What a posture switches off, and what is decided when it leaves nothing on.

use std::collections::BTreeSet;

use crate::contracts::chunks;
use crate::domain::vocabulary::{Capability, Outcome, Posture};
use crate::engine::event::EventRecord;
use crate::engine::features::{FeatureSet, FeatureState, FeatureVector};
use crate::engine::policy::PolicyResult;

/// The outcome of every decision where no bundle may decide.
pub const FAIL_CLOSED_OUTCOME: Outcome = Outcome::Decline;

/// The mask: what a decision under `posture` may draw on.
#[must_use]
pub fn capabilities(posture: Posture) -> BTreeSet<Capability> {
    use Capability::{Features, Graph, Model, Policy, Shadow};
    let on: &[Capability] = match posture {
        Posture::Normal => &[Features, Graph, Model, Policy, Shadow],
        Posture::Degraded1 => &[Features, Model, Policy],
        Posture::Degraded2 => &[Features, Policy],
        Posture::FailClosed => &[],
    };
    on.iter().copied().collect()
}

/// The code by which a decision says that it was made under another posture than `NORMAL`.
#[must_use]
pub fn degradation(posture: Posture) -> Option<String> {
    (posture != Posture::Normal).then(|| format!("POSTURE_{posture}"))
}

/// The features of `event` that a decision by a bundle of this set may see; what is switched off is missing,
/// and then the state may be of another set.
///
/// # Errors
/// The state is lost.
pub fn features(
    set: &FeatureSet,
    state: &mut FeatureState,
    event: &EventRecord,
    capabilities: &BTreeSet<Capability>,
) -> Result<FeatureVector, chunks::Error> {
    match capabilities.contains(&Capability::Features) {
        true => state.compute_with(event, capabilities.contains(&Capability::Graph)),
        false => Ok(FeatureVector::missing(set)),
    }
}

/// What is decided when the rules are switched off: the declared outcome, nothing tried.
#[must_use]
pub fn fail_closed() -> PolicyResult {
    PolicyResult {
        outcome: FAIL_CLOSED_OUTCOME,
        rule_score: 0,
        reasons: Vec::new(),
        trace: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_down_switches_more_off() {
        let steps = Posture::ALL.windows(2);
        for (above, below) in steps.map(|it| (capabilities(it[0]), capabilities(it[1]))) {
            assert!(below.is_subset(&above) && below != above);
        }
        let on = |posture| capabilities(posture).into_iter().collect::<Vec<_>>();
        assert_eq!(on(Posture::Normal), Capability::ALL);
        assert_eq!(on(Posture::FailClosed), []);
    }
}
