//! HTTP requests to receivers, and what became of them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode};
use url::Url;

use super::addresses::{PublicOnly, is_public_host};

/// A receiver has this long for an answer, its head and what is read of its body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of an answer's body, so that a connection can be used again. The content means nothing.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// A longer reason of a failure is cut.
const ERROR_MAX_CHARACTERS: usize = 200;

/// Why there can be no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("there can be no HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// What became of an attempt.
pub(crate) struct Outcome {
    /// Of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// Why the attempt failed. `None`: it did not.
    pub(crate) error: Option<String>,
    /// There was no attempt, and there can be none: the receiver is malformed.
    pub(crate) is_impossible: bool,
}

impl Outcome {
    fn failure(status: Option<u16>, error: String) -> Self {
        Self { status, error: Some(error), is_impossible: false }
    }

    /// The attempt cannot be made, for this reason.
    pub(super) fn impossible(error: String) -> Self {
        Self { status: None, error: Some(error), is_impossible: true }
    }
}

/// The clients of all deliveries.
pub(crate) struct HttpClients {
    /// Connects to public addresses alone.
    public: Client,
    any: Client,
}

impl HttpClients {
    /// Clients that trust the certificate authorities of the machine.
    ///
    /// # Errors
    /// When the machine's certificate authorities cannot be read.
    pub(crate) fn new() -> Result<Self, ClientError> {
        let public = client().dns_resolver(Arc::new(PublicOnly)).build()?;
        Ok(Self { public, any: client().build()? })
    }

    /// A POST to an address.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub(crate) fn post(&self, url: &str, allow_private: bool) -> Result<RequestBuilder, String> {
        let url = Url::parse(url).map_err(|error| format!("the URL is malformed: {error}"))?;
        // A resolver sees names alone.
        if !allow_private && !is_public_host(&url) {
            return Err("the address is of this machine or of a private network".to_owned());
        }
        Ok(if allow_private { &self.any } else { &self.public }.post(url))
    }
}

/// Sends a request. A redirect is a failure: it could lead to an address that is refused.
pub(super) async fn send(request: RequestBuilder) -> Outcome {
    match tokio::time::timeout(TIMEOUT, try_send(request)).await {
        Ok(Ok(status)) if status.is_success() => {
            Outcome { status: Some(status.as_u16()), error: None, is_impossible: false }
        }
        Ok(Ok(status)) => Outcome::failure(Some(status.as_u16()), format!("the receiver answered {status}")),
        Ok(Err(error)) => Outcome::failure(None, error),
        Err(_) => Outcome::failure(None, format!("no answer within {} seconds", TIMEOUT.as_secs())),
    }
}

async fn try_send(request: RequestBuilder) -> Result<StatusCode, String> {
    let response = request.send().await.map_err(|error| reason(&error))?;
    let status = response.status();
    read_some(response).await;
    Ok(status)
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

/// The innermost reason of a failure: the outer ones say that a request has failed, and have the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().take(ERROR_MAX_CHARACTERS).collect()
}
