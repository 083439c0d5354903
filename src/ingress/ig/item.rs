//! One item of a body: strict JSON to a typed envelope, or a refusal with code and place. Pure.
//!
//! Strict: no duplicate key at any depth, no number that is not an i64, no nesting past the limit.
//! A refusal names places and rules, never a value.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::domain::digest::ParseError;

/// Places are shown up to this length: keys are the producer's and may be long.
const PLACE_CHARS_MAX: usize = 200;
const CLASS_BYTES_MAX: usize = 64;
const PRODUCER_CHARS_MAX: usize = 128;

/// Why an item was rejected: nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) detail: String,
    /// As sent, where it could be read.
    pub(super) event_id: Option<String>,
}

/// Reads one item.
pub(super) fn parse(bytes: &[u8], depth_max: usize) -> Result<Envelope, Refusal> {
    let notes = Notes::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let top = Top {
        notes: &notes,
        depth_max,
    };
    let parsed = top
        .deserialize(&mut deserializer)
        .and_then(|fields| deserializer.end().map(|()| fields));
    let parsed = parsed.map_err(|error| notes.fault(&error));
    parsed.and_then(envelope).map_err(|fault| Refusal {
        code: fault.code,
        detail: fault.detail(),
        event_id: notes.event_id.take(),
    })
}

#[derive(Debug)]
struct Fault {
    code: Code,
    /// The innermost key first.
    place: Vec<String>,
    what: String,
}

impl Fault {
    fn at(name: &str, what: impl Into<String>) -> Fault {
        Fault {
            code: Code::ItemUnparsable,
            place: vec![name.to_owned()],
            what: what.into(),
        }
    }

    fn detail(&self) -> String {
        if self.place.is_empty() {
            return self.what.clone();
        }
        let keys: Vec<&str> = self.place.iter().rev().map(String::as_str).collect();
        let place: String = keys.join(".").chars().take(PLACE_CHARS_MAX).collect();
        format!("{place}: {}", self.what)
    }
}

/// What serde's own error type cannot carry.
#[derive(Debug, Default)]
struct Notes {
    fault: RefCell<Option<Fault>>,
    event_id: RefCell<Option<String>>,
}

impl Notes {
    fn refuse<E: serde::de::Error>(&self, code: Code, what: &str) -> E {
        self.fault.replace(Some(Fault {
            code,
            place: Vec::new(),
            what: what.to_owned(),
        }));
        E::custom("refused")
    }

    /// Called on the way out of a nested value.
    fn within<E>(&self, key: impl FnOnce() -> String, error: E) -> E {
        if let Some(fault) = self.fault.borrow_mut().as_mut() {
            fault.place.push(key());
        }
        error
    }

    fn fault(&self, error: &serde_json::Error) -> Fault {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        let (code, what) = if error.is_data() {
            // The library's words would repeat the value.
            (Code::ItemUnparsable, "not a JSON object".to_owned())
        } else if error.to_string().starts_with("number out of range") {
            (Code::NumberNotInteger, error.to_string())
        } else {
            (Code::ItemUnparsable, error.to_string())
        };
        Fault {
            code,
            place: Vec::new(),
            what,
        }
    }
}

const FIELDS: [&str; 11] = [
    "event_id",
    "event_class",
    "schema_version",
    "ts_utc",
    "platform_run_id",
    "scenario_run_id",
    "manifest_fingerprint",
    "tenant_id",
    "producer",
    "payload",
    "pii",
];

type Fields = [Option<Value>; FIELDS.len()];

/// The envelope's own level.
struct Top<'n> {
    notes: &'n Notes,
    depth_max: usize,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<String>()? {
            let Some(at) = FIELDS.iter().position(|name| *name == key) else {
                let error = self
                    .notes
                    .refuse(Code::ItemUnparsable, "not a field of an envelope");
                return Err(self.notes.within(|| key, error));
            };
            if fields[at].is_some() {
                let error = self
                    .notes
                    .refuse(Code::DuplicateKey, "the key appears twice");
                return Err(self.notes.within(|| key, error));
            }
            let strict = Strict {
                notes: self.notes,
                depth_left: self.depth_max.saturating_sub(1),
            };
            let value = map.next_value_seed(strict);
            let value = value.map_err(|error| self.notes.within(|| key, error))?;
            if at == 0
                && let Value::String(text) = &value
                && text.len() <= PLACE_CHARS_MAX
            {
                self.notes.event_id.replace(Some(text.clone()));
            }
            fields[at] = Some(value);
        }
        Ok(fields)
    }
}

/// Any value below.
#[derive(Clone, Copy)]
struct Strict<'n> {
    notes: &'n Notes,
    depth_left: usize,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left, ..self }),
            None => Err(self.notes.refuse(Code::ItemUnparsable, "nested too deeply")),
        }
    }

    fn not_integer<E: serde::de::Error>(self) -> E {
        self.notes
            .refuse(Code::NumberNotInteger, "not an integer within 64 bits")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => Ok(Value::from(value)),
            Err(_) => Err(self.not_integer()),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(self.not_integer())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        loop {
            let item = seq.next_element_seed(inner);
            match item.map_err(|error| self.notes.within(|| items.len().to_string(), error))? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner);
            let value = match value {
                Ok(value) => value,
                Err(error) => return Err(self.notes.within(|| key, error)),
            };
            match fields.entry(key) {
                serde_json::map::Entry::Vacant(free) => drop(free.insert(value)),
                serde_json::map::Entry::Occupied(taken) => {
                    let error = self
                        .notes
                        .refuse(Code::DuplicateKey, "the key appears twice");
                    return Err(self.notes.within(|| taken.key().clone(), error));
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

fn envelope(fields: Fields) -> Result<Envelope, Fault> {
    let [
        event_id,
        event_class,
        schema_version,
        ts_utc,
        run,
        scenario,
        manifest,
        tenant,
        producer,
        payload,
        pii,
    ] = fields;
    let event_class = text(FIELDS[1], event_class)?;
    let legal_class = (1..=CLASS_BYTES_MAX).contains(&event_class.len())
        && event_class.bytes().all(|byte| byte.is_ascii_graphic());
    if !legal_class {
        return Err(Fault::at(
            FIELDS[1],
            "not 1 to 64 printable ASCII characters",
        ));
    }
    let producer = text(FIELDS[8], producer)?;
    if !(1..=PRODUCER_CHARS_MAX).contains(&producer.chars().count()) {
        return Err(Fault::at(FIELDS[8], "not 1 to 128 characters"));
    }
    let tenant = tenant.filter(|it| !it.is_null());
    Ok(Envelope {
        event_id: typed(FIELDS[0], event_id)?,
        event_class,
        schema_version: integer(FIELDS[2], schema_version)?,
        ts_utc: typed(FIELDS[3], ts_utc)?,
        platform_run_id: typed(FIELDS[4], run)?,
        scenario_run_id: typed(FIELDS[5], scenario)?,
        manifest_fingerprint: typed(FIELDS[6], manifest)?,
        tenant_id: tenant.map(|it| typed(FIELDS[7], Some(it))).transpose()?,
        producer,
        payload: payload.ok_or_else(|| Fault::at(FIELDS[9], "missing"))?,
        pii: pii.filter(|it| !it.is_null()),
    })
}

fn text(name: &str, value: Option<Value>) -> Result<String, Fault> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Fault::at(name, "not a string")),
        None => Err(Fault::at(name, "missing")),
    }
}

fn integer(name: &str, value: Option<Value>) -> Result<i64, Fault> {
    let value = value.ok_or_else(|| Fault::at(name, "missing"))?;
    value
        .as_i64()
        .ok_or_else(|| Fault::at(name, "not an integer"))
}

fn typed<T: FromStr<Err = ParseError>>(name: &str, value: Option<Value>) -> Result<T, Fault> {
    let text = text(name, value)?;
    text.parse()
        .map_err(|cause: ParseError| Fault::at(name, format!("not {}", cause.expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let hex = "0".repeat(64);
        format!(
            r#"{{"event_id":"s:1","event_class":"flow_anchor","schema_version":1,"ts_utc":"2025-01-01T00:00:00Z",
            "platform_run_id":"run_{hex}","scenario_run_id":"sr_{hex}","manifest_fingerprint":"{hex}",
            "producer":"p","payload":{{"a":[1,{{"b":"x"}}]}}}}"#
        )
    }

    #[track_caller]
    fn check(item: &str, code: Code, detail: &str) {
        let refusal = parse(item.as_bytes(), 4).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
        assert!(refusal.detail.starts_with(detail), "{refusal:?}");
    }

    #[test]
    fn a_good_item_is_an_envelope() {
        let envelope = parse(good().as_bytes(), 4).unwrap();
        assert_eq!(envelope.event_id.as_str(), "s:1");
        assert_eq!(envelope.payload["a"][1]["b"], "x");
        let as_derived: Envelope = serde_json::from_str(&good()).unwrap();
        assert_eq!(envelope, as_derived);
    }

    #[test]
    fn what_is_not_strict_is_refused_with_its_place() {
        let with = |from: &str, to: &str| good().replace(from, to);
        check("{", Code::ItemUnparsable, "EOF while parsing");
        check("17", Code::ItemUnparsable, "not a JSON object");
        check(
            "\"4111111111111111\"",
            Code::ItemUnparsable,
            "not a JSON object",
        );
        check(
            &with("[1,", "[1.5,"),
            Code::NumberNotInteger,
            "payload.a.0: ",
        );
        check(
            &with("[1,", "[1e999,"),
            Code::NumberNotInteger,
            "number out of range",
        );
        check(
            &with("[1,", "[9223372036854775808,"),
            Code::NumberNotInteger,
            "payload.a.0: ",
        );
        check(
            &with("[1,", "[NaN,"),
            Code::ItemUnparsable,
            "expected value",
        );
        check(
            &with("\"b\":\"x\"", "\"b\":1,\"b\":2"),
            Code::DuplicateKey,
            "payload.a.1.b: ",
        );
        check(
            &with(
                "\"producer\":\"p\"",
                "\"producer\":\"p\",\"producer\":\"p\"",
            ),
            Code::DuplicateKey,
            "producer: ",
        );
        check(
            &with("\"b\":\"x\"", "\"b\":[1]"),
            Code::ItemUnparsable,
            "payload.a.1.b: nested too deeply",
        );
    }

    #[test]
    fn an_envelope_has_its_fields_and_no_other() {
        let with = |from: &str, to: &str| good().replace(from, to);
        check(
            &with("\"s:1\"", "\"s 1\""),
            Code::ItemUnparsable,
            "event_id: not 1 to 128",
        );
        check(
            &with("\"producer\"", "\"sender\""),
            Code::ItemUnparsable,
            "sender: not a field",
        );
        check(
            &with("\"producer\":\"p\",", ""),
            Code::ItemUnparsable,
            "producer: missing",
        );
        check(
            &with("\"schema_version\":1", "\"schema_version\":\"1\""),
            Code::ItemUnparsable,
            "schema_version: not an integer",
        );
        check(
            &format!("{} x", good()),
            Code::ItemUnparsable,
            "trailing characters",
        );
    }

    #[test]
    fn a_refusal_names_the_event_and_no_value() {
        let item = good().replace("2025-01-01T00:00:00Z", "4111111111111111");
        let refusal = parse(item.as_bytes(), 4).unwrap_err();
        assert_eq!(refusal.event_id.as_deref(), Some("s:1"));
        assert!(!refusal.detail.contains("4111"), "{refusal:?}");
    }
}
