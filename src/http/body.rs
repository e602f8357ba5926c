//! Bodies of requests: bounded in size and in time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use warp::http::StatusCode;

use super::Error;

/// The most that a JSON body of an ordinary route needs.
pub(super) const JSON_MAX_BYTES: usize = 16 * 1024;

/// The most that the body with a signal needs: the largest payload that `signal_max_bytes` can be set to, and what is around
/// it. The rule about the payload is the database's.
pub(super) const SIGNAL_BODY_MAX_BYTES: usize = 1024 * 1024 + 16 * 1024;

/// A body takes no longer than this, and a second more for each [`SLOWEST_BYTES_PER_SECOND`].
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: usize = 64 * 1024;

/// Collects a body of at most `limit` bytes, of which `announced` is the `Content-Length`.
///
/// # Errors
/// 413 with `code` if it is larger, 408 if it is too slow, 400 if it breaks off.
pub(super) async fn collect(
    stream: &mut (impl Stream<Item = Result<Bytes, warp::Error>> + Unpin),
    announced: Option<usize>,
    limit: usize,
    code: &'static str,
) -> Result<Vec<u8>, Error> {
    let too_large =
        || Error::new(StatusCode::PAYLOAD_TOO_LARGE, code, format!("The body is larger than {limit} bytes."));
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let collecting = async {
        let mut body = Vec::with_capacity(announced.unwrap_or(0));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Error::bad_request("bad_body", "The body broke off."))?;
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    let seconds_for_size = announced.unwrap_or(0) / SLOWEST_BYTES_PER_SECOND;
    let timeout = BODY_TIMEOUT + Duration::from_secs(seconds_for_size as u64);
    tokio::time::timeout(timeout, collecting).await.unwrap_or_else(|_| {
        Err(Error::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body did not arrive in time."))
    })
}

/// Parses a JSON object (RFC 8259) into a `T`.
///
/// # Errors
/// 400: `bad_json` if it is no JSON, `bad_body` if it is no object or lacks something.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::bad_request("bad_json", "The body is not UTF-8."))?;
    if text.trim_ascii_start().starts_with('[') {
        // serde would take an array for a struct.
        return Err(Error::bad_request("bad_body", "The body is not a JSON object."));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Error::bad_request("bad_body", format!("The body is not what this takes: {error}.")),
        Category::Syntax | Category::Eof | Category::Io => {
            Error::bad_request("bad_json", format!("The body is not JSON: {error}."))
        }
    })
}
