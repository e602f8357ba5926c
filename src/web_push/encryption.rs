//! Encryption of a message for one browser (RFC 8291, RFC 8188). The push service sees neither its content nor its length.
//!
//! The crates that do this bring a second implementation of elliptic curves along. ring, which does TLS, has all of it.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Messages are padded to a multiple of this, so that the lengths of names do not show.
const PADDED: usize = 1024;

/// The size of a record in the header. Push services take no more (RFC 8030, section 7.2), so that one record is enough.
const RECORD_BYTES: u32 = 4096;

/// The length of a public key of P-256, and of a tag of AES-GCM.
const PUBLIC_KEY_BYTES: u8 = 65;
const TAG_BYTES: usize = 16;

/// The body of a request with `message` for the browser with these keys.
///
/// # Errors
/// If the public key is no point of the curve, the message is too long, or the system has no randomness.
pub(super) fn encrypt(message: &[u8], browser_key: &[u8], auth: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let random = SystemRandom::new();
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    let private_key = EphemeralPrivateKey::generate(&ECDH_P256, &random)?;
    let public_key = private_key.compute_public_key()?;
    let padded = (message.len() + 1).next_multiple_of(PADDED);
    let seal = |secret: &[u8]| {
        let keys = Keys { secret, browser_key, auth, public_key: public_key.as_ref(), salt };
        keys.seal(message, padded)
    };
    agree_ephemeral(private_key, &UnparsedPublicKey::new(&ECDH_P256, browser_key), seal)?
}

/// What the keys of a message are derived from.
struct Keys<'a> {
    /// What both sides compute from their private key and the public key of the other (ECDH).
    secret: &'a [u8],
    browser_key: &'a [u8],
    auth: &'a [u8],
    /// Ours, for this message alone.
    public_key: &'a [u8],
    salt: [u8; 16],
}

impl Keys<'_> {
    /// The header and the only record (RFC 8188, section 2), whose plaintext has `padded` bytes.
    fn seal(&self, message: &[u8], padded: usize) -> Result<Vec<u8>, Unspecified> {
        let mut body = self.salt.to_vec();
        body.extend(RECORD_BYTES.to_be_bytes());
        body.push(PUBLIC_KEY_BYTES);
        body.extend(self.public_key);
        let mut record = message.to_vec();
        record.push(2); // the end of the last record, before the padding
        record.resize(padded, 0);
        if padded + TAG_BYTES + body.len() > RECORD_BYTES as usize {
            return Err(Unspecified);
        }
        let from_secret = Salt::new(HKDF_SHA256, self.auth).extract(self.secret);
        let mut input = [0; 32];
        derive(&from_secret, &[b"WebPush: info\0", self.browser_key, self.public_key], &mut input)?;
        let from_input = Salt::new(HKDF_SHA256, &self.salt).extract(&input);
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        derive(&from_input, &[b"Content-Encoding: aes128gcm\0"], &mut key)?;
        derive(&from_input, &[b"Content-Encoding: nonce\0"], &mut nonce)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)?;
        body.extend(record);
        Ok(body)
    }
}

/// The length of a derived key.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(from: &Prk, info: &[&[u8]], key: &mut [u8]) -> Result<(), Unspecified> {
    from.expand(info, Length(key.len()))?.fill(key)
}

#[cfg(test)]
mod tests {
    use base64_simd::URL_SAFE_NO_PAD;

    use super::{Keys, encrypt};

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
    }

    const BROWSER_KEY: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// Appendix A of RFC 8291.
    #[test]
    fn a_message_is_that_of_the_specification() {
        let (secret, browser_key, auth) =
            (bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs"), bytes(BROWSER_KEY), bytes(AUTH));
        let public_key =
            bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let keys = Keys {
            secret: &secret,
            browser_key: &browser_key,
            auth: &auth,
            public_key: &public_key,
            salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
        };
        let message = b"When I grow up, I want to be a watermelon";
        let sealed = keys.seal(message, message.len() + 1).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode_to_string(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl\
             7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn lengths_do_not_show_and_are_bounded() {
        let (browser_key, auth) = (bytes(BROWSER_KEY), bytes(AUTH));
        let length = |message: &[u8]| encrypt(message, &browser_key, &auth).map(|body| body.len()).ok();
        assert_eq!(length(b"short"), Some(1024 + 102));
        assert_eq!(length(&[b'x'; 1023]), Some(1024 + 102));
        assert_eq!(length(&[b'x'; 3071]), Some(3072 + 102));
        assert_eq!(length(&[b'x'; 3072]), None);
        assert!(encrypt(b"short", &[4; 65], &auth).is_err(), "no point of the curve");
    }
}
