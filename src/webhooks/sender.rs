//! One attempt to deliver an event.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::Url;

use super::addresses::{PublicOnly, is_public_host};
use super::signature::sign;

/// A receiver has this long for an answer, its head and what is read of its body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of an answer's body, so that a connection can be used again. The content means nothing.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// A longer reason of a failure is cut.
const ERROR_MAX_CHARACTERS: usize = 200;

/// Why there can be no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("there can be no HTTP client: {0}")]
pub struct SenderError(#[from] reqwest::Error);

/// A delivery that is due.
pub(super) struct Delivery {
    pub(super) id: i64,
    pub(super) message_id: String,
    pub(super) body: String,
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) allow_private: bool,
    /// The present, in seconds since the epoch.
    pub(super) timestamp: i64,
}

/// What became of an attempt.
pub(super) struct Outcome {
    /// Of the answer, if there was one.
    pub(super) status: Option<u16>,
    /// Why the attempt failed. `None`: it did not.
    pub(super) error: Option<String>,
}

/// Sends deliveries as Standard Webhooks describes them (<https://www.standardwebhooks.com>).
pub(super) struct Sender {
    /// Connects to public addresses alone.
    public: Client,
    any: Client,
}

impl Sender {
    /// A sender that trusts the certificate authorities of the machine.
    ///
    /// # Errors
    /// When the machine's certificate authorities cannot be read.
    pub(super) fn new() -> Result<Self, SenderError> {
        let public = client().dns_resolver(Arc::new(PublicOnly)).build()?;
        Ok(Self { public, any: client().build()? })
    }

    /// Makes one attempt. A redirect is a failure: it could lead to an address that is refused.
    pub(super) async fn send(&self, delivery: &Delivery) -> Outcome {
        match tokio::time::timeout(TIMEOUT, self.try_send(delivery)).await {
            Ok(Ok(status)) if status.is_success() => Outcome { status: Some(status.as_u16()), error: None },
            Ok(Ok(status)) => {
                let error = format!("the receiver answered {status}");
                Outcome { status: Some(status.as_u16()), error: Some(error) }
            }
            Ok(Err(error)) => Outcome { status: None, error: Some(error) },
            Err(_) => Outcome { status: None, error: Some(format!("no answer within {} seconds", TIMEOUT.as_secs())) },
        }
    }

    async fn try_send(&self, delivery: &Delivery) -> Result<StatusCode, String> {
        let Delivery { message_id, body, timestamp, .. } = delivery;
        let url = Url::parse(&delivery.url).map_err(|error| format!("the URL is malformed: {error}"))?;
        let client = if delivery.allow_private { &self.any } else { &self.public };
        // A resolver sees names alone.
        if !delivery.allow_private && !is_public_host(&url) {
            return Err("the address is of this machine or of a private network".to_owned());
        }
        let signature = sign(&delivery.secret, message_id, *timestamp, body).ok_or("the secret is malformed")?;
        let request = client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", message_id)
            .header("webhook-timestamp", *timestamp)
            .header("webhook-signature", signature)
            .body(body.clone());
        let response = request.send().await.map_err(|error| reason(&error))?;
        let status = response.status();
        read_some(response).await;
        Ok(status)
    }
}

/// Without the proxies of the environment: they would decide which addresses are private.
fn client() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("minimost-calls/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(2)
}

/// Reads the beginning of an answer. An answer that breaks off has come all the same.
async fn read_some(mut response: Response) {
    let mut read = 0;
    while read < ANSWER_MAX_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The innermost reason of a failure: the outer ones say that a request has failed.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().take(ERROR_MAX_CHARACTERS).collect()
}
