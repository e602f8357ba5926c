//! The listening loop. It is ours because warp's own starts hyper without a timer, so that a client which never finishes its
//! headers could hold a connection for ever, and listens with a short backlog.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use warp::{Filter, Reply};

use super::{PeerAddress, leftover};

/// Clients have this long to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

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
pub async fn serve<F>(listener: TcpListener, routes: F, stop: impl Future<Output = ()>)
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    let places = Arc::new(Semaphore::new(places_for_connections()));
    let graceful = GracefulShutdown::new();
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
        let service = warp::service(routes.clone());
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (parts, body) = request.into_parts();
            let (body, leftover) = leftover::share(body, parts.headers.contains_key("expect"));
            let mut request = hyper::Request::from_parts(parts, body);
            request.extensions_mut().insert(PeerAddress(peer));
            let answering = hyper::service::Service::call(&TowerToHyperService::new(service.clone()), request);
            async move {
                let answer = answering.await;
                leftover.discard().await;
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
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
