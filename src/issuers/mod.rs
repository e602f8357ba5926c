//! Tokens of host applications: JSON Web Tokens (RFC 7519), whose signatures are verified with the key of their issuer.
//!
//! The algorithm is that of the issuer. A token cannot choose one: not `none`, and not HS256 with a public key as secret
//! (RFC 8725, section 2.1). What the claims may say is decided in `sql/rules/issuers.sql`.

mod keys;
mod ring_provider;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, dangerous, decode, decode_header};
use serde::Deserialize;
use thiserror::Error;

pub use self::keys::{KeyError, check_key};

use self::keys::{decoding_key, parse_algorithm};

/// The longest token.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// Display names have at most this many characters, and titles of channels [`TITLE_MAX`].
const NAME_MAX: usize = 100;
const TITLE_MAX: usize = 200;

/// Why a token is not accepted.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It is too long.
    #[error("it has more than {TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// Its parts are no base64url, its header is no JSON, or its algorithm is unknown, such as `none`.
    #[error("its header is malformed, or names no algorithm for signatures")]
    Header,
    /// Its claims are no JSON object, or lack `iss`.
    #[error("it has no claim iss, which names the issuer")]
    NoIssuer,
    /// No issuer has the name in `iss`.
    #[error("its issuer, the claim iss, is unknown here")]
    UnknownIssuer,
    /// It has header parameters that every recipient must understand (RFC 7515, section 4.1.11).
    #[error("its header has crit, of which this server understands nothing")]
    Critical,
    /// It is signed with another algorithm.
    #[error("its issuer signs with {0}, the token says otherwise")]
    Algorithm(String),
    /// The set of keys has none for it.
    #[error("the issuer's set of keys has none with its kid")]
    UnknownKey,
    /// The key of the issuer cannot be used.
    #[error("the key of its issuer cannot be used")]
    Key(#[from] KeyError),
    /// The signature is not of the issuer's key.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing, or has a wrong type.
    #[error("its claims are malformed: {0}")]
    Claims(String),
}

/// What a token says, once its signature is verified.
#[derive(Debug)]
pub struct Claims {
    /// `sub`: whom it is for.
    pub subject: String,
    /// `aud`: for which services it is.
    pub audience: Vec<String>,
    /// `name`: what people see, without characters that a display name may not have.
    pub name: Option<String>,
    /// `channels`: ids and titles.
    pub channels: Option<Vec<(String, Option<String>)>>,
    /// `iat`, in seconds since the epoch.
    pub issued_ts: Option<f64>,
    /// `nbf`, in seconds since the epoch.
    pub not_before_ts: Option<f64>,
    /// `exp`, in seconds since the epoch.
    pub expires_ts: f64,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

#[derive(Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    aud: Option<Audience>,
    name: Option<String>,
    channels: Option<Vec<Channel>>,
}

/// RFC 7519, section 4.1.3.
#[derive(Deserialize)]
#[serde(untagged, expecting = "aud is a text or a list of texts")]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a channel is an id, a text, or an object with id and perhaps title")]
enum Channel {
    Id(String),
    Titled { id: String, title: Option<String> },
}

impl From<RawClaims> for Claims {
    fn from(raw: RawClaims) -> Self {
        let channel = |channel| match channel {
            Channel::Id(id) => (id, None),
            Channel::Titled { id, title } => (id, title.and_then(|title| printable(&title, TITLE_MAX))),
        };
        Self {
            subject: raw.sub,
            audience: match raw.aud {
                None => Vec::new(),
                Some(Audience::One(audience)) => vec![audience],
                Some(Audience::Several(audiences)) => audiences,
            },
            name: raw.name.and_then(|name| printable(&name, NAME_MAX)),
            channels: raw.channels.map(|channels| channels.into_iter().map(channel).collect()),
            issued_ts: raw.iat,
            not_before_ts: raw.nbf,
            expires_ts: raw.exp,
        }
    }
}

/// A name or title without the characters that neither may have, cut to `max` characters. `None` if nothing is left to see.
fn printable(text: &str, max: usize) -> Option<String> {
    let is_plain = |character: char| {
        let is_format =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !character.is_control() && !is_format
    };
    // What the rules for titles count as white space.
    let is_blank = |character: char| {
        character.is_whitespace() || matches!(character, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let plain: String = text.chars().map(|character| if is_plain(character) { character } else { ' ' }).collect();
    let cut: String = plain.trim().chars().take(max).collect();
    let cut = cut.trim_end();
    (!cut.chars().all(is_blank)).then(|| cut.to_owned())
}

/// Whether a bearer token may be of a host application: it has three parts. Our own have no dots.
#[must_use]
pub fn is_token(token: &str) -> bool {
    token.matches('.').count() == 2
}

/// The issuer that a token names, which is not verified yet.
///
/// # Errors
/// The token is too long, malformed, or names none.
pub fn claimed_issuer(token: &str) -> Result<String, TokenError> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(TokenError::TooLong);
    }
    decode_header(token).map_err(|_| TokenError::Header)?;
    let claims: IssuerClaim = dangerous::insecure_decode_claims(token).map_err(|_| TokenError::NoIssuer)?;
    Ok(claims.iss)
}

/// Verifies the signature of a token of `issuer`, which signs with `algorithm` and `key`, and returns its claims. Times and
/// audience are not verified: the database compares them.
///
/// # Errors
/// The algorithm or the signature is wrong, or a claim is malformed.
pub fn verify(token: &str, issuer: &str, algorithm: &str, key: &str) -> Result<Claims, TokenError> {
    ring_provider::install();
    let header = decode_header(token).map_err(|_| TokenError::Header)?;
    let pinned = parse_algorithm(algorithm)?;
    if header.alg != pinned {
        return Err(TokenError::Algorithm(algorithm.to_owned()));
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let key = decoding_key(pinned, key, header.kid.as_deref())?.ok_or(TokenError::UnknownKey)?;
    let mut validation = Validation::new(pinned);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let token = decode::<RawClaims>(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::Json(error) => TokenError::Claims(error.to_string()),
        _ => TokenError::Signature,
    })?;
    // A claim that is there twice could be read as two values.
    if token.claims.iss != issuer {
        return Err(TokenError::UnknownIssuer);
    }
    Ok(token.claims.into())
}

#[cfg(test)]
mod tests {
    use super::{is_token, printable};

    #[test]
    fn names_and_titles_are_cleaned() {
        assert_eq!(printable("  Ada\u{0}\u{202e}Lovelace\n", 100).as_deref(), Some("Ada  Lovelace"));
        assert_eq!(printable(&"é".repeat(150), 100), Some("é".repeat(100)));
        assert_eq!(printable("abc d", 4).as_deref(), Some("abc"));
        for nothing in ["", " \t", "\u{200b}\u{feff}", "\u{202e}"] {
            assert_eq!(printable(nothing, 100), None, "{nothing:?}");
        }
    }

    #[test]
    fn our_own_tokens_are_none_of_an_issuer() {
        assert!(is_token("a.b.c"));
        assert!(!is_token(&crate::tokens::new_token().unwrap()));
        assert!(!is_token("a.b") && !is_token("a.b.c.d.e"));
    }
}
