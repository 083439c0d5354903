//! Reads what [`super::Canon`] wrote, item by item and without a copy. Strict: what is not in its
//! shortest form was not written by it and is refused.

/// The bytes are not what was asked for at this place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no canonical {expected} stands {left} bytes before the end")]
pub struct ReadError {
    pub expected: &'static str,
    pub left: usize,
}

/// What is left to read.
#[derive(Debug, Clone)]
pub struct Reader<'b> {
    rest: &'b [u8],
}

const POSITIVE: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

impl<'b> Reader<'b> {
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes }
    }

    fn refused(&self, expected: &'static str) -> ReadError {
        let left = self.rest.len();
        ReadError { expected, left }
    }

    fn take(&mut self, n: usize, expected: &'static str) -> Result<&'b [u8], ReadError> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.refused(expected)),
        }
    }

    /// The number in an item's head, if the head is of this kind and as short as it can be.
    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, ReadError> {
        let Some(first) = self.rest.first().filter(|it| **it >> 5 == major) else {
            return Err(self.refused(expected));
        };
        let (n_bytes, least) = match first & 0x1f {
            small @ 0..=23 => {
                self.take(1, expected)?;
                return Ok(u64::from(small));
            }
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(self.refused(expected)),
        };
        let before = self.clone();
        let taken = self.take(1 + n_bytes, expected)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = taken[1..].iter().fold(0, fold);
        match value >= least {
            true => Ok(value),
            false => Err(before.refused(expected)),
        }
    }

    fn length(&mut self, major: u8, expected: &'static str) -> Result<usize, ReadError> {
        let length = self.head(major, expected)?;
        // An item takes a byte at least: a length beyond the rest is a lie that must not allocate.
        let length = usize::try_from(length).ok();
        length
            .filter(|it| *it <= self.rest.len())
            .ok_or_else(|| self.refused(expected))
    }

    /// Opens an array; so many items follow.
    ///
    /// # Errors
    /// When something else stands here; so for every reading function.
    pub fn array(&mut self) -> Result<usize, ReadError> {
        self.length(ARRAY, "array")
    }

    /// Opens an array of exactly so many items.
    ///
    /// # Errors
    /// As [`Reader::array`], and for another length.
    pub fn array_of(&mut self, length: usize) -> Result<(), ReadError> {
        let before = self.clone();
        match self.array()? == length {
            true => Ok(()),
            false => Err(before.refused("array of the right length")),
        }
    }

    /// # Errors
    /// As [`Reader::array`]; a number beyond 64 signed bits is no such integer.
    pub fn int(&mut self) -> Result<i64, ReadError> {
        let (before, expected) = (self.clone(), "integer");
        let is_negative = self.rest.first().is_some_and(|it| it >> 5 == NEGATIVE);
        let major = if is_negative { NEGATIVE } else { POSITIVE };
        let value = self.head(major, expected)?;
        let value = i64::try_from(value).map_err(|_| before.refused(expected))?;
        Ok(if is_negative { !value } else { value })
    }

    /// # Errors
    /// As [`Reader::int`].
    pub fn opt_int(&mut self) -> Result<Option<i64>, ReadError> {
        match self.null() {
            true => Ok(None),
            false => self.int().map(Some),
        }
    }

    /// # Errors
    /// As [`Reader::array`]; text is UTF-8.
    pub fn text(&mut self) -> Result<&'b str, ReadError> {
        let (before, expected) = (self.clone(), "text");
        let length = self.length(TEXT, expected)?;
        let taken = self.take(length, expected)?;
        std::str::from_utf8(taken).map_err(|_| before.refused(expected))
    }

    /// # Errors
    /// As [`Reader::array`].
    pub fn bytes(&mut self) -> Result<&'b [u8], ReadError> {
        let length = self.length(BYTES, "bytes")?;
        self.take(length, "bytes")
    }

    /// # Errors
    /// As [`Reader::array`].
    pub fn bool(&mut self) -> Result<bool, ReadError> {
        let value = match self.rest.first() {
            Some(&FALSE) => false,
            Some(&TRUE) => true,
            _ => return Err(self.refused("bool")),
        };
        self.take(1, "bool")?;
        Ok(value)
    }

    /// Passes a null, if one stands here.
    pub fn null(&mut self) -> bool {
        let is_null = self.rest.first() == Some(&NULL);
        if is_null {
            self.rest = &self.rest[1..];
        }
        is_null
    }

    /// # Errors
    /// When something follows.
    pub fn end(self) -> Result<(), ReadError> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(self.refused("end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::canonical::Canon;

    #[test]
    fn what_was_written_is_read_back() {
        let ints = [0, 23, 24, 255, 256, 65_536, 1 << 32, i64::MAX, -1, i64::MIN];
        let mut canon = Canon::new();
        canon.array(ints.len() + 5);
        for int in ints {
            canon.int(int);
        }
        let long = "é".repeat(300);
        canon.opt_int(None).opt_int(Some(7)).bool(true);
        canon.text(&long).bytes(&[1, 2, 3]);
        let written = canon.into_bytes();
        let mut reader = Reader::new(&written);
        reader.array_of(ints.len() + 5).unwrap();
        for int in ints {
            assert_eq!(reader.int(), Ok(int));
        }
        assert_eq!(
            (reader.opt_int(), reader.opt_int()),
            (Ok(None), Ok(Some(7)))
        );
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.text(), Ok(long.as_str()));
        assert_eq!(reader.bytes(), Ok(&[1, 2, 3][..]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn longer_forms_lies_and_leftovers_are_refused() {
        assert!(Reader::new(&[0x18, 23]).int().is_err());
        assert!(Reader::new(&[0x19, 0, 255]).int().is_err());
        assert!(
            Reader::new(&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0])
                .int()
                .is_err()
        );
        assert!(Reader::new(&[0x19, 1]).int().is_err());
        assert!(Reader::new(&[0x9f, 0xff]).array().is_err());
        assert!(
            Reader::new(&[0x9a, 0xff, 0xff, 0xff, 0xff])
                .array()
                .is_err()
        );
        assert!(Reader::new(&[0x61, 0xff]).text().is_err());
        assert!(Reader::new(&[0x60]).int().is_err());
        assert!(Reader::new(&[0]).end().is_err());
    }
}
