//! The REST API: routes as warp filters, handlers in one file a resource, and one error type.

mod addresses;
mod admin;
mod authentication;
mod body;
mod bounds;
mod calls;
mod connection;
mod cors;
mod docs;
mod endless;
mod error;
mod events;
mod held_bytes;
mod history;
mod host_users;
mod https;
mod ice;
mod idempotency;
mod links;
mod listener;
mod media;
mod methods;
mod metrics;
mod monitoring;
mod origin;
mod outages;
mod pages;
mod patterns;
mod request;
mod screenshares;
mod sessions;
mod signals;
mod web_push;

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use rusqlite::ToSql;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use warp::http::{HeaderMap, Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

pub use self::error::Error;
pub use self::held_bytes::HeldBytes;
pub use self::listener::{bind, serve};
pub use self::methods::PathMethods;
pub use self::metrics::RequestTimes;
pub use self::request::{App, PeerAddress};

use self::body::Body;
use self::request::Request;
use crate::database::Snapshot;
use crate::openapi;
use crate::statements::Statement;

/// What a handler returns.
type HandlerResult<T = warp::reply::Json> = Result<T, Error>;

/// All routes of the server. Every error is JSON, that of an unknown path or a wrong method included.
pub fn routes(
    app: &App,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone + Send + Sync + 'static {
    // warp tries the filters in this order, so what clients poll comes first.
    any_of![
        calls::routes(app),
        screenshares::routes(app),
        sessions::routes(app),
        events::routes(app),
        history::routes(app),
        links::routes(app),
        web_push::routes(app),
        ice::routes(app),
        admin::routes(app),
        monitoring::routes(app),
        pages::routes(app),
        docs::routes(),
        unmatched(),
    ]
    .recover(|rejection: Rejection| async move { Ok::<_, Infallible>(Error::from(&rejection).into_response()) })
    .map(|reply| complete(Reply::into_response(reply)))
}

/// Answers a request that no route takes, after it has drained the body.
fn unmatched() -> Routes {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<PathMethods>())
        .and(warp::body::stream())
        .then(|method: Method, path: FullPath, headers: HeaderMap, methods: Option<PathMethods>, chunks| async move {
            Body::new(&headers, chunks).drain().await;
            methods::respond(&method, &path, &methods.unwrap_or_default())
        })
        .boxed()
}

/// Adds the headers that every response has. Nothing of the API is cached; pages have rules of their own.
fn complete(mut response: warp::reply::Response) -> warp::reply::Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("api-version", HeaderValue::from_static(openapi::API_VERSION));
    headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
    response
}

/// The response to a request that the routes do not get. Its body is not read, so the connection ends with it.
fn refuse_connection(error: Error) -> warp::reply::Response {
    let mut response = complete(error.into_response());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// `Cache-Control` of everything that is read from the database.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The id of a new call or share: a UUID that begins with the time (RFC 9562, version 7), so that the rows of what is live
/// are neighbours in the file, and a commit writes fewer pages.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The response `{"status": "ok"}`, which every action of the original MiniMost has.
fn done() -> warp::reply::Json {
    status("ok")
}

/// The response `{"status": STATUS}`. Other words than `ok` are for routes that the original does not have.
fn status(status: &str) -> warp::reply::Json {
    warp::reply::json(&serde_json::json!({ "status": status }))
}

/// A response of JSON that the database or a handler has written as text.
fn json_text(text: impl Into<Bytes>) -> warp::reply::Response {
    let mut response = warp::reply::Response::new(text.into().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response of a list whose items the database has written as JSON.
fn json_list(items: &[String]) -> warp::reply::Response {
    json_text(format!("[{}]", items.join(",")))
}

/// Joins filters into one that tries them in turn. warp clones the second filter of each `or` for each request, so the
/// second is always a boxed one, which is cheap to clone.
macro_rules! any_of {
    ($only:expr $(,)?) => { $only };
    ($first:expr, $($rest:expr),+ $(,)?) => { $first.or(any_of![$($rest),+]).unify().boxed() };
}
use any_of;

/// The routes of a resource.
type Routes = BoxedFilter<(warp::reply::Response,)>;

/// `route!(METHOD app, path => handler(id).await)`: a filter for a method and a path, and the handler that it calls
/// with the parameters of the path and the request. A handler that waits for nothing needs no `.await`. Afterwards the
/// filter drains the body, so that an early refusal reaches a client that is still sending.
macro_rules! route {
    (GET $($path:tt)*) => { route!(@ $crate::http::methods::get(), $($path)*) };
    (DELETE $($path:tt)*) => { route!(@ $crate::http::methods::delete(), $($path)*) };
    (POST $($path:tt)*) => { route!(@ $crate::http::methods::post(), $($path)*) };
    (@ $method:expr, $app:expr, $path:expr => $($handler:ident)::+ ($($parameter:ident),*) $(.$await:tt)?) => {
        $path
            .and($crate::http::path_end())
            .and($method)
            .and($crate::http::request::request($app))
            .then(|$($parameter: String,)* mut request: $crate::http::request::Request| async move {
                let response = match request.check_query() {
                    Ok(()) => {
                        request.admit().await;
                        warp::Reply::into_response($($handler)::+($($parameter,)* &mut request)$(.$await)?)
                    }
                    Err(error) => warp::Reply::into_response(error),
                };
                let response = request.name_caller(request.hold_response(response));
                request.drain().await;
                response
            })
            .boxed()
    };
}
use route;

/// The end of a path, without a slash: warp's own filter takes `/me/` for `/me`.
fn path_end() -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    warp::path::end()
        .and(warp::path::full())
        .and_then(|path: FullPath| {
            ready(if path.as_str().ends_with('/') { Err(warp::reject::not_found()) } else { Ok(()) })
        })
        .untuple_one()
}

/// Refuses the caller unless `statement` selects `granted` in its first column.
fn require<const N: usize>(
    app: &App,
    snapshot: &Snapshot,
    statement: &'static Statement,
    parameters: [&dyn ToSql; N],
) -> Result<(), Error> {
    let access: Option<String> = snapshot.row(statement, parameters, |row| row.get(0))?;
    require_granted(app, &access.unwrap_or_default())
}

/// Refuses the caller with the code in `access`, unless it is `granted`.
fn require_granted(app: &App, access: &str) -> Result<(), Error> {
    if access == "granted" { Ok(()) } else { Err(Error::refused(app, access)) }
}

/// The status of a server that is stopping, or whose database cannot be used now.
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
