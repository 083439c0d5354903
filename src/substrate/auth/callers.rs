//! The allowlist of identities that somebody else vouches for: the subject of a token or a name in a
//! certificate, and who that is here. Whoever is not in it is nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::contracts::permission::{Caller, CallerRole, CredentialFault};
use crate::contracts::stamps::Actor;
use crate::domain::digest::Digest;
use crate::domain::ids::ActorId;
use crate::domain::vocabulary::SourceType;
use crate::substrate::auth::watched::Loaded;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    callers: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// `sub` of a token; a URI or DNS name of a certificate.
    subject: String,
    actor_id: ActorId,
    source_type: SourceType,
    roles: BTreeSet<CallerRole>,
}

/// Callers by subject.
#[derive(Debug)]
pub(super) struct Callers(BTreeMap<String, Caller>);

impl Callers {
    pub(super) fn parse(text: &str) -> Result<Callers, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|cause| cause.to_string())?;
        let mut callers = BTreeMap::new();
        for entry in file.callers {
            if entry.roles.is_empty() || entry.roles.contains(&CallerRole::Owner) {
                return Err(format!(
                    "`{}`: one or more roles, and not owner, which is of the data directory's token alone",
                    entry.subject
                ));
            }
            let caller = Caller {
                actor: Actor {
                    actor_id: entry.actor_id,
                    source_type: entry.source_type,
                },
                roles: entry.roles,
            };
            if callers.insert(entry.subject.clone(), caller).is_some() {
                return Err(format!("`{}` is there twice", entry.subject));
            }
        }
        Ok(Callers(callers))
    }

    /// Who has these names: exactly one caller, whom every name that is listed means.
    pub(super) fn find<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Caller, CredentialFault> {
        let mut found: Option<&Caller> = None;
        for caller in names.filter_map(|name| self.0.get(name)) {
            if found.is_some_and(|it| it != caller) {
                return Err(CredentialFault::Malformed);
            }
            found = Some(caller);
        }
        found.cloned().ok_or(CredentialFault::Unknown)
    }
}

pub(super) fn load(files: &[Vec<u8>]) -> Result<Loaded<Callers>, String> {
    let text = std::str::from_utf8(&files[0]).map_err(|cause| cause.to_string())?;
    let callers = Callers::parse(text)?;
    Ok(Loaded {
        ids: callers.0.keys().cloned().collect(),
        digest: Digest::of_bytes(&files[0]),
        value: callers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "callers:
  - {subject: 'spiffe://bank/till', actor_id: 'till:1', source_type: SYSTEM, roles: [producer]}
  - {subject: till.bank.test, actor_id: 'till:1', source_type: SYSTEM, roles: [producer]}
  - {subject: ann, actor_id: 'human:ann', source_type: HUMAN, roles: [investigator, auditor]}
";

    #[test]
    fn names_lead_to_one_caller_or_to_none() {
        let callers = Callers::parse(FILE).unwrap();
        let find = |names: &[&str]| callers.find(names.iter().copied());
        let id = |names: &[&str]| find(names).unwrap().actor.actor_id.to_string();
        assert_eq!(id(&["x", "spiffe://bank/till", "till.bank.test"]), "till:1");
        assert_eq!(id(&["ann"]), "human:ann");
        assert_eq!(find(&["Ann"]), Err(CredentialFault::Unknown));
        assert_eq!(find(&[]), Err(CredentialFault::Unknown));
        assert_eq!(
            find(&["ann", "till.bank.test"]),
            Err(CredentialFault::Malformed)
        );
    }

    #[test]
    fn a_list_that_means_two_things_is_refused() {
        let twice = format!(
            "{FILE}  - {{subject: ann, actor_id: 'x', source_type: HUMAN, roles: [auditor]}}\n"
        );
        assert!(Callers::parse(&twice).unwrap_err().contains("twice"));
        for roles in ["[]", "[owner]", "[king]"] {
            let text = FILE.replace("[producer]", roles);
            assert!(Callers::parse(&text).is_err(), "{roles}");
        }
    }
}
