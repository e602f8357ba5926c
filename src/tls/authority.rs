//! A small authority of our own, for networks whose machines have no public names: people trust it once, and then every
//! certificate that it signs for this machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use hex_simd::AsciiCase;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use super::TlsError;

/// Browsers of Apple refuse certificates of a server that are valid for more than 825 days, and public ones live 398.
const CERTIFICATE_DAYS: i64 = 397;

/// A certificate that ends sooner than this is made anew.
const RENEW_DAYS: i64 = 30;

/// The authority is trusted by hand on every device, so it lasts.
const AUTHORITY_DAYS: i64 = 3650;

/// Clocks on a network differ.
const CLOCK_SKEW: Duration = Duration::days(1);

/// An authority, and the certificate that it has signed for this machine. Each is one file beside the database, certificate and
/// key together, so that there is never one without the other: `presence.db-authority.pem` and `presence.db-tls.pem`. Only the
/// owner can read them.
pub struct Authority {
    path: PathBuf,
    certificate_path: PathBuf,
    certificate: String,
    der: Vec<u8>,
}

impl Authority {
    /// The authority beside this database, made now if there is none or it ends within [`RENEW_DAYS`].
    ///
    /// # Errors
    /// When its file can be neither read nor written, or is no authority.
    pub fn open(database: &Path) -> Result<Self, TlsError> {
        let path = beside(database, "-authority.pem");
        let pem = match read(&path)? {
            Some(pem) if !ends_soon(&path, &pem)? => pem,
            _ => {
                let pem = new_authority().map_err(|error| TlsError::of_file(&path, error))?;
                write(&path, &pem)?;
                pem
            }
        };
        let der = first_certificate(&path, &pem)?;
        issuer(&path, &pem)?;
        let certificate = pem::certificate(&pem).ok_or_else(|| TlsError::of_file(&path, "no certificate in it"))?;
        Ok(Self { path, certificate_path: beside(database, "-tls.pem"), certificate, der: der.to_vec() })
    }

    /// Its certificate in PEM, for people to trust.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// SHA-256 of its certificate in DER, in the form in which browsers show it: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// The path and the text of a file with the certificate for this machine and its key. It is made anew if it ends soon, was
    /// signed by another authority, or lacks a name or an address that the machine has now.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub(super) fn certificate(&self) -> Result<(PathBuf, String), TlsError> {
        let path = self.certificate_path.clone();
        let names = names_of_machine();
        // A file that is no certificate is ours to replace, like one that has ended.
        if let Some(pem) = read(&path)?
            && self.will_do(&path, &pem, &names).unwrap_or(false)
        {
            return Ok((path, pem));
        }
        let authority = read(&self.path)?.ok_or_else(|| TlsError::of_file(&self.path, "the authority is gone"))?;
        let issuer = issuer(&self.path, &authority)?;
        let pem = new_certificate(&names, &issuer).map_err(|error| TlsError::of_file(&path, error))?;
        write(&path, &pem)?;
        tracing::info!(names = %names.iter().cloned().collect::<Vec<_>>().join(" "), "made a certificate for this machine");
        Ok((path, pem))
    }

    fn will_do(&self, path: &Path, pem: &str, names: &BTreeSet<String>) -> Result<bool, TlsError> {
        if ends_soon(path, pem)? {
            return Ok(false);
        }
        let der = first_certificate(path, pem)?;
        let (_, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|error| TlsError::of_file(path, error))?;
        let (_, authority) =
            x509_parser::parse_x509_certificate(&self.der).map_err(|error| TlsError::of_file(&self.path, error))?;
        Ok(certificate.issuer() == authority.subject() && names.is_subset(&names_in(&certificate)))
    }
}

/// A file whose name begins like the database's.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TlsError::of_file(path, error)),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Files of this crate are born with 0600.
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    });
    written.map_err(|error| TlsError::of_file(path, error))
}

fn first_certificate(path: &Path, pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| TlsError::of_file(path, format!("no certificate in PEM: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "browsers compare a certificate with their own clocks")]
fn ends_soon(path: &Path, pem: &str) -> Result<bool, TlsError> {
    let der = first_certificate(path, pem)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| TlsError::of_file(path, error))?;
    let soon = OffsetDateTime::now_utc() + Duration::days(RENEW_DAYS);
    Ok(certificate.validity().not_after.timestamp() < soon.unix_timestamp())
}

fn issuer(path: &Path, pem: &str) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| TlsError::of_file(path, format!("no private key in PEM: {error}")))?;
    let certificate = first_certificate(path, pem)?;
    KeyPair::try_from(&key)
        .and_then(|key| Issuer::from_ca_cert_der(&certificate, key))
        .map_err(|error| TlsError::of_file(path, error))
}

fn new_authority() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    // Two authorities of one machine, an old one and its successor, are told apart by their key's name.
    let mark = hex_simd::encode_to_string(&Sha256::digest(key.public_key_raw())[..4], AsciiCase::Lower);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("minimost-calls on {} {mark}", host_name()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, AUTHORITY_DAYS);
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

fn new_certificate(names: &BTreeSet<String>, issuer: &Issuer<'_, KeyPair>) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host_name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    lasting(&mut params, CERTIFICATE_DAYS);
    Ok(params.signed_by(&key, issuer)?.pem() + &key.serialize_pem())
}

#[expect(clippy::disallowed_methods, reason = "browsers compare a certificate with their own clocks")]
fn lasting(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now - CLOCK_SKEW + Duration::days(days);
}

/// The machine's name, as far as a certificate can have it.
fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().to_lowercase();
    let fits = |name: &str| {
        !name.is_empty()
            && name.len() < 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    if fits(&name) { name } else { "localhost".to_owned() }
}

/// What the machine can be reached by: its name, the same in multicast DNS (RFC 6762), and every address that is not the link's.
fn names_of_machine() -> BTreeSet<String> {
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
        let is_of_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        if !is_of_link {
            names.insert(address.to_string());
        }
    }
    names
}

fn names_in(certificate: &x509_parser::certificate::X509Certificate<'_>) -> BTreeSet<String> {
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

mod pem {
    const END: &str = "-----END CERTIFICATE-----";

    /// The first certificate of a PEM text, as text: what stands behind it, such as a key, is not part of it.
    pub(super) fn certificate(pem: &str) -> Option<String> {
        let begin = pem.find("-----BEGIN CERTIFICATE-----")?;
        let end = begin + pem[begin..].find(END)? + END.len();
        Some(format!("{}\n", &pem[begin..end]))
    }
}
