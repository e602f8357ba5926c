//! Voluntary Application Server Identification (RFC 8292): push services know this server by its key.

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

/// A token is for one attempt. Push services take at most a day, and some have a clock that is wrong.
const TOKEN_SECONDS: i64 = 12 * 3600;

/// A new private key, in PKCS #8 and base64.
///
/// # Errors
/// If the system has no randomness.
pub fn new_key() -> Result<String, Unspecified> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    Ok(STANDARD.encode_to_string(key))
}

/// The key pair in the setting `web_push_key`.
pub(super) struct ServerKey(EcdsaKeyPair);

impl ServerKey {
    /// `None` if the setting is no key.
    pub(super) fn parse(setting: &str) -> Option<Self> {
        let bytes = STANDARD.decode_to_vec(setting).ok()?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &SystemRandom::new()).ok().map(Self)
    }

    /// The public key, as `PushManager.subscribe` takes it, in base64url.
    pub(super) fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode_to_string(self.0.public_key())
    }

    /// The header `Authorization` for the push service with an origin. `contact` is for its operators, if there is one.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(super) fn authorization(&self, origin: &str, contact: &str, now: i64) -> Result<String, Unspecified> {
        let mut claims = json!({ "aud": origin, "exp": now + TOKEN_SECONDS });
        if !contact.is_empty() {
            claims["sub"] = contact.into();
        }
        let part = |json: String| URL_SAFE_NO_PAD.encode_to_string(json);
        let signed =
            format!("{}.{}", part(json!({ "typ": "JWT", "alg": "ES256" }).to_string()), part(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes())?;
        let signature = URL_SAFE_NO_PAD.encode_to_string(signature);
        Ok(format!("vapid t={signed}.{signature}, k={}", self.public_key()))
    }
}
