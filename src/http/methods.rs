//! The methods of a path: GET answers HEAD, OPTIONS lists them, and others get 405 with the list (RFC 9110, sections
//! 9.3 and 15.5.6).

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use warp::http::header::{ALLOW, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

use super::Error;

/// The methods of the path of a request, as far as routes have refused its method. The listener adds it to the
/// extensions of each request.
#[derive(Clone, Debug, Default)]
pub struct PathMethods(Arc<PathMethodsState>);

#[derive(Debug, Default)]
struct PathMethodsState {
    get: AtomicBool,
    post: AtomicBool,
}

impl PathMethods {
    /// The value of `Allow`. `None` if no route has the path.
    fn allow(&self) -> Option<&'static str> {
        match (self.0.get.load(Relaxed), self.0.post.load(Relaxed)) {
            (true, true) => Some("GET, HEAD, POST, OPTIONS"),
            (true, false) => Some("GET, HEAD, OPTIONS"),
            (false, true) => Some("POST, OPTIONS"),
            (false, false) => None,
        }
    }
}

/// Takes GET and HEAD. hyper sends no body in response to HEAD.
pub(super) fn get() -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    one_of(&[Method::GET, Method::HEAD], |methods| &methods.get)
}

/// Takes POST.
pub(super) fn post() -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    one_of(&[Method::POST], |methods| &methods.post)
}

/// Takes `methods`. Notes that the path has them if the request has another.
fn one_of(
    methods: &'static [Method],
    flag: fn(&PathMethodsState) -> &AtomicBool,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    warp::method()
        .and(warp::ext::optional::<PathMethods>())
        .and_then(move |method: Method, path_methods: Option<PathMethods>| {
            let takes = methods.contains(&method);
            if let Some(path_methods) = path_methods.filter(|_| !takes) {
                flag(&path_methods.0).store(true, Relaxed);
            }
            ready(if takes { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
}

/// The response to a request that no route takes, which each of them has seen.
pub(super) fn respond(method: &Method, path: &FullPath, path_methods: &PathMethods) -> warp::reply::Response {
    // `OPTIONS *` asks for the methods of the whole server.
    let allow = if path.as_str() == "*" { Some("GET, HEAD, POST, OPTIONS") } else { path_methods.allow() };
    let Some(allow) = allow else {
        return Error::not_found().into_response();
    };
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("This path has {allow}."))
            .into_response()
    };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}
