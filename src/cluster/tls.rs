//! TLS between members: each has a certificate of the cluster's authority, and talks only to those that have one, too.

use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::file::{ClusterFile, ClusterFileError};

/// The name in each certificate: the authority signs for members alone, wherever they are.
const MEMBER: &str = "member.minimost-calls.internal";

/// Both ends of the connections between members.
#[derive(Clone)]
pub(super) struct MemberTls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
}

impl MemberTls {
    /// Makes a certificate for this process. It is as long valid as the authority, so no process outlives it.
    ///
    /// # Errors
    /// If the file holds no usable authority.
    pub(super) fn new(file: &ClusterFile) -> Result<Self, ClusterFileError> {
        let pem = file.authority.as_bytes();
        let authority = CertificateDer::from_pem_slice(pem).map_err(|error| file.malformed(error))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| file.malformed(error))?;
        let (certificate, member_key) = KeyPair::try_from(&key)
            .and_then(|key| Issuer::from_ca_cert_der(&authority, key))
            .and_then(|issuer| certificate(&issuer))
            .map_err(|error| file.malformed(error))?;
        let chain = vec![certificate, authority.clone()];
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|error| file.malformed(error))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| file.malformed(error))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|server| {
                server.with_client_cert_verifier(clients).with_single_cert(chain.clone(), member_key.clone_key())
            })
            .map_err(|error| file.malformed(error))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|client| client.with_root_certificates(roots).with_client_auth_cert(chain, member_key))
            .map_err(|error| file.malformed(error))?;
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

/// The name that members connect to.
pub(super) fn member_name() -> ServerName<'static> {
    ServerName::try_from(MEMBER).unwrap_or_else(|_| unreachable!("it is a name of DNS"))
}

fn certificate(
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![MEMBER.to_owned()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok((certificate.der().clone(), key))
}
