//! Who sends a request: sessions, their tokens, and protection from requests of other sites.

use cookie::Cookie;
use headers::{ContentType, HeaderMapExt};
use mime::Mime;
use warp::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderValue, ORIGIN};
use warp::http::{Method, StatusCode};

use super::host_users::session_hash;
use super::origin::{NamedHost, is_same_origin};
use super::{Error, Request, require_granted};
use crate::database::{ReadError, Snapshot, Value, text};
use crate::statements;
use crate::tokens::{is_page_token, page_token, token_hash};

/// At most this many cookies of a request are tried as tokens.
const COOKIES_MAX: usize = 8;

/// The user who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The hash of the session's token.
    pub(super) token_hash: String,
}

impl Caller {
    /// The parameters of [`statements::NOTE_PRESENCE`] for a call or share.
    pub(super) fn presence_on(&self, id: &str) -> [Value; 3] {
        [text(&self.name), text(id), text(&self.token_hash)]
    }
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
        self.app.database.read(|snapshot| {
            let token_hashes = self.token_hashes(snapshot)?;
            let caller = find_caller(snapshot, &token_hashes)?.ok_or_else(|| self.unauthorized())?;
            self.person.get_or_init(|| caller.name.clone());
            select(snapshot, &caller)
        })
    }

    /// The admin, or the service with the scope admin, that sends a request. The name of a service is `service:NAME`.
    ///
    /// # Errors
    /// 401 without a valid token, and for the token of a page, which scripts can read; 403 for others, and as
    /// [`Request::caller`].
    pub(super) fn admin(&self) -> Result<Caller, Error> {
        if self.bearer_token().is_some_and(|token| is_page_token(&token)) {
            return Err(self.unauthorized());
        }
        self.app.database.read(|snapshot| {
            for token_hash in self.token_hashes(snapshot)? {
                let found: Option<(String, String)> =
                    snapshot.row(&statements::ADMIN_ACCESS, [&token_hash], |row| Ok((row.get(0)?, row.get(1)?)))?;
                if let Some((name, access)) = found {
                    require_granted(&self.app, &access)?;
                    self.person.get_or_init(|| name.clone());
                    return Ok(Caller { name, token_hash });
                }
            }
            Err(self.unauthorized())
        })
    }

    /// 401, with the reason why a token or name that the request has is not accepted.
    fn unauthorized(&self) -> Error {
        self.not_admitted.clone().unwrap_or_else(Error::unauthorized)
    }

    /// The bearer token. It is empty if the header is malformed.
    pub(super) fn bearer_token(&self) -> Option<String> {
        self.headers.get_all(AUTHORIZATION).iter().find_map(bearer_token)
    }

    /// The hashes of the tokens in the request, one of which may be that of a session. A bearer token counts alone, and so
    /// does the name from a trusted proxy.
    ///
    /// # Errors
    /// 403 if a page of another site may have sent the request with the cookie of the user, or of the proxy.
    pub(super) fn token_hashes(&self, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
        if let Some(token) = self.bearer_token() {
            let hash = token_hash(&token);
            if !is_page_token(&token) {
                return Ok(vec![hash]);
            }
            let session = snapshot.row(&statements::SESSION_OF_PAGE_TOKEN, [&hash], |row| row.get(0))?;
            return Ok(session.into_iter().collect());
        }
        if let Some(name) = self.name_from_proxy(snapshot)? {
            self.refuse_forged_change()?;
            return Ok(vec![session_hash(&name)]);
        }
        let token_hashes: Vec<String> = self.cookies(snapshot)?.iter().map(|token| token_hash(token)).collect();
        if !token_hashes.is_empty() {
            self.refuse_forged_change()?;
        }
        Ok(token_hashes)
    }

    /// The values of the session cookies in the request.
    fn cookies(&self, snapshot: &Snapshot) -> Result<Vec<String>, ReadError> {
        if !self.headers.contains_key(COOKIE) {
            return Ok(Vec::new());
        }
        let cookie_name = session_cookie_name(snapshot)?;
        let headers = self.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        // A cookie that is not ASCII is not ours.
        let headers = headers.map(|header| String::from_utf8_lossy(header).into_owned());
        let cookies = headers.flat_map(Cookie::split_parse).filter_map(Result::ok);
        let cookies = cookies.filter(|cookie| cookie.name() == cookie_name).take(COOKIES_MAX);
        Ok(cookies.map(|cookie| cookie.value_trimmed().to_owned()).collect())
    }

    /// The token with which the caller's page may use other addresses of the cluster. `None` if the request is not by the
    /// cookie of a login.
    pub(super) fn page_token(&self) -> Result<Option<String>, Error> {
        self.read(|snapshot, caller| {
            let cookies = self.cookies(snapshot)?.into_iter();
            let token =
                cookies.filter(|cookie| token_hash(cookie) == caller.token_hash).map(|it| page_token(&it)).next();
            let Some(token) = token else { return Ok(None) };
            let is_stored = snapshot.row(&statements::SESSION_OF_PAGE_TOKEN, [&token_hash(&token)], |_| Ok(()))?;
            Ok(is_stored.map(|()| token))
        })
    }

    /// [`Request::refuse_forgery`] for a request that may change something: browsers add cookies to requests of other
    /// sites, too.
    pub(super) fn refuse_forged_change(&self) -> Result<(), Error> {
        if matches!(self.method, Method::GET | Method::HEAD) { Ok(()) } else { self.refuse_forgery() }
    }

    /// Refuses a cross-site request forgery. Without the headers in which browsers name the site of a request, it needs
    /// a content type that a form of another site cannot send without a CORS preflight.
    fn refuse_forgery(&self) -> Result<(), Error> {
        if self.is_of_this_site()? {
            return Ok(());
        }
        let content_type = self.headers.typed_get().map(|content_type: ContentType| Mime::from(content_type));
        let media_type = content_type.as_ref().map(Mime::essence_str);
        if matches!(media_type, Some("application/json" | "application/octet-stream")) {
            return Ok(());
        }
        Err(Error::new(
            StatusCode::FORBIDDEN,
            "content_type_needed",
            "A request with a cookie and without Origin needs Content-Type: application/json or \
             application/octet-stream.",
        ))
    }

    /// Whether a page of this server sends the request, by `Sec-Fetch-Site` (Fetch Metadata) or `Origin` (Fetch
    /// standard). False if neither is there.
    ///
    /// # Errors
    /// 403 if a page of another site does.
    pub(super) fn is_of_this_site(&self) -> Result<bool, Error> {
        let fetch_site = self.headers.get("sec-fetch-site");
        if fetch_site.is_none() && !self.headers.contains_key(ORIGIN) {
            return Ok(false);
        }
        if fetch_site.is_some_and(|site| site == "same-origin") || is_same_origin(self.scheme(), &self.headers) {
            return Ok(true);
        }
        Err(Error::new(StatusCode::FORBIDDEN, "cross_site", "Cross-site request refused."))
    }

    /// The scheme of this server's addresses, as browsers see them.
    fn scheme(&self) -> &'static str {
        if !self.app.behind_proxy {
            return if self.app.tls { "https" } else { "http" };
        }
        let forwarded = self.header("x-forwarded-proto").and_then(|schemes| schemes.split(',').next()).map(str::trim);
        let is = |scheme: &str| forwarded.is_some_and(|forwarded| forwarded.eq_ignore_ascii_case(scheme));
        let host_has_port_80 = || {
            let named = self.header(HOST.as_str()).and_then(NamedHost::parse);
            named.is_some_and(|named| named.port == Some(80))
        };
        if is("http") || !is("https") && host_has_port_80() { "http" } else { "https" }
    }
}

/// The token of an `Authorization` header, empty if it is malformed. `None` if the scheme is not `Bearer`.
fn bearer_token(header: &HeaderValue) -> Option<String> {
    let header = String::from_utf8_lossy(header.as_bytes());
    let (scheme, token) = header.split_once(' ').unwrap_or((&header, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The name of the session cookie.
///
/// # Errors
/// 503 if the database cannot be read.
pub(super) fn session_cookie_name(snapshot: &Snapshot) -> Result<String, ReadError> {
    let name: Option<String> = snapshot.row(&statements::SESSION_COOKIE, [], |row| row.get(0))?;
    Ok(name.unwrap_or_default())
}

/// Runs `select` for the user whose session has one of `token_hashes`: of several, the first.
///
/// # Errors
/// 401 without such a session, and what `select` returned.
pub(super) fn as_caller<T>(
    snapshot: &Snapshot,
    token_hashes: &[String],
    select: impl FnOnce(&Snapshot, &Caller) -> Result<T, Error>,
) -> Result<T, Error> {
    select(snapshot, &find_caller(snapshot, token_hashes)?.ok_or_else(Error::unauthorized)?)
}

/// The user whose session has one of `token_hashes`: of several, the first.
pub(super) fn find_caller(snapshot: &Snapshot, token_hashes: &[String]) -> Result<Option<Caller>, ReadError> {
    for token_hash in token_hashes {
        if let Some(name) = snapshot.row(&statements::FIND_SESSION, [token_hash], |row| row.get(0))? {
            return Ok(Some(Caller { name, token_hash: token_hash.clone() }));
        }
    }
    Ok(None)
}
