//! Cross-origin resource sharing (Fetch standard, section 3.2): pages of the settings `allowed_origins`
//! and `client_addresses` may use the API.
//!
//! They authenticate with a bearer token. `Access-Control-Allow-Credentials` is never sent, so a browser gives them no
//! response to a request with the user's cookie.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderValue, ORIGIN, VARY,
};
use warp::http::{HeaderMap, Method};
use warp::reply::Response;

use super::App;
use crate::database::{Database, Snapshot};
use crate::statements;

/// The headers of requests that a page may set.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, last-event-id, x-init, x-mime");

/// The headers of responses that a page may read, besides those that every page may.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static("allow, api-version, date, etag, retry-after");

/// How long a browser may remember the answer to a preflight, in seconds. Chromium shortens it to two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// A request that names the page that sends it.
pub(super) struct PageRequest {
    origin: HeaderValue,
    is_preflight: bool,
    database: Database,
}

impl PageRequest {
    /// `None` if the request has no `Origin`.
    pub(super) fn new(app: &App, method: &Method, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(ORIGIN)?.clone();
        Some(Self { origin, is_preflight: method == Method::OPTIONS, database: app.database.clone() })
    }

    /// Lets the page read `response` if its origin is allowed. The response to a preflight also gets what a page may
    /// send to this path.
    pub(super) fn share(self, response: &mut Response) {
        let is_allowed = self.origin.to_str().is_ok_and(|origin| {
            let find = |snapshot: &Snapshot| snapshot.row(&statements::ORIGIN_IS_ALLOWED, [&origin], |_| Ok(()));
            matches!(self.database.read(find), Ok(Some(())))
        });
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if !is_allowed {
            return;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        if let Some(methods) = headers.get(ALLOW).filter(|_| self.is_preflight).cloned() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}
