//! The port under TLS: the server's certificate, the authority that signs those of clients, and the
//! names in a client's certificate for whoever asks who calls.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::domain::digest::Digest;
use crate::substrate::auth::Error;
use crate::substrate::auth::watched::{Loaded, Rotation, Watched};

/// The files of a port under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The server's certificate and those that lead to its authority, PEM.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Who signs the certificates of clients; none where clients show none.
    pub client_ca_file: Option<PathBuf>,
}

/// The server's side, read again when its files change.
pub struct Tls {
    watched: Arc<Watched<Arc<ServerConfig>>>,
    config: RustlsConfig,
}

/// The names in the certificate of a client: URIs and DNS names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNames(Arc<[String]>);

impl PeerNames {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn of(certificate: &CertificateDer<'_>) -> Option<PeerNames> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let names = certificate
            .valid_uri_names()
            .chain(certificate.valid_dns_names());
        Some(PeerNames(names.map(str::to_owned).collect()))
    }
}

/// The one TLS stack: rustls with ring.
pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it".to_owned()),
        Ok(found) => Ok(found),
        Err(cause) => Err(cause.to_string()),
    }
}

pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|cause| format!("the key: {cause}"))
}

pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|cause| cause.to_string())?;
    }
    Ok(roots)
}

impl Tls {
    /// # Errors
    /// Files that cannot be read, a key that is not of its certificate.
    pub fn open(options: Options) -> Result<Tls, Error> {
        let mut paths = vec![options.cert_file, options.key_file];
        paths.extend(options.client_ca_file);
        let watched = Watched::open("server_tls", paths, load)?;
        let config = RustlsConfig::from_config(watched.current().value.clone());
        Ok(Tls { watched, config })
    }

    /// Reads the files again; connections from now on are under what they hold.
    #[must_use]
    pub fn reload(&self) -> Option<Rotation> {
        let rotation = self.watched.check();
        // Also where only the key is another: that is no rotation of what is public.
        self.config
            .reload_from_config(self.watched.current().value.clone());
        rotation
    }

    /// Accepts connections; the names of a client's certificate go with each of its requests. Of a
    /// certificate that proves nothing `untrusted` is told.
    #[must_use]
    pub fn acceptor(&self, handshake_max: Duration, untrusted: Untrusted) -> PeerAcceptor {
        let acceptor = RustlsAcceptor::new(self.config.clone()).handshake_timeout(handshake_max);
        PeerAcceptor {
            acceptor: acceptor.acceptor(NoDelayAcceptor::new()),
            untrusted,
        }
    }
}

/// Certificate chain, key, and where there is a third file the authority of clients. A client that
/// shows no certificate is let in, to be told in words that it is nobody; one whose certificate is
/// not of that authority, or has ended, is not.
fn load(files: &[Vec<u8>]) -> Result<Loaded<Arc<ServerConfig>>, String> {
    let chain = certificates(&files[0])?;
    let key = private_key(&files[1])?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?;
    let config = match files.get(2) {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(roots(pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build();
            config.with_client_cert_verifier(verifier.map_err(|cause| cause.to_string())?)
        }
    };
    let mut config = config
        .with_single_cert(chain.clone(), key)
        .map_err(|cause| cause.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut public = blake3::Hasher::new();
    let clients = files.get(2).map(|pem| certificates(pem)).transpose()?;
    let all = chain.iter().chain(clients.iter().flatten());
    let ids = all.map(|certificate| {
        public.update(certificate);
        Digest::of_bytes(certificate).to_string()
    });
    let ids = ids.collect();
    Ok(Loaded {
        value: Arc::new(config),
        digest: Digest::from_bytes(*public.finalize().as_bytes()),
        ids,
    })
}

/// See [`Tls::acceptor`].
#[derive(Clone)]
pub struct PeerAcceptor {
    acceptor: RustlsAcceptor<NoDelayAcceptor>,
    untrusted: Untrusted,
}

/// Is told of each client whose certificate is not believed.
pub type Untrusted = Arc<dyn Fn() + Send + Sync>;

type Accepted<S> = <RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, S>>::Stream;
type Served<S> = <RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, S>>::Service;

impl<S: Send + 'static> Accept<TcpStream, S> for PeerAcceptor {
    type Stream = Accepted<S>;
    type Service = WithPeer<Served<S>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = self.acceptor.accept(stream, service);
        let untrusted = self.untrusted.clone();
        Box::pin(async move {
            let (stream, service) = accepted.await.inspect_err(|cause| {
                let by_rustls = cause.get_ref().and_then(|it| it.downcast_ref());
                if let Some(rustls::Error::InvalidCertificate(_)) = by_rustls {
                    untrusted();
                }
            })?;
            let shown = stream.get_ref().1.peer_certificates();
            let peer = shown.and_then(|it| it.first()).and_then(PeerNames::of);
            Ok((stream, WithPeer { peer, service }))
        })
    }
}

/// Puts the names of the peer beside each request of its connection.
#[derive(Debug, Clone)]
pub struct WithPeer<S> {
    peer: Option<PeerNames>,
    service: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        self.service.call(request)
    }
}
