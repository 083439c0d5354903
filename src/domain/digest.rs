//! BLAKE3 over canonical CBOR arrays `[tag, field, …]`: the one way an identity is made (L2).

use std::fmt;
use std::str::FromStr;

use crate::domain::canonical::Canon;
use crate::domain::time::Time;

/// 32 bytes, written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct ParseError {
    pub found: String,
    pub expected: &'static str,
}

impl Digest {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The digest of raw bytes, for files and segments.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From a database column.
    ///
    /// # Errors
    /// When the slice is not 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Result<Digest, ParseError> {
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| ParseError {
            found: format!("{} bytes", bytes.len()),
            expected: "a digest of 32 bytes",
        })?;
        Ok(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 64];
        for (at, byte) in self.0.iter().enumerate() {
            text[2 * at] = HEX[usize::from(byte >> 4)];
            text[2 * at + 1] = HEX[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Digest, ParseError> {
        let refused = || ParseError {
            found: text.chars().take(80).collect(),
            expected: "64 lowercase hex digits",
        };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refused());
        }
        // Without a branch per digit: an event carries a dozen digests, and digits are unpredictable.
        let (mut bytes, mut seen) = ([0u8; 32], 0u8);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            seen |= high | low;
            *byte = high << 4 | low & 0x0f;
        }
        match seen & NO_DIGIT {
            0 => Ok(Digest(bytes)),
            _ => Err(refused()),
        }
    }
}

/// Marks what is no lowercase hex digit.
const NO_DIGIT: u8 = 0x80;

/// The value of each byte as a lowercase hex digit.
const NIBBLES: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

crate::domain::ids::text_serde!(Digest, "64 lowercase hex digits", "^[0-9a-f]{64}$");

/// Collects the fields of one identity; the array header is written last, so it counts them.
#[derive(Debug)]
pub struct Tagged {
    kind: &'static str,
    fields: Canon,
    n_fields: usize,
}

impl Tagged {
    /// `kind` becomes the tag `fraudplat/<kind>/v1`.
    #[must_use]
    pub fn new(kind: &'static str) -> Tagged {
        Tagged {
            kind,
            fields: Canon::new(),
            n_fields: 0,
        }
    }

    #[must_use]
    pub fn text(self, value: &str) -> Tagged {
        self.field(|canon| {
            canon.text(value);
        })
    }

    #[must_use]
    pub fn opt_text(self, value: Option<&str>) -> Tagged {
        self.field(|canon| {
            canon.opt_text(value);
        })
    }

    /// Anything whose text form is its wire form: ids, digests, vocabulary words.
    #[must_use]
    pub fn display(self, value: impl fmt::Display) -> Tagged {
        self.text(&value.to_string())
    }

    #[must_use]
    pub fn int(self, value: i64) -> Tagged {
        self.field(|canon| {
            canon.int(value);
        })
    }

    #[must_use]
    pub fn time(self, value: Time) -> Tagged {
        self.int(value.micros())
    }

    /// One field that is itself canonical.
    #[must_use]
    pub fn raw(self, value: &Canon) -> Tagged {
        self.field(|canon| {
            canon.raw(value);
        })
    }

    fn field(mut self, write: impl FnOnce(&mut Canon)) -> Tagged {
        write(&mut self.fields);
        self.n_fields += 1;
        self
    }

    /// The canonical bytes that are hashed; public so that golden vectors can show them.
    #[must_use]
    pub fn preimage(&self) -> Vec<u8> {
        let mut canon = Canon::new();
        canon.array(self.n_fields + 1);
        canon.text(&format!("fraudplat/{}/v1", self.kind));
        canon.raw(&self.fields);
        canon.into_bytes()
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(&self.preimage())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_the_rest() {
        let digest = Digest::of_bytes(b"fraudplat");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("xyz".parse::<Digest>().is_err());
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
    }

    #[test]
    fn fields_do_not_run_together() {
        let pair = |a: &str, b: &str| Tagged::new("test").text(a).text(b).digest();
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
        assert_ne!(
            Tagged::new("test").opt_text(None).digest(),
            Tagged::new("test").text("").digest()
        );
    }
}
