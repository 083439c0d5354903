//! The profile: one shape for every environment, unknown keys refused, the environment read here
//! and nowhere else. Flags and `FRAUDPLAT__SECTION__KEY` lie on top of the file.

mod shape;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Serialized};
use figment::value::{Dict, Map};
use serde::{Deserialize, Serialize};

pub(crate) use crate::app::profile::shape::*;

use crate::contracts::canonical;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::vocabulary::{Environment, Mode, Stream};

/// The profiles that the executable carries.
#[derive(rust_embed::RustEmbed)]
#[folder = "profiles/"]
pub(crate) struct Shipped;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no profile `{name}`: shipped are {shipped}; a path to a file works too")]
    Unknown { name: String, shipped: String },
    #[error("{origin}: {cause}")]
    Invalid { origin: String, cause: String },
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) profile: String,
    pub(crate) environment: Environment,
    pub(crate) mode: Mode,
    pub(crate) semantics: Semantics,
    pub(crate) substrates: Substrates,
    pub(crate) streams: Streams,
    pub(crate) http: Http,
    pub(crate) gate: Gate,
    pub(crate) auth: Auth,
    pub(crate) archive: Archive,
    pub(crate) retention: Retention,
    pub(crate) decision: Decision,
    pub(crate) actions: Actions,
    pub(crate) reconcile: Reconcile,
}

/// For the tests that must find it.
#[cfg(feature = "planted-bugs")]
#[expect(
    clippy::disallowed_methods,
    reason = "no setting: a build with bugs is not shipped"
)]
fn plant_a_bug() {
    use crate::domain::planted;
    let named = std::env::var(planted::VARIABLE).ok();
    planted::plant(named.and_then(|name| planted::named(&name)));
}

impl Profile {
    /// Loads a shipped profile by name or one by path, then what `FRAUDPLAT__…` lays on top.
    ///
    /// # Errors
    /// [`Error`], naming file, line and column where the file is wrong.
    pub(crate) fn load(name_or_path: &str) -> Result<Profile, Error> {
        #[cfg(feature = "planted-bugs")]
        plant_a_bug();
        let (origin, text) = source(name_or_path)?;
        let invalid = |cause: String| Error::Invalid {
            origin: origin.clone(),
            cause,
        };
        // Read as typed first: only this reading knows lines and columns.
        serde_saphyr::from_str::<Profile>(&text).map_err(|cause| invalid(cause.to_string()))?;
        let base: Dict =
            serde_saphyr::from_str(&text).map_err(|cause| invalid(cause.to_string()))?;
        let figment = Figment::new().merge(Serialized::defaults(Map::from_iter(base)));
        let figment = figment.merge(Env::prefixed("FRAUDPLAT__").split("__"));
        let profile: Profile = figment
            .extract()
            .map_err(|cause| invalid(cause.to_string()))?;
        profile.check().map_err(|cause| invalid(cause.to_owned()))?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), &'static str> {
        let attributes = self.semantics.attributes.as_ref();
        if attributes.is_some_and(|it| it.illegal_name().is_some()) {
            return Err(
                "semantics.attributes: a name is a lowercase letter, then letters, digits and _, 64 in all",
            );
        }
        self.check_auth()?;
        if self.decision.bundle_dir.is_some() && self.decision.registry_dir.is_some() {
            return Err("decision.bundle_dir and decision.registry_dir: one of the two");
        }
        if (self.substrates.kind == SubstrateKind::Managed) != self.substrates.managed.is_some() {
            return Err(
                "substrates.managed says where the servers are: with kind managed, and only then",
            );
        }
        if Stream::ALL
            .iter()
            .any(|stream| self.streams.of(*stream).shards == 0)
        {
            return Err("a stream needs at least one shard");
        }
        self.actions.check()?;
        self.decision.check(&self.semantics)?;
        self.check_retention()
    }

    /// What could still be admitted again must be known, and nothing grows without bound.
    fn check_retention(&self) -> Result<(), &'static str> {
        let Retention {
            evidence_days,
            dedupe_grace_days,
            ..
        } = self.retention;
        // An event may be a day ahead of its admission.
        let needed = self.semantics.dedupe_horizon_days.saturating_add(1);
        if evidence_days < needed.saturating_add(dedupe_grace_days.get()) {
            return Err(
                "retention.evidence_days is below semantics.dedupe_horizon_days + 1 + retention.dedupe_grace_days: \
                 a repeat that is known is answered with rows of its day",
            );
        }
        if evidence_days > Retention::evidence_days_max(self.environment) {
            return Err(
                "retention.evidence_days is more than the environment keeps: 92 in local_parity, 366 in dev, 3653 \
                 in prod; nothing grows without bound",
            );
        }
        Ok(())
    }

    fn check_auth(&self) -> Result<(), &'static str> {
        let auth = &self.auth;
        match auth.mode {
            AuthMode::ServiceToken if auth.service_token.is_none() => {
                return Err("auth.mode service_token needs the section auth.service_token");
            }
            AuthMode::Mtls if auth.mtls.is_none() => {
                return Err("auth.mode mtls needs the section auth.mtls");
            }
            AuthMode::Mtls if self.http.tls.is_none() => {
                return Err("auth.mode mtls needs the section http.tls");
            }
            _ => {}
        }
        if auth.credential.as_ref().is_some_and(|it| !it.is_one()) {
            return Err("auth.credential is either bearer_file, or cert_file and key_file");
        }
        let schedule = self.reconcile.schedule.as_deref();
        if schedule.is_some_and(|it| it.split_whitespace().count() != 5) {
            return Err("reconcile.schedule has the five fields of cron, such as `0 3 * * *`");
        }
        Ok(())
    }

    /// What makes decisions mean the same in every environment (L9).
    ///
    /// # Panics
    /// Never: the section holds integers and words.
    #[must_use]
    pub(crate) fn semantic_digest(&self) -> Digest {
        let bytes =
            canonical::to_bytes(&self.semantics).expect("the semantics have a canonical form");
        Tagged::new("semantics")
            .display(Digest::of_bytes(&bytes))
            .digest()
    }

    /// Digest of the whole resolved profile; it holds no secret.
    ///
    /// # Panics
    /// Never: a profile has no floats.
    #[must_use]
    pub(crate) fn config_digest(&self) -> Digest {
        Digest::of_bytes(&canonical::to_bytes(self).expect("a profile has a canonical form"))
    }
}

fn source(name_or_path: &str) -> Result<(String, String), Error> {
    let looks_like_path = name_or_path.contains('/') || name_or_path.ends_with(".yaml");
    if looks_like_path {
        let path = Path::new(name_or_path);
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        return Ok((name_or_path.to_owned(), text));
    }
    let file = format!("{name_or_path}.yaml");
    match Shipped::get(&file) {
        Some(found) => Ok((
            format!("profile {name_or_path}"),
            String::from_utf8_lossy(&found.data).into_owned(),
        )),
        None => Err(Error::Unknown {
            name: name_or_path.to_owned(),
            shipped: shipped_names().join(", "),
        }),
    }
}

/// The names of the shipped profiles.
#[must_use]
pub(crate) fn shipped_names() -> Vec<String> {
    let top = |path: &str| {
        path.strip_suffix(".yaml")
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
    };
    Shipped::iter().filter_map(|path| top(&path)).collect()
}

/// Where state lives unless told otherwise: below `$XDG_DATA_HOME`; where that is not set, root's
/// is `/var/lib/fraudplat` and anyone else's below `~/.local/share`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
#[must_use]
pub(crate) fn default_data_dir() -> PathBuf {
    if let Ok(data) = std::env::var("XDG_DATA_HOME") {
        return PathBuf::from(data).join("fraudplat");
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/fraudplat");
    }
    let home = std::env::var("HOME").map_or_else(|_| PathBuf::from("."), PathBuf::from);
    home.join(".local/share/fraudplat")
}

/// Where scripts unpack what the machine lacked, such as Postgres.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
#[must_use]
pub(crate) fn user_cache_dir() -> PathBuf {
    let home = || std::env::var("HOME").map_or_else(|_| PathBuf::from("."), PathBuf::from);
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    cache
        .unwrap_or_else(|_| home().join(".cache"))
        .join("fraudplat")
}

/// What this executable is, stamped on every evidence surface: the digest of the image it runs in,
/// where whoever starts the image says so, else what it was built from.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
#[must_use]
pub(crate) fn release() -> String {
    let image = std::env::var("FRAUDPLAT_IMAGE_DIGEST");
    image.unwrap_or_else(|_| env!("FRAUDPLAT_RELEASE").to_owned())
}

/// The `PATH` of this process, for programs that it starts.
#[must_use]
pub(crate) fn search_path() -> Option<std::ffi::OsString> {
    std::env::var_os("PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_loads_and_means_the_same() {
        let profiles: Vec<Profile> = shipped_names()
            .iter()
            .map(|name| Profile::load(name).unwrap())
            .collect();
        assert!(!profiles.is_empty());
        for profile in &profiles {
            assert_eq!(
                profile.semantic_digest(),
                profiles[0].semantic_digest(),
                "{}",
                profile.profile
            );
        }
    }

    #[test]
    fn a_shadow_stands_in_a_slot_that_is_declared() {
        let mut profile = Profile::load("embedded").unwrap();
        let digest = profile.semantic_digest();
        profile.decision.shadows = [("shadow_2".to_owned(), "dir".into())].into();
        assert_eq!(profile.check(), Ok(()));
        assert_eq!(profile.semantic_digest(), digest, "a pointer means nothing");
        profile.semantics.shadow_slots = Some(["shadow_next".to_owned()].into());
        assert_ne!(profile.semantic_digest(), digest);
        assert!(
            profile
                .check()
                .is_err_and(|it| it.starts_with("decision.shadows"))
        );
        for illegal in ["primary", "shadow_", "shadow_A", "next"] {
            profile.semantics.shadow_slots = Some([illegal.to_owned()].into());
            assert!(profile.check().is_err(), "{illegal}");
        }
    }

    #[test]
    fn nothing_is_kept_for_ever_nor_too_short() {
        let check = |environment: Environment, evidence_days: u32| {
            let mut profile = Profile::load("embedded").unwrap();
            profile.environment = environment;
            profile.retention.evidence_days = evidence_days;
            profile.check().is_ok()
        };
        // 35 days of horizon, one ahead, 7 of grace.
        for (environment, max) in [
            (Environment::LocalParity, 92),
            (Environment::Dev, 366),
            (Environment::Prod, 3_653),
        ] {
            assert!(
                check(environment, 43) && check(environment, max),
                "{environment}"
            );
            assert!(
                !check(environment, 42) && !check(environment, max + 1),
                "{environment}"
            );
        }
        assert!(!check(Environment::Prod, u32::MAX));
    }

    #[test]
    fn a_typo_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yaml");
        let (_, text) = source("embedded").unwrap();
        std::fs::write(&path, text.replace("join_wait_ms:", "join_wait:")).unwrap();
        let refused = Profile::load(path.to_str().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("join_wait") && refused.contains("11"),
            "{refused}"
        );
    }
}
