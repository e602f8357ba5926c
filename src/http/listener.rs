//! The listening loop. It is ours because warp's own starts hyper without a timer, so that a client which never finishes its
//! headers could hold a connection for ever, and listens with a short backlog.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use warp::http::header::{CONNECTION, HOST, HeaderValue, LOCATION, STRICT_TRANSPORT_SECURITY};
use warp::http::uri::Authority;
use warp::{Filter, Reply};

use super::{Error, PeerAddress};
use crate::tls::Tls;

/// Clients have this long to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients have this long to agree on a TLS connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Browsers come back with HTTPS for half a year (RFC 6797).
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// Data that the other end does not acknowledge for so long means that it is gone.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stopping server waits for requests under way.
const GRACE: Duration = Duration::from_secs(4);

/// Connections beyond the first so many wait in the backlog until one is closed.
const CONNECTIONS_MAX: usize = 16_384;

/// File descriptors that are not connections: the database's and the listener's.
const OTHER_DESCRIPTORS: u64 = 128;

const BACKLOG: i32 = 4096;

/// Listens on `address`, such as `127.0.0.1:6767` or `localhost:0`.
///
/// # Errors
/// When the address is none, is not this machine's, or is in use.
pub fn bind(address: &str) -> io::Result<TcpListener> {
    let address: SocketAddr = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "no such address"))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `routes` on `listener` until `stop` is ready; then finishes the requests under way, and returns.
///
/// With `tls`, connections speak it; who speaks plain HTTP all the same is sent to the `https` address.
pub async fn serve<F>(listener: TcpListener, tls: Option<&Tls>, routes: F, stop: impl Future<Output = ()>)
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    let places = Arc::new(Semaphore::new(places_for_connections()));
    let graceful = GracefulShutdown::new();
    let acceptor = tls.map(Tls::acceptor);
    // People who click a warning away for our own authority must still be able to, and it may be gone tomorrow.
    let strict_transport = tls.is_some_and(|tls| tls.ca().is_none());
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => match place {
                Ok(place) => place,
                Err(_) => break,
            },
        };
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Too many open files, or a client that was gone already: neither goes away by spinning.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "a connection was gone before it began");
            continue;
        }
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            let answering = hyper::service::Service::call(&service, request);
            async move {
                let mut answer = answering.await;
                if let Ok(answer) = &mut answer
                    && strict_transport
                {
                    answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
                }
                answer
            }
        });
        let watcher = graceful.watcher();
        let Some(acceptor) = acceptor.clone() else {
            tokio::spawn(async move {
                converse(stream, service, watcher).await;
                drop(place);
            });
            continue;
        };
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            // Each handshake has a task of its own, so that a slow one holds nobody else, and a stopping server does not wait
            // for it.
            tokio::select! {
                _ = stopped.changed() => {}
                shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(stream, &acceptor)) => match shaken {
                    Ok(Ok(Shaken::Tls(stream))) => converse(stream, service, watcher).await,
                    Ok(Ok(Shaken::Plain(stream))) => converse_plainly(stream, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
            drop(place);
        });
    }
    drop(stopping);
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// Answers the requests of one connection until either side closes it, or the server stops.
async fn converse<I, S, B>(stream: I, service: S, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// What came of a connection to a port that speaks TLS.
enum Shaken {
    Tls(Box<TlsStream<TcpStream>>),
    /// Somebody who speaks plain HTTP.
    Plain(TcpStream),
}

async fn shake_hands(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Shaken> {
    let mut first = [0];
    // A handshake begins with the content type 22 (RFC 8446, section 5.1), a request with the letter of a method.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        return Ok(Shaken::Plain(stream));
    }
    Ok(Shaken::Tls(Box::new(acceptor.accept(stream).await?)))
}

/// Sends whoever typed an address without `https` to the same one with it. Nothing else is done in the open.
async fn converse_plainly(stream: TcpStream, watcher: Watcher) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let secure = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
            .filter(|_| matches!(*request.method(), Method::GET | Method::HEAD))
            .and_then(|host| {
                let path = request.uri().path_and_query()?;
                HeaderValue::from_str(&format!("https://{host}{path}")).ok()
            });
        let mut answer = match secure {
            Some(address) => {
                let mut answer = warp::http::StatusCode::TEMPORARY_REDIRECT.into_response();
                answer.headers_mut().insert(LOCATION, address);
                answer
            }
            None => Error::bad_request("https_needed", "This port speaks HTTPS: use an https address.").into_response(),
        };
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Ok::<_, Infallible>(answer)
    });
    converse(stream, service, watcher).await;
}

/// How many connections the limit on open files leaves room for, after raising it as far as may be.
fn places_for_connections() -> usize {
    let wanted = CONNECTIONS_MAX as u64 + OTHER_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or(1024);
    usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(CONNECTIONS_MAX).clamp(16, CONNECTIONS_MAX)
}

/// Small answers go out at once, and a peer that vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))
}
