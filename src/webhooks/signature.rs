//! The signature of a delivery, by which its receiver knows that it is this server's.

use base64_simd::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// A new secret: 32 bytes from the operating system's generator, as Standard Webhooks writes them.
///
/// # Errors
/// When the operating system has no randomness.
pub fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode_to_string(bytes)))
}

/// The header `webhook-signature` (Standard Webhooks, "Signature scheme"): HMAC-SHA256 of the id, the time of the attempt
/// and the body. `None` if the secret is malformed.
pub(super) fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode_to_vec(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode_to_string(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::{new_secret, sign};

    #[test]
    fn signature_is_that_of_the_specification() {
        // The example of the reference implementations.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a", 1, "b"), None);
        assert_eq!(sign("whsec_?", "a", 1, "b"), None);
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_eq!(one.len(), 50);
        assert_ne!(one, other);
    }
}
