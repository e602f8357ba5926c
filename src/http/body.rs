//! Request bodies: bounded in size and in time, and drained once the handler is done.

use std::borrow::Cow;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use tokio::time::timeout;
use warp::http::header::{CONTENT_LENGTH, EXPECT};
use warp::http::{HeaderMap, StatusCode};

use super::Error;

/// The size limit of the JSON bodies of most routes, in bytes.
pub(super) const JSON_MAX_BYTES: usize = 16 * 1024;

/// The size limit of the body of a signal, in bytes: the largest value of the setting `signal_max_bytes`, and room for
/// the other members. The database checks the payload itself.
pub(super) const SIGNAL_BODY_MAX_BYTES: usize = 1024 * 1024 + 16 * 1024;

/// A body has this long to arrive, and one second more for each [`MIN_BYTES_PER_SECOND`].
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_BYTES_PER_SECOND: usize = 64 * 1024;

/// A drain stops after this many bytes: four times the largest media chunk that the settings allow.
const DRAIN_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A drain stops when the client sends nothing for this long: it waits for the response.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// A drain takes no longer than this.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

fn too_large(limit: usize, code: &'static str) -> Error {
    Error::new(StatusCode::PAYLOAD_TOO_LARGE, code, format!("The request body is larger than {limit} bytes."))
}

/// The body of one request.
pub(super) struct Body {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>,
    /// The `Content-Length`, if there is one.
    announced: Option<usize>,
    /// The client sends the body only when it is asked to (RFC 9110, section 10.1.1). Reading the body asks.
    awaits_continue: bool,
}

impl Body {
    /// The body `chunks` of a request with these headers.
    pub(super) fn new(
        headers: &HeaderMap,
        chunks: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + Sync + 'static,
    ) -> Self {
        // hyper's buffers are `Bytes` already, so this copies nothing.
        let chunks = chunks.map(|chunk| chunk.map(|mut buffer| buffer.copy_to_bytes(buffer.remaining())));
        Self {
            chunks: Box::pin(chunks.fuse()),
            announced: headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
            awaits_continue: headers.contains_key(EXPECT),
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, warp::Error>> {
        self.awaits_continue = false;
        self.chunks.next().await
    }

    /// The bytes that the body may have: those that are announced, or else `limit`.
    ///
    /// # Errors
    /// 413 with `code` if more than `limit` are announced.
    pub(super) fn size_within(&self, limit: usize, code: &'static str) -> Result<usize, Error> {
        match self.announced {
            Some(announced) if announced > limit => Err(too_large(limit, code)),
            announced => Ok(announced.unwrap_or(limit)),
        }
    }

    /// Reads the whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 with `code` if the body is larger, 408 if it arrives too slowly, 400 if it breaks off.
    pub(super) async fn collect(&mut self, limit: usize, code: &'static str) -> Result<Vec<u8>, Error> {
        self.size_within(limit, code)?;
        let announced = self.announced.unwrap_or(0);
        let collect = async {
            let mut body = Vec::with_capacity(announced);
            while let Some(chunk) = self.next().await {
                let chunk = chunk.map_err(|_| Error::bad_request("bad_body", "The request body is incomplete."))?;
                if body.len() + chunk.len() > limit {
                    return Err(too_large(limit, code));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        let seconds_for_size = announced / MIN_BYTES_PER_SECOND;
        timeout(BODY_TIMEOUT + Duration::from_secs(seconds_for_size as u64), collect).await.unwrap_or_else(|_| {
            Err(Error::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The request body did not arrive in time."))
        })
    }

    /// Reads and discards the rest of the body, within bounds.
    ///
    /// Many refusals precede the body, such as 401 and 413. Closing the connection while the client still sends resets
    /// it, and the client gets a broken pipe instead of the response (RFC 9112, section 9.6).
    pub(super) async fn drain(&mut self) {
        if self.awaits_continue || self.announced.is_some_and(|length| length > DRAIN_MAX_BYTES) {
            return;
        }
        let drain = async {
            let mut drained = 0;
            while drained <= DRAIN_MAX_BYTES {
                let Ok(Some(Ok(chunk))) = timeout(DRAIN_PAUSE, self.next()).await else {
                    return;
                };
                drained += chunk.len();
            }
        };
        // The response goes out whether the drain finished or not.
        let _ = timeout(DRAIN_TIMEOUT, drain).await;
    }
}

/// Parses a JSON object (RFC 8259) into a `T`.
///
/// # Errors
/// 400: `bad_json` if it is not JSON, `bad_body` if it is not an object or lacks a member.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::bad_request("bad_json", "Invalid JSON: not UTF-8."))?;
    if text.trim_ascii_start().starts_with('[') {
        // serde would take an array for a struct.
        return Err(Error::bad_request("bad_body", "Invalid request body: not a JSON object."));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Error::bad_request("bad_body", format!("Invalid request body: {error}.")),
        Category::Syntax | Category::Eof | Category::Io => {
            Error::bad_request("bad_json", format!("Invalid JSON: {error}."))
        }
    })
}

/// The value of `member`, a name or a channel.
///
/// # Errors
/// 400 if it is empty.
pub(super) fn refuse_empty(member: &str, value: String) -> Result<String, Error> {
    if value.is_empty() {
        return Err(Error::bad_request("bad_body", format!("Invalid request body: {member} is empty.")));
    }
    Ok(value)
}

/// Deserializes a name, a channel or an id, without the white space around it.
pub(super) fn trimmed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Ok(text.trim().to_owned())
}
