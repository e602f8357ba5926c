//! The REST API: warp filters for the routes, a file of handlers a resource, and one error type.

mod body;
mod calls;
mod docs;
mod error;
mod events;
mod history;
mod ice;
mod leftover;
mod listener;
mod media;
mod pages;
mod request;
mod screenshares;
mod sessions;
mod signals;

use std::convert::Infallible;

use bytes::Bytes;
use rusqlite::ToSql;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::{Filter, Rejection, Reply};

pub use self::error::Error;
pub use self::listener::{bind, serve};
pub use self::request::{App, PeerAddress};

use self::request::Request;
use crate::database::Snapshot;
use crate::statements::Statement;

/// A handler's answer.
type Answer<T = warp::reply::Json> = Result<T, Error>;

/// All routes of the API, with JSON for every error.
pub fn routes(
    app: &App,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone + Send + Sync + 'static {
    // What clients poll comes first: filters are tried in this order.
    one_of![
        calls::routes(app),
        screenshares::routes(app),
        sessions::routes(app),
        events::routes(app),
        history::routes(app),
        ice::routes(app),
        pages::routes(),
        docs::routes(),
    ]
    .recover(|rejection: Rejection| async move { Ok::<_, Infallible>(Error::from(&rejection).into_response()) })
    .map(Reply::into_response)
}

/// `{"status": WHAT}`, the answer of what has nothing else to say.
fn status(what: &str) -> warp::reply::Json {
    warp::reply::json(&serde_json::json!({ "status": what }))
}

/// JSON that is there already, as a reply.
fn json_text(text: impl Into<Bytes>) -> warp::reply::Response {
    let mut answer = warp::reply::Response::new(text.into().into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Joins filters into one that tries them in turn. warp copies the second one of each `or` for every request, so that is a
/// single reference to all the rest.
macro_rules! one_of {
    ($only:expr $(,)?) => { $only };
    ($first:expr, $($rest:expr),+ $(,)?) => { $first.or(one_of![$($rest),+]).unify().boxed() };
}
use one_of;

/// What a resource's `routes` returns: replies, or the rejection that no route of it matched.
type Routes = BoxedFilter<(warp::reply::Response,)>;

/// `GET /a/ID/b` and the like: a filter for a path and a method, and the handler it calls.
macro_rules! route {
    (GET $($path:tt)*) => { route!(@ warp::get(), $($path)*) };
    (POST $($path:tt)*) => { route!(@ warp::post(), $($path)*) };
    (@ $method:expr, $app:expr, $path:expr => $handler:expr) => {
        $path
            .and(warp::path::end())
            .and($method)
            .and($crate::http::request::request($app))
            .then($handler)
            .map(warp::Reply::into_response)
            .boxed()
    };
}
use route;

/// Refuses with the code that a question of the kind `WHY_NOT_...` answers, if it answers one.
fn refuse<const N: usize>(
    app: &App,
    snapshot: &Snapshot,
    why_not: &'static Statement,
    parameters: [&dyn ToSql; N],
) -> Result<(), Error> {
    let code: Option<Option<String>> = snapshot.row(why_not, parameters, |row| row.get(0))?;
    code.flatten().map_or(Ok(()), |code| Err(Error::refused(app, &code)))
}

/// The status that a stopping or overloaded server answers with.
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
