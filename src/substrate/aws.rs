//! What every AWS client here has in common: one HTTP client on the one TLS stack, credentials, a
//! region, and none of the SDK's own retries: what may be tried again is the seam's to decide.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::substrate::tls;

/// The region of signatures where there is none: a server of another make, at a URL of its own,
/// takes any, and this one is what they expect.
const REGION_OF_OTHERS: &str = "us-east-1";

/// Where a service answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Of a server that is not AWS's own.
    pub(crate) endpoint_url: Option<String>,
    /// None: what the environment, the shared configuration or the machine says.
    pub(crate) region: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) connect_ms_max: u64,
}

/// As whom to call.
#[derive(Clone, Default)]
pub enum Credentials {
    /// The SDK's standard chain: environment, shared files, web identity, container, machine.
    #[default]
    Chain,
    /// Two strings in hand, for servers that tests start.
    Keys { id: String, secret: String },
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Ca(#[from] tls::Error),
    #[error("the TLS of AWS clients cannot be set up: {0}")]
    Trust(String),
    #[error("no region is known: name it in the profile, or in AWS_REGION")]
    NoRegion,
}

/// The settings that a service's client is built from. Its endpoint is the caller's to set: here it
/// would also redirect the calls that fetch credentials.
pub(crate) async fn config(place: &Place, credentials: &Credentials) -> Result<SdkConfig, Error> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(place.connect_ms_max))
        .build();
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(trust(place)?)
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(region) = &place.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Credentials::Keys { id, secret } = credentials {
        let keys = aws_credential_types::Credentials::new(id, secret, None, None, "given");
        loader = loader.credentials_provider(keys);
        // Otherwise the machine would be asked for one, which takes a second where there is no answer.
        if place.region.is_none() {
            loader = loader.region(Region::new(REGION_OF_OTHERS));
        }
    }
    let config = loader.load().await;
    match (config.region(), &place.endpoint_url) {
        (Some(_), _) => Ok(config),
        (None, Some(_)) => Ok(config
            .into_builder()
            .region(Region::new(REGION_OF_OTHERS))
            .build()),
        (None, None) => Err(Error::NoRegion),
    }
}

fn trust(place: &Place) -> Result<TlsContext, Error> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &place.ca_file {
        trusted = trusted.with_pem_certificate(tls::read_ca(path)?.pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|cause| Error::Trust(cause.to_string()))
}

/// Whether a call was never sent because nobody knows as whom.
pub(crate) fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |it| it.source());
    chain.any(|it| it.is::<aws_credential_types::provider::error::CredentialsError>())
}
