//! Keys of issuers: a secret, a public key in PEM, or a set of public keys in JSON (RFC 7517).

use base64_simd::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value as Json;
use thiserror::Error;
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The shortest secret of HS256 (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// The lengths of the modulus that ring takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a key cannot be an issuer's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// There is no such algorithm.
    #[error("the algorithm is HS256, RS256, ES256 or EdDSA")]
    UnknownAlgorithm,
    /// A secret of HS256 that can be guessed.
    #[error("a secret of HS256 has at least {SECRET_MIN_BYTES} bytes")]
    ShortSecret,
    /// HS256 with a key that everybody may know.
    #[error("a key in PEM is no secret: HS256 needs a random one that only the two applications know")]
    PublicSecret,
    /// The key that signs.
    #[error("this is a private key; the server needs the public one only")]
    Private,
    /// No PEM and no JWKS.
    #[error("the key is no public key in PEM (BEGIN PUBLIC KEY), and no set of keys in JSON (JWKS)")]
    Malformed,
    /// A key of another algorithm, curve or length.
    #[error("no key is one of {0}")]
    OtherAlgorithm(&'static str),
}

/// The algorithm with this name in `issuers.algorithm`.
pub(super) fn parse_algorithm(name: &str) -> Result<Algorithm, KeyError> {
    match name {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        _ => Err(KeyError::UnknownAlgorithm),
    }
}

/// What a key of the algorithm is.
fn description(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256: an RSA key of 2048 to 8192 bits",
        Algorithm::ES256 => "ES256: a key on the curve P-256",
        _ => "EdDSA: a key on the curve Ed25519",
    }
}

/// Whether `key` can verify signatures of `algorithm`.
///
/// # Errors
/// Why not.
pub fn check_key(algorithm: &str, key: &str) -> Result<(), KeyError> {
    let algorithm = parse_algorithm(algorithm)?;
    if algorithm == Algorithm::HS256 {
        if key.contains("-----BEGIN") {
            return Err(KeyError::PublicSecret);
        }
        return if key.len() < SECRET_MIN_BYTES { Err(KeyError::ShortSecret) } else { Ok(()) };
    }
    if is_jwks(key) {
        let keys = keys_of_set(algorithm, key)?;
        return if keys.is_empty() { Err(KeyError::OtherAlgorithm(description(algorithm))) } else { Ok(()) };
    }
    key_in_pem(algorithm, key).map(drop)
}

/// The key with which to verify a token that names `kid`. `None` if a set of keys has none for it.
///
/// # Errors
/// The key cannot be used: it was stored past [`check_key`].
pub(super) fn decoding_key(
    algorithm: Algorithm,
    key: &str,
    kid: Option<&str>,
) -> Result<Option<DecodingKey>, KeyError> {
    if algorithm == Algorithm::HS256 {
        return Ok(Some(DecodingKey::from_secret(key.as_bytes())));
    }
    if !is_jwks(key) {
        return key_in_pem(algorithm, key).map(Some);
    }
    let mut keys = keys_of_set(algorithm, key)?;
    let position = match kid {
        Some(kid) => keys.iter().position(|(id, _)| id.as_deref() == Some(kid)),
        None => (keys.len() == 1).then_some(0),
    };
    Ok(position.map(|position| keys.swap_remove(position).1))
}

fn is_jwks(key: &str) -> bool {
    key.trim_start().starts_with('{')
}

fn key_in_pem(algorithm: Algorithm, key: &str) -> Result<DecodingKey, KeyError> {
    let key = pem::parse(key).map_err(|_| KeyError::Malformed)?;
    if key.tag().contains("PRIVATE") {
        return Err(KeyError::Private);
    }
    if key.tag() != "PUBLIC KEY" {
        return Err(KeyError::Malformed);
    }
    let (rest, info) = SubjectPublicKeyInfo::from_der(key.contents()).map_err(|_| KeyError::Malformed)?;
    if !rest.is_empty() {
        return Err(KeyError::Malformed);
    }
    let curve: Option<Oid> = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let bytes = &info.subject_public_key.data;
    let kind = &info.algorithm.algorithm;
    let key = match algorithm {
        Algorithm::RS256 if *kind == OID_PKCS1_RSAENCRYPTION => match info.parsed() {
            Ok(PublicKey::RSA(rsa)) if RSA_BITS.contains(&rsa.key_size()) => Some(DecodingKey::from_rsa_der(bytes)),
            _ => None,
        },
        Algorithm::ES256 if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) => {
            // An uncompressed point (SEC 1, section 2.3.3).
            (bytes.len() == 65 && bytes[0] == 4).then(|| DecodingKey::from_ec_der(bytes))
        }
        Algorithm::EdDSA if *kind == OID_SIG_ED25519 && bytes.len() == 32 => Some(DecodingKey::from_ed_der(bytes)),
        _ => None,
    };
    key.ok_or(KeyError::OtherAlgorithm(description(algorithm)))
}

/// The keys of a set that are for signatures of `algorithm`, with their ids. A set may have others.
fn keys_of_set(algorithm: Algorithm, text: &str) -> Result<Vec<(Option<String>, DecodingKey)>, KeyError> {
    let set: Json = serde_json::from_str(text).map_err(|_| KeyError::Malformed)?;
    let keys = set["keys"].as_array().ok_or(KeyError::Malformed)?;
    if keys.iter().any(|key| key.get("d").is_some()) {
        return Err(KeyError::Private);
    }
    let JwkSet { keys } = serde_json::from_value(set).map_err(|_| KeyError::Malformed)?;
    let keys = keys.into_iter().filter(|key| is_for(algorithm, key)).filter_map(|key| {
        let decoding_key = DecodingKey::from_jwk(&key).ok()?;
        Some((key.common.key_id, decoding_key))
    });
    Ok(keys.collect())
}

/// Whether a key of a set is for signatures of `algorithm`, and well-formed.
fn is_for(algorithm: Algorithm, key: &Jwk) -> bool {
    let length = |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text).map_or(0, |bytes| bytes.len());
    let (is_of_its_kind, name) = match (algorithm, &key.algorithm) {
        (Algorithm::RS256, AlgorithmParameters::RSA(rsa)) => {
            (RSA_BITS.contains(&(length(&rsa.n) * 8)), KeyAlgorithm::RS256)
        }
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(point)) => {
            let is_point = length(&point.x) == 32 && length(&point.y) == 32;
            (point.curve == EllipticCurve::P256 && is_point, KeyAlgorithm::ES256)
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(point)) => {
            (point.curve == EllipticCurve::Ed25519 && length(&point.x) == 32, KeyAlgorithm::EdDSA)
        }
        _ => return false,
    };
    let is_for_signatures = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    is_of_its_kind && is_for_signatures && key.common.key_algorithm.is_none_or(|named| named == name)
}
