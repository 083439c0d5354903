//! What the routes of the graph take and answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::graph::{Component, EntityKind, Labelled, Neighbours, Path, Shared};
use crate::contracts::permission::Corridor;
use crate::rtdl::graph::http::{COMPONENT, COMPONENT_MAX, HOPS, HOPS_MAX, PAGE, PAGE_MAX};
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";
const CUSTOMER: &str = "customer_id:c17";
const CARD: &str = "card_id:tok_41";

pub(super) fn neighbours() -> Doc {
    let entity =
        json!({"entity": CARD, "first_seen": "2025-01-03T08:15:00Z", "last_day": "2025-01-30"});
    let doc = Doc::new("graph", "What an entity is linked with")
        .about("A link is dated by the earliest event that named both. An entity that nobody met has no neighbours.");
    asked(doc)
        .needs(
            "entity",
            "The entity: kind, colon, id",
            &entity_form(),
            CUSTOMER,
        )
        .word("kind", "Only neighbours of this kind", &kinds())
        .text("after", "What the page before gave as `next`", CARD)
        .number(
            "limit",
            "Neighbours on the page",
            1..=PAGE_MAX as u64,
            PAGE as u64,
        )
        .answers::<Neighbours>(
            200,
            "A page of neighbours, by kind and id",
            json!({"graph": state(), "entity": CUSTOMER, "neighbours": [entity]}),
        )
}

pub(super) fn shared() -> Doc {
    let user = |id: &str| json!({"customer_id": id, "first_seen": "2025-01-03T08:15:00Z"});
    let card =
        json!({"entity": CARD, "customers_count": 2, "customers": [user("c17"), user("c9")]});
    let doc = Doc::new("graph", "Entities that several customers use")
        .about("Of each the first 100 customers are named; all are counted.");
    asked(doc)
        .needs_word("kind", "What is shared", &kinds()[1..])
        .number("min", "Customers at least", 1..=i64::MAX as u64, 2)
        .text("after", "What the page before gave as `next`", "tok_40")
        .number(
            "limit",
            "Entities on the page",
            1..=PAGE_MAX as u64,
            PAGE as u64,
        )
        .answers::<Shared>(
            200,
            "A page of shared entities, by id",
            json!({"graph": state(), "shared": [card]}),
        )
}

pub(super) fn component() -> Doc {
    let members = json!([
        {"entity": CUSTOMER, "hops": 0},
        {"entity": CARD, "hops": 1, "from": CUSTOMER},
        {"entity": "customer_id:c9", "hops": 2, "from": CARD},
    ]);
    let doc = Doc::new("graph", "What hangs together with an entity").about(
        "Nothing is reached through a hub, an entity with more than 300 links; hubs are named.",
    );
    asked(doc)
        .needs("entity", "Where to begin: kind, colon, id", &entity_form(), CUSTOMER)
        .number("limit", "Members at most", 1..=COMPONENT_MAX as u64, COMPONENT as u64)
        .answers::<Component>(
            200,
            "The members, nearest first",
            json!({
                "graph": state(), "entity": CUSTOMER, "members": members, "hubs": [], "is_whole": true,
            }),
        )
}

pub(super) fn labelled() -> Doc {
    let found = json!({
        "entity": "customer_id:c9", "hops": 2, "payments_count": 1, "observed_time": "2025-01-20T09:00:00Z",
    });
    let doc = Doc::new("graph", "Customers known for fraud near an entity").about(
        "A customer is known for fraud while of any of its payments the latest label observed by `as_of` says fraud.",
    );
    asked(doc)
        .needs("entity", "Where to begin: kind, colon, id", &entity_form(), CUSTOMER)
        .number("hops", "Links away at most", 1..=u64::from(HOPS_MAX), u64::from(HOPS))
        .number("limit", "Entities to look at", 1..=COMPONENT_MAX as u64, COMPONENT as u64)
        .answers::<Labelled>(
            200,
            "The customers, nearest first",
            json!({
                "graph": state(), "entity": CUSTOMER, "hops": 2, "labelled": [found], "entities_count": 3,
                "is_whole": true,
            }),
        )
}

pub(super) fn path() -> Doc {
    let steps = json!([
        {"entity": CUSTOMER},
        {"entity": CARD, "first_seen": "2025-01-03T08:15:00Z"},
        {"entity": "customer_id:c9", "first_seen": "2025-01-09T21:40:00Z"},
    ]);
    let doc = Doc::new("graph", "A shortest way between two entities")
        .about("It goes through no hub; it may end at one. At most 10,000 entities are looked at.");
    asked(doc)
        .needs("from", "One end: kind, colon, id", &entity_form(), CUSTOMER)
        .needs("to", "The other end", &entity_form(), "customer_id:c9")
        .answers::<Path>(
            200,
            "The steps of the way; none where there is no way",
            json!({
                "graph": state(), "from": CUSTOMER, "to": "customer_id:c9", "steps": steps,
                "is_whole": true,
            }),
        )
}

fn asked(doc: Doc) -> Doc {
    doc.through(Corridor::EvidenceResolve)
        .part("run", "platform_run_id", RUN)
        .text(
            "as_of",
            "A time of events: links first seen up to it; now where it is not said",
            "2025-01-31T12:00:00Z",
        )
        .refuses(
            400,
            &[(
                Code::QueryInvalid,
                "Failed to deserialize query string: missing field `entity`",
            )],
        )
        .refuses(404, &[(Code::RunUnknown, "there is no run run_c0f5…")])
        .refuses(
            503,
            &[
                (
                    Code::GraphRebuilding,
                    "the links of run_c0f5… are being read back from the archive",
                ),
                (Code::SubstrateUnavailable, "the database did not answer"),
            ],
        )
}

fn kinds() -> Vec<&'static str> {
    EntityKind::ALL.iter().map(|it| it.as_str()).collect()
}

/// An entity as queries name it.
fn entity_form() -> String {
    format!("^({}):.+$", kinds().join("|"))
}

fn state() -> Value {
    json!({
        "platform_run_id": RUN, "as_of": "2025-01-31T12:00:00Z", "graph_version": "6".repeat(64),
        "basis": {"fp.bus.traffic.fraud.v1/shard-000000": {"after": "17"}},
    })
}
