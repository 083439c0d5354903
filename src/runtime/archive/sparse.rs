//! An object of which only some ranges were fetched, read as if it were whole: what the Parquet
//! reader asks for beyond them is an error, not a request.

use bytes::{Buf, Bytes, buf::Reader};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

pub(super) struct Sparse {
    size: u64,
    /// Start and bytes of each range.
    parts: Vec<(u64, Bytes)>,
}

impl Sparse {
    pub(super) fn new(size: u64) -> Sparse {
        Sparse {
            size,
            parts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, start: u64, bytes: Bytes) {
        self.parts.push((start, bytes));
    }

    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let slice = |(at, bytes): &(u64, Bytes)| {
            let skip = usize::try_from(start.checked_sub(*at)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        };
        let found = self.parts.iter().find_map(slice);
        found.ok_or_else(|| ParquetError::EOF(format!("byte {start} was not fetched")))
    }
}

impl Length for Sparse {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Sparse {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!(
                "byte {start} + {length} was not fetched"
            )));
        }
        Ok(bytes.slice(..length))
    }
}
