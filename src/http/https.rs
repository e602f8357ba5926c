//! The beginning of a connection to an HTTPS port: a TLS handshake, or a redirect of plain HTTP.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use warp::Reply;
use warp::http::StatusCode;
use warp::http::header::{CONNECTION, HOST, HeaderValue, LOCATION};

use super::connection::{self, Protocol, Stopping};
use super::origin::{NamedHost, check_target};
use super::{Error, complete};
use crate::tls::Tls;

/// The time in which a client has to finish a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client speaks on an HTTPS port.
pub(super) enum Handshake {
    /// HTTP in TLS, of the version that ALPN (RFC 7301) chose.
    Tls(Box<TlsStream<TcpStream>>, Protocol),
    /// Plain HTTP.
    Plain(TcpStream),
}

/// Does a TLS handshake, unless the client speaks plain HTTP. `None` if the handshake fails or takes too long, which is
/// logged.
pub(super) async fn tls_accept(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<Handshake> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, acceptor)).await {
        Ok(Ok(handshake)) => return Some(handshake),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
    None
}

async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Handshake> {
    let mut first = [0];
    // A handshake begins with the content type 22 (RFC 8446, section 5.1), a request with a letter of its method.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        return Ok(Handshake::Plain(stream));
    }
    let stream = acceptor.accept(stream).await?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok(Handshake::Tls(Box::new(stream), protocol))
}

/// Redirects plain HTTP to the same host and port with `https`, if the certificate is for that host. Other requests get
/// 400: what a client sends as `Host` may be anything.
pub(super) async fn redirect(stream: TcpStream, stopping: Stopping, tls: Arc<Tls>) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let location = https_location(&mut request, &tls);
        async move {
            let mut response = match location {
                Ok(location) => {
                    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
                    response.headers_mut().insert(LOCATION, location);
                    complete(response)
                }
                Err(error) => complete(error.into_response()),
            };
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok::<_, Infallible>(response)
        }
    });
    connection::serve(stream, Protocol::Http1, service, stopping).await;
}

/// The `https` address of a GET or HEAD request.
///
/// # Errors
/// 400 for other methods, and for a `Host` that the certificate is not for.
fn https_location<B>(request: &mut Request<B>, tls: &Tls) -> Result<HeaderValue, Error> {
    check_target(request)?;
    let location = || {
        let named = NamedHost::parse(request.headers().get(HOST)?.to_str().ok()?)?;
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_read || !tls.is_for(&named.host) {
            return None;
        }
        let host = &named.host;
        let port = match named.port.unwrap_or(80) {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let path = request.uri().path_and_query()?;
        HeaderValue::from_str(&format!("https://{host}{port}{path}")).ok()
    };
    location().ok_or_else(|| {
        Error::bad_request(
            "https_needed",
            "This port serves HTTPS. Use an https:// address with the server's own name.",
        )
    })
}
