//! How a record rests in the embedded log: `1 | arrived_at i64 | key length u16 | key | data`,
//! numbers big endian. Pure. The first byte is the version of the form, which is for ever.

use bytes::Bytes;

use crate::domain::time::Time;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 2;

/// Why stored bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("a stored record has form {0}, which this release does not read")]
    Version(u8),
    #[error("a stored record ends early")]
    Short,
    #[error("the partition key of a stored record is not UTF-8")]
    KeyNotText,
}

/// What a frame holds, still in place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) arrived_at: Time,
    pub(super) partition_key: &'a str,
    pub(super) data: &'a [u8],
}

/// Replaces what `into` held. The key has at most `u16::MAX` bytes: a bus takes 256 characters.
pub(super) fn encode(into: &mut Vec<u8>, frame: &Frame<'_>) {
    let key_bytes = u16::try_from(frame.partition_key.len())
        .expect("a key of at most 256 characters has at most 1,024 bytes");
    into.clear();
    into.push(VERSION);
    into.extend_from_slice(&frame.arrived_at.micros().to_be_bytes());
    into.extend_from_slice(&key_bytes.to_be_bytes());
    into.extend_from_slice(frame.partition_key.as_bytes());
    into.extend_from_slice(frame.data);
}

/// # Errors
/// When the bytes were not written by [`encode`].
pub(super) fn decode(bytes: &[u8]) -> Result<Frame<'_>, Error> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(Error::Version(other)),
        None => return Err(Error::Short),
    }
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or(Error::Short)?;
    let (micros, key_bytes) = head[1..].split_at(8);
    let micros = i64::from_be_bytes(micros.try_into().map_err(|_| Error::Short)?);
    let key_bytes = u16::from_be_bytes(key_bytes.try_into().map_err(|_| Error::Short)?);
    let (key, data) = rest
        .split_at_checked(usize::from(key_bytes))
        .ok_or(Error::Short)?;
    Ok(Frame {
        arrived_at: Time::from_micros(micros),
        partition_key: std::str::from_utf8(key).map_err(|_| Error::KeyNotText)?,
        data,
    })
}

impl Frame<'_> {
    /// A copy of the data: a slice would keep the whole block of the store alive.
    pub(super) fn data_owned(&self) -> Bytes {
        Bytes::copy_from_slice(self.data)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = b"left over".to_vec();
        encode(&mut bytes, frame);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_framed_is_read_back(micros: i64, key in ".{1,256}", data: Vec<u8>) {
            let frame = Frame {
                arrived_at: Time::from_micros(micros),
                partition_key: &key,
                data: &data,
            };
            let bytes = encoded(&frame);
            prop_assert_eq!(decode(&bytes), Ok(frame));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            if let Ok(frame) = decode(&bytes) {
                prop_assert_eq!(encoded(&frame), bytes);
            }
        }
    }

    #[test]
    fn the_form_is_pinned() {
        let frame = Frame {
            arrived_at: Time::from_micros(258),
            partition_key: "ab",
            data: b"\xff",
        };
        assert_eq!(encoded(&frame), b"\x01\0\0\0\0\0\0\x01\x02\0\x02ab\xff");
        assert_eq!(decode(b""), Err(Error::Short));
        assert_eq!(decode(b"\x02"), Err(Error::Version(2)));
        assert_eq!(
            decode(b"\x01\0\0\0\0\0\0\x01\x02\0\x02a"),
            Err(Error::Short)
        );
        assert_eq!(
            decode(b"\x01\0\0\0\0\0\0\x01\x02\0\x01\xff"),
            Err(Error::KeyNotText)
        );
    }
}
