//! Certificates of a server's own CA, and of a key that was stolen from it.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, Issuer, KeyPair};

use super::Server;

/// The file of the server's CA: its certificate and its key.
pub fn ca_file(server: &Server) -> String {
    fs::read_to_string(server.folder.path().join("presence.db-authority.pem")).unwrap()
}

/// Signs a certificate for `names` with the key of a CA's file, and writes it and its key into `folder`. Returns the
/// options of `serve` that use them.
pub fn sign(ca_file: &str, names: &[&str], folder: &Path) -> [String; 4] {
    let key = &ca_file[ca_file.find("-----BEGIN PRIVATE KEY").unwrap()..];
    let issuer = Issuer::from_ca_cert_pem(ca_file, KeyPair::from_pem(key).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let (certificate_path, key_path) = (folder.join("signed.crt"), folder.join("signed.key"));
    fs::write(&certificate_path, certificate.pem()).unwrap();
    fs::write(&key_path, key.serialize_pem()).unwrap();
    let [certificate, key] = [certificate_path, key_path].map(|path| path.display().to_string());
    ["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]
}
