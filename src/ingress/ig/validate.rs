//! Whether a parsed event may be admitted: pins, class, version, schema, time, the run's end.
//! Pure. A fault names the place and the rule, never a value.

use jsonschema::Validator;

use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor, Traffic};
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

/// The compiled schemas of the four payloads.
pub(super) struct Schemas([Validator; 4]);

impl Schemas {
    /// # Panics
    /// Never: the schemas come from our own types.
    pub(super) fn compile() -> Schemas {
        let compile = |schema: schemars::Schema| {
            jsonschema::validator_for(schema.as_value()).expect("a derived schema compiles")
        };
        Schemas([
            compile(schemars::schema_for!(ArrivalEvent)),
            compile(schemars::schema_for!(ArrivalEntities)),
            compile(schemars::schema_for!(FlowAnchor)),
            compile(schemars::schema_for!(Traffic)),
        ])
    }

    fn of(&self, class: EventClass) -> &Validator {
        let [arrival_event, arrival_entities, flow_anchor, traffic] = &self.0;
        match class {
            EventClass::ArrivalEvent => arrival_event,
            EventClass::ArrivalEntities => arrival_entities,
            EventClass::FlowAnchor => flow_anchor,
            EventClass::Traffic => traffic,
        }
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
    if envelope.schema_version != class.schema_version() {
        let detail = format!("schema_version: {class} has {}", class.schema_version());
        return Err(Fault::new(Code::SchemaVersionUnsupported, detail));
    }
    schema(schemas.of(class), envelope)?;
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

fn schema(validator: &Validator, envelope: &Envelope) -> Result<(), Fault> {
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
    use serde_json::{Value, json};

    use super::*;

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
            &Schemas::compile(),
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
