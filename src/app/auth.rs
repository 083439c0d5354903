//! Wires who may call: the files that the profile names or the data directory holds, the built-in
//! identities, and the watch that reads secrets again and leaves `SECRET_ROTATED`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::commands::Refusal;
use crate::app::platform::Platform;
use crate::app::profile::{AuthMode, Credentials, Profile};
use crate::contracts::code::Code;
use crate::contracts::fact::Fact;
use crate::contracts::permission::CallerRole;
use crate::domain::vocabulary::{FactType, SourceType};
use crate::governance::facts;
use crate::runtime::ground::Ground;
use crate::substrate::auth::client::{Credential, Outgoing, Trust};
use crate::substrate::auth::key_files::{self, BuiltIn};
use crate::substrate::auth::tls::{self, Tls};
use crate::substrate::auth::watched::Rotation;
use crate::substrate::auth::{Authenticator, Options};
use crate::substrate::clock::{Clock, Entropy, SystemEntropy};
use crate::substrate::tasks;

/// An identity that every data directory has a key for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Who sits at the keyboard.
    Local,
    /// The streamer.
    Wsp,
    /// The gate, which submits again what it had quarantined.
    Ig,
    /// A browser that looks at reports.
    Viewer,
}

impl Own {
    pub(crate) const ALL: [Own; 4] = [Own::Local, Own::Wsp, Own::Ig, Own::Viewer];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Own::Local => "local",
            Own::Wsp => "wsp",
            Own::Ig => "ig",
            Own::Viewer => "viewer",
        }
    }

    fn built_in(self) -> BuiltIn {
        let (actor_id, source_type, roles): (_, _, &[CallerRole]) = match self {
            Own::Local => (
                "human:local",
                SourceType::Human,
                &[CallerRole::Operator, CallerRole::Producer],
            ),
            Own::Wsp => ("svc:wsp", SourceType::System, &[CallerRole::Wsp]),
            Own::Ig => ("svc:ig", SourceType::System, &[CallerRole::Ig]),
            Own::Viewer => ("human:viewer", SourceType::Human, &[CallerRole::Auditor]),
        };
        BuiltIn {
            name: self.name(),
            actor_id: actor_id.parse().expect("a name of printable ASCII"),
            source_type,
            roles,
        }
    }
}

/// Where keys lie in a data directory.
#[must_use]
pub(crate) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("auth")
}

/// The key file in force; `None` where callers do not show keys.
#[must_use]
pub(crate) fn keys_file(profile: &Profile, data_dir: &Path) -> Option<PathBuf> {
    let named = profile.auth.keys_file.clone();
    (profile.auth.mode == AuthMode::ApiKey)
        .then(|| named.unwrap_or_else(|| key_files::keys_path(&dir(data_dir))))
}

/// Makes the keys of a fresh data directory, where the profile names no file of its own.
///
/// # Errors
/// What the disk refused.
pub(crate) fn prepare(
    profile: &Profile,
    data_dir: &Path,
    entropy: &dyn Entropy,
) -> anyhow::Result<()> {
    if profile.auth.mode != AuthMode::ApiKey || profile.auth.keys_file.is_some() {
        return Ok(());
    }
    let built_in = Own::ALL.map(Own::built_in);
    key_files::prepare(&dir(data_dir), &built_in, entropy).context("making the first keys")
}

/// # Errors
/// [`Refusal`]: a file that cannot be read, for then nobody could call.
pub(crate) fn authenticator(
    profile: &Profile,
    data_dir: &Path,
    owner_token: &str,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Authenticator> {
    let options = options(profile, data_dir)?;
    Authenticator::open(options, owner_token, clock).map_err(unreadable)
}

fn unreadable(error: crate::substrate::auth::Error) -> anyhow::Error {
    let detail = format!("{:#}", anyhow::Error::from(error));
    Refusal::new(Code::SecretUnreadable, detail).into()
}

fn options(profile: &Profile, data_dir: &Path) -> anyhow::Result<Options> {
    let auth = &profile.auth;
    let missing = "the profile's check asks for the section of its mode";
    Ok(match auth.mode {
        AuthMode::ApiKey => Options::ApiKey {
            keys_file: keys_file(profile, data_dir).context(missing)?,
        },
        AuthMode::ServiceToken => {
            let token = auth.service_token.clone().context(missing)?;
            Options::ServiceToken {
                jwks_file: token.jwks_file,
                callers_file: token.callers_file,
                issuer: token.issuer,
                audience: token.audience,
                skew_s: token.skew_s,
            }
        }
        AuthMode::Mtls => Options::Mtls {
            callers_file: auth.mtls.clone().context(missing)?.callers_file,
        },
    })
}

/// The server's side of TLS, where the profile has one.
///
/// # Errors
/// [`Refusal`]: a certificate or key that cannot be read.
pub(crate) fn server_tls(profile: &Profile) -> anyhow::Result<Option<Tls>> {
    let Some(files) = &profile.http.tls else {
        return Ok(None);
    };
    let is_mutual = profile.auth.mode == AuthMode::Mtls;
    let mtls = profile.auth.mtls.as_ref().filter(|_| is_mutual);
    let options = tls::Options {
        cert_file: files.cert_file.clone(),
        key_file: files.key_file.clone(),
        client_ca_file: mtls.map(|it| it.client_ca_file.clone()),
    };
    Tls::open(options).map(Some).map_err(unreadable)
}

fn trust(profile: &Profile) -> Option<Trust> {
    profile.http.tls.as_ref().map(|tls| Trust {
        ca_file: tls.ca_file.clone(),
        server_name: tls.server_name.clone(),
    })
}

/// A client of the platform at `addr` that calls as one of its own: with the credential of the
/// profile, else with the key that the data directory has for it.
///
/// # Errors
/// [`Refusal`]: a credential that cannot be read.
pub(crate) fn outgoing(
    profile: &Profile,
    data_dir: &Path,
    own: Own,
    addr: &str,
) -> anyhow::Result<Outgoing> {
    let credential = match &profile.auth.credential {
        Some(Credentials {
            bearer_file: Some(file),
            ..
        }) => Credential::Bearer(file.clone()),
        Some(Credentials {
            cert_file: Some(cert_file),
            key_file: Some(key_file),
            ..
        }) => Credential::Certificate {
            cert_file: cert_file.clone(),
            key_file: key_file.clone(),
        },
        _ if profile.auth.mode == AuthMode::ApiKey => {
            Credential::Bearer(key_files::key_path(&dir(data_dir), own.name()))
        }
        _ => Credential::Nobody,
    };
    Outgoing::to(addr, credential, trust(profile)).map_err(|error| {
        let detail = format!("{:#}", anyhow::Error::from(error));
        Refusal::new(Code::SecretUnreadable, detail).into()
    })
}

/// The address of a page as a browser on this machine opens it: with the key of whoever only reads,
/// where callers show keys.
#[must_use]
pub(crate) fn page(profile: &Profile, data_dir: &Path, addr: &str, path: &str) -> String {
    let key = key_files::key_path(&dir(data_dir), Own::Viewer.name());
    let is_ours = profile.auth.mode == AuthMode::ApiKey && profile.auth.keys_file.is_none();
    let key = std::fs::read_to_string(key).ok().filter(|_| is_ours);
    let (scheme, host) = match &profile.http.tls {
        None => ("http", addr.to_owned()),
        Some(tls) => {
            let port = addr.rsplit_once(':').map_or("443", |(_, port)| port);
            ("https", format!("{}:{port}", tls.server_name))
        }
    };
    match key {
        Some(key) => format!("{scheme}://viewer:{}@{host}{path}", key.trim()),
        None => format!("{scheme}://{host}{path}"),
    }
}

/// Makes one key and its file in a directory of its own.
///
/// # Errors
/// What the disk refused.
pub(crate) fn key_for(dir: &Path, own: Own, entropy: &dyn Entropy) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    key_files::prepare(dir, &[own.built_in()], entropy).context("making a key")
}

/// Lets in who has a key of a directory, and nobody else.
///
/// # Errors
/// A key file that cannot be read.
pub(crate) fn by_keys_in(dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Authenticator> {
    let keys_file = key_files::keys_path(dir);
    let nobody = SystemEntropy.name(64);
    Ok(Authenticator::open(
        Options::ApiKey { keys_file },
        &nobody,
        clock,
    )?)
}

/// A client with a key of a directory.
///
/// # Errors
/// A key that cannot be read.
pub(crate) fn with_key_in(dir: &Path, own: Own, addr: &str) -> anyhow::Result<Outgoing> {
    let key = Credential::Bearer(key_files::key_path(dir, own.name()));
    Ok(Outgoing::to(addr, key, None)?)
}

/// A client of the owner of a data directory, with the token that lies in it.
///
/// # Errors
/// A token that cannot be read.
pub(crate) fn to_owner(profile: &Profile, data_dir: &Path, addr: &str) -> anyhow::Result<Outgoing> {
    let token = Credential::Bearer(data_dir.join("run/owner.token"));
    Ok(Outgoing::patient(addr, token, trust(profile))?)
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads every secret again each second and on SIGHUP; what changed is in force, and is a fact.
pub(crate) async fn watch(
    authenticator: Arc<Authenticator>,
    tls: Option<Arc<Tls>>,
    ground: Ground,
    stop: CancellationToken,
) {
    let mut hangup = signals();
    let mut pending: Vec<Fact> = Vec::new();
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = next(&mut hangup) => {}
            () = stop.cancelled() => {}
        }
        let (authenticator, tls) = (authenticator.clone(), tls.clone());
        let look = move || {
            let mut found = authenticator.reload();
            found.extend(tls.and_then(|tls| tls.reload()));
            found
        };
        for rotation in tasks::blocking(look).await {
            tracing::warn!(
                secret = rotation.name,
                "a secret was changed and is in force"
            );
            pending.push(rotated(&ground, &rotation));
        }
        match facts::append_alone(&ground.db, &pending).await {
            Ok(()) => pending.clear(),
            Err(error) => {
                tracing::warn!(error = %error, "facts of rotations wait for the database")
            }
        }
    }
}

/// On a terminal a hangup ends the process, as people expect of it.
fn signals() -> Option<tokio::signal::unix::Signal> {
    let has_terminal = rustix::termios::isatty(std::io::stderr());
    (!has_terminal)
        .then(|| signal(SignalKind::hangup()).ok())
        .flatten()
}

async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The fact of a change: digests and ids, never a secret.
pub(crate) fn rotated(ground: &Ground, rotation: &Rotation) -> Fact {
    let (from, to) = (rotation.from.to_string(), rotation.to.to_string());
    let at = ground.clock.now().to_string();
    // The same change may come again: to and fro and to again are three.
    let key = [rotation.name, from.as_str(), to.as_str(), at.as_str()];
    let mut fact = ground.fact(FactType::SecretRotated, &key, None);
    for (name, ids) in [("added", &rotation.added), ("removed", &rotation.removed)] {
        fact.details.insert(name.to_owned(), ids.join(" "));
    }
    fact.details
        .insert("secret".to_owned(), rotation.name.to_owned());
    fact.details.insert("from".to_owned(), from);
    fact.details.insert("to".to_owned(), to);
    fact
}

/// What the door of this process stands on.
pub(crate) struct Opened {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Reads what this process needs to let callers in.
///
/// # Errors
/// [`Refusal`]: a secret that cannot be read.
pub(crate) fn open(platform: &Platform, owner_token: &str) -> anyhow::Result<Opened> {
    let clock = platform.ground.clock.clone();
    let path = platform.data_dir.path();
    let authenticator = authenticator(&platform.profile, path, owner_token, clock)?;
    Ok(Opened {
        authenticator: Arc::new(authenticator),
        tls: server_tls(&platform.profile)?.map(Arc::new),
    })
}
