//! How domain types stand in columns: digests and digest ids as bytea, times as timestamptz.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::domain::digest::Digest;
use crate::domain::ids::{
    ActionIntentId, CaseId, CaseTriggerId, DecisionId, FactId, ListEntryId, ManifestFingerprint,
    PlatformRunId, ScenarioRunId, ShadowScoreId,
};
use crate::domain::time::{MICROS_PER_DAY, Time};

type Checked<T> = Result<T, Box<dyn StdError + Sync + Send>>;

/// Postgres counts from 2000-01-01.
const EPOCH_OFFSET_DAYS: i64 = 10_957;

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Checked<IsNull> {
        out.put_i64(self.micros() - EPOCH_OFFSET_DAYS * MICROS_PER_DAY);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Checked<Time> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Time::from_micros(
            micros.saturating_add(EPOCH_OFFSET_DAYS * MICROS_PER_DAY),
        ))
    }

    accepts!(TIMESTAMPTZ);
}

/// A UTC day as a `date` column: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    #[must_use]
    pub const fn of(time: Time) -> Day {
        Day(time.day())
    }

    /// Midnight at its start.
    #[must_use]
    pub const fn start(self) -> Time {
        Time::from_micros(self.0 * MICROS_PER_DAY)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.start().date())
    }
}

impl ToSql for Day {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Checked<IsNull> {
        out.put_i32(i32::try_from(self.0 - EPOCH_OFFSET_DAYS)?);
        Ok(IsNull::No)
    }

    accepts!(DATE);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Day {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Checked<Day> {
        Ok(Day(
            i64::from(i32::from_be_bytes(raw.try_into()?)) + EPOCH_OFFSET_DAYS
        ))
    }

    accepts!(DATE);
}

impl ToSql for Digest {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Checked<IsNull> {
        out.put_slice(self.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Digest {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Checked<Digest> {
        Ok(Digest::from_slice(raw)?)
    }

    accepts!(BYTEA);
}

macro_rules! digest_columns {
    ($($id:ident),+) => {
        $(
            impl ToSql for $id {
                fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Checked<IsNull> {
                    self.digest().to_sql(ty, out)
                }

                accepts!(BYTEA);
                to_sql_checked!();
            }

            impl<'a> FromSql<'a> for $id {
                fn from_sql(ty: &Type, raw: &'a [u8]) -> Checked<$id> {
                    Ok($id::from_digest(Digest::from_sql(ty, raw)?))
                }

                accepts!(BYTEA);
            }
        )+
    };
}

digest_columns!(
    ActionIntentId,
    CaseId,
    CaseTriggerId,
    DecisionId,
    FactId,
    ListEntryId,
    ManifestFingerprint,
    PlatformRunId,
    ScenarioRunId,
    ShadowScoreId
);
