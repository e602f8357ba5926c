//! Bearer tokens: clients hold the token, the file holds its hash.

use base64_simd::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A new token: 32 bytes from the operating system's generator, as 43 characters of base64url (RFC 4648, section 5).
///
/// # Errors
/// When the operating system has no randomness.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode_to_string(bytes))
}

/// The value of `sessions.token_hash` for `token`: its SHA-256 as 64 lower-case hex digits. A token cannot be guessed,
/// so it needs no salt and no slow hash.
#[must_use]
pub fn token_hash(token: &str) -> String {
    format!("{:x}", Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{new_token, token_hash};

    #[test]
    fn tokens_are_long_and_differ() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
    }

    #[test]
    fn hash_is_sha256_in_hex() {
        // The test vector of FIPS 180-2 for "abc".
        assert_eq!(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
