//! Deterministic CBOR (RFC 8949 §4.2.1): the one byte form that is ever hashed. Shortest forms,
//! definite lengths, map keys sorted bytewise by their encoding.
//!
//! Two writers share it: [`Canon`] for values whose shape the code knows, and [`Canon::json`] for
//! event payloads. Payload numbers are i64 integers; a float in a payload is refused (L12).
//! [`Reader`] reads large forms back.

mod reader;

pub use reader::{ReadError, Reader};

use ciborium_ll::{Encoder, Header};
use serde_json::Value;

/// Why a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{at}` is not an integer within 64 bits; write decimals as strings")]
    NotAnInteger { at: String },
    #[error("a decision body holds no NaN and no infinity")]
    NotFinite,
}

/// An append-only buffer of canonical CBOR items.
#[derive(Debug, Default, Clone)]
pub struct Canon {
    bytes: Vec<u8>,
}

impl Canon {
    #[must_use]
    pub fn new() -> Canon {
        Canon::default()
    }

    fn push(&mut self, header: Header) {
        let written: Result<(), std::convert::Infallible> = push_header(&mut self.bytes, header);
        match written {
            Ok(()) => {}
        }
    }

    /// Opens an array of `len` items; the caller writes exactly that many.
    pub fn array(&mut self, len: usize) -> &mut Canon {
        self.push(Header::Array(Some(len)));
        self
    }

    pub fn null(&mut self) -> &mut Canon {
        self.push(Header::Simple(22));
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Canon {
        self.push(Header::Simple(if value { 21 } else { 20 }));
        self
    }

    pub fn int(&mut self, value: i64) -> &mut Canon {
        let header = match u64::try_from(value) {
            Ok(positive) => Header::Positive(positive),
            // CBOR stores n for the value -1 - n, which is the complement in two's complement.
            Err(_) => Header::Negative(!value as u64),
        };
        self.push(header);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Canon {
        self.push(Header::Text(Some(value.len())));
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    pub fn opt_text(&mut self, value: Option<&str>) -> &mut Canon {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub fn opt_int(&mut self, value: Option<i64>) -> &mut Canon {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Canon {
        self.push(Header::Bytes(Some(value.len())));
        self.bytes.extend_from_slice(value);
        self
    }

    /// A float in its shortest exact form; −0 becomes 0.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for NaN and the infinities (L12).
    pub fn float(&mut self, value: f64) -> Result<&mut Canon, Error> {
        if !value.is_finite() {
            return Err(Error::NotFinite);
        }
        let value = if value == 0.0 { 0.0 } else { value };
        self.push(Header::Float(value));
        Ok(self)
    }

    /// A map with text keys: entries are sorted here, so no caller has to.
    pub fn map(&mut self, entries: Vec<(&str, Canon)>) -> &mut Canon {
        let mut entries = entries;
        entries.sort_by(|(a, _), (b, _)| key_order(a, b));
        self.push(Header::Map(Some(entries.len())));
        for (key, value) in entries {
            self.text(key);
            self.bytes.extend_from_slice(&value.bytes);
        }
        self
    }

    /// A JSON value as read from an envelope.
    ///
    /// # Errors
    /// [`Error::NotAnInteger`] with the place of the first number that is no i64.
    pub fn json(&mut self, value: &Value) -> Result<&mut Canon, Error> {
        self.json_at(value, &mut Vec::new())
    }

    fn json_at<'v>(
        &mut self,
        value: &'v Value,
        path: &mut Vec<&'v str>,
    ) -> Result<&mut Canon, Error> {
        match value {
            Value::Null => Ok(self.null()),
            Value::Bool(value) => Ok(self.bool(*value)),
            Value::String(value) => Ok(self.text(value)),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Ok(self.int(value)),
                None => Err(Error::NotAnInteger { at: path.join(".") }),
            },
            Value::Array(items) => {
                self.array(items.len());
                for item in items {
                    self.json_at(item, path)?;
                }
                Ok(self)
            }
            Value::Object(fields) => {
                let mut sorted: Vec<_> = fields.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| key_order(a, b));
                self.push(Header::Map(Some(sorted.len())));
                for (key, field) in sorted {
                    self.text(key);
                    path.push(key);
                    self.json_at(field, path)?;
                    path.pop();
                }
                Ok(self)
            }
        }
    }

    /// Appends an item that is already canonical.
    pub fn raw(&mut self, item: &Canon) -> &mut Canon {
        self.bytes.extend_from_slice(&item.bytes);
        self
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytewise order of the encodings of two text keys: a shorter key has the smaller header.
fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn push_header(bytes: &mut Vec<u8>, header: Header) -> Result<(), std::convert::Infallible> {
    // Writing to memory cannot fail; the encoder's error type for Vec says otherwise.
    if Encoder::from(&mut *bytes).push(header).is_err() {
        unreachable!("a Vec takes every write");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[track_caller]
    fn check(value: Value, expect: &str) {
        let mut canon = Canon::new();
        canon.json(&value).unwrap();
        assert_eq!(hex(canon.as_bytes()), expect);
    }

    #[test]
    fn numbers_take_their_shortest_form() {
        check(json!(0), "00");
        check(json!(23), "17");
        check(json!(24), "1818");
        check(json!(-1), "20");
        check(json!(i64::MIN), "3b7fffffffffffffff");
        check(json!(i64::MAX), "1b7fffffffffffffff");
    }

    #[test]
    fn map_keys_sort_by_their_encoding() {
        check(
            json!({"bb": 1, "a": 2, "ab": 3}),
            "a3616102626162036262620 1".replace(' ', "").as_str(),
        );
    }

    #[test]
    fn floats_are_refused_in_payloads_with_their_place() {
        let refused = Canon::new().json(&json!({"a": {"b": 1.5}})).map(|_| ());
        assert_eq!(
            refused,
            Err(Error::NotAnInteger {
                at: "a.b".to_owned()
            })
        );
        let refused = Canon::new().json(&json!({"n": u64::MAX})).map(|_| ());
        assert_eq!(refused, Err(Error::NotAnInteger { at: "n".to_owned() }));
    }

    #[test]
    fn floats_of_a_body_are_shortest_and_finite() {
        let float = |value: f64| {
            let mut canon = Canon::new();
            canon.float(value).map(|it| hex(it.as_bytes()))
        };
        assert_eq!(float(-0.0), Ok("f90000".to_owned()));
        assert_eq!(float(1.5), Ok("f93e00".to_owned()));
        assert_eq!(float(0.1), Ok("fb3fb999999999999a".to_owned()));
        assert_eq!(float(f64::NAN), Err(Error::NotFinite));
        assert_eq!(float(f64::INFINITY), Err(Error::NotFinite));
    }
}
