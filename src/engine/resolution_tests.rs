//! Every combination of what may be found at tenant, global and fallback, against an expectation that is
//! written another way, and those that people ask about by hand.

use crate::contracts::decision::BundleState;
use crate::domain::digest::Digest;
use crate::engine::CompiledBundle;
use crate::engine::bundle::{FileNames, fail_closed};
use crate::engine::resolution::{Found, Resolution, StepResult, resolve};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Present,
    Absent,
    Incompatible,
    Retired,
    EvidenceMissing,
    Unreachable,
}

const ALL: [Is; 6] = [
    Is::Present,
    Is::Absent,
    Is::Incompatible,
    Is::Retired,
    Is::EvidenceMissing,
    Is::Unreachable,
];
const NAMES: [&str; 3] = ["tenant", "global", "fallback"];

fn digest(name: &str) -> Digest {
    Digest::of_bytes(name.as_bytes())
}

fn found(name: &'static str, is: Is) -> Found<&'static str> {
    let digest = digest(name);
    match is {
        Is::Present => Found::Fits {
            digest,
            bundle: name,
        },
        Is::Absent => Found::Absent,
        Is::Incompatible => Found::Incompatible {
            digest,
            why: format!("{name} needs more"),
        },
        Is::Retired => Found::Retired { digest },
        Is::EvidenceMissing => Found::EvidenceMissing {
            digest,
            what: format!("{name}.json"),
        },
        Is::Unreachable => Found::Unreachable {
            cause: "no route".to_owned(),
        },
    }
}

fn resolved(of: [Is; 3]) -> Resolution<&'static str> {
    resolve([0, 1, 2].map(|at| found(NAMES[at], of[at])))
}

/// The rule, said as conditions on the whole and not as a walk.
fn expected(of: [Is; 3]) -> (Option<&'static str>, BundleState, bool) {
    use Is::{Absent, Present, Retired, Unreachable};
    let [tenant, global, fallback] = of;
    let is_quiet = |is: Is| is == Absent || is == Retired;
    let tenant_decides = tenant == Present;
    let global_decides = global == Present && tenant != Present && tenant != Unreachable;
    let fallback_decides = fallback == Present && !tenant_decides && !global_decides;
    if tenant_decides {
        (Some("tenant"), BundleState::Resolved, false)
    } else if global_decides {
        (Some("global"), BundleState::Resolved, !is_quiet(tenant))
    } else if fallback_decides {
        (Some("fallback"), BundleState::Fallback, true)
    } else {
        (None, BundleState::None, true)
    }
}

#[test]
fn all_combinations_come_out_as_stated() {
    let (mut n, mut closed) = (0, 0);
    for tenant in ALL {
        for global in ALL {
            for fallback in ALL {
                let of = [tenant, global, fallback];
                let resolution = resolved(of);
                let (bundle, state, is_anomaly) = expected(of);
                assert_eq!(resolution.bundle, bundle, "{of:?}");
                assert_eq!(resolution.state, state, "{of:?}");
                assert_eq!(resolution.is_anomaly(), is_anomaly, "{of:?}");
                check_reasons(of, &resolution);
                n += 1;
                closed += usize::from(bundle.is_none());
            }
        }
    }
    // 5 tenants without a bundle, 5 globals, 5 fallbacks; and a global that nobody may be sure of.
    assert_eq!((n, closed), (216, 5 * 5 * 5 + 5));
}

/// Every step says what was found there, and at most one decides.
fn check_reasons(of: [Is; 3], resolution: &Resolution<&'static str>) {
    let mut decide = 0;
    for (at, tried) in resolution.steps.iter().enumerate() {
        let is_named = !matches!(of[at], Is::Absent | Is::Unreachable);
        assert_eq!(
            tried.bundle_digest,
            is_named.then(|| digest(NAMES[at])),
            "{of:?}"
        );
        let legal: &[StepResult] = match of[at] {
            Is::Present => &[
                StepResult::Decides,
                StepResult::StandsBy,
                StepResult::NotSure,
            ],
            Is::Absent => &[StepResult::Absent],
            Is::Incompatible => &[StepResult::Incompatible],
            Is::Retired => &[StepResult::Retired],
            Is::EvidenceMissing => &[StepResult::EvidenceMissing],
            Is::Unreachable => &[StepResult::RegistryUnreachable],
        };
        assert!(legal.contains(&tried.result), "{of:?}: {tried:?}");
        let says_why = matches!(
            of[at],
            Is::Incompatible | Is::EvidenceMissing | Is::Unreachable
        );
        assert_eq!(tried.why.is_some(), says_why, "{of:?}");
        if tried.result == StepResult::Decides {
            decide += 1;
            assert_eq!(resolution.bundle, Some(NAMES[at]), "{of:?}");
        }
    }
    assert_eq!(decide, usize::from(resolution.bundle.is_some()), "{of:?}");
}

#[track_caller]
fn check(of: [Is; 3], bundle: Option<&str>, state: BundleState, results: [StepResult; 3]) {
    let resolution = resolved(of);
    assert_eq!((resolution.bundle, resolution.state), (bundle, state));
    let told: Vec<StepResult> = resolution.steps.iter().map(|it| it.result).collect();
    assert_eq!(told, results);
}

#[test]
fn those_that_people_ask_about() {
    use BundleState::{Fallback, None as Closed, Resolved};
    use Is::{Absent, EvidenceMissing, Incompatible, Present, Retired, Unreachable};
    use StepResult as R;
    // A tenant's own bundle decides; the others stand by.
    check(
        [Present, Present, Present],
        Some("tenant"),
        Resolved,
        [R::Decides, R::StandsBy, R::StandsBy],
    );
    // A tenant without one has everybody's.
    check(
        [Absent, Present, Absent],
        Some("global"),
        Resolved,
        [R::Absent, R::Decides, R::Absent],
    );
    // A tenant's bundle was retired: everybody's again.
    check(
        [Retired, Present, Present],
        Some("global"),
        Resolved,
        [R::Retired, R::Decides, R::StandsBy],
    );
    // What must not decide does not keep the next from deciding.
    check(
        [Incompatible, Present, Present],
        Some("global"),
        Resolved,
        [R::Incompatible, R::Decides, R::StandsBy],
    );
    check(
        [EvidenceMissing, Incompatible, Present],
        Some("fallback"),
        Fallback,
        [R::EvidenceMissing, R::Incompatible, R::Decides],
    );
    // Nobody knows whether the tenant has one: everybody's may be too lenient.
    check(
        [Unreachable, Present, Present],
        Some("fallback"),
        Fallback,
        [R::RegistryUnreachable, R::NotSure, R::Decides],
    );
    check(
        [Unreachable, Present, Absent],
        None,
        Closed,
        [R::RegistryUnreachable, R::NotSure, R::Absent],
    );
    // Nothing was ever named.
    check(
        [Absent, Absent, Absent],
        None,
        Closed,
        [R::Absent, R::Absent, R::Absent],
    );
    check(
        [Retired, Retired, Retired],
        None,
        Closed,
        [R::Retired, R::Retired, R::Retired],
    );
    check(
        [Unreachable, Unreachable, Unreachable],
        None,
        Closed,
        [
            R::RegistryUnreachable,
            R::RegistryUnreachable,
            R::RegistryUnreachable,
        ],
    );
}

#[test]
fn only_a_change_that_matters_is_another_resolution() {
    use Is::{Absent, Incompatible, Present, Retired, Unreachable};
    let digest = |of| resolved(of).digest();
    assert_eq!(
        digest([Present, Absent, Absent]),
        digest([Present, Present, Unreachable]),
        "what stands behind the one that decides"
    );
    assert_ne!(
        digest([Absent, Present, Absent]),
        digest([Incompatible, Present, Absent])
    );
    assert_ne!(
        digest([Absent, Absent, Absent]),
        digest([Absent, Absent, Retired])
    );
    assert!(resolved([Unreachable, Present, Present]).is_unsure());
    assert!(!resolved([Present, Unreachable, Unreachable]).is_unsure());
}

/// Decisions name this digest: another text is another bundle, and the old one must still be had to replay them.
#[test]
fn the_bundle_that_fails_closed_is_the_one_it_always_was() {
    let bundle = fail_closed();
    let digest = "864d99c1bc9862166094481cfe0f065427a6196b2f58ffb074f019136e9c6895";
    assert_eq!(bundle.digest().to_string(), digest);
    let compiled = CompiledBundle::compile(&bundle, FileNames::PLAIN).unwrap();
    assert_eq!(compiled.feature_set.features().count(), 0);
    let warnings: Vec<String> = compiled
        .policy
        .warnings()
        .iter()
        .map(|it| it.message.clone())
        .collect();
    assert_eq!(warnings, ["rule `F001` fires on every event"]);
}
