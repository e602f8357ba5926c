//! Web Push (RFC 8030): wakes browsers in which the page is closed when a call rings.
//!
//! The rules in `sql/rules/web_push.sql` decide which message is due when, and `deliveries` makes the attempts. A message goes
//! through the push service of the browser's vendor, which learns when it comes and for how long it is of use.

mod encryption;
mod vapid;

use base64_simd::URL_SAFE_NO_PAD;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use rusqlite::ToSql;
use sha2::{Digest, Sha256};
use url::Url;

use self::encryption::encrypt;
use self::vapid::ServerKey;
pub use self::vapid::new_key;
use crate::database::{ReadError, Snapshot, Value, Write, text};
use crate::deliveries::{Delivery, HttpClients, Outcome};
use crate::statements;

/// The characters of a `Topic` (RFC 8030, section 5.4).
const TOPIC_LENGTH: usize = 32;

/// The public key of the private one in the setting `web_push_key`, in base64url. `None` if that is no key.
pub(crate) fn public_key(setting: &str) -> Option<String> {
    ServerKey::parse(setting).map(|key| key.public_key())
}

/// A message on its way to a browser.
pub(crate) struct PushDelivery {
    subscription: String,
    call_id: String,
    /// `ring`, or how the ring ended.
    kind: String,
    /// What the service worker reads.
    json: String,
    /// How long it is of use.
    seconds_left: f64,
    endpoint: String,
    p256dh: String,
    auth: String,
    server_key: String,
    contact: String,
    allow_private: bool,
    /// The present, in seconds since the epoch.
    timestamp: i64,
}

impl Delivery for PushDelivery {
    const KIND: &str = "browsers";

    fn receivers(snapshot: &Snapshot) -> Result<Vec<String>, ReadError> {
        snapshot.rows(&statements::DUE_PUSH_SERVICES, [], |row| row.get(0))
    }

    fn due(snapshot: &Snapshot, service: &str, limit: i64) -> Result<Vec<Self>, ReadError> {
        snapshot.rows(&statements::DUE_PUSHES, [&service as &dyn ToSql, &limit], |row| {
            Ok(Self {
                subscription: row.get(0)?,
                call_id: row.get(1)?,
                kind: row.get(2)?,
                json: row.get(3)?,
                seconds_left: row.get(4)?,
                endpoint: row.get(5)?,
                p256dh: row.get(6)?,
                auth: row.get(7)?,
                server_key: row.get(8)?,
                contact: row.get(9)?,
                allow_private: row.get(10)?,
                timestamp: row.get(11)?,
            })
        })
    }

    fn next_due(snapshot: &Snapshot) -> Result<Option<f64>, ReadError> {
        let seconds: Option<Option<f64>> = snapshot.row(&statements::NEXT_PUSH, [], |row| row.get(0))?;
        Ok(seconds.flatten())
    }

    fn name(&self) -> String {
        format!("{} {}", self.subscription, self.call_id)
    }

    fn request(&self, clients: &HttpClients) -> Result<RequestBuilder, String> {
        let request = clients.post(&self.endpoint, self.allow_private)?;
        let origin = Url::parse(&self.endpoint).map_err(|error| error.to_string())?.origin().ascii_serialization();
        let key = ServerKey::parse(&self.server_key).ok_or("the setting web_push_key is no key")?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| "the keys are malformed");
        let body = encrypt(self.json.as_bytes(), &bytes(&self.p256dh)?, &bytes(&self.auth)?)
            .map_err(|_| "the message cannot be encrypted with the keys")?;
        let authorization =
            key.authorization(&origin, &self.contact, self.timestamp).map_err(|_| "the token cannot be signed")?;
        // A newer message about the call replaces one that the service has not delivered.
        let topic = URL_SAFE_NO_PAD.encode_to_string(Sha256::digest(&self.call_id));
        let request = request
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"))
            .header("ttl", format!("{:.0}", self.seconds_left.ceil()))
            .header("urgency", HeaderValue::from_static("high"))
            .header("topic", &topic[..TOPIC_LENGTH]);
        Ok(request.body(body))
    }

    fn note(&self, Outcome { status, is_impossible, .. }: Outcome) -> Write {
        let status = if is_impossible { Some(0) } else { status };
        let status = status.map_or(Value::Null, |status| Value::Integer(status.into()));
        let note = [text(&self.subscription), text(&self.call_id), text(&self.kind), status];
        Write::new(&statements::NOTE_PUSH, note)
    }
}
