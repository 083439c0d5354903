//! API keys: a file of their hashes. A key is 256 random bits, so nobody can try them all and a fast
//! hash keeps it as well as a slow one would; the file tells nothing that opens a corridor.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::contracts::permission::{Caller, CallerRole, CredentialFault};
use crate::contracts::stamps::Actor;
use crate::domain::digest::Digest;
use crate::domain::ids::ActorId;
use crate::domain::time::Time;
use crate::domain::vocabulary::SourceType;
use crate::substrate::auth::watched::Loaded;
use crate::substrate::clock::Entropy;

/// One key as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Part of the key, so that a found key can be named: lowercase letters, digits, `-`.
    pub id: String,
    /// BLAKE3 of the key as it is presented.
    pub hash: Digest,
    pub actor_id: ActorId,
    pub source_type: SourceType,
    pub roles: BTreeSet<CallerRole>,
    #[serde(default)]
    pub expires_at: Option<Time>,
    #[serde(default)]
    pub revoked_at: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

/// The keys of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    by_id: BTreeMap<String, Entry>,
}

/// As facts name the file.
pub(super) const NAME: &str = "api_keys";

const PREFIX: &str = "fpk_";
const ID_BYTES_MAX: usize = 64;

/// A fresh key for an id.
#[must_use]
pub fn draw(id: &str, entropy: &dyn Entropy) -> String {
    format!("{PREFIX}{id}_{}", entropy.name(64))
}

#[must_use]
pub fn hash(key: &str) -> Digest {
    Digest::of_bytes(key.as_bytes())
}

impl Keys {
    /// # Errors
    /// What is wrong with the text, with its place.
    pub fn parse(text: &str) -> Result<Keys, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|cause| cause.to_string())?;
        let mut keys = Keys::default();
        for entry in file.keys {
            keys.add(entry)?;
        }
        Ok(keys)
    }

    /// # Errors
    /// An id that is no id or is taken, no role, or the one role that no key gives.
    pub fn add(&mut self, entry: Entry) -> Result<(), String> {
        let id = entry.id.clone();
        let is_plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_plain) {
            return Err(format!(
                "`{id}` is no key id: 1 to {ID_BYTES_MAX} lowercase letters, digits or `-`"
            ));
        }
        if entry.roles.is_empty() {
            return Err(format!("key `{id}` has no role"));
        }
        if entry.roles.contains(&CallerRole::Owner) {
            return Err(format!(
                "key `{id}`: the role owner is of the data directory's token alone"
            ));
        }
        match self.by_id.insert(id.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(format!(
                "key id `{id}` is there already; ids are not used again"
            )),
        }
    }

    /// Ends a key from `now` on; its entry stays, so that its id is not used again.
    ///
    /// # Errors
    /// No such key.
    pub fn revoke(&mut self, id: &str, now: Time) -> Result<(), String> {
        let entry = self.by_id.get_mut(id);
        let entry = entry.ok_or_else(|| format!("there is no key `{id}`"))?;
        entry.revoked_at.get_or_insert(now);
        Ok(())
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.by_id.values()
    }

    /// The file's text: JSON in the lines of YAML, an entry a line.
    ///
    /// # Panics
    /// Never: an entry is plain JSON.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Who may call, by the BLAKE3 hash of its key. `fraudplat auth key` edits it; a change is in\n\
             # force within a second.\nkeys:\n",
        );
        if self.by_id.is_empty() {
            text = text.replace("keys:\n", "keys: []\n");
        }
        for entry in self.by_id.values() {
            let entry = serde_json::to_string(entry).expect("an entry is plain JSON");
            text.push_str("  - ");
            text.push_str(&entry);
            text.push('\n');
        }
        text
    }

    /// Whose key this is.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn find(&self, key: &str, now: Time) -> Result<Caller, CredentialFault> {
        let id = key.strip_prefix(PREFIX).and_then(|it| it.rsplit_once('_'));
        let (id, _) = id.ok_or(CredentialFault::Malformed)?;
        let entry = self.by_id.get(id).ok_or(CredentialFault::Unknown)?;
        // This type compares in constant time.
        let known = blake3::Hash::from_bytes(*entry.hash.as_bytes());
        if blake3::hash(key.as_bytes()) != known {
            return Err(CredentialFault::Unknown);
        }
        if entry.revoked_at.is_some() {
            return Err(CredentialFault::Revoked);
        }
        if entry.expires_at.is_some_and(|end| end <= now) {
            return Err(CredentialFault::Expired);
        }
        Ok(Caller {
            actor: Actor {
                actor_id: entry.actor_id.clone(),
                source_type: entry.source_type,
            },
            roles: entry.roles.clone(),
        })
    }
}

pub(super) fn load(files: &[Vec<u8>]) -> Result<Loaded<Keys>, String> {
    let text = std::str::from_utf8(&files[0]).map_err(|cause| cause.to_string())?;
    Keys::parse(text).map(loaded)
}

/// What is public about keys: their hashes.
pub(super) fn loaded(keys: Keys) -> Loaded<Keys> {
    let in_force = keys.entries().filter(|it| it.revoked_at.is_none());
    Loaded {
        ids: in_force.map(|it| it.id.clone()).collect(),
        digest: Digest::of_bytes(keys.render().as_bytes()),
        value: keys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::clock::SeededEntropy;

    fn entry(id: &str, key: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            hash: hash(key),
            actor_id: "till:1".parse().unwrap(),
            source_type: SourceType::System,
            roles: [CallerRole::Producer].into(),
            expires_at: Some(Time::from_micros(1_000)),
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_opens_until_it_expires_or_is_revoked() {
        let entropy = SeededEntropy::new(1);
        let (key, other) = (draw("till-1", &entropy), draw("till-1", &entropy));
        let mut keys = Keys::default();
        keys.add(entry("till-1", &key)).unwrap();
        assert_eq!(Keys::parse(&keys.render()), Ok(keys.clone()));
        assert!(!keys.render().contains(&key));
        let now = Time::from_micros(999);
        let fault = |keys: &Keys, key: &str, now| keys.find(key, now).unwrap_err();
        let caller = keys.find(&key, now).unwrap();
        assert_eq!(caller.actor.actor_id.as_str(), "till:1");
        assert_eq!(caller.roles, [CallerRole::Producer].into());
        assert_eq!(fault(&keys, &other, now), CredentialFault::Unknown);
        assert_eq!(fault(&keys, "fpk_till-2_00", now), CredentialFault::Unknown);
        for text in ["", "fpk_", "till-1", &key[4..]] {
            assert_eq!(
                fault(&keys, text, now),
                CredentialFault::Malformed,
                "{text}"
            );
        }
        assert_eq!(
            fault(&keys, &key, Time::from_micros(1_000)),
            CredentialFault::Expired
        );
        keys.revoke("till-1", now).unwrap();
        assert_eq!(fault(&keys, &key, now), CredentialFault::Revoked);
        assert!(
            keys.add(entry("till-1", &key)).is_err(),
            "an id is used once"
        );
    }

    #[test]
    fn a_file_that_means_nothing_is_refused() {
        let key = "fpk_a_0";
        for (text, expect) in [
            ("keys: 1", "1"),
            ("kees: []", "kees"),
            ("keys: [{id: a}]", "hash"),
        ] {
            let refused = Keys::parse(text).unwrap_err();
            assert!(refused.contains(expect), "{refused}");
        }
        let with = |change: &dyn Fn(&mut Entry)| {
            let mut entry = entry("a", key);
            change(&mut entry);
            Keys::default().add(entry)
        };
        assert!(with(&|it| it.id = "A_b".to_owned()).is_err());
        assert!(with(&|it| it.roles.clear()).is_err());
        assert!(with(&|it| it.roles = [CallerRole::Owner].into()).is_err());
        assert!(with(&|_| {}).is_ok());
    }
}
