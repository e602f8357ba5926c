//! HTTPS: the certificate that connections are made with, from files that somebody gives or from an authority of our own, and how
//! a change of it is taken up while the server runs.
//!
//! The protocol is TLS 1.2 or 1.3 (RFC 5246, RFC 8446) by rustls. ALPN offers `http/1.1` alone: a page holds one event stream a
//! window, which is well below the six connections that browsers open to a host.

mod authority;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

pub use authority::Authority;

/// A changed file is noticed within this time.
const LOOK: Duration = Duration::from_secs(1);

/// The machine's names and addresses are looked at this often.
const LOOK_AT_MACHINE: Duration = Duration::from_secs(60);

/// Why there is no certificate: one line.
#[derive(Debug)]
pub struct TlsError(String);

impl TlsError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    fn of_file(path: &Path, error: impl fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// Where the certificate comes from.
enum Source {
    /// A chain of certificates, the server's first, and its key, both PEM (RFC 7468).
    Files { certificate: PathBuf, key: PathBuf },
    /// One that our own authority signed.
    Authority(Authority),
}

/// What tells one version of a file from another.
type Stamp = Vec<Option<(std::time::SystemTime, u64, u64)>>;

/// The certificate of the server, the newest good one.
pub struct Tls {
    source: Source,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// With a certificate and a key that somebody gives.
    ///
    /// # Errors
    /// When a file cannot be read, holds no certificate or key, or the two do not belong together.
    pub fn with_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::new(Source::Files { certificate: certificate.to_owned(), key: key.to_owned() })
    }

    /// With a certificate of our own for this machine, made now if there is none that will do; see [`Authority`].
    ///
    /// # Errors
    /// When the files beside the database cannot be read or written.
    pub fn self_signed(database: &Path) -> Result<Self, TlsError> {
        Self::new(Source::Authority(Authority::open(database)?))
    }

    fn new(source: Source) -> Result<Self, TlsError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(source.load()?))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { source, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// What makes TLS connections of others.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Our own authority, `None` with a certificate that was given.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        match &self.source {
            Source::Authority(authority) => Some(authority),
            Source::Files { .. } => None,
        }
    }

    /// Takes up changes, for ever: of files that were given within a second, and of the machine's names and addresses within a
    /// minute. What cannot be used is logged, and the certificate stays the one before.
    pub async fn keep_current(self: Arc<Self>) {
        let mut seen = self.source.stamp();
        let mut looked_at_machine = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let stamp = self.source.stamp();
            let is_due = self.authority().is_some() && looked_at_machine.elapsed() >= LOOK_AT_MACHINE;
            if stamp == seen && !is_due {
                continue;
            }
            if is_due {
                looked_at_machine = Instant::now();
            }
            let renewing = Arc::clone(&self);
            // Reading files and signing is not for a thread that serves.
            let loaded = tokio::task::spawn_blocking(move || renewing.source.load()).await;
            match loaded {
                Ok(Ok(key)) => {
                    if stamp != seen {
                        tracing::info!("the certificate was read anew");
                    }
                    self.current.set(key);
                }
                Ok(Err(error)) => tracing::error!(%error, "the new certificate cannot be used; the old one is kept"),
                Err(error) => tracing::error!(%error, "the certificate could not be read"),
            }
            // A file that changed while it was read is looked at again.
            seen = stamp;
        }
    }
}

impl Source {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Files { certificate, key } => certified(certificate, &read(certificate)?, key, &read(key)?),
            Self::Authority(authority) => {
                let (path, pem) = authority.certificate()?;
                certified(&path, pem.as_bytes(), &path, pem.as_bytes())
            }
        }
    }

    fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        let paths = match self {
            Self::Files { certificate, key } => vec![certificate, key],
            Self::Authority(_) => vec![],
        };
        let stamp = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        paths.into_iter().map(stamp).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error: io::Error| TlsError::of_file(path, error))
}

/// A chain and its key out of PEM; the key has to be that of the first certificate.
fn certified(path: &Path, chain: &[u8], key_path: &Path, key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::of_file(path, format!("no certificate in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError::of_file(path, "there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| TlsError::of_file(key_path, format!("no private key in PEM: {error}")))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::new(format!("{} is not the key of {}", key_path.display(), path.display()))
        }
        error => TlsError::of_file(path, error),
    })?;
    // What the certificate says of itself is first read when somebody connects, which is too late to say that it is none.
    rustls::server::ParsedCertificate::try_from(&certified.cert[0]).map_err(|error| TlsError::of_file(path, error))?;
    Ok(certified)
}
