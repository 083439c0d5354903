//! Whether a parsed event may be admitted: pins, class, version, schema, time, the run's end.
//! Pure. A fault names the place and the rule, never a value.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::Value;

use crate::contracts::attributes::Attributes;
use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::contracts::schema;
use crate::domain::keys::Pins;
use crate::domain::time::{MICROS_PER_DAY, Time};
use crate::domain::vocabulary::EventClass;

/// How far an event of a live run may lie from the gate's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    /// Into the past: as long as repeats are known.
    pub(super) horizon_days: u32,
    /// Into the future: clocks of honest producers differ.
    pub(super) future_tolerance_ms: u64,
}

/// Why an event is quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Fault {
        let detail = detail.into();
        Fault { code, detail }
    }

    /// Whether the event would be good at another time: a repeat of an admitted event is then
    /// still a repeat, and gets its first receipt.
    pub(super) fn is_of_time(&self) -> bool {
        matches!(self.code, Code::RunClosed | Code::TsOutOfRange)
    }
}

/// What of a run decides over its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) pins: Pins,
    /// First and last time of the pinned world; `None` for a live run.
    pub(super) world_range: Option<(Time, Time)>,
    pub(super) is_closed: bool,
}

/// The payload schemas, by class and version.
pub(super) struct Schemas(BTreeMap<(EventClass, i64), Schema>);

/// As it is served, and compiled.
struct Schema {
    document: Value,
    validator: Validator,
}

impl Schemas {
    /// `attributes`: what payments may carry beside the fields of the contract; none: anything.
    ///
    /// # Panics
    /// Never: the schemas come from our own types.
    pub(super) fn compile(attributes: Option<&Attributes>) -> Schemas {
        let version_1 = EventClass::ALL.iter().map(|class| {
            let mut document = schema::payload(*class).to_value();
            if let (EventClass::Traffic, Some(attributes)) = (class, attributes) {
                document["properties"]["attributes"] = attributes.schema();
            }
            (*class, document)
        });
        let compile = |(class, document): (EventClass, Value)| {
            let validator = jsonschema::validator_for(&document);
            let validator = validator.expect("a derived schema compiles");
            let schema = Schema {
                document,
                validator,
            };
            ((class, 1), schema)
        };
        Schemas(version_1.map(compile).collect())
    }

    /// The schema of a class and version as a document.
    pub(super) fn document(&self, class: EventClass, version: i64) -> Option<&Value> {
        self.0.get(&(class, version)).map(|it| &it.document)
    }

    /// Every class with its versions.
    pub(super) fn versions(&self) -> impl Iterator<Item = (EventClass, i64)> {
        self.0.keys().copied()
    }

    fn of(&self, class: EventClass, version: i64) -> Result<&Validator, Fault> {
        let found = self.0.get(&(class, version));
        found.map(|it| &it.validator).ok_or_else(|| {
            let known = self.versions().filter(|it| it.0 == class);
            let known: Vec<String> = known.map(|it| it.1.to_string()).collect();
            let detail = format!("schema_version: {class} has {}", known.join(", "));
            Fault::new(Code::SchemaVersionUnsupported, detail)
        })
    }
}

/// The fault that makes an event unfit, if there is one; those of time come last.
pub(super) fn check(
    schemas: &Schemas,
    rules: &Rules,
    envelope: &Envelope,
    now: Time,
    live: Live,
) -> Result<EventClass, Fault> {
    if envelope.pii.is_some() {
        return Err(Fault::new(Code::PiiUnsupported, "pii: not accepted"));
    }
    pins(&rules.pins, envelope)?;
    let class: EventClass = envelope.event_class.parse().map_err(|_| {
        Fault::new(
            Code::ClassUnknown,
            "event_class: not a class of this release",
        )
    })?;
    valid(schemas.of(class, envelope.schema_version)?, envelope)?;
    if rules.is_closed {
        return Err(Fault::new(Code::RunClosed, "the run takes no more events"));
    }
    let (first, last) = rules.world_range.unwrap_or_else(|| {
        let horizon = i64::from(live.horizon_days) * MICROS_PER_DAY;
        (
            now.minus_micros(horizon),
            now.plus_ms(live.future_tolerance_ms),
        )
    });
    if (first..=last).contains(&envelope.ts_utc) {
        Ok(class)
    } else {
        let detail = format!("ts_utc: not within {first} and {last}");
        Err(Fault::new(Code::TsOutOfRange, detail))
    }
}

fn pins(pins: &Pins, envelope: &Envelope) -> Result<(), Fault> {
    let pairs = [
        (
            "scenario_run_id",
            pins.scenario_run_id == envelope.scenario_run_id,
        ),
        (
            "manifest_fingerprint",
            pins.manifest_fingerprint == envelope.manifest_fingerprint,
        ),
        ("tenant_id", pins.tenant_id == envelope.tenant_id),
    ];
    match pairs.iter().find(|(_, equal)| !equal) {
        None => Ok(()),
        Some((name, _)) => {
            let detail = format!("{name}: not that of the run");
            Err(Fault::new(Code::PinsMismatch, detail))
        }
    }
}

fn valid(validator: &Validator, envelope: &Envelope) -> Result<(), Fault> {
    if validator.is_valid(&envelope.payload) {
        return Ok(());
    }
    let first = validator.iter_errors(&envelope.payload).next();
    let detail = first.map_or_else(
        || "payload: refused by the schema".to_owned(),
        |error| {
            let place: String = error.instance_path().as_str().chars().take(200).collect();
            format!("payload{place}: breaks {}", error.schema_path().as_str())
        },
    );
    Err(Fault::new(Code::SchemaInvalid, detail))
}

/// The partition key of an event whose payload passed the schema of its class (CONTRACTS §2).
pub(super) fn partition_key(class: EventClass, envelope: &Envelope) -> String {
    let text = |name: &str| {
        envelope.payload[name]
            .as_str()
            .expect("the schema requires this text")
    };
    match class {
        EventClass::ArrivalEvent | EventClass::ArrivalEntities => {
            format!(
                "{}|{}",
                text("merchant_id"),
                envelope.payload["arrival_seq"]
            )
        }
        EventClass::FlowAnchor => text("flow_id").to_owned(),
        EventClass::Traffic => text("customer_id").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contracts::attributes::AttributeType;

    const NOW: &str = "2025-06-01T00:00:00Z";

    fn envelope(class: &str, payload: Value) -> Envelope {
        let hex = "0".repeat(64);
        serde_json::from_value(json!({
            "event_id": "s:1", "event_class": class, "schema_version": 1,
            "ts_utc": NOW, "platform_run_id": format!("run_{hex}"),
            "scenario_run_id": format!("sr_{hex}"), "manifest_fingerprint": hex,
            "producer": "p", "payload": payload,
        }))
        .unwrap()
    }

    fn anchor() -> Envelope {
        envelope(
            "flow_anchor",
            json!({"flow_id": "f", "merchant_id": "m", "arrival_seq": 1}),
        )
    }

    fn live() -> Rules {
        Rules {
            pins: anchor().pins(),
            world_range: None,
            is_closed: false,
        }
    }

    #[track_caller]
    fn check(rules: &Rules, envelope: &Envelope, expect: Result<EventClass, (Code, &str)>) {
        let found = super::check(
            &Schemas::compile(None),
            rules,
            envelope,
            NOW.parse().unwrap(),
            Live {
                horizon_days: 7,
                future_tolerance_ms: 300_000,
            },
        );
        match (&found, expect) {
            (Ok(found), Ok(class)) => assert_eq!(*found, class),
            (Err(fault), Err((code, detail))) => {
                assert_eq!(fault.code, code, "{fault:?}");
                assert!(fault.detail.contains(detail), "{fault:?}");
            }
            _ => panic!("{found:?}"),
        }
    }

    #[test]
    fn each_fault_has_its_code_and_place() {
        check(&live(), &anchor(), Ok(EventClass::FlowAnchor));
        let with = |change: fn(&mut Envelope)| {
            let mut envelope = anchor();
            change(&mut envelope);
            envelope
        };
        let cases: [(Envelope, Code, &str); 9] = [
            (
                with(|it| it.pii = Some(json!({}))),
                Code::PiiUnsupported,
                "pii",
            ),
            (
                with(|it| it.tenant_id = "t".parse().ok()),
                Code::PinsMismatch,
                "tenant_id",
            ),
            (
                with(|it| it.event_class = "refund".to_owned()),
                Code::ClassUnknown,
                "event_class",
            ),
            (
                with(|it| it.schema_version = 2),
                Code::SchemaVersionUnsupported,
                "schema_version",
            ),
            (
                with(|it| it.payload = json!([])),
                Code::SchemaInvalid,
                "/type",
            ),
            (
                with(|it| it.payload["arrival_seq"] = json!(0)),
                Code::SchemaInvalid,
                "payload/arrival_seq: breaks /properties/arrival_seq/minimum",
            ),
            (
                with(|it| it.payload["secret"] = json!("value")),
                Code::SchemaInvalid,
                "additionalProperties",
            ),
            (
                with(|it| it.ts_utc = "2025-06-01T00:05:00.000001Z".parse().unwrap()),
                Code::TsOutOfRange,
                "ts_utc",
            ),
            (
                with(|it| it.ts_utc = "2025-05-24T23:59:59Z".parse().unwrap()),
                Code::TsOutOfRange,
                "ts_utc",
            ),
        ];
        for (envelope, code, detail) in cases {
            check(&live(), &envelope, Err((code, detail)));
        }
    }

    #[test]
    fn attributes_are_as_they_are_declared() {
        let declared = [
            ("tier", AttributeType::Text),
            ("items", AttributeType::Int),
            ("is_gift", AttributeType::Bool),
        ];
        let declared = declared.map(|(name, kind)| (name.to_owned(), kind));
        let schemas = Schemas::compile(Some(&Attributes(declared.into())));
        let fits = |attributes: Value| {
            let payload = json!({
                "flow_id": "f", "customer_id": "c", "merchant_id": "m", "amount_minor": 1,
                "currency": "EUR", "channel": "pos", "attributes": attributes,
            });
            let validator = schemas.of(EventClass::Traffic, 1).unwrap();
            valid(validator, &envelope("traffic", payload)).is_ok()
        };
        assert!(fits(json!({"tier": "gold", "items": 3, "is_gift": false})));
        assert!(fits(json!({})));
        assert!(!fits(json!({"tier": 3})));
        assert!(!fits(json!({"items": "3"})));
        assert!(!fits(json!({"items": 3.5})));
        assert!(!fits(json!({"is_gift": 1})));
        assert!(!fits(json!({"color": "red"})));
        assert!(!fits(json!({"tier": "x".repeat(257)})));
    }

    #[test]
    fn a_world_run_takes_its_range_and_nothing_after_its_end() {
        let at = |text: &str| text.parse::<Time>().unwrap();
        let mut world = live();
        world.world_range = Some((at(NOW), at(NOW)));
        check(&world, &anchor(), Ok(EventClass::FlowAnchor));
        world.world_range = Some((at("2018-01-01T00:00:00Z"), at("2018-12-31T00:00:00Z")));
        check(&world, &anchor(), Err((Code::TsOutOfRange, "2018-12-31")));
        world.is_closed = true;
        check(&world, &anchor(), Err((Code::RunClosed, "")));
    }

    #[test]
    fn partition_keys_are_those_of_the_contract() {
        let key = |class: EventClass, payload: Value| {
            partition_key(class, &envelope(class.as_str(), payload))
        };
        let arrival = json!({"merchant_id": "m", "arrival_seq": 3});
        assert_eq!(key(EventClass::ArrivalEvent, arrival.clone()), "m|3");
        assert_eq!(key(EventClass::ArrivalEntities, arrival), "m|3");
        assert_eq!(key(EventClass::FlowAnchor, json!({"flow_id": "f"})), "f");
        assert_eq!(key(EventClass::Traffic, json!({"customer_id": "c"})), "c");
    }
}
