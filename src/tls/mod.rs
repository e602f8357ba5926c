//! HTTPS: the server certificate, given as files or signed by our own CA, and its replacement while the server runs.
//!
//! rustls speaks TLS 1.2 and 1.3 (RFC 5246, RFC 8446). ALPN (RFC 7301) offers HTTP/2, because a browser opens
//! six HTTP/1.1 connections to a host, and each window of the page needs one for its event stream.

mod ca;
mod constraints;
mod error;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use url::Host;

pub use self::ca::CertificateAuthority;
pub use self::error::TlsError;

/// A changed file is noticed within this time.
const FILE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A changed name or address of the machine is noticed within this time.
const MACHINE_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Where the certificate comes from.
enum Source {
    /// A certificate chain, the server's certificate first, and its key. Both are PEM (RFC 7468).
    Files { certificate: PathBuf, key: PathBuf },
    /// A certificate that our own CA signs.
    Ca(CertificateAuthority),
}

/// Modification time, size and inode of each file. They differ between two versions of a file.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

/// The server's certificate: the newest that was usable.
pub struct Tls {
    source: Source,
    current: Arc<CurrentKey>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct CurrentKey(RwLock<Arc<CertifiedKey>>);

impl CurrentKey {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for CurrentKey {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Tls {
    /// Serves with the certificate chain and the key of these files.
    ///
    /// # Errors
    /// If a file cannot be read or holds no certificate or key, or the two do not belong together.
    pub fn with_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::new(Source::Files { certificate: certificate.to_owned(), key: key.to_owned() })
    }

    /// Serves with a certificate that our own CA signs for this machine; see [`CertificateAuthority`].
    ///
    /// # Errors
    /// If the files beside the database cannot be read or written.
    pub fn self_signed(database: &Path) -> Result<Self, TlsError> {
        Self::new(Source::Ca(CertificateAuthority::open(database)?))
    }

    fn new(source: Source) -> Result<Self, TlsError> {
        let current = Arc::new(CurrentKey(RwLock::new(Arc::new(source.load()?))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { source, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Accepts TLS connections with the current certificate.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Whether the current certificate is for `host`.
    pub(crate) fn is_for(&self, host: &Host) -> bool {
        let Ok(name) = ServerName::try_from(match host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }) else {
            return false;
        };
        let key = self.current.get();
        let certificate = key.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
        certificate.is_some_and(|certificate| verify_server_name(&certificate, &name).is_ok())
    }

    /// Our own CA. `None` if the certificate comes from given files.
    #[must_use]
    pub fn ca(&self) -> Option<&CertificateAuthority> {
        match &self.source {
            Source::Ca(ca) => Some(ca),
            Source::Files { .. } => None,
        }
    }

    /// Reloads the certificate within a second of a change of a given file, and within a minute of a change of the
    /// machine's names or addresses. It never returns. An unusable certificate is logged, and the previous one stays.
    pub async fn reload_on_change(self: Arc<Self>) {
        let mut loaded_stamp = self.source.stamp();
        let mut machine_polled = Instant::now();
        loop {
            tokio::time::sleep(FILE_POLL_INTERVAL).await;
            let stamp = self.source.stamp();
            let machine_poll_due = self.ca().is_some() && machine_polled.elapsed() >= MACHINE_POLL_INTERVAL;
            if stamp == loaded_stamp && !machine_poll_due {
                continue;
            }
            if machine_poll_due {
                machine_polled = Instant::now();
            }
            let tls = Arc::clone(&self);
            // Reading files and signing would block a thread that serves requests.
            match tokio::task::spawn_blocking(move || tls.source.load()).await {
                Ok(Ok(key)) => {
                    if stamp != loaded_stamp {
                        tracing::info!("reloaded the certificate");
                    }
                    self.current.set(key);
                }
                Ok(Err(error)) => tracing::error!(%error, "the new certificate is unusable; the previous one stays"),
                Err(error) => tracing::error!(%error, "reloading the certificate failed"),
            }
            // The stamp is older than the load. If a file changed in between, the next poll loads it again.
            loaded_stamp = stamp;
        }
    }
}

impl Source {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Files { certificate, key } => certified_key(certificate, &read(certificate)?, key, &read(key)?),
            Self::Ca(ca) => {
                let (path, pem) = ca.server_certificate()?;
                certified_key(&path, pem.as_bytes(), &path, pem.as_bytes())
            }
        }
    }

    fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        let paths = match self {
            Self::Files { certificate, key } => vec![certificate, key],
            Self::Ca(_) => vec![],
        };
        let stamp = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        paths.into_iter().map(stamp).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::file(path, error))
}

/// A certificate chain and its key, both PEM. The key must be that of the first certificate.
fn certified_key(path: &Path, chain: &[u8], key_path: &Path, key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::no_certificate(path, error))?;
    let Some(first) = chain.first() else {
        return Err(TlsError::no_certificate(path, PemError::NoItemsFound));
    };
    // rustls itself parses the certificate at the first handshake, which is too late to refuse it.
    ParsedCertificate::try_from(first).map_err(|error| TlsError::unusable(path, error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::no_key(key_path, error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::WrongKey(key_path.to_owned(), path.to_owned()),
        error => TlsError::unusable(path, error),
    })
}
