//! What a handler knows of a request: who asks, with what query and body.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use cookie::Cookie;
use futures_util::{Stream, StreamExt};
use warp::Filter;
use warp::http::HeaderMap;
use warp::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use warp::http::{Method, StatusCode, Uri};

use super::{Error, body};
use crate::database::{Database, Snapshot, Value, Write, WriteResult};
use crate::push::Hub;
use crate::statements;
use crate::tokens::token_hash;

/// What all handlers share.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub database: Database,
    /// Who listens to the event log.
    pub hub: Hub,
    /// Whether a reverse proxy in front terminates TLS and adds `X-Forwarded-For`, which is then believed.
    pub behind_proxy: bool,
    /// Whether this server itself speaks TLS.
    pub tls: bool,
    /// The certificate of our own authority in PEM, if its certificate is what this server speaks TLS with.
    pub authority: Option<Arc<str>>,
}

/// A body whose buffers are bytes, which hyper's are already.
fn boxed(body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static) -> BodyStream {
    Box::pin(StreamExt::map(body, |chunk| chunk.map(|mut buffer| buffer.copy_to_bytes(buffer.remaining()))))
}

impl App {
    /// Writes, with a refusal turned into the client's error.
    ///
    /// # Errors
    /// What the database refused, or why it could not write.
    pub(super) async fn write(&self, write: Write) -> Result<WriteResult, Error> {
        self.database.write(write).await.map_err(|error| Error::from_write(self, error))
    }
}

/// The other end of a connection; the listener puts it into each request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

/// Who asks.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    /// Of the session that the request came with.
    pub(super) token_hash: String,
}

/// One request.
pub struct Request {
    pub(super) app: Arc<App>,
    method: Method,
    headers: HeaderMap,
    query: HashMap<String, String>,
    peer: Option<PeerAddress>,
    body: BodyStream,
}

/// A filter that takes what is left of a request when its path has matched.
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
        .and(warp::body::stream().map(boxed))
        .map(|app, method, headers, query, peer, body| Request { app, method, headers, query, peer, body })
}

impl Request {
    /// The name of the caller.
    ///
    /// # Errors
    /// 401 without a valid token; 403 if a page of another site may have sent the request with the user's cookie.
    pub(super) fn caller(&self) -> Result<String, Error> {
        self.read(|_, caller| Ok(caller.name.clone()))
    }

    /// Asks `questions` on behalf of the caller, in the same snapshot that says who that is.
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

    /// The token that came with the request, and whether the browser added it by itself.
    pub(super) fn token(&self) -> Option<(String, bool)> {
        if let Some(header) = self.headers.get(AUTHORIZATION) {
            let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
            return scheme.eq_ignore_ascii_case("bearer").then(|| (token.trim().to_owned(), false));
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

    /// A request with a cookie that changes something: forms of other sites cannot send these content types without asking
    /// first, and browsers say where a request comes from.
    fn refuse_forgery(&self) -> Result<(), Error> {
        let content_type = self.header(&CONTENT_TYPE).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !["application/json", "application/octet-stream"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
        {
            return Err(Error::new(
                StatusCode::FORBIDDEN,
                "content_type_needed",
                "With a cookie, this wants Content-Type: application/json or application/octet-stream.",
            ));
        }
        self.refuse_other_sites()
    }

    /// Refuses what a browser says was sent by a page of another site (`Sec-Fetch-Site` and `Origin` of the Fetch standard).
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
            Err(Error::new(StatusCode::FORBIDDEN, "cross_site", "A page of another site cannot do that."))
        }
    }

    /// The value of a header, `None` if it is missing; one that is no text counts as empty.
    pub(super) fn header(&self, name: &warp::http::HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default())
    }

    /// The value of a header by its name.
    pub(super) fn header_named(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The IP address of the client. Behind a proxy it is the one that the proxy added last to `X-Forwarded-For`.
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

    /// A member of the query string.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The member of the query string that must be there.
    ///
    /// # Errors
    /// 400 without it.
    pub(super) fn required_query(&self, name: &'static str) -> Result<&str, Error> {
        self.query(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Error::bad_request("query_missing", format!("This wants ?{name}= in the query string.")))
    }

    /// The cursor `?after=`, an id.
    ///
    /// # Errors
    /// 400 if it is no whole number.
    pub(super) fn after(&self, without: i64) -> Result<i64, Error> {
        self.query("after").map_or(Ok(without), |after| {
            after
                .parse()
                .map_err(|_| Error::bad_request("bad_cursor", "?after= is a whole number, the last id you have."))
        })
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 400 if it is none or has other members than `T` wants, 413 if it is larger than `limit` bytes, 408 if it is too slow.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(&mut self, limit: usize) -> Result<T, Error> {
        body::parse_json(&self.bytes(limit, "body_too_large").await?)
    }

    /// The body as it is.
    ///
    /// # Errors
    /// 413 with `code` if it is larger than `limit` bytes, 408 if it is too slow.
    pub(super) async fn bytes(&mut self, limit: usize, code: &'static str) -> Result<Vec<u8>, Error> {
        let announced = self.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        body::collect(&mut self.body, announced, limit, code).await
    }
}

/// Asks `questions` on behalf of the user whose session has `token_hash`.
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

/// A parameter that is a text.
pub(super) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}
