//! An anchor of a run's chain: what the decision log was at a moment, kept where who owns the database cannot reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::decision::ChainLink;
use crate::contracts::stamps::Stamps;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;

pub const SCHEMA_VERSION: i64 = 1;
/// Hex digits of a link that name a record. The whole link at the end proves; these only say where it began to differ.
const DIGITS: usize = 16;

/// The object `{run}/dla/anchors/{seq}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainAnchor {
    pub schema_version: i64,
    pub platform_run_id: PlatformRunId,
    /// The record that is anchored, and its link.
    pub seq: i64,
    pub link: Digest,
    /// The first 16 hex digits of the link of every record after this one, up to `seq`, one after another.
    pub after_seq: i64,
    #[schemars(regex(pattern = "^([0-9a-f]{16})+$"))]
    pub links: String,
    pub anchored_at: Time,
    pub stamps: Stamps,
}

impl ChainAnchor {
    /// What the keys of a run's anchors begin with.
    #[must_use]
    pub fn prefix(run: &PlatformRunId) -> String {
        format!("{run}/dla/anchors/")
    }

    /// Where it rests: keys of one run sort by the place in the chain.
    #[must_use]
    pub fn key(&self) -> String {
        let prefix = ChainAnchor::prefix(&self.platform_run_id);
        format!("{prefix}{:012}.json", self.seq)
    }

    /// The digits that stand for a link.
    #[must_use]
    pub fn digits(link: &Digest) -> String {
        let mut text = link.to_string();
        text.truncate(DIGITS);
        text
    }

    /// Whether it is what its place says, and one with itself.
    #[must_use]
    pub fn is_whole(&self, run: &PlatformRunId, key: &str) -> bool {
        let n = self.seq.checked_sub(self.after_seq).unwrap_or(0);
        let n_links = i64::try_from(self.links.len() / DIGITS).unwrap_or(0);
        self.platform_run_id == *run
            && self.key() == key
            && 0 <= self.after_seq
            && 0 < n
            && self.links.is_ascii()
            && self.links.len().is_multiple_of(DIGITS)
            && n_links == n
            && self.links.ends_with(&ChainAnchor::digits(&self.link))
    }

    /// Whether a record has the link that is anchored, as far as the anchor says anything of it.
    #[must_use]
    pub fn agrees(&self, link: &ChainLink) -> bool {
        let at = usize::try_from(link.seq - self.after_seq - 1).ok();
        let digits = at.and_then(|at| self.links.get(at * DIGITS..(at + 1) * DIGITS));
        let is_end = link.seq != self.seq || link.link == self.link;
        is_end && digits.is_none_or(|it| it == ChainAnchor::digits(&link.link))
    }
}
