//! What an environment demands before anything starts: DESIGN §7 as a pure rule over the profile and
//! the release.

use crate::app::profile::{AuthMode, Profile};
use crate::contracts::code::Code;
use crate::domain::vocabulary::Environment;

/// Whether a platform of this release may start under this profile.
///
/// # Errors
/// The code of the first demand that is not met, and what it asks for.
pub(crate) fn admits(profile: &Profile, release: &str) -> Result<(), (Code, String)> {
    let environment = profile.environment;
    let is_local = environment == Environment::LocalParity;
    let is_prod = environment == Environment::Prod;
    let refuse = |code, why: &str| Err((code, format!("environment {environment}: {why}")));
    if !profile.http.bind.ip().is_loopback() && profile.http.tls.is_none() {
        let why = format!(
            "http.bind {} is not loopback and http.tls is null: keys and tokens would travel in clear",
            profile.http.bind
        );
        return Err((Code::TlsRequired, why));
    }
    if !is_local && profile.auth.mode == AuthMode::ApiKey {
        return refuse(
            Code::AuthModeRefused,
            "auth.mode api_key; callers show certificates or signed tokens",
        );
    }
    if is_prod && !profile.archive.enabled {
        return refuse(
            Code::ArchiveRequired,
            "archive.enabled false; evidence must outlive the log",
        );
    }
    if is_prod && !is_image_digest(release) {
        let why = format!(
            "release `{release}` is no image digest (sha256:…), and may come to mean another image"
        );
        return refuse(Code::ReleaseMutable, &why);
    }
    if !is_local && profile.reconcile.schedule.is_none() {
        return refuse(
            Code::ScheduleRequired,
            "reconcile.schedule null; runs are balanced by schedule here",
        );
    }
    Ok(())
}

/// `sha256:` and 64 hex digits, alone or behind the name of an image and `@`.
fn is_image_digest(release: &str) -> bool {
    let digest = release.rsplit_once('@').map_or(release, |(_, it)| it);
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::profile::Tls;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// A profile that meets every demand of the environment.
    fn good(environment: Environment) -> Profile {
        let mut profile = Profile::load("embedded").unwrap();
        profile.environment = environment;
        if environment != Environment::LocalParity {
            profile.auth.mode = AuthMode::Mtls;
            profile.reconcile.schedule = Some("0 3 * * *".to_owned());
        }
        profile
    }

    type Change = fn(&mut Profile);

    /// What each environment says to a change of a good profile: local_parity, dev, prod.
    #[test]
    fn each_environment_demands_what_the_design_says() {
        let api_key: Change = |it| it.auth.mode = AuthMode::ApiKey;
        let token: Change = |it| it.auth.mode = AuthMode::ServiceToken;
        let no_archive: Change = |it| it.archive.enabled = false;
        let no_schedule: Change = |it| it.reconcile.schedule = None;
        let everywhere: Change = |it| it.http.bind = "0.0.0.0:7070".parse().unwrap();
        let under_tls: Change = |it| {
            it.http.bind = "0.0.0.0:7070".parse().unwrap();
            it.http.tls = Some(Tls {
                cert_file: "c".into(),
                key_file: "k".into(),
                ca_file: "a".into(),
                server_name: "n".to_owned(),
            });
        };
        use Code::{
            ArchiveRequired, AuthModeRefused, ReleaseMutable, ScheduleRequired, TlsRequired,
        };
        let table: [(Change, &str, [Option<Code>; 3]); 8] = [
            (|_| {}, DIGEST, [None, None, None]),
            (
                api_key,
                DIGEST,
                [None, Some(AuthModeRefused), Some(AuthModeRefused)],
            ),
            (token, DIGEST, [None, None, None]),
            (no_archive, DIGEST, [None, None, Some(ArchiveRequired)]),
            (
                no_schedule,
                DIGEST,
                [None, Some(ScheduleRequired), Some(ScheduleRequired)],
            ),
            (|_| {}, "git:0123abc", [None, None, Some(ReleaseMutable)]),
            (everywhere, DIGEST, [Some(TlsRequired); 3]),
            (under_tls, DIGEST, [None, None, None]),
        ];
        for (row, (change, release, expect)) in table.into_iter().enumerate() {
            for (environment, expect) in Environment::ALL.iter().zip(expect) {
                let mut profile = good(*environment);
                change(&mut profile);
                let said = admits(&profile, release).map_err(|(code, _)| code).err();
                assert_eq!(said, expect, "row {row} in {environment}");
            }
        }
    }

    #[test]
    fn only_a_digest_is_immutable() {
        assert!(is_image_digest(DIGEST));
        assert!(is_image_digest(&format!(
            "registry.test/fraudplat@{DIGEST}"
        )));
        for release in [
            "",
            "git:0123abc",
            "fraudplat:latest",
            "fraudplat:1.2",
            "sha256:12",
            &DIGEST.to_uppercase(),
        ] {
            assert!(!is_image_digest(release), "{release}");
        }
    }
}
