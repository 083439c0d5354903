//! Whom to trust over TLS: the system's certificates, or those of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the certificates of `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{path}` holds no usable certificate: {why}")]
    Unusable { path: PathBuf, why: String },
    #[error("this machine has no trusted certificates ({why}); name a file of them")]
    NoSystem { why: String },
}

/// The certificates of a file, proved to be some.
pub(crate) struct Ca {
    pub(crate) pem: Vec<u8>,
    pub(crate) roots: RootCertStore,
}

/// The one implementation of ciphers here.
pub(crate) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Reads a file of certificates (PEM). Blocks for as long as a small file takes.
///
/// # Errors
/// A file that cannot be read, or in which one entry, or every one, is no certificate.
pub(crate) fn read_ca(path: &Path) -> Result<Ca, Error> {
    let unusable = |why: String| Error::Unusable {
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|cause| unusable(cause.to_string()))?;
        roots
            .add(certificate)
            .map_err(|cause| unusable(cause.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it has no PEM section CERTIFICATE".to_owned()));
    }
    Ok(Ca { pem, roots })
}

/// The certificates that this machine trusts. Blocks for as long as reading them takes.
///
/// # Errors
/// When there are none: nobody could be trusted.
pub(crate) fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(Error::NoSystem {
            why: why.unwrap_or_else(|| "none found".to_owned()),
        });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_before_anyone_trusts_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let missing = read_ca(&path).map(|_| ()).unwrap_err();
        assert!(matches!(missing, Error::Read { .. }), "{missing}");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", broken] {
            std::fs::write(&path, text).unwrap();
            let refusal = read_ca(&path).map(|_| ()).unwrap_err();
            assert!(matches!(refusal, Error::Unusable { .. }), "{text}");
        }
        let key = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        std::fs::write(&path, key.cert.pem()).unwrap();
        assert_eq!(read_ca(&path).unwrap().roots.len(), 1);
    }
}
