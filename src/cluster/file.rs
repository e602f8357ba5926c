//! The file of a cluster: where its members are, and the certificate authority that they trust. Each machine has a copy. Who
//! has it can be a member, so only its owner may read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use thiserror::Error;

use crate::database::create_new;

/// The line above the members.
const HEAD: &str =
    "# A cluster of minimost-calls: its members, and the key by which they know each other. Keep it secret.";

/// Why a file of a cluster cannot be used: one line that names it.
#[derive(Debug, Error)]
pub enum ClusterFileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is not such a file.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is a file of that name.
    #[error("{}: there is a file of that name already; left unchanged", .0.display())]
    Exists(PathBuf),
    /// No certificate authority could be made.
    #[error("no certificate authority: {0}")]
    Authority(String),
}

/// The members, and their certificate authority.
#[derive(Debug)]
pub struct ClusterFile {
    path: PathBuf,
    /// The address of each by its number.
    pub(super) members: BTreeMap<u64, String>,
    /// Certificate and key of the authority, in PEM.
    pub(super) authority: String,
}

impl ClusterFile {
    /// Writes the file of a new cluster to `path`, which only its owner can read.
    ///
    /// # Errors
    /// There is a file, or it cannot be written.
    pub fn create(path: &Path, members: &BTreeMap<u64, String>) -> Result<(), ClusterFileError> {
        let authority = new_authority().map_err(|error| ClusterFileError::Authority(error.to_string()))?;
        let mut text = format!("{HEAD}\n");
        for (node, address) in members {
            // Writing to a string does not fail.
            let _ = writeln!(text, "node {node} {address}");
        }
        text.push_str(&authority);
        let io = |source: io::Error| ClusterFileError::Io { path: path.to_owned(), source };
        create_new(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ClusterFileError::Exists(path.to_owned()),
            _ => io(source),
        })?;
        fs::write(path, text).map_err(io)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or lists no members, or has no certificate and key.
    pub fn read(path: &Path) -> Result<Self, ClusterFileError> {
        let text = fs::read_to_string(path).map_err(|source| ClusterFileError::Io { path: path.to_owned(), source })?;
        let malformed = |problem: String| ClusterFileError::Malformed { path: path.to_owned(), problem };
        let mut members = BTreeMap::new();
        for line in text.lines().take_while(|line| !line.starts_with("-----BEGIN")) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (node, address) = parse_member(line.strip_prefix("node ").unwrap_or(line), ' ')
                .map_err(|problem| malformed(format!("the line `{line}`: {problem}")))?;
            if members.insert(node, address).is_some() {
                return Err(malformed(format!("node {node} is listed twice")));
            }
        }
        if members.is_empty() {
            return Err(malformed("it lists no members, as lines `node 1 HOST:PORT`".to_owned()));
        }
        let authority = text.find("-----BEGIN").map(|start| text[start..].to_owned());
        let authority = authority.ok_or_else(|| malformed("it has no certificate authority".to_owned()))?;
        Ok(Self { path: path.to_owned(), members, authority })
    }

    /// Whether `node` founds the cluster: it has the lowest number.
    pub(crate) fn is_first(&self, node: u64) -> bool {
        self.members.keys().next() == Some(&node)
    }

    /// The error that the authority cannot be used.
    pub(super) fn malformed(&self, problem: impl std::fmt::Display) -> ClusterFileError {
        ClusterFileError::Malformed { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// A number and an address, with `separator` between them.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse_member(text: &str, separator: char) -> Result<(u64, String), String> {
    let (node, address) = text.split_once(separator).ok_or("a member is a number and HOST:PORT")?;
    let node = node.trim().parse().ok().filter(|node| (1..=99).contains(node)).ok_or("the number is 1 to 99")?;
    let address = address.trim();
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
    if port.is_none_or(|port: u16| port == 0) || address.len() > 255 {
        return Err("the address is HOST:PORT".to_owned());
    }
    Ok((node, address.to_owned()))
}

fn new_authority() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, "minimost-calls cluster");
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

#[cfg(test)]
mod tests {
    use super::parse_member;

    #[test]
    fn members_are_numbers_and_addresses() {
        assert_eq!(parse_member("1=127.0.0.1:7101", '='), Ok((1, "127.0.0.1:7101".to_owned())));
        assert_eq!(parse_member("99=[::1]:1", '='), Ok((99, "[::1]:1".to_owned())));
        for wrong in ["", "1", "0=a:1", "100=a:1", "x=a:1", "1=", "1=a", "1=a:", "1=:1", "1=a:0", "1=a:70000", "-1=a:1"]
        {
            assert!(parse_member(wrong, '=').is_err(), "{wrong}");
        }
    }
}
