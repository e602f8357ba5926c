//! Our own certificate authority (CA), for networks whose machines have no public names. A device trusts it once, and
//! then accepts every certificate that it signs for this machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{TlsError, constraints};
use crate::database::{folder_of, with_suffix};

/// How long a server certificate is valid. Apple's browsers refuse more than 825 days; public CAs issue at most 398.
const CERTIFICATE_DAYS: i64 = 397;

/// A certificate that expires within this time is replaced.
const RENEW_DAYS: i64 = 30;

/// How long the CA is valid. People trust it by hand on every device.
const CA_DAYS: i64 = 3650;

/// How far the clocks of the network may be behind ours.
const CLOCK_SKEW: Duration = Duration::days(1);

/// A CA, and the server certificate that it signed for this machine.
///
/// Each is one file beside the database, `presence.db-authority.pem` and `presence.db-tls.pem`. A file holds the
/// certificate and its key, so that neither exists without the other. Only the owner of the file can read it.
pub struct CertificateAuthority {
    path: PathBuf,
    certificate_path: PathBuf,
    der: CertificateDer<'static>,
    /// The names and addresses of the machine for which the CA may not sign, as last logged.
    left_out: Mutex<BTreeSet<String>>,
}

impl CertificateAuthority {
    /// The CA beside this database. Makes one if it is missing, expires within 30 days, or may not sign for the host
    /// name of this machine.
    ///
    /// # Errors
    /// If its file can be neither read nor written, or holds no CA.
    pub fn open(database: &Path) -> Result<Self, TlsError> {
        let path = with_suffix(database, "-authority.pem");
        let existing = read(&path)?;
        let outdated = existing.as_deref().map(|pem| why_outdated(&path, pem)).transpose()?.flatten();
        let pem = match existing {
            Some(pem) if outdated.is_none() => pem,
            _ => {
                let pem = new_ca().map_err(|error| TlsError::unusable(&path, error))?;
                write(&path, &pem)?;
                pem
            }
        };
        if let Some(reason) = outdated {
            let file = path.display();
            tracing::warn!(
                "made a new CA in {file}: {reason}. Install /ca.crt on each device again, and remove the old one there"
            );
        }
        issuer(&path, &pem)?;
        let der = first_certificate(&path, &pem)?;
        Ok(Self { path, certificate_path: with_suffix(database, "-tls.pem"), der, left_out: Mutex::default() })
    }

    /// The CA's certificate in PEM, without its key, for devices to trust.
    #[must_use]
    pub fn pem(&self) -> String {
        let pem = Pem::new("CERTIFICATE", self.der.to_vec());
        pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF))
    }

    /// The SHA-256 fingerprint of the CA's certificate, as browsers show it: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// The path and the text of the file with this machine's certificate and key. Makes a new one if it expires soon,
    /// is signed by another CA, or lacks a name or an address of the machine for which the CA may sign. One more would
    /// make the whole certificate invalid.
    ///
    /// # Errors
    /// If the file can be neither read nor written.
    pub(super) fn server_certificate(&self) -> Result<(PathBuf, String), TlsError> {
        let path = self.certificate_path.clone();
        let ca_certificate = parse(&self.path, &self.der)?;
        let (names, left_out): (BTreeSet<_>, BTreeSet<_>) =
            machine_names().into_iter().partition(|name| constraints::permit(&ca_certificate, name));
        self.log_left_out(left_out);
        // A file that holds no certificate is replaced like an expired one.
        if let Some(pem) = read(&path)?
            && self.is_current(&path, &pem, &names).unwrap_or(false)
        {
            return Ok((path, pem));
        }
        let ca = fs::read_to_string(&self.path).map_err(|error| TlsError::file(&self.path, error))?;
        let issuer = issuer(&self.path, &ca)?;
        let pem = new_certificate(&names, &issuer).map_err(|error| TlsError::unusable(&path, error))?;
        write(&path, &pem)?;
        tracing::info!(?names, "made a certificate for this machine");
        Ok((path, pem))
    }

    /// Logs the names and addresses that the certificate cannot have, if they have changed.
    fn log_left_out(&self, names: BTreeSet<String>) {
        let mut logged = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged != names && !names.is_empty() {
            let file = self.path.display();
            tracing::warn!(
                ?names,
                "the CA in {file} may not sign for these names and addresses of this machine, so the certificate leaves \
                 them out. To include them, delete the file, start again, and install /ca.crt on each device"
            );
        }
        *logged = names;
    }

    fn is_current(&self, path: &Path, pem: &str, names: &BTreeSet<String>) -> Result<bool, TlsError> {
        if expires_soon(path, pem)? {
            return Ok(false);
        }
        let der = first_certificate(path, pem)?;
        let certificate = parse(path, &der)?;
        let ca = parse(&self.path, &self.der)?;
        Ok(certificate.issuer() == ca.subject() && names.is_subset(&certified_names(&certificate)))
    }
}

/// The text of a file, `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TlsError::file(path, error)),
    }
}

/// Replaces a file atomically. Only its owner can read it.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let written = tempfile::NamedTempFile::new_in(folder_of(path)).and_then(|mut file| {
        // tempfile asks for this mode, too, but the umask can take a part of it.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(|error| TlsError::file(path, error))
}

fn first_certificate(path: &Path, pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| TlsError::no_certificate(path, error))
}

fn parse<'a>(path: &Path, der: &'a [u8]) -> Result<X509Certificate<'a>, TlsError> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| TlsError::unusable(path, error.to_string()))?;
    Ok(certificate)
}

fn expires_soon(path: &Path, pem: &str) -> Result<bool, TlsError> {
    let der = first_certificate(path, pem)?;
    let soon = machine_time() + Duration::days(RENEW_DAYS);
    Ok(parse(path, &der)?.validity().not_after.timestamp() < soon.unix_timestamp())
}

/// Why a CA has to be replaced, if so.
fn why_outdated(path: &Path, pem: &str) -> Result<Option<&'static str>, TlsError> {
    if expires_soon(path, pem)? {
        return Ok(Some("the old one expires"));
    }
    let der = first_certificate(path, pem)?;
    let certificate = parse(path, &der)?;
    if !matches!(certificate.name_constraints(), Ok(Some(_))) {
        return Ok(Some("the old one could sign for any site"));
    }
    Ok((!constraints::permit(&certificate, &host_name())).then_some("the name of this machine has changed"))
}

fn issuer(path: &Path, pem: &str) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| TlsError::no_key(path, error))?;
    let certificate = first_certificate(path, pem)?;
    KeyPair::try_from(&key)
        .and_then(|key| Issuer::from_ca_cert_der(&certificate, key))
        .map_err(|error| TlsError::unusable(path, error))
}

/// A new CA: certificate and key in PEM.
fn new_ca() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    // The hash distinguishes a machine's old CA from its new one.
    let key_hash = format!("{:x}", Sha256::digest(key.public_key_raw()));
    params.distinguished_name = common_name(format!("minimost-calls on {} {}", host_name(), &key_hash[..8]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = Some(constraints::for_machine(&machine_names()));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, CA_DAYS);
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// A new server certificate for `names`: certificate and key in PEM.
fn new_certificate(names: &BTreeSet<String>, issuer: &Issuer<'_, KeyPair>) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = common_name(host_name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, CERTIFICATE_DAYS);
    Ok(params.signed_by(&key, issuer)?.pem() + &key.serialize_pem())
}

fn common_name(name: String) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// The machine's time, by which others check a certificate.
#[expect(clippy::disallowed_methods, reason = "certificates are no rows of the database")]
fn machine_time() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn set_validity(params: &mut CertificateParams, days: i64) {
    let now = machine_time();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now - CLOCK_SKEW + Duration::days(days);
}

/// The machine's host name, or `localhost` if a certificate cannot hold it.
fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().to_lowercase();
    let is_valid = |name: &str| {
        !name.is_empty()
            && name.len() < 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            && name.split('.').all(|label| !label.is_empty())
    };
    if is_valid(&name) { name } else { "localhost".to_owned() }
}

/// The names and addresses of the machine: its host name, the same in multicast DNS (RFC 6762), and every address that
/// is not link-local.
fn machine_names() -> BTreeSet<String> {
    let host = host_name();
    let mut names = BTreeSet::from([
        "localhost".to_owned(),
        IpAddr::V4(Ipv4Addr::LOCALHOST).to_string(),
        IpAddr::V6(Ipv6Addr::LOCALHOST).to_string(),
    ]);
    if !host.contains('.') && host != "localhost" {
        names.insert(format!("{host}.local"));
    }
    names.insert(host);
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let address = interface.ip();
        let is_link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        if !is_link_local {
            names.insert(address.to_string());
        }
    }
    names
}

/// The names and addresses that a certificate is for (RFC 5280, section 4.2.1.6).
fn certified_names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}
