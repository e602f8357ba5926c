//! The accept loop. warp's own has a short backlog and no header timeout: a client that never finishes its headers
//! would keep its connection.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use warp::http::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use warp::{Filter, Reply};

use super::origin::check_target;
use super::{PathMethods, PeerAddress, https, refuse_connection};
use crate::tls::Tls;

/// The time in which a client has to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP Strict Transport Security (RFC 6797), for half a year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// A peer that acknowledges no data for this long is gone.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an idle connection waits before it probes its peer.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// How long a stopping server waits for running requests.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long the loop pauses after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Further connections wait in the backlog.
const MAX_CONNECTIONS: usize = 16_384;

/// File descriptors for other uses than connections, such as the database.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Connections that the kernel queues before they are accepted.
const BACKLOG: i32 = 4096;

/// Listens on `address`, such as `127.0.0.1:6767` or `localhost:0`.
///
/// # Errors
/// If the address is invalid, does not belong to this machine, or is in use.
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

/// Serves `routes` on `listener` until `stop` completes. Then it finishes the running requests within four seconds, and
/// returns.
///
/// With `tls`, connections are HTTPS, and plain HTTP is redirected to it.
pub async fn serve<F>(listener: TcpListener, tls: Option<Arc<Tls>>, routes: F, stop: impl Future<Output = ()>)
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    let permits = Arc::new(Semaphore::new(max_connections()));
    let graceful = GracefulShutdown::new();
    // No HSTS with the self-signed CA: browsers would no longer let users bypass the warning.
    let hsts = tls.as_ref().is_some_and(|tls| tls.ca().is_none());
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, peer, permit) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            request.extensions_mut().insert(PathMethods::default());
            let response = check_target(&mut request).map(|()| hyper::service::Service::call(&service, request));
            async move {
                let mut response = match response {
                    Ok(response) => response.await?,
                    Err(error) => refuse_connection(error),
                };
                if hsts {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let watcher = graceful.watcher();
        let tls = tls.clone();
        let mut stopped = stopped.clone();
        // Each connection has its own task, TLS handshake included, so that a slow one blocks no other.
        tokio::spawn(async move {
            let _permit = permit;
            let Some(tls) = tls else {
                return serve_connection(stream, service, watcher).await;
            };
            tokio::select! {
                // A stopping server does not wait for handshakes.
                _ = stopped.changed() => {}
                handshake = https::tls_accept(stream, tls.acceptor()) => match handshake {
                    Some(https::Handshake::Tls(stream)) => serve_connection(*stream, service, watcher).await,
                    Some(https::Handshake::Plain(stream)) => https::redirect(stream, watcher, tls).await,
                    None => {}
                },
            }
        });
    }
    drop(stopping);
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish before the shutdown timeout");
    }
}

/// Accepts a connection as soon as there is a permit for it. The semaphore is never closed, so the permit is always
/// there.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    loop {
        let permit = Arc::clone(permits).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, peer)) => match configure_socket(&stream) {
                Ok(()) => return (stream, peer, permit),
                Err(error) => tracing::debug!(%error, "a connection closed before its first request"),
            },
            Err(error) => {
                // Without a pause, too many open files would make this a busy loop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves the requests of one connection until either side closes it or the server stops.
pub(super) async fn serve_connection<I, S, B>(stream: I, service: S, watcher: Watcher)
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
        tracing::debug!(%error, "a connection failed");
    }
}

/// The number of connections that the limit on open files allows, after raising that limit.
fn max_connections() -> usize {
    let wanted = MAX_CONNECTIONS as u64 + RESERVED_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or(1024);
    usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(MAX_CONNECTIONS).clamp(16, MAX_CONNECTIONS)
}

/// Sends small responses at once, and detects a peer that vanished.
fn configure_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_TIME))
}
