//! The web client: the pages `/`, `/relay` and `/admin`, and their files, from the binary.
//!
//! The files are those of `src/web/`. The client library, which is `src/web/client/`, is also there for pages of other
//! origins. The Content-Security-Policy allows a page to load these files and nothing else.
//! It also requires Trusted Types and allows one policy for them, which gives the address of the service worker. So text never
//! becomes markup.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::ready;
use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use rust_embed::Embed;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use warp::http::{HeaderMap, Response, StatusCode};
use warp::path::Tail;

use super::{App, Routes, any_of, methods, path_end};
use crate::database::{Database, ReadError, Snapshot};
use crate::openapi::API_VERSION;
use crate::statements;

#[derive(Embed)]
#[folder = "src/web"]
struct Files;

/// A file of the client.
pub(super) struct Page {
    content_type: &'static str,
    plain: Encoded,
    /// `None` if it is not smaller.
    gzip: Option<Encoded>,
}

/// A file in one encoding. Each encoding has a different entity tag (RFC 9110, section 8.8.3).
struct Encoded {
    bytes: Bytes,
    etag: ETag,
}

/// All files by path. They are compressed at the first request, not at the start of the server.
static PAGES: LazyLock<HashMap<Cow<'static, str>, Page>> = LazyLock::new(|| {
    let pages = Files::iter().filter_map(|path| {
        let page = Page::load(&path)?;
        Some((path, page))
    });
    pages.collect()
});

impl Page {
    fn load(path: &str) -> Option<Self> {
        let file = Files::get(path)?;
        let plain = match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Self::new(content_type(path)?, plain, &file.metadata.sha256_hash())
    }

    /// A page with these bytes, whose SHA-256 hash is `hash`. `None` if an entity tag cannot be a header, which never
    /// happens.
    pub(super) fn new(content_type: &'static str, plain: Bytes, hash: &[u8; 32]) -> Option<Self> {
        let hash: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let gzip = gzip(&plain).filter(|bytes| bytes.len() < plain.len());
        let gzip = match gzip {
            Some(bytes) => Some(Encoded { bytes, etag: format!("\"{hash}-gzip\"").parse().ok()? }),
            None => None,
        };
        let etag = format!("\"{hash}\"").parse().ok()?;
        Some(Self { content_type, plain: Encoded { bytes: plain, etag }, gzip })
    }
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// `None` for a file that no browser needs, such as those that make a package of the library.
fn content_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        "webmanifest" => Some("application/manifest+json"),
        _ => None,
    }
}

/// The Content-Security-Policy. `media-src blob:` is for MediaSource. The sites that may show the page in a frame are last.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      media-src 'self' blob:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
                      form-action 'none'; require-trusted-types-for 'script'; trusted-types service-worker; \
                      frame-ancestors 'none'";

/// The headers of every file.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), autoplay=(self), \
         geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()",
    ),
];

/// The headers of the library, which pages of every origin may load. It has nothing secret.
const SHARED_HEADERS: [(HeaderName, &str); 2] =
    [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin")];

/// `/`, `/relay`, `/admin`, `/web/…` and `/client/v1/…`. None of them needs a session: the routes below `/admin/` check
/// the caller. Pages of the setting `allowed_origins` may show `/` and `/relay` in a frame, and these use the addresses of
/// the setting `client_addresses`.
pub(super) fn routes(app: &App) -> Routes {
    let database = app.database.clone();
    let page = |path: &'static str| warp::any().map(move || Cow::Borrowed(path));
    let web = warp::path("web").and(warp::path::tail()).map(|tail: Tail| Cow::Owned(tail.as_str().to_owned()));
    let index = warp::path::end().and(page("index.html"));
    let relay = warp::path("relay").and(path_end()).and(page("relay.html"));
    let admin = warp::path("admin").and(path_end()).and(page("admin.html"));
    let framed = serve(any_of![index.boxed(), relay.boxed()]).map(move |page| allow_others(&database, page));
    let others = serve(any_of![admin.boxed(), web.boxed()]);
    // The version in the path lets a page load the library that it was written for.
    let client = warp::path("client").and(warp::path(format!("v{API_VERSION}"))).and(warp::path::tail());
    let client = serve(client.map(|tail: Tail| Cow::Owned(format!("client/{}", tail.as_str()))).boxed());
    let client = client.map(|mut response: warp::reply::Response| {
        for (name, value) in SHARED_HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    });
    any_of![framed.boxed(), others, client.boxed()]
}

/// Responds with the file of a path.
fn serve(path: BoxedFilter<(Cow<'static, str>,)>) -> Routes {
    path.and_then(|path: Cow<'static, str>| ready(PAGES.get(&path).ok_or_else(warp::reject::not_found)))
        .and(methods::get())
        .and(warp::header::headers_cloned())
        .map(|page: &Page, headers: HeaderMap| page.response(&headers))
        .boxed()
}

/// Adds the allowed origins and the addresses of the cluster to the policy of a page. `X-Frame-Options` can name no other
/// origin.
fn allow_others(database: &Database, mut response: warp::reply::Response) -> warp::reply::Response {
    let read = |snapshot: &Snapshot| {
        let origins: Option<String> = snapshot.row(&statements::ALLOWED_ORIGINS, [], |row| row.get(0))?.flatten();
        let addresses = snapshot.rows(&statements::CLIENT_ADDRESSES, [], |row| row.get(0))?;
        Ok::<(Option<String>, Vec<String>), ReadError>((origins, addresses))
    };
    // Without a database the page stays out of frames.
    let (origins, addresses) = database.read(read).unwrap_or_default();
    let mut policy = POLICY.to_owned();
    if !addresses.is_empty() {
        policy = policy.replace("connect-src 'self'", &format!("connect-src 'self' {}", addresses.join(" ")));
    }
    let framed = origins.zip(policy.strip_suffix("'none'")).map(|(origins, start)| format!("{start}{origins}"));
    let is_framed = framed.is_some();
    if let Ok(policy) = HeaderValue::try_from(framed.unwrap_or(policy)) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        if is_framed {
            response.headers_mut().remove(X_FRAME_OPTIONS);
        }
    }
    response
}

impl Page {
    /// 200 with the file, or 304 if the browser has it. `no-cache` makes browsers ask each time, so that a page never
    /// mixes files of two versions of the server.
    pub(super) fn response(&self, request: &HeaderMap) -> warp::reply::Response {
        let gzip = self.gzip.as_ref().filter(|_| accepts_gzip(request));
        let body = gzip.unwrap_or(&self.plain);
        let mut response = if is_known(request, &body.etag) {
            let mut response = Response::new(Bytes::new().into());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(body.bytes.clone().into());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if gzip.is_some() {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.typed_insert(body.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

/// Whether `Accept-Encoding` allows gzip, by name or by `*`, with a weight above 0 (RFC 9110, section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let weight = |name: &str| {
        let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).find_map(|coding| {
            let (coding, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            coding.trim().eq_ignore_ascii_case(name).then(|| weight.unwrap_or(1.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

/// Whether `If-None-Match` names the tag (RFC 9110, section 13.1.2).
fn is_known(request: &HeaderMap, etag: &ETag) -> bool {
    request.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(etag))
}
