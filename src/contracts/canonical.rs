//! The canonical bytes of a serde type: maps sorted, floats shortest, NaN refused (L12).

use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::canonical::Canon;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the value has no canonical form")]
    Form(#[from] crate::domain::canonical::Error),
    #[error("the value does not serialise: {0}")]
    Serialise(String),
    #[error("the bytes are no {what}: {cause}")]
    Parse { what: &'static str, cause: String },
}

/// Canonical CBOR of `value`.
///
/// # Errors
/// When it holds a NaN, an infinity, an integer beyond i64 or a map key that is not text.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    let value = Value::serialized(value).map_err(|cause| Error::Serialise(cause.to_string()))?;
    let mut canon = Canon::new();
    write(&mut canon, &value)?;
    Ok(canon.into_bytes())
}

/// Reads what [`to_bytes`] wrote: one item and nothing after it.
///
/// # Errors
/// [`Error::Parse`] naming `what` was expected.
pub fn from_bytes<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Error> {
    let refused = |cause: String| Error::Parse { what, cause };
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|cause| refused(cause.to_string()))?;
    if !rest.is_empty() {
        return Err(refused(format!("{} bytes follow it", rest.len())));
    }
    Ok(value)
}

fn write(canon: &mut Canon, value: &Value) -> Result<(), Error> {
    match value {
        Value::Null => {
            canon.null();
        }
        Value::Bool(value) => {
            canon.bool(*value);
        }
        Value::Integer(value) => {
            let value = i64::try_from(i128::from(*value))
                .map_err(|_| Error::Serialise(format!("{value:?} passes 64 bits")))?;
            canon.int(value);
        }
        Value::Float(value) => {
            canon.float(*value)?;
        }
        Value::Text(value) => {
            canon.text(value);
        }
        Value::Bytes(value) => {
            canon.bytes(value);
        }
        Value::Array(items) => {
            canon.array(items.len());
            for item in items {
                write(canon, item)?;
            }
        }
        Value::Map(entries) => {
            let mut fields = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let Value::Text(key) = key else {
                    return Err(Error::Serialise(format!("map key {key:?} is not text")));
                };
                let mut field = Canon::new();
                write(&mut field, value)?;
                fields.push((key.as_str(), field));
            }
            canon.map(fields);
        }
        other => return Err(Error::Serialise(format!("{other:?} has no canonical form"))),
    }
    Ok(())
}
