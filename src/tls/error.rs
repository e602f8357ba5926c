//! Why there is no certificate.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{self, pki_types::pem};

/// Why there is no usable certificate. Its text is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// The file has no certificate, or one that is not PEM (RFC 7468).
    #[error("{}: no certificate in PEM: {}", .0.display(), .1)]
    NoCertificate(PathBuf, #[source] pem::Error),
    /// The file has no private key, or one that is not PEM.
    #[error("{}: no private key in PEM: {}", .0.display(), .1)]
    NoKey(PathBuf, #[source] pem::Error),
    /// The first file is not the key of the certificate in the second.
    #[error("{} is not the key of {}", .0.display(), .1.display())]
    WrongKey(PathBuf, PathBuf),
    /// The certificate or the key in the file cannot be used or made.
    #[error("{}: {}", .0.display(), .1)]
    Unusable(PathBuf, #[source] Box<dyn Error + Send + Sync>),
    /// rustls refuses the configuration.
    #[error(transparent)]
    Configuration(#[from] rustls::Error),
}

impl TlsError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File(path.to_owned(), source)
    }

    pub(super) fn no_certificate(path: &Path, source: pem::Error) -> Self {
        Self::NoCertificate(path.to_owned(), source)
    }

    pub(super) fn no_key(path: &Path, source: pem::Error) -> Self {
        Self::NoKey(path.to_owned(), source)
    }

    pub(super) fn unusable(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unusable(path.to_owned(), source.into())
    }
}
