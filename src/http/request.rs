//! A request as handlers see it: the caller, the query and the body.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cookie::Cookie;
use headers::authorization::Bearer;
use headers::{Authorization, ContentType, HeaderMapExt};
use mime::Mime;
use warp::Filter;
use warp::http::HeaderMap;
use warp::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use warp::http::{Method, StatusCode, Uri};

use super::Error;
use super::body::{Body, parse_json};
use crate::database::{Database, Snapshot, Value, Write, WriteResult};
use crate::push::Hub;
use crate::statements;
use crate::tokens::token_hash;

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

/// The user who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The hash of the session's token.
    pub(super) token_hash: String,
}

/// One request.
pub struct Request {
    pub(super) app: Arc<App>,
    method: Method,
    headers: HeaderMap,
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
    /// The name of the caller.
    ///
    /// # Errors
    /// 401 without a valid token; 403 if a page of another site may have sent the request with the user's cookie.
    pub(super) fn caller(&self) -> Result<String, Error> {
        self.read(|_, caller| Ok(caller.name.clone()))
    }

    /// Runs `questions` for the caller, on the snapshot that authenticated the caller.
    ///
    /// # Errors
    /// As [`Request::caller`], and what `questions` returned.
    pub(super) fn read<T>(&self, questions: impl FnOnce(&Snapshot, &Caller) -> Result<T, Error>) -> Result<T, Error> {
        let token_hash = self.token_hash()?;
        self.app.database.read(|snapshot| as_caller(snapshot, token_hash, questions))
    }

    /// The same for questions whose answer is large.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub(super) fn read_on_pool<T, Q>(&self, questions: Q) -> impl Future<Output = Result<T, Error>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&Snapshot, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let token_hash = self.token_hash();
        let database = self.app.database.clone();
        async move {
            let token_hash = token_hash?;
            database.read_on_pool(|snapshot| as_caller(snapshot, token_hash, questions)).await
        }
    }

    /// The hash of the session's token.
    ///
    /// # Errors
    /// 401 without a token; 403 if a page of another site may have sent the request with the user's cookie.
    fn token_hash(&self) -> Result<String, Error> {
        let (token, by_cookie) = self.token().ok_or_else(Error::unauthorized)?;
        if by_cookie && self.method != Method::GET {
            self.refuse_forgery()?;
        }
        Ok(token_hash(&token))
    }

    /// The token of the request, and whether it comes from a cookie, which browsers add to requests of other sites,
    /// too.
    pub(super) fn token(&self) -> Option<(String, bool)> {
        if self.headers.contains_key(AUTHORIZATION) {
            let Authorization(bearer) = self.headers.typed_get::<Authorization<Bearer>>()?;
            return Some((bearer.token().to_owned(), false));
        }
        self.headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(|header| Cookie::split_parse(header.to_owned()))
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == "session")
            .map(|cookie| (cookie.value().to_owned(), true))
    }

    /// Refuses a cross-site request forgery. A form of another site cannot send these content types without a CORS
    /// preflight, and browsers name the origin of a request.
    fn refuse_forgery(&self) -> Result<(), Error> {
        let content_type = self.headers.typed_get().map(|content_type: ContentType| Mime::from(content_type));
        let media_type = content_type.as_ref().map(Mime::essence_str);
        if !matches!(media_type, Some("application/json" | "application/octet-stream")) {
            return Err(Error::new(
                StatusCode::FORBIDDEN,
                "content_type_needed",
                "A request with a cookie needs Content-Type: application/json or application/octet-stream.",
            ));
        }
        self.refuse_other_sites()
    }

    /// Refuses a request of another site's page, by `Sec-Fetch-Site` (Fetch Metadata) and `Origin` (Fetch standard).
    ///
    /// # Errors
    /// 403.
    pub(super) fn refuse_other_sites(&self) -> Result<(), Error> {
        let fetched_here =
            self.headers.get("sec-fetch-site").is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
        let origin_is_here = self.header(&ORIGIN).is_none_or(|origin| {
            let host = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
            host.is_some_and(|host| self.header(&HOST).is_some_and(|here| here.eq_ignore_ascii_case(&host)))
        });
        if fetched_here && origin_is_here {
            Ok(())
        } else {
            Err(Error::new(StatusCode::FORBIDDEN, "cross_site", "Cross-site request refused."))
        }
    }

    /// The value of a header. `None` if it is missing; empty if it is not visible ASCII.
    pub(super) fn header(&self, name: &warp::http::HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default())
    }

    /// The value of a header. `None` if it is missing or not visible ASCII.
    pub(super) fn header_named(&self, name: &str) -> Option<&str> {
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

/// Runs `questions` for the user whose session has `token_hash`.
///
/// # Errors
/// 401 without such a session, and what `questions` returned.
fn as_caller<T>(
    snapshot: &Snapshot,
    token_hash: String,
    questions: impl FnOnce(&Snapshot, &Caller) -> Result<T, Error>,
) -> Result<T, Error> {
    let name =
        snapshot.row(&statements::FIND_SESSION, [&token_hash], |row| row.get(0))?.ok_or_else(Error::unauthorized)?;
    questions(snapshot, &Caller { name, token_hash })
}

/// A text parameter.
pub(super) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}
