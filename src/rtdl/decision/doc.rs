//! What the routes of the posture take and answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::rtdl::decision::force::Force;
use crate::rtdl::decision::http::{ForceAsked, Postures, ReleaseAsked};
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";

pub(super) fn show() -> Doc {
    Doc::new("posture", "What runs decide under, and what is forced")
        .about("A run that is not listed is NORMAL. Every decision names the posture that it was made under.")
        .through(Corridor::RunRead)
        .answers::<Postures>(
            200,
            "What stands now",
            json!({
                "forces": [forced()],
                "runs": [{
                    "platform_run_id": RUN, "posture": "DEGRADED_2", "reason": "FORCED", "since_seq": 18,
                    "changed_at": "2025-01-31T12:00:04.757606Z",
                }],
            }),
        )
        .refuses(503, &[(Code::SubstrateUnavailable, "the database did not answer")])
}

pub(super) fn force() -> Doc {
    let asked = json!({
        "platform_run_id": RUN, "posture": "DEGRADED_2", "reason": "the model misbehaves",
        "expires_at": "2099-01-31T14:00:00Z",
    });
    orders(Doc::new("posture", "Force a posture on a run, or on all"))
        .about("It holds from the next batch of decisions on, until it is released or expires; the newest word on a run goes before the word on all. Every decision under it names it and who gave it.")
        .takes::<ForceAsked>("Which posture, and why", asked)
        .answers::<Force>(200, "It is on record", forced())
}

pub(super) fn release() -> Doc {
    let asked = json!({"platform_run_id": RUN, "reason": "rolled back"});
    let mut released = forced();
    for gone in ["posture", "expires_at"] {
        released.as_object_mut().map(|it| it.remove(gone));
    }
    orders(Doc::new("posture", "Release what was forced"))
        .about("What the signals say stands again at once.")
        .takes::<ReleaseAsked>("Of which run, and why", asked)
        .answers::<Force>(200, "It is on record", released)
}

fn orders(doc: Doc) -> Doc {
    doc.through(Corridor::PostureForce)
        .refuses(
            400,
            &[
                (
                    Code::BodyUnreadable,
                    "Failed to parse the request body as JSON: EOF while parsing a value",
                ),
                (
                    Code::PostureRefused,
                    "give a reason of at most 1000 characters, none of them NUL: it is what others will read",
                ),
            ],
        )
        .refuses(404, &[(Code::RunUnknown, "there is no run run_c0f5…")])
        .refuses(
            413,
            &[(
                Code::BodyTooLarge,
                "Failed to buffer the request body: length limit exceeded",
            )],
        )
        .refuses(
            503,
            &[(Code::SubstrateUnavailable, "the database did not answer")],
        )
}

fn forced() -> Value {
    json!({
        "force_id": format!("fact_{}", "5".repeat(64)), "platform_run_id": RUN, "posture": "DEGRADED_2",
        "reason": "the model misbehaves", "expires_at": "2099-01-31T14:00:00Z",
        "recorded_at": "2025-01-31T12:00:04.513377Z",
        "actor": {"actor_id": "ops:ann", "source_type": "HUMAN"},
    })
}
