//! Hashes that Werkzeug made for the original MiniMost (<https://werkzeug.palletsprojects.com/en/stable/utils/>):
//! `METHOD$SALT$HEX`. They are verified, and never made.

use argon2::password_hash::Output;
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;

/// The most iterations of PBKDF2, the default of Werkzeug 3.1. They take less than a second.
const ITERATIONS_MAX: u32 = 1_000_000;

/// The most memory of scrypt in bytes, and the most passes over it. Werkzeug takes 32 MiB and one pass. A row with larger
/// ones, which somebody else wrote, would take the threads or the memory from others.
const SCRYPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
const SCRYPT_PASSES_MAX: u32 = 4;

/// The longest salt in bytes. Werkzeug takes 8 or 16 letters and digits.
const SALT_MAX: usize = 64;

/// How the bytes of a hash are derived from a password.
enum Method {
    Scrypt(scrypt::Params),
    Pbkdf2 { iterations: u32 },
}

/// Whether `hash` is one of Werkzeug, whatever its method and costs.
pub(super) fn is_werkzeug(hash: &str) -> bool {
    hash.starts_with("scrypt:") || hash.starts_with("pbkdf2:")
}

/// Verifies `password` against `hash`. `None` if the hash is malformed, has another method, or asks for too much work.
pub(super) fn verify(password: &str, hash: &str) -> Option<bool> {
    let (method, salt, expected) = parse(hash)?;
    let derived = Output::init_with(expected.len(), |bytes| {
        match method {
            // It fails for a length that is not of scrypt, and parse() wants the right one.
            Method::Scrypt(params) => scrypt::scrypt(password.as_bytes(), salt.as_bytes(), &params, bytes)
                .map_err(|_| argon2::password_hash::Error::Crypto)?,
            Method::Pbkdf2 { iterations } => {
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt.as_bytes(), iterations, bytes);
            }
        }
        Ok(())
    });
    // The comparison takes constant time.
    Some(derived.ok()? == expected)
}

/// Whether [`verify`] takes `hash`.
pub(super) fn is_verifiable(hash: &str) -> bool {
    parse(hash).is_some()
}

/// The parts of `hash`. Werkzeug uses the salt as the text that it is.
fn parse(hash: &str) -> Option<(Method, &str, Output)> {
    let mut parts = hash.split('$');
    let (method, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || salt.is_empty() || salt.len() > SALT_MAX {
        return None;
    }
    let (method, length) = method_of(method)?;
    let digest = from_hex(digest).filter(|digest| digest.len() == length)?;
    Some((method, salt, Output::new(&digest).ok()?))
}

/// The method and the length of its hash in bytes.
fn method_of(text: &str) -> Option<(Method, usize)> {
    let mut words = text.split(':');
    let method = match (words.next()?, words.next()?) {
        ("scrypt", n) => {
            let (n, r, p) = (number(n)?, number(words.next()?)?, number(words.next()?)?);
            let bytes = 128_u64.checked_mul(n.into())?.checked_mul(r.into())?;
            if n < 2 || !n.is_power_of_two() || bytes > SCRYPT_BYTES_MAX || p > SCRYPT_PASSES_MAX {
                return None;
            }
            let log_n = u8::try_from(n.ilog2()).ok()?;
            (Method::Scrypt(scrypt::Params::new(log_n, r, p, 64).ok()?), 64)
        }
        ("pbkdf2", "sha256") => {
            let iterations = number(words.next()?).filter(|iterations| *iterations <= ITERATIONS_MAX)?;
            (Method::Pbkdf2 { iterations }, 32)
        }
        _ => return None,
    };
    words.next().is_none().then_some(method)
}

/// A positive number in decimal digits alone.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number > 0)
}

/// The bytes of lower-case hexadecimal digits.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_verifiable, is_werkzeug, verify};

    fn hash(method: &str, salt: &str, length: usize) -> String {
        format!("{method}${salt}${}", "0".repeat(2 * length))
    }

    #[test]
    fn vectors_of_the_standards_are_verified() {
        // RFC 7914, sections 12 and 11.
        let digest = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887";
        let scrypt = format!("scrypt:16384:8:1$SodiumChloride${digest}");
        assert_eq!((verify("pleaseletmein", &scrypt), verify("x", &scrypt)), (Some(true), Some(false)));
        let pbkdf2 = "pbkdf2:sha256:1$salt$55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc";
        assert_eq!((verify("passwd", pbkdf2), verify("password", pbkdf2)), (Some(true), Some(false)));
    }

    #[test]
    fn costs_are_bounded() {
        for (method, length, is_allowed) in [
            ("scrypt:32768:8:1", 64, true),
            ("scrypt:32768:8:4", 64, true),
            ("scrypt:65536:4:1", 64, true),
            ("scrypt:2:1:1", 64, true),
            ("scrypt:32768:8:5", 64, false),
            ("scrypt:65536:8:1", 64, false),
            ("scrypt:32768:16:1", 64, false),
            ("scrypt:4294967295:4294967295:4294967295", 64, false),
            ("scrypt:32767:8:1", 64, false),
            ("scrypt:1:8:1", 64, false),
            ("scrypt:0:8:1", 64, false),
            ("scrypt:32768:0:1", 64, false),
            ("scrypt:32768:8:0", 64, false),
            ("scrypt:32768:8", 64, false),
            ("scrypt:32768:8:1:1", 64, false),
            ("scrypt:+32768:8:1", 64, false),
            ("scrypt:-1:8:1", 64, false),
            ("scrypt:32768:8:1", 32, false),
            ("scrypt::8:1", 64, false),
            ("scrypt", 64, false),
            ("pbkdf2:sha256:1", 32, true),
            ("pbkdf2:sha256:1000000", 32, true),
            ("pbkdf2:sha256:1000001", 32, false),
            ("pbkdf2:sha256:99999999999999999999", 32, false),
            ("pbkdf2:sha256:0", 32, false),
            ("pbkdf2:sha256:1", 64, false),
            ("pbkdf2:sha256:1:1", 32, false),
            ("pbkdf2:sha256", 32, false),
            ("pbkdf2:sha1:1000", 20, false),
            ("pbkdf2:sha512:1000", 64, false),
            ("plain", 32, false),
        ] {
            let hash = hash(method, "salt", length);
            assert_eq!(is_verifiable(&hash), is_allowed, "{hash}");
        }
    }

    #[test]
    fn malformed_hashes_are_refused() {
        let good = hash("pbkdf2:sha256:1", "salt", 32);
        assert!(is_verifiable(&good) && is_werkzeug(&good));
        for bad in [
            "",
            "pbkdf2:sha256:1",
            "pbkdf2:sha256:1$salt",
            "pbkdf2:sha256:1$salt$",
            "pbkdf2:sha256:1$salt$00",
            &good[..good.len() - 1],
            &format!("{good}$"),
            &format!("{good}0"),
            &good.replace("salt", ""),
            &good.replace("salt", &"s".repeat(65)),
            &good.replacen("00", "0A", 1),
            &good.replacen("00", "ü", 1),
        ] {
            assert_eq!(verify("x", bad), None, "{bad}");
        }
    }
}
