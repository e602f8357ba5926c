//! Why there is no certificate.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{self, pki_types::pem};

/// Why there is no usable certificate. Its text is one line.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file has no certificate, or one that is not PEM (RFC 7468).
    #[error("{}: no certificate in PEM: {source}", path.display())]
    NoCertificate { path: PathBuf, source: pem::Error },
    /// A file has no private key, or one that is not PEM.
    #[error("{}: no private key in PEM: {source}", path.display())]
    NoKey { path: PathBuf, source: pem::Error },
    /// The certificate and the key do not belong together.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    WrongKey { key: PathBuf, certificate: PathBuf },
    /// A certificate or a key cannot be used or made.
    #[error("{}: {source}", path.display())]
    Unusable { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// rustls refuses the configuration.
    #[error(transparent)]
    Configuration(#[from] rustls::Error),
}

impl TlsError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(super) fn no_certificate(path: &Path, source: pem::Error) -> Self {
        Self::NoCertificate { path: path.to_owned(), source }
    }

    pub(super) fn no_key(path: &Path, source: pem::Error) -> Self {
        Self::NoKey { path: path.to_owned(), source }
    }

    pub(super) fn unusable(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unusable { path: path.to_owned(), source: source.into() }
    }
}
