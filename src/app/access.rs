//! The door of the port: every request is of somebody, for somewhere that the somebody may go. The
//! one place where HTTP meets the guard; handlers are reached by nobody else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::StreamExt as _;

use crate::contracts::code::Code;
use crate::contracts::permission::{Caller, Corridor, CredentialFault, CredentialKind, Unproven};
use crate::governance::corridor::{Denied, Guard};
use crate::substrate::auth::Authenticator;
use crate::substrate::auth::tls::{PeerNames, Untrusted};
use crate::substrate::http::{Access, Accesses, problem};

/// What the door knows.
pub(crate) struct Door {
    pub(crate) accesses: Accesses,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) guard: Guard,
    /// The port listens on a loopback address in clear, so that nothing but the name it is asked by
    /// tells a page of a stranger from this machine. Under TLS the certificate's name does.
    pub(crate) is_local: bool,
}

/// The same routes behind the door.
pub(crate) fn behind(door: Door, router: Router) -> Router {
    router.layer(from_fn_with_state(Arc::new(door), enter))
}

/// Counts and tells of a certificate that is not believed; its connection is gone by then.
pub(crate) fn untrusted(guard: Guard) -> Untrusted {
    let unproven = Unproven {
        kind: CredentialKind::Certificate,
        fault: CredentialFault::Untrusted,
    };
    Arc::new(move || {
        guard.check(Err(unproven), Corridor::Port).ok();
    })
}

async fn enter(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    match door.judge(&request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(refused) => {
            discard(request.into_body()).await;
            *refused
        }
    }
}

impl Door {
    /// Who asks, where that matters; else the refusal.
    fn judge(&self, request: &Request) -> Result<Option<Caller>, Box<Response>> {
        if self.is_local {
            check_host(request)?;
        }
        let path = request.extensions().get::<MatchedPath>();
        let access = path.and_then(|it| self.accesses.of(request.method(), it.as_str()));
        // What is no route, or no method of one, is answered as such.
        let Some(Access::Through(corridor)) = access else {
            return Ok(None);
        };
        let peer = request.extensions().get::<PeerNames>();
        let is_safe = request.method().is_safe();
        let caller = self
            .authenticator
            .identify(request.headers(), is_safe, peer);
        match self
            .guard
            .check(caller.as_ref().map_err(|it| *it), corridor)
        {
            Ok(()) => Ok(caller.ok()),
            Err(denied @ Denied::NotAllowed(..)) => {
                let refused = problem(403, Code::Forbidden, denied.to_string());
                Err(Box::new(refused))
            }
            Err(denied @ Denied::Unknown(_)) => {
                let mut refused = problem(401, Code::Unauthenticated, denied.to_string());
                for challenge in self.authenticator.challenges() {
                    let challenge = HeaderValue::from_static(challenge);
                    refused
                        .headers_mut()
                        .append(header::WWW_AUTHENTICATE, challenge);
                }
                Err(Box::new(refused))
            }
        }
    }
}

/// A page of a stranger may have its own name lead to this machine, and a browser then takes the
/// platform for a part of that page; but it says which name it asks for.
fn check_host(request: &Request) -> Result<(), Box<Response>> {
    let authority = request.uri().host().map(str::to_owned);
    let asked = authority.or_else(|| host(request.headers()));
    if asked.as_deref().is_some_and(is_loopback) {
        return Ok(());
    }
    let detail = format!(
        "asked for host `{}`, and this port is for this machine alone",
        asked
            .unwrap_or_default()
            .chars()
            .take(80)
            .collect::<String>()
    );
    Err(Box::new(problem(421, Code::HostRefused, detail)))
}

/// The `Host` header without its port, where there is exactly one.
fn host(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::HOST).iter();
    let only = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let authority: axum::http::uri::Authority = only.parse().ok()?;
    Some(authority.host().to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|it| it.is_loopback())
}

/// How much of a refused body is read, and how long: a client that is still sending when the
/// connection closes may never see the answer.
const DISCARD_BYTES_MAX: usize = 1 << 20;
const DISCARD_MAX: Duration = Duration::from_secs(2);

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let read = async {
        let mut n_bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            n_bytes += chunk.len();
            if n_bytes > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    drop(tokio::time::timeout(DISCARD_MAX, read).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_for() {
        let asked = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            check_host(&request.body(Body::empty()).unwrap()).is_ok()
        };
        for host in [
            "localhost",
            "LOCALHOST:7070",
            "127.0.0.1:7070",
            "127.9.9.9",
            "[::1]:7070",
        ] {
            assert!(asked("/healthz", &[host]), "{host}");
        }
        for host in [
            "evil.test",
            "localhost.evil.test",
            "127.0.0.1.evil.test:7070",
            "10.0.0.1",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert!(!asked("/healthz", &[host]), "{host}");
        }
        assert!(!asked("/healthz", &[]));
        assert!(!asked("/healthz", &["localhost", "evil.test"]));
        assert!(!asked("http://evil.test/healthz", &["localhost"]));
        assert!(asked("http://localhost/healthz", &["localhost"]));
    }
}
