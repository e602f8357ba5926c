//! Webhooks: events of calls for other programs, as Standard Webhooks describes them (<https://www.standardwebhooks.com>).
//!
//! The rules in `sql/rules/webhooks.sql` decide which delivery is due when, and `deliveries` makes the attempts.

mod signature;

use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use rusqlite::ToSql;

pub use self::signature::new_secret;
use self::signature::sign;
use crate::database::{ReadError, Snapshot, Value, Write, text};
use crate::deliveries::{Delivery, HttpClients, Outcome};
use crate::statements;

/// An event on its way to a webhook.
pub(crate) struct WebhookDelivery {
    id: i64,
    message_id: String,
    body: String,
    url: String,
    secret: String,
    allow_private: bool,
    /// The present, in seconds since the epoch.
    timestamp: i64,
}

impl Delivery for WebhookDelivery {
    const KIND: &str = "webhooks";

    fn receivers(snapshot: &Snapshot) -> Result<Vec<String>, ReadError> {
        snapshot.rows(&statements::ACTIVE_WEBHOOKS, [], |row| row.get(0))
    }

    fn due(snapshot: &Snapshot, webhook: &str, limit: i64) -> Result<Vec<Self>, ReadError> {
        snapshot.rows(&statements::DUE_DELIVERIES, [&webhook as &dyn ToSql, &limit], |row| {
            Ok(Self {
                id: row.get(0)?,
                message_id: row.get(1)?,
                body: row.get(2)?,
                url: row.get(3)?,
                secret: row.get(4)?,
                allow_private: row.get(5)?,
                timestamp: row.get(6)?,
            })
        })
    }

    fn next_due(snapshot: &Snapshot) -> Result<Option<f64>, ReadError> {
        let seconds: Option<Option<f64>> = snapshot.row(&statements::NEXT_DELIVERY, [], |row| row.get(0))?;
        Ok(seconds.flatten())
    }

    fn name(&self) -> String {
        self.message_id.clone()
    }

    fn request(&self, clients: &HttpClients) -> Result<RequestBuilder, String> {
        let Self { message_id, body, timestamp, .. } = self;
        let request = clients.post(&self.url, self.allow_private)?;
        let signature = sign(&self.secret, message_id, *timestamp, body).ok_or("the secret is malformed")?;
        let request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", message_id)
            .header("webhook-timestamp", *timestamp)
            .header("webhook-signature", signature);
        Ok(request.body(body.clone()))
    }

    /// An admin may mend what is wrong with a webhook, so that what is impossible is retried, too.
    fn note(&self, Outcome { status, error, .. }: Outcome) -> Write {
        let status = status.map_or(Value::Null, |status| Value::Integer(status.into()));
        Write::new(&statements::NOTE_DELIVERY, [Value::Integer(self.id), status, error.map_or(Value::Null, text)])
    }
}
