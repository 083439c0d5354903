//! Signed calls of servers that are not ours: one POST, one answer, nothing followed, nothing kept.
//!
//! The signature is that of `docs/actions.md`: HMAC-SHA256 over the second of the call, a dot, and the
//! body, in the manner of Stripe's webhooks, so that a receiver knows who calls and when.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url, header};
use ring::hmac;
use rustls::ClientConfig;

use crate::domain::time::Time;
use crate::substrate::secret::Secret;
use crate::substrate::tls;

pub const SIGNATURE_HEADER: &str = "fraudplat-signature";
pub const ATTEMPT_HEADER: &str = "fraudplat-attempt";
pub const KEY_HEADER: &str = "idempotency-key";

/// What is read of an answer, so that its connection can serve again.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A receiver may ask for more time than this, and gets this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the URL is not one to call: {0}")]
    Url(&'static str),
    #[error(transparent)]
    Trust(#[from] tls::Error),
    #[error("making an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Where calls go, and how they are signed.
#[derive(Debug, Clone)]
pub struct Options {
    pub url: String,
    /// Who signed the server's certificate; none: whom this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Each signs; the second one is the one before, while receivers still know it.
    pub secrets: Vec<Secret>,
    /// From the first byte to the last.
    pub timeout: Duration,
}

/// A server that is called.
pub struct Target {
    url: Url,
    http: Client,
    secrets: Vec<Secret>,
}

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
}

/// Nothing was heard, so nobody knows whether the call had an effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unheard(String);

impl Unheard {
    /// A call of which this is all that is known.
    #[must_use]
    pub fn of(cause: &str) -> Unheard {
        Unheard(cause.to_owned())
    }
}

/// The URL of a server that may be called: https, or this machine; without a password, which would
/// show where URLs show.
///
/// # Errors
/// Why it may not be.
pub fn check_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it does not parse")?;
    let host = url.host_str().unwrap_or_default();
    let ip = host
        .trim_matches(|it| matches!(it, '[' | ']'))
        .parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || ip.is_ok_and(|it| it.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        _ => return Err("it is neither https nor a loopback address"),
    }
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err("it holds a user or password"),
    }
}

impl Target {
    /// Blocks for as long as reading certificates takes.
    ///
    /// # Errors
    /// A URL that may not be called, certificates that cannot be read.
    pub fn open(options: Options) -> Result<Target, Error> {
        let url = check_url(&options.url).map_err(Error::Url)?;
        let roots = match (&options.ca_file, url.scheme()) {
            (Some(path), _) => tls::read_ca(path)?.roots,
            (None, "https") => tls::system_roots()?,
            // Nobody's certificate is looked at.
            (None, _) => rustls::RootCertStore::empty(),
        };
        let config = ClientConfig::builder_with_provider(tls::crypto())
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(config)
            // What is signed for one server is for no other.
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_MAX)
            .timeout(options.timeout)
            .user_agent(concat!("fraudplat/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Client)?;
        Ok(Target {
            url,
            http,
            secrets: options.secrets,
        })
    }

    /// Sends a body under its key, which is the same however often it is sent.
    ///
    /// # Errors
    /// [`Unheard`]: no connection, no answer in time, an answer that broke off.
    pub async fn post(
        &self,
        key: &str,
        attempt_no: i64,
        body: Bytes,
        now: Time,
    ) -> Result<Answer, Unheard> {
        let request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(KEY_HEADER, key)
            .header(ATTEMPT_HEADER, attempt_no)
            .header(SIGNATURE_HEADER, signature(&self.secrets, now, &body))
            .body(body);
        let mut answer = request.send().await.map_err(unheard)?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|it| it.to_str().ok()?.trim().parse().ok());
        let retry_after = retry_after.map(|it| Duration::from_secs(it).min(RETRY_AFTER_MAX));
        // The status counts as heard only with the end of the answer: a server that is cut off
        // between the two may have been cut off before its effect was durable.
        let mut n_bytes = 0;
        while let Some(chunk) = answer.chunk().await.map_err(unheard)? {
            n_bytes += chunk.len();
            if n_bytes > ANSWER_BYTES_MAX {
                break;
            }
        }
        let asks = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        Ok(Answer {
            status: status.as_u16(),
            retry_after: retry_after.filter(|_| asks),
        })
    }
}

/// Without the URL, which is the profile's to show; with the innermost cause, which says what happened.
fn unheard(error: reqwest::Error) -> Unheard {
    if error.is_timeout() {
        return Unheard("no answer in time".to_owned());
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(within) = cause.source() {
        cause = within;
    }
    Unheard(cause.to_string().chars().take(200).collect())
}

/// `t=1735689600,v1=<hex>`, one `v1` a secret.
#[must_use]
pub fn signature(secrets: &[Secret], now: Time, body: &[u8]) -> String {
    let second = now.micros().div_euclid(1_000_000).to_string();
    let mut header = format!("t={second}");
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(second.as_bytes());
        context.update(b".");
        context.update(body);
        header.push_str(",v1=");
        for byte in context.sign().as_ref() {
            write!(header, "{byte:02x}").expect("a String takes every write");
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_recipe() {
        let now = Time::from_micros(1_735_689_600_999_999);
        let (new, old) = (Secret::new("whsec_new"), Secret::new("whsec_old"));
        let header = signature(&[new, old], now, br#"{"a":1}"#);
        // printf '%s' '1735689600.{"a":1}' | openssl dgst -sha256 -hmac whsec_new
        let expected = concat!(
            "t=1735689600,v1=52ff78f1313fac6313e569aaad4b918096b624745951433677311e50309fc874",
            ",v1=bd0988d5a5b1bd5c2ff22eee41da0a9e913835cff4b313eafeeae64160d8d994"
        );
        assert_eq!(header, expected);
    }

    #[test]
    fn only_https_and_this_machine_are_called() {
        for url in [
            "https://issuer.example/hooks",
            "http://127.0.0.1:8080/",
            "http://[::1]:1/x",
            "http://localhost/x",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://issuer.example/hooks",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "ftp://127.0.0.1/",
            "https://user:hush@issuer.example/",
            "/hooks",
            "",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
