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
    delete: AtomicBool,
}

impl PathMethods {
    /// The value of `Allow`. `None` if no route has the path.
    fn allow(&self) -> Option<String> {
        let methods = [(&self.0.get, "GET, HEAD"), (&self.0.post, "POST"), (&self.0.delete, "DELETE")];
        let methods: Vec<&str> =
            methods.iter().filter(|(flag, _)| flag.load(Relaxed)).map(|(_, names)| *names).collect();
        if methods.is_empty() { None } else { Some(format!("{}, OPTIONS", methods.join(", "))) }
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

/// Takes DELETE.
pub(super) fn delete() -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync {
    one_of(&[Method::DELETE], |methods| &methods.delete)
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
    let all = || Some("GET, HEAD, POST, DELETE, OPTIONS".to_owned());
    let allow = if path.as_str() == "*" { all() } else { path_methods.allow() };
    let Some(allow) = allow else {
        return Error::not_found().into_response();
    };
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("This path has {allow}."))
            .into_response()
    };
    // The names of methods are always a valid header.
    response.headers_mut().extend(HeaderValue::try_from(allow).ok().map(|allow| (ALLOW, allow)));
    response
}
