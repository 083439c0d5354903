//! How a connection is protected: `sslmode` as people write it, and what rustls is told.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::Error;
use crate::substrate::tls;

/// What servers and clients of Postgres call their protocol when TLS comes first.
const ALPN: &[u8] = b"postgresql";

/// What protects a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: `sslmode=disable`.
    Clear,
    /// Nobody can listen, but whoever answers is believed: `sslmode=require`.
    Anyone,
    /// The certificate leads to a trusted authority and names the host: `sslmode=verify-full`. The
    /// authority is that of a file, or one that this machine trusts.
    Verified { ca_file: Option<PathBuf> },
}

impl Trust {
    /// # Errors
    /// [`Error::Url`] for modes that would fall back to clear text or check half.
    pub(super) fn of_mode(mode: &str, ca_file: Option<PathBuf>) -> Result<Trust, Error> {
        let refused = |what: &str| {
            Err(Error::Url {
                what: format!("sslmode={mode} {what}; use disable, require or verify-full"),
            })
        };
        match (mode, ca_file) {
            ("verify-full", ca_file) => Ok(Trust::Verified { ca_file }),
            ("require" | "disable", Some(_)) => refused("never looks at the ca_file that is given"),
            ("require", None) => Ok(Trust::Anyone),
            ("disable", None) => Ok(Trust::Clear),
            ("prefer" | "allow", _) => {
                refused("talks in clear whenever someone between says that there is no TLS")
            }
            ("verify-ca", _) => refused("takes the certificate of any host of the authority"),
            _ => refused("is unknown"),
        }
    }

    /// None where there is no TLS.
    pub(super) fn client_config(&self) -> Result<Option<ClientConfig>, Error> {
        let crypto = tls::crypto();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto));
        let builder = builder
            .with_safe_default_protocol_versions()
            .expect("ring has ciphers for the default versions of TLS");
        let mut config = match self {
            Trust::Clear => return Ok(None),
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto)))
                .with_no_client_auth(),
            Trust::Verified { ca_file } => {
                let roots = match ca_file {
                    Some(path) => tls::read_ca(path)?.roots,
                    None => tls::system_roots()?,
                };
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(config))
    }
}

/// Takes any certificate, but demands that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
