//! Who calls: the one room that knows of keys, tokens and certificates. It proves identities and
//! reads the files they rest in; what an identity may do is in `contracts::permission`.

mod callers;
pub mod client;
pub mod key_files;
pub mod keys;
pub mod present;
mod ring_provider;
pub mod tls;
mod tokens;
pub mod watched;

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::HeaderMap;

use crate::contracts::permission::{Caller, CallerRole, CredentialFault, CredentialKind, Unproven};
use crate::contracts::stamps::Actor;
use crate::domain::ids::ActorId;
use crate::domain::vocabulary::SourceType;
use crate::substrate::auth::callers::Callers;
use crate::substrate::auth::keys::Keys;
use crate::substrate::auth::present::{Presented, present};
use crate::substrate::auth::tls::PeerNames;
use crate::substrate::auth::tokens::{Jwks, Rules};
use crate::substrate::auth::watched::{Rotation, Watched};
use crate::substrate::clock::Clock;

/// How callers prove who they are, and the files that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Options {
    ApiKey {
        keys_file: PathBuf,
    },
    ServiceToken {
        jwks_file: PathBuf,
        callers_file: PathBuf,
        issuer: String,
        audience: String,
        skew_s: u32,
    },
    Mtls {
        callers_file: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} of `{}`", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{name}: {cause}")]
    Unread { name: &'static str, cause: String },
}

enum Scheme {
    ApiKey(Arc<Watched<Keys>>),
    ServiceToken {
        jwks: Arc<Watched<Jwks>>,
        callers: Arc<Watched<Callers>>,
        rules: Rules,
    },
    Mtls(Arc<Watched<Callers>>),
}

/// Tells who calls, from what a request shows.
pub struct Authenticator {
    scheme: Scheme,
    clock: Arc<dyn Clock>,
    /// Hash of the owner's token and who presents it.
    owner: (blake3::Hash, Caller),
}

impl Authenticator {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// A file that cannot be read or means nothing: without it nobody could call.
    pub fn open(
        options: Options,
        owner_token: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Authenticator, Error> {
        let scheme = match options {
            Options::ApiKey { keys_file } => {
                Scheme::ApiKey(Watched::open(keys::NAME, vec![keys_file], keys::load)?)
            }
            Options::ServiceToken {
                jwks_file,
                callers_file,
                issuer,
                audience,
                skew_s,
            } => Scheme::ServiceToken {
                jwks: Watched::open("token_jwks", vec![jwks_file], tokens::load)?,
                callers: Watched::open("token_callers", vec![callers_file], callers::load)?,
                rules: Rules {
                    issuer,
                    audience,
                    skew_s,
                },
            },
            Options::Mtls { callers_file } => Scheme::Mtls(Watched::open(
                "certificate_callers",
                vec![callers_file],
                callers::load,
            )?),
        };
        let owner = Caller {
            actor: Actor {
                actor_id: owner_id(),
                source_type: SourceType::Human,
            },
            roles: [CallerRole::Owner].into(),
        };
        let owner = (blake3::hash(owner_token.as_bytes()), owner);
        Ok(Authenticator {
            scheme,
            clock,
            owner,
        })
    }

    /// Who sent a request with these headers over a connection of `peer`.
    ///
    /// # Errors
    /// [`Unproven`], which tells the kind of fault and nothing of the secret.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        is_safe_method: bool,
        peer: Option<&PeerNames>,
    ) -> Result<Caller, Unproven> {
        let shown = present(headers, is_safe_method);
        if let Presented::Secret(secret) = &shown
            // Hashes compare in constant time.
            && blake3::hash(secret.as_bytes()) == self.owner.0
        {
            return Ok(self.owner.1.clone());
        }
        let kind = self.kind();
        let fault = |fault| Unproven { kind, fault };
        let nothing = Unproven {
            kind: CredentialKind::Nothing,
            fault: CredentialFault::Missing,
        };
        if let Scheme::Mtls(callers) = &self.scheme {
            let peer = peer.ok_or(nothing)?;
            let callers = callers.current();
            return callers.find(peer.names()).map_err(fault);
        }
        let secret = match shown {
            Presented::Nothing => return Err(nothing),
            Presented::Unreadable => return Err(fault(CredentialFault::Malformed)),
            Presented::Secret(secret) => secret,
        };
        let now = self.clock.now();
        match &self.scheme {
            Scheme::ApiKey(keys) => keys.current().find(&secret, now).map_err(fault),
            Scheme::ServiceToken {
                jwks,
                callers,
                rules,
            } => {
                let subject = jwks.current().verify(&secret, rules, now).map_err(fault)?;
                callers
                    .current()
                    .find(std::iter::once(subject.as_str()))
                    .map_err(fault)
            }
            Scheme::Mtls(_) => Err(nothing),
        }
    }

    fn kind(&self) -> CredentialKind {
        match &self.scheme {
            Scheme::ApiKey(_) => CredentialKind::ApiKey,
            Scheme::ServiceToken { .. } => CredentialKind::ServiceToken,
            Scheme::Mtls(_) => CredentialKind::Certificate,
        }
    }

    /// The values of `WWW-Authenticate` that name what this process takes.
    #[must_use]
    pub fn challenges(&self) -> &'static [&'static str] {
        match &self.scheme {
            // A browser asks its user for a password when it hears of Basic.
            Scheme::ApiKey(_) => &[
                "Bearer realm=\"fraudplat\"",
                "Basic realm=\"fraudplat\", charset=\"UTF-8\"",
            ],
            Scheme::ServiceToken { .. } => &["Bearer realm=\"fraudplat\""],
            Scheme::Mtls(_) => &["Mutual realm=\"fraudplat\""],
        }
    }

    /// Reads every file again; what has changed and still means something is in force from now on.
    #[must_use]
    pub fn reload(&self) -> Vec<Rotation> {
        match &self.scheme {
            Scheme::ApiKey(keys) => keys.check().into_iter().collect(),
            Scheme::ServiceToken { jwks, callers, .. } => {
                jwks.check().into_iter().chain(callers.check()).collect()
            }
            Scheme::Mtls(callers) => callers.check().into_iter().collect(),
        }
    }
}

fn owner_id() -> ActorId {
    "human:owner".parse().expect("a name of printable ASCII")
}
