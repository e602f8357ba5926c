//! Who sends a request: sessions, their tokens, and protection from requests of other sites.

use cookie::Cookie;
use headers::authorization::Bearer;
use headers::{Authorization, ContentType, HeaderMapExt};
use mime::Mime;
use warp::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};
use warp::http::{Method, StatusCode, Uri};

use super::{Error, Request};
use crate::database::Snapshot;
use crate::statements;
use crate::tokens::token_hash;

/// The user who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The hash of the session's token.
    pub(super) token_hash: String,
}

impl Request {
    /// The name of the caller.
    ///
    /// # Errors
    /// 401 without a valid token; 403 if a page of another site may have sent the request with the user's cookie.
    pub(super) fn caller(&self) -> Result<String, Error> {
        self.read(|_, caller| Ok(caller.name.clone()))
    }

    /// Runs `select` for the caller, on the snapshot that authenticated the caller.
    ///
    /// # Errors
    /// As [`Request::caller`], and what `select` returned.
    pub(super) fn read<T>(&self, select: impl FnOnce(&Snapshot, &Caller) -> Result<T, Error>) -> Result<T, Error> {
        let token_hash = self.token_hash()?;
        self.app.database.read(|snapshot| as_caller(snapshot, token_hash, select))
    }

    /// [`Request::read`] on the pool for large reads.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub(super) fn read_on_pool<T, Q>(&self, select: Q) -> impl Future<Output = Result<T, Error>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&Snapshot, &Caller) -> Result<T, Error> + Send + 'static,
    {
        let token_hash = self.token_hash();
        let database = self.app.database.clone();
        async move {
            let token_hash = token_hash?;
            database.read_on_pool(|snapshot| as_caller(snapshot, token_hash, select)).await
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

    /// `Origin` or `Host`. `None` if it is missing; empty, which matches nothing, if it is not visible ASCII.
    fn origin_header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default())
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
        let origin_is_here = self.origin_header(&ORIGIN).is_none_or(|origin| {
            let host = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
            host.is_some_and(|host| self.origin_header(&HOST).is_some_and(|here| here.eq_ignore_ascii_case(&host)))
        });
        if fetched_here && origin_is_here {
            Ok(())
        } else {
            Err(Error::new(StatusCode::FORBIDDEN, "cross_site", "Cross-site request refused."))
        }
    }
}

/// Runs `select` for the user whose session has `token_hash`.
///
/// # Errors
/// 401 without such a session, and what `select` returned.
fn as_caller<T>(
    snapshot: &Snapshot,
    token_hash: String,
    select: impl FnOnce(&Snapshot, &Caller) -> Result<T, Error>,
) -> Result<T, Error> {
    let name =
        snapshot.row(&statements::FIND_SESSION, [&token_hash], |row| row.get(0))?.ok_or_else(Error::unauthorized)?;
    select(snapshot, &Caller { name, token_hash })
}
