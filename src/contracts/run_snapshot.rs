//! What a decision worker remembers of a run, at rest: `{run}/rtdl/snapshots/…`. A shortcut, never
//! evidence: all of it follows from the records up to its position.

use std::collections::BTreeMap;

use crate::contracts::run_position::RunPosition;
use crate::domain::canonical::{Canon, ReadError, Reader};
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;

/// Names the form; another form has another name.
const FORM: &str = "fraudplat/run_snapshot/v1";
/// The form with states of further feature sets; one without any is still written as the first.
const FORM_FURTHER: &str = "fraudplat/run_snapshot/v2";
/// So much of a decision id tells events of one run apart.
pub const MET_BYTES: usize = 16;

/// The first bytes of the decision id of an event that was met.
pub type Met = [u8; MET_BYTES];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSnapshot {
    pub run: PlatformRunId,
    /// What it is a function of: the basis, and the newest link of the chain there.
    pub position: RunPosition,
    /// Every event decided so far, sorted.
    pub met: Vec<Met>,
    /// The state of the features, as the engine writes it.
    pub features: Vec<u8>,
    /// The states of further feature sets at the same position, by the digest of the set.
    pub further: BTreeMap<Digest, Vec<u8>>,
}

/// Why bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("its form is `{found}`, this release reads `{FORM}` and `{FORM_FURTHER}`")]
    Form { found: String },
    #[error("its position cannot be read")]
    Position(#[source] serde_json::Error),
    #[error("it contradicts itself: {what}")]
    Contradiction { what: &'static str },
}

impl RunSnapshot {
    /// Canonical CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut canon = Canon::new();
        match self.further.is_empty() {
            true => canon.array(5).text(FORM),
            false => canon.array(6).text(FORM_FURTHER),
        };
        canon.bytes(self.run.digest().as_bytes());
        canon.text(&self.position.to_text());
        canon.bytes(self.met.as_flattened()).bytes(&self.features);
        if !self.further.is_empty() {
            canon.array(self.further.len());
        }
        for (set, features) in &self.further {
            canon.array(2).bytes(set.as_bytes()).bytes(features);
        }
        canon.into_bytes()
    }

    /// # Errors
    /// When the bytes are of another form, or not as they were written.
    pub fn from_bytes(bytes: &[u8]) -> Result<RunSnapshot, Error> {
        let contradiction = |what| Error::Contradiction { what };
        let mut reader = Reader::new(bytes);
        let length = reader.array()?;
        let found = reader.text()?;
        if !matches!((length, found), (5, FORM) | (6, FORM_FURTHER)) {
            let found = found.to_owned();
            return Err(Error::Form { found });
        }
        let run = Digest::from_slice(reader.bytes()?);
        let run = run.map_err(|_| contradiction("a run id that is none"))?;
        let position = RunPosition::parse(reader.text()?).map_err(Error::Position)?;
        let (met, rest) = reader.bytes()?.as_chunks::<MET_BYTES>();
        if !rest.is_empty() || !met.is_sorted_by(|a, b| a < b) {
            return Err(contradiction("met events out of order"));
        }
        let met = met.to_vec();
        let features = reader.bytes()?.to_vec();
        let further = match length {
            5 => BTreeMap::new(),
            _ => read_further(&mut reader)?,
        };
        reader.end()?;
        if i64::try_from(met.len()) != Ok(position.seq) {
            return Err(contradiction("not one met event a decision"));
        }
        Ok(RunSnapshot {
            run: PlatformRunId::from_digest(run),
            position,
            met,
            features,
            further,
        })
    }

    /// The state of a feature set, if it is here: the first one is of a set that only its bytes name.
    pub fn states(&self, set: &Digest) -> impl Iterator<Item = &[u8]> {
        let named = self.further.get(set).map(Vec::as_slice);
        named.into_iter().chain([self.features.as_slice()])
    }

    /// What the keys of a run's snapshots begin with.
    #[must_use]
    pub fn prefix(run: &PlatformRunId) -> String {
        format!("{run}/rtdl/snapshots/")
    }

    /// Where it rests: keys of one run sort by how far they have come, and name basis and content.
    #[must_use]
    pub fn key(&self, content: &Digest) -> String {
        let basis = Digest::of_bytes(self.position.to_text().as_bytes()).to_string();
        let basis16 = basis.get(..16).unwrap_or_default();
        let (prefix, seq) = (RunSnapshot::prefix(&self.run), self.position.seq);
        format!("{prefix}{seq:019}-{basis16}-{content}.cbor")
    }

    /// How far a key says that its snapshot has come, and the hash of what it holds.
    #[must_use]
    pub fn parse_key(key: &str) -> Option<(i64, Digest)> {
        let name = key.rsplit('/').next()?.strip_suffix(".cbor")?;
        let mut parts = name.splitn(3, '-');
        let seq = parts.next()?.parse().ok()?;
        let content = parts.nth(1)?.parse().ok()?;
        Some((seq, content))
    }
}

/// In order of their digests, each once, at least one: there is one way to write them.
fn read_further(reader: &mut Reader<'_>) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
    let contradiction = |what| Error::Contradiction { what };
    let mut further = BTreeMap::new();
    for _ in 0..reader.array()? {
        reader.array_of(2)?;
        let set = Digest::from_slice(reader.bytes()?);
        let set = set.map_err(|_| contradiction("a digest that is none"))?;
        if further
            .last_key_value()
            .is_some_and(|(last, _)| set <= *last)
        {
            return Err(contradiction("further states out of order"));
        }
        further.insert(set, reader.bytes()?.to_vec());
    }
    match further.is_empty() {
        true => Err(contradiction("no further state")),
        false => Ok(further),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::offset::Basis;

    fn snapshot(met: Vec<Met>, seq: i64) -> RunSnapshot {
        RunSnapshot {
            run: PlatformRunId::from_digest(Digest::of_bytes(b"run")),
            position: RunPosition {
                basis: Basis::default(),
                seq,
                link: Digest::of_bytes(b"link"),
            },
            met,
            features: vec![1, 2, 3],
            further: BTreeMap::new(),
        }
    }

    #[test]
    fn it_is_read_back_and_its_key_says_what_it_is() {
        let one = snapshot(vec![[1; 16], [2; 16]], 2);
        let bytes = one.to_bytes();
        assert_eq!(RunSnapshot::from_bytes(&bytes).unwrap(), one);
        let content = Digest::of_bytes(&bytes);
        let key = one.key(&content);
        assert!(key.starts_with(&RunSnapshot::prefix(&one.run)), "{key}");
        assert_eq!(RunSnapshot::parse_key(&key), Some((2, content)));
        assert_eq!(RunSnapshot::parse_key("run/rtdl/snapshots/else"), None);
    }

    #[test]
    fn further_states_are_read_back_by_their_set() {
        let mut one = snapshot(vec![[1; 16]], 1);
        let (a, b) = (Digest::of_bytes(b"a"), Digest::of_bytes(b"b"));
        one.further = BTreeMap::from([(a, vec![4]), (b, vec![5, 6])]);
        let bytes = one.to_bytes();
        let read = RunSnapshot::from_bytes(&bytes).unwrap();
        assert_eq!(read, one);
        let states = |set: &Digest| read.states(set).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(states(&b), [vec![5, 6], vec![1, 2, 3]]);
        assert_eq!(states(&Digest::of_bytes(b"c")), [vec![1, 2, 3]]);
        for at in 0..bytes.len() {
            assert!(
                RunSnapshot::from_bytes(&bytes[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn what_was_not_written_is_refused() {
        let refused = |it: RunSnapshot| RunSnapshot::from_bytes(&it.to_bytes()).is_err();
        assert!(refused(snapshot(vec![[2; 16], [1; 16]], 2)));
        assert!(refused(snapshot(vec![[1; 16]], 2)));
        let whole = snapshot(vec![[1; 16]], 1).to_bytes();
        assert!(RunSnapshot::from_bytes(&whole[..whole.len() - 1]).is_err());
    }
}
