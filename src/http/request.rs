//! A request as handlers see it: the headers, the query and the body.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::{IntErrorKind, ParseIntError};
use std::sync::{Arc, OnceLock};

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tracing::Level;
use warp::Filter;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;

use super::Error;
use super::body::{Body, parse_json};
use super::held_bytes::{HeldBytes, Share};
use super::idempotency::fingerprint;
use super::metrics::RequestTimes;
use crate::database::{Database, Write, WriteResult};
use crate::deliveries::Attempts;
use crate::passwords::Hashers;
use crate::push::Hub;

/// The state that all handlers share.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub database: Database,
    /// The subscribers to the event log.
    pub hub: Hub,
    /// What was delivered to webhooks, for monitors.
    pub webhook_attempts: Arc<Attempts>,
    /// What was delivered to browsers, for monitors.
    pub push_attempts: Arc<Attempts>,
    /// The threads that verify passwords.
    pub hashers: Hashers,
    /// The times of requests, for monitors.
    pub requests: RequestTimes,
    /// Responses that are not read yet.
    pub unread: HeldBytes,
    /// Request bodies that are not handled yet.
    pub uploads: HeldBytes,
    /// A reverse proxy terminates TLS and adds `X-Forwarded-For`, which is then trusted.
    pub behind_proxy: bool,
    /// This server terminates TLS itself.
    pub tls: bool,
    /// The certificate of our own CA, in PEM. `None` if the server does not serve with a certificate of that CA.
    pub ca: Option<Arc<str>>,
}

impl App {
    /// Writes to the database.
    ///
    /// # Errors
    /// The refusal of a rule, as its status and code, or 503 or 507 if the database cannot write.
    pub(super) async fn write(&self, write: Write) -> Result<WriteResult, Error> {
        self.database.write(write).await.map_err(|error| Error::from_write(self, error))
    }
}

/// The caller, in the extensions of a response. The log names them.
#[derive(Clone, Debug)]
pub(super) struct CallerName(pub(super) String);

/// The client's end of a connection. The listener adds it to the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// One request.
pub struct Request {
    pub(super) app: Arc<App>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    query: HashMap<String, String>,
    /// What is wrong with the query string.
    query_error: Option<Error>,
    peer: Option<PeerAddress>,
    body: Body,
    /// What tells this request from others with the same `Idempotency-Key`, the body once it is read. `None` without one.
    pub(super) fingerprint: Option<Sha256>,
    /// The caller, once they are known.
    pub(super) person: OnceLock<String>,
    /// Why a host application's token, or the name from a trusted proxy, is not accepted.
    pub(super) not_admitted: Option<Error>,
    /// Holds the body until the request is handled.
    pub(super) upload: Option<Share>,
}

/// Extracts the request once its path and method have matched.
pub(super) fn request(
    app: &App,
) -> impl Filter<Extract = (Request,), Error = warp::Rejection> + Clone + Send + Sync + use<> {
    let app = Arc::new(app.clone());
    warp::any()
        .map(move || Arc::clone(&app))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::optional::<PeerAddress>())
        .and(warp::body::stream())
        .map(|app, method, headers, path: FullPath, query: String, peer, chunks| {
            let body = Body::new(&headers, chunks);
            let fingerprint = fingerprint(&headers, path.as_str(), &query);
            let (query, query_error) = match parse_query(&query) {
                Ok(query) => (query, None),
                Err(error) => (HashMap::new(), Some(error)),
            };
            Request {
                app,
                method,
                headers,
                query,
                query_error,
                peer,
                body,
                fingerprint,
                person: OnceLock::new(),
                not_admitted: None,
                upload: None,
            }
        })
}

/// Parses a query string (URL standard, section 5.1).
///
/// # Errors
/// 400 if it is not UTF-8, or has a parameter twice.
fn parse_query(query: &str) -> Result<HashMap<String, String>, Error> {
    let bad_query = |sentence| Error::bad_request("bad_query", sentence);
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().map(Cow::into_owned);
        decoded.map_err(|_| bad_query("Invalid query string: not UTF-8."))
    };
    let mut parameters = HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if parameters.insert(decode(name)?, decode(value)?).is_some() {
            return Err(bad_query("Invalid query string: a parameter is there twice."));
        }
    }
    Ok(parameters)
}

/// A cursor. `None` if it is no whole number. One that is out of range is before or after every id.
pub(super) fn parse_cursor(text: &str) -> Option<i64> {
    text.parse().map_or_else(
        |error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => Some(i64::MAX),
            IntErrorKind::NegOverflow => Some(i64::MIN),
            _ => None,
        },
        Some,
    )
}

/// The address in an element of `X-Forwarded-For`: an IP address, perhaps with a port or in brackets. `None` for
/// `unknown` and other names.
fn forwarded_address(element: &str) -> Option<IpAddr> {
    let is_bracket = |character| matches!(character, '[' | ']');
    let address = element.parse().or_else(|_| element.parse().map(|socket: SocketAddr| socket.ip()));
    address.or_else(|_| element.trim_matches(is_bracket).parse()).ok()
}

impl Request {
    /// The value of a header. `None` if it is missing or not visible ASCII.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The IP address of the client. Behind a proxy, this is the last address in `X-Forwarded-For`, which the proxy
    /// itself added. `Forwarded` (RFC 7239) is ignored: a client could send it past a proxy that only knows the other.
    pub(super) fn client_address(&self) -> String {
        let headers = self.headers.get_all("x-forwarded-for").iter().filter(|_| self.app.behind_proxy);
        let elements: Vec<String> =
            headers.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned()).collect();
        let mut elements = elements.iter().flat_map(|header| header.split(',')).map(str::trim);
        let forwarded = elements.rfind(|element| !element.is_empty()).and_then(forwarded_address);
        let address = forwarded.or(self.peer.map(|peer| peer.0.ip()));
        address.map_or_else(|| "unknown".to_owned(), |address| address.to_canonical().to_string())
    }

    /// Whether a program on this machine sends the request, and no proxy.
    pub(super) fn is_from_this_machine(&self) -> bool {
        let is_forwarded = self.app.behind_proxy
            || ["forwarded", "x-forwarded-for"].iter().any(|header| self.headers.contains_key(*header));
        !is_forwarded && self.peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
    }

    /// Names the caller to the log, if it lists requests.
    pub(super) fn name_caller(&self, mut response: Response) -> Response {
        if let Some(name) = self.person.get().filter(|_| tracing::enabled!(Level::DEBUG)) {
            response.extensions_mut().insert(CallerName(name.clone()));
        }
        response
    }

    /// Checks the query string before a handler runs.
    ///
    /// # Errors
    /// 400 if it is malformed.
    pub(super) fn check_query(&mut self) -> Result<(), Error> {
        self.query_error.take().map_or(Ok(()), Err)
    }

    /// A parameter of the query string, as it was sent.
    pub(super) fn raw_query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A parameter of the query string, without white space around it.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.raw_query(name).map(str::trim)
    }

    /// A required parameter of the query string.
    ///
    /// # Errors
    /// 400 if it is missing or empty.
    pub(super) fn required_query(&self, name: &'static str) -> Result<&str, Error> {
        self.query(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Error::bad_request("query_missing", format!("Missing query parameter: {name}.")))
    }

    /// The cursor `?after=`, an id. `default` if it is missing or no whole number.
    pub(super) fn after(&self, default: i64) -> i64 {
        self.query("after").and_then(parse_cursor).unwrap_or(default)
    }

    /// The body, parsed as a JSON object.
    ///
    /// # Errors
    /// 400 if it is not a JSON object or does not match `T`, 413 if it is larger than `limit` bytes, 408 if it is too
    /// slow.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(&mut self, limit: usize) -> Result<T, Error> {
        parse_json(&self.bytes(limit, "body_too_large").await?)
    }

    /// The raw body.
    ///
    /// # Errors
    /// 413 with `code` if it is larger than `limit` bytes, 408 if it is too slow, 429 if the caller uploads too much at a
    /// time.
    pub(super) async fn bytes(&mut self, limit: usize, code: &'static str) -> Result<Vec<u8>, Error> {
        let size = self.body.size_within(limit, code)?;
        self.hold_upload(size)?;
        let body = self.body.collect(limit, code).await?;
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.update(&body);
        }
        Ok(body)
    }

    /// Reads and discards the rest of the body; see [`Body::drain`].
    pub(super) async fn drain(&mut self) {
        self.body.drain().await;
    }
}
