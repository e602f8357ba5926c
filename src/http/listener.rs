//! The accept loop. warp's own has a short backlog, no timeouts, and no limit of connections.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use warp::http::Method;
use warp::http::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::addresses::{Addresses, Place};
use super::connection::{self, Protocol};
use super::cors::PageRequest;
use super::origin::check_target;
use super::patterns::pattern;
use super::request::CallerName;
use super::{App, PathMethods, PeerAddress, RequestTimes, https, refuse_connection};
use crate::statements;
use crate::tls::Tls;

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
        .to_socket_addrs()
        .map_err(|error| {
            missing_part(address).map_or(error, |missing| io::Error::new(ErrorKind::InvalidInput, missing))
        })?
        .next()
        .ok_or_else(|| io::Error::new(ErrorKind::AddrNotAvailable, "no such address"))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What to write instead of an address that lacks its host, its port or its brackets.
fn missing_part(address: &str) -> Option<String> {
    let port = address.strip_prefix(':').unwrap_or(address);
    if port.parse::<u16>().is_ok() {
        return Some(format!(
            "the host is missing; write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for its network"
        ));
    }
    if address.contains("::") && !address.starts_with('[') {
        return Some("an IPv6 address is written in brackets, as in [::1]:6767".to_owned());
    }
    (!address.contains(':')).then(|| format!("the port is missing; write {address}:6767"))
}

/// Serves `routes` on `listener` until `stop` completes. Then it finishes the running requests within four seconds, and
/// returns.
///
/// With `tls`, connections are HTTPS, and plain HTTP is redirected to it.
pub async fn serve<F>(
    listener: TcpListener,
    app: &App,
    tls: Option<Arc<Tls>>,
    routes: F,
    stop: impl Future<Output = ()>,
) where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
    F::Future: Send,
{
    let places = Places::new(app);
    // No HSTS with the self-signed CA: browsers would no longer let users bypass the warning.
    let hsts = tls.as_ref().is_some_and(|tls| tls.ca().is_none());
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, peer, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        let app = app.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let begun = Instant::now();
            let (method, route) = (request.method().clone(), pattern(request.uri().path()));
            let requests = app.requests.clone();
            let page_request = PageRequest::new(&app, &method, request.headers());
            request.extensions_mut().insert(PeerAddress(peer));
            request.extensions_mut().insert(PathMethods::default());
            let response = check_target(&mut request).map(|()| hyper::service::Service::call(&service, request));
            async move {
                let mut response = match response {
                    Ok(response) => response.await?,
                    Err(error) => refuse_connection(error),
                };
                note_request(&requests, &method, route, begun.elapsed(), &mut response);
                if let Some(page_request) = page_request {
                    page_request.share(&mut response);
                }
                if hsts {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let tls = tls.clone();
        let mut stopped = stopped.clone();
        // Each connection has its own task, TLS handshake included, so that a slow one blocks no other.
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = tls else {
                return connection::serve(stream, Protocol::Http1, service, stopped).await;
            };
            // Boxed, because the task of an event stream should stay small.
            let handshake = tokio::select! {
                // A stopping server does not wait for handshakes.
                _ = stopped.changed() => return,
                handshake = Box::pin(https::tls_accept(stream, tls.acceptor())) => handshake,
            };
            match handshake {
                Some(https::Handshake::Tls(stream, protocol)) => {
                    connection::serve(stream, protocol, service, stopped).await;
                }
                Some(https::Handshake::Plain(stream)) => Box::pin(https::redirect(stream, stopped, tls)).await,
                None => {}
            }
        });
    }
    drop(listener);
    drop(stopped);
    let _ = stopping.send(());
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, stopping.closed()).await.is_err() {
        tracing::warn!("some requests did not finish before the shutdown timeout");
    }
}

/// Counts a request, and logs it without what may be secret: its path, query and headers.
fn note_request(requests: &RequestTimes, method: &Method, route: &str, time: Duration, response: &mut Response) {
    requests.observe(method, route, response.status(), time);
    let caller = response.extensions_mut().remove::<CallerName>().map(|CallerName(name)| name);
    let (status, ms) = (response.status().as_u16(), time.as_secs_f64() * 1000.0);
    tracing::debug!(%method, route, status, ms, caller, "request");
}

/// The connections that may be open at a time, in all and of one address.
struct Places<'a> {
    app: &'a App,
    max: usize,
    permits: Arc<Semaphore>,
    addresses: Addresses,
}

impl<'a> Places<'a> {
    fn new(app: &'a App) -> Self {
        let max = max_connections();
        Self { app, max, permits: Arc::new(Semaphore::new(max)), addresses: Addresses::default() }
    }

    /// The place of a connection among those of its address. `None` if the address has no more.
    ///
    /// Behind a proxy, all connections come from the proxy. A limit above half of all connections would let one address
    /// take every place.
    fn of_address(&self, peer: SocketAddr) -> Option<Place> {
        if self.app.behind_proxy {
            return self.addresses.enter(peer.ip(), usize::MAX);
        }
        let limit = self
            .app
            .database
            .read(|snapshot| snapshot.row::<u32, 0>(&statements::CONNECTIONS_PER_ADDRESS, [], |row| row.get(0)));
        let limit = match limit {
            Ok(Some(0)) => usize::MAX,
            Ok(Some(limit)) => usize::try_from(limit).unwrap_or(usize::MAX).min(self.max / 2),
            // Requests report that the file cannot be read.
            Ok(None) | Err(_) => self.max / 2,
        };
        self.addresses.enter(peer.ip(), limit)
    }
}

/// Accepts a connection as soon as there is a permit for it. The semaphore is never closed, so the permit is always
/// there. A connection beyond the limit of its address is closed at once: before a handshake, it could not be told why.
async fn accept(
    listener: &TcpListener,
    places: &Places<'_>,
) -> (TcpStream, SocketAddr, (Option<OwnedSemaphorePermit>, Place)) {
    loop {
        let permit = Arc::clone(&places.permits).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, peer)) => match (configure_socket(&stream), places.of_address(peer)) {
                (Ok(()), Some(place)) => return (stream, peer, (permit, place)),
                (Ok(()), None) => tracing::debug!(%peer, "too many connections from one address"),
                (Err(error), _) => tracing::debug!(%error, "a connection closed before its first request"),
            },
            Err(error) => {
                // Without a pause, too many open files would make this a busy loop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
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
