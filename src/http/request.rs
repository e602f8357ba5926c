//! A request as handlers see it: the headers, the query and the body.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use warp::Filter;
use warp::http::{HeaderMap, Method};

use super::Error;
use super::body::{Body, parse_json};
use crate::database::{Database, Write, WriteResult};
use crate::push::Hub;

/// The state that all handlers share.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub database: Database,
    /// The subscribers to the event log.
    pub hub: Hub,
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

/// The client's end of a connection. The listener adds it to the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// One request.
pub struct Request {
    pub(super) app: Arc<App>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    query: HashMap<String, String>,
    peer: Option<PeerAddress>,
    body: Body,
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
        .and(warp::query::<HashMap<String, String>>())
        .and(warp::ext::optional::<PeerAddress>())
        .and(warp::body::stream())
        .map(|app, method, headers, query, peer, chunks| {
            let body = Body::new(&headers, chunks);
            Request { app, method, headers, query, peer, body }
        })
}

impl Request {
    /// The value of a header. `None` if it is missing or not visible ASCII.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The IP address of the client. Behind a proxy, this is the last address in `X-Forwarded-For`, which the proxy
    /// itself added.
    pub(super) fn client_address(&self) -> String {
        let forwarded = self
            .app
            .behind_proxy
            .then(|| self.headers.get_all("x-forwarded-for").iter().next_back())
            .flatten()
            .and_then(|header| header.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
        let address = forwarded.or(self.peer.map(|peer| peer.0.ip()));
        address.map_or_else(|| "unknown".to_owned(), |address| address.to_canonical().to_string())
    }

    /// A parameter of the query string.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
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

    /// The cursor `?after=`, an id. `default` without it.
    ///
    /// # Errors
    /// 400 if it is not a whole number.
    pub(super) fn after(&self, default: i64) -> Result<i64, Error> {
        self.query("after").map_or(Ok(default), |after| {
            after.parse().map_err(|_| Error::bad_request("bad_cursor", "Invalid ?after=: an id, a whole number."))
        })
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
    /// 413 with `code` if it is larger than `limit` bytes, 408 if it is too slow.
    pub(super) async fn bytes(&mut self, limit: usize, code: &'static str) -> Result<Vec<u8>, Error> {
        self.body.collect(limit, code).await
    }

    /// Reads and discards the rest of the body; see [`Body::drain`].
    pub(super) async fn drain(&mut self) {
        self.body.drain().await;
    }
}
