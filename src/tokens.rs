//! Bearer tokens: clients hold the token, the file holds its hash.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// How the tokens of pages begin. No other token has a colon.
const PAGE_TOKEN_START: &str = "page:";

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

/// The token for the page of the session with the cookie `token`. Neither follows from the other without knowing `token`,
/// so the page learns nothing about its cookie, and all pages of a session have the same one.
#[must_use]
pub fn page_token(token: &str) -> String {
    let code = Hmac::<Sha256>::new_from_slice(token.as_bytes()).map(|hmac| hmac.chain_update(b"page").finalize());
    // A key of an HMAC has any length.
    let code = code.map(|code| URL_SAFE_NO_PAD.encode_to_string(code.into_bytes())).unwrap_or_default();
    format!("{PAGE_TOKEN_START}{code}")
}

/// Whether `token` may be one of [`page_token`].
#[must_use]
pub fn is_page_token(token: &str) -> bool {
    token.starts_with(PAGE_TOKEN_START)
}

#[cfg(test)]
mod tests {
    use super::{is_page_token, new_token, page_token, token_hash};

    #[test]
    fn the_token_of_a_page_belongs_to_one_session() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(page_token(&one), page_token(&one));
        assert_ne!(page_token(&one), page_token(&other));
        assert!(is_page_token(&page_token(&one)) && !is_page_token(&one));
        // By another implementation: printf page | openssl dgst -sha256 -hmac abc -binary | basenc --base64url
        assert_eq!(page_token("abc"), "page:oX7OoB9B1P-3YnXbJeW0ocsfPzcMh6iHpXpVCkpuvI0");
    }

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
