//! The HTTP client of this executable: it calls as somebody, with a credential from a file that is
//! read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use rustls::{ClientConfig, RootCertStore};

use crate::substrate::auth::tls::{certificates, private_key, provider, roots};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the credential `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential `{}` is not understood: {cause}", path.display())]
    Unread { path: PathBuf, cause: String },
    #[error("making an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// As whom a client calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    Nobody,
    /// A file with a key or a token.
    Bearer(PathBuf),
    /// A certificate and its key, PEM.
    Certificate {
        cert_file: PathBuf,
        key_file: PathBuf,
    },
}

/// How a server under TLS is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Who signed its certificate.
    pub ca_file: PathBuf,
    /// The name in it, wherever it listens.
    pub server_name: String,
}

/// How long a credential is used before its file is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    url: String,
    addr: String,
    credential: Credential,
    trust: Option<Trust>,
    has_timeout: bool,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    seen: blake3::Hash,
    bearer: Option<String>,
    http: Client,
}

impl Outgoing {
    /// A client of the server at `addr`, host and port. Its requests end after a minute.
    ///
    /// # Errors
    /// A credential that cannot be read.
    pub fn to(addr: &str, credential: Credential, trust: Option<Trust>) -> Result<Outgoing, Error> {
        Outgoing::new(addr, credential, trust, true)
    }

    /// The same for answers that take as long as they take.
    ///
    /// # Errors
    /// A credential that cannot be read.
    pub fn patient(
        addr: &str,
        credential: Credential,
        trust: Option<Trust>,
    ) -> Result<Outgoing, Error> {
        Outgoing::new(addr, credential, trust, false)
    }

    fn new(
        addr: &str,
        credential: Credential,
        trust: Option<Trust>,
        has_timeout: bool,
    ) -> Result<Outgoing, Error> {
        let url = match &trust {
            None => format!("http://{addr}"),
            Some(trust) => {
                let port = addr.rsplit_once(':').map_or("443", |(_, port)| port);
                format!("https://{}:{port}", trust.server_name)
            }
        };
        let mut inner = Inner {
            url,
            addr: addr.to_owned(),
            credential,
            trust,
            has_timeout,
            state: Mutex::new(State {
                looked: Instant::now(),
                seen: blake3::hash(b""),
                bearer: None,
                http: builder().build().map_err(Error::Client)?,
            }),
        };
        let state = inner.look()?;
        inner.state = Mutex::new(state);
        Ok(Outgoing(Arc::new(inner)))
    }

    /// `http://127.0.0.1:7070`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// A request for a path, under the credential as it is now.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() > LOOK_EVERY {
            self.0.renew(&mut state);
        }
        let request = state.http.request(method, format!("{}{path}", self.0.url));
        match &state.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    /// Looks at the credential now; whether it is another.
    #[must_use]
    pub fn is_renewed(&self) -> bool {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.seen;
        self.0.renew(&mut state);
        state.seen != before
    }
}

impl Inner {
    fn renew(&self, state: &mut State) {
        match self.files().and_then(|files| {
            if hash(&files) == state.seen {
                return Ok(None);
            }
            self.look().map(Some)
        }) {
            Ok(Some(fresh)) => *state = fresh,
            Ok(None) => state.looked = Instant::now(),
            Err(error) => {
                state.looked = Instant::now();
                tracing::warn!(error = %error, "a changed credential is not understood; the one before stays in use");
            }
        }
    }

    fn files(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut paths: Vec<&Path> = match &self.credential {
            Credential::Nobody => vec![],
            Credential::Bearer(path) => vec![path],
            Credential::Certificate {
                cert_file,
                key_file,
            } => vec![cert_file, key_file],
        };
        paths.extend(self.trust.as_ref().map(|it| it.ca_file.as_path()));
        let read = |path: &&Path| {
            std::fs::read(path).map_err(|source| Error::Read {
                path: (*path).to_owned(),
                source,
            })
        };
        paths.iter().map(read).collect()
    }

    /// The client for what the files hold.
    fn look(&self) -> Result<State, Error> {
        let files = self.files()?;
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |cause| Error::Unread { path, cause }
        };
        let bearer = match &self.credential {
            Credential::Bearer(path) => {
                let text = std::str::from_utf8(&files[0]).map(str::trim);
                let text = text.ok().filter(|it| !it.is_empty() && it.is_ascii());
                let text = text.ok_or_else(|| unread(path)("no key or token in it".to_owned()))?;
                Some(text.to_owned())
            }
            _ => None,
        };
        let trusted = match (&self.trust, files.last()) {
            (Some(trust), Some(pem)) => roots(pem).map_err(unread(&trust.ca_file))?,
            _ => RootCertStore::empty(),
        };
        let config = config().with_root_certificates(trusted);
        let config = match &self.credential {
            Credential::Certificate {
                cert_file,
                key_file,
            } => {
                let chain = certificates(&files[0]).map_err(unread(cert_file))?;
                let key = private_key(&files[1]).map_err(unread(key_file))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|cause| unread(cert_file)(cause.to_string()))?
            }
            _ => config.with_no_client_auth(),
        };
        let mut http = Client::builder()
            .tls_backend_preconfigured(config)
            .tcp_nodelay(true);
        if self.has_timeout {
            http = http.timeout(REQUEST_TIMEOUT);
        }
        // The certificate has a name, the address need not.
        if let (Some(trust), Ok(addr)) = (&self.trust, self.addr.parse()) {
            http = http.resolve(&trust.server_name, addr);
        }
        Ok(State {
            looked: Instant::now(),
            seen: hash(&files),
            bearer,
            http: http.build().map_err(Error::Client)?,
        })
    }
}

fn config() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of both versions")
}

/// A client that is nobody and trusts nobody's certificate: for plain HTTP. `reqwest`'s own would
/// look for a crypto provider of the whole process, and there is none.
pub fn builder() -> ClientBuilder {
    let config = config().with_root_certificates(RootCertStore::empty());
    Client::builder().tls_backend_preconfigured(config.with_no_client_auth())
}

fn hash(files: &[Vec<u8>]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&(file.len() as u64).to_le_bytes());
        hasher.update(file);
    }
    hasher.finalize()
}
