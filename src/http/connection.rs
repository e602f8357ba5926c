//! One connection: HTTP/1.1 or HTTP/2, its timeouts, and its end.
//!
//! hyper has one timeout for an idle connection and for an incomplete head, and none for an answer that nobody reads. The
//! timeouts here are of the connection: bytes that trickle in do not extend them.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use warp::http::Response;

use super::endless::EndlessBody;
use super::held_bytes::Share;

/// The time from the first byte of a request's head to its last, and from the connection to the first byte.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be idle. Proxies keep idle connections for 60 or 75 seconds, and must close them first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A client reads an answer at least this fast, or the connection counts as idle.
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// How long a closing connection waits for its client after the last response.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest head of a request.
const HEAD_MAX_BYTES: u32 = 32 * 1024;

/// The bytes of bodies that an HTTP/1.1 connection buffers before it asks for more.
const BUFFER_MAX_BYTES: usize = 64 * 1024;

/// The requests that an HTTP/2 client may have under way on one connection. A browser shares one connection between all
/// its windows.
const STREAMS_MAX: u32 = 40;

/// The bytes that an HTTP/2 client may send before the server has read them, of a stream and of a connection.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// An HTTP/2 client answers a PING within this time, and gets one this often.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Changes when the server stops. The server waits for all clones to be dropped.
pub(super) type Stopping = watch::Receiver<()>;

/// Serves the requests of one connection until either side closes it, a timeout passes, or the server stops.
pub(super) async fn serve<I, S, B>(stream: I, protocol: Protocol, service: S, mut stopping: Stopping)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let activity = Arc::new(Activity::new(protocol));
    let io = TokioIo::new(ObservedStream { stream, activity: Arc::clone(&activity) });
    let observed = Arc::clone(&activity);
    let endless = Arc::new(Mutex::new(None));
    let place = Arc::clone(&endless);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = OpenRequest::new(&observed);
        let takes_chunks = request.version() == Version::HTTP_11 && request.method() != Method::HEAD;
        let place = takes_chunks.then(|| Arc::clone(&place));
        let response = service.call(request);
        async move { response.await.map(|response| track(response, open, place.as_deref())) }
    });
    // hyper's connections are boxed: the task of an event stream lives on without them.
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(HEAD_MAX_BYTES as usize)
                .max_buf_size(BUFFER_MAX_BYTES)
                .serve_connection(io, service);
            let mut connection = Box::new(connection);
            let shut_down = http1::Connection::graceful_shutdown;
            let end = drive(Pin::new(&mut *connection), shut_down, &activity, &mut stopping).await;
            let body = endless.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (End::HeadSent, Some(body)) = (end, body) {
                let stream = connection.into_parts().io.into_inner().stream;
                let rest = pin!(EndlessBody::new(stream, body, OpenRequest::new(&activity)));
                drive(rest, |_| (), &activity, &mut stopping).await;
            }
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(HEAD_MAX_BYTES)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(BUFFER_MAX_BYTES)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .serve_connection(io, service);
            let mut connection = Box::pin(connection);
            drive(connection.as_mut(), http2::Connection::graceful_shutdown, &activity, &mut stopping).await;
        }
    }
}

/// What ends the work on a connection.
enum End {
    /// The head of a response whose body is an [`EndlessBody`] has been sent.
    HeadSent,
    Closed,
}

/// Runs a connection to its end.
async fn drive<C, E, F>(mut connection: Pin<&mut C>, shut_down: F, activity: &Activity, stopping: &mut Stopping) -> End
where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
    F: Fn(Pin<&mut C>),
{
    let mut timer = pin!(sleep_until(Instant::now() + HEAD_TIMEOUT));
    let mut is_closing = false;
    loop {
        let may_respond = tokio::select! {
            biased;
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection failed");
                }
                return End::Closed;
            }
            () = activity.head_sent() => return End::HeadSent,
            _ = stopping.changed(), if !is_closing => true,
            () = activity.timeout(timer.as_mut()) => !is_closing && activity.may_respond(),
        };
        if !may_respond {
            return End::Closed;
        }
        is_closing = true;
        activity.close();
        shut_down(connection.as_mut());
    }
}

/// What the timeouts of a connection depend on.
pub(super) struct Activity {
    protocol: Protocol,
    state: Mutex<State>,
    /// hyper has buffered the head of a response whose body it does not get.
    head_written: AtomicBool,
    /// It has sent that head.
    head_sent: AtomicBool,
}

struct State {
    /// Requests without a complete response.
    open: usize,
    /// Bytes of the next request have arrived.
    in_head: bool,
    /// When the connection closes.
    deadline: Option<Instant>,
    /// The time after the last response until then.
    idle_timeout: Duration,
}

impl Activity {
    fn new(protocol: Protocol) -> Self {
        let deadline = Some(Instant::now() + HEAD_TIMEOUT);
        let state = State { open: 0, in_head: false, deadline, idle_timeout: IDLE_TIMEOUT };
        Self { protocol, state: Mutex::new(state), head_written: false.into(), head_sent: false.into() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have arrived. Only the first of a head count. HTTP/2 bounds the size of heads, and pings are no requests, so
    /// there only the first bytes of the connection count.
    fn receive(&self) {
        let mut state = self.state();
        if state.open == 0 && !state.in_head {
            state.in_head = true;
            let timeout = match self.protocol {
                Protocol::Http1 => HEAD_TIMEOUT,
                Protocol::Http2 => IDLE_TIMEOUT,
            };
            state.deadline = Some(Instant::now() + timeout);
        }
    }

    /// A request has a complete head.
    fn begin(&self) {
        let mut state = self.state();
        state.open += 1;
        state.deadline = None;
    }

    /// A request has a complete response, of which the client still has to read some of `bytes`.
    fn end(&self, bytes: u64) {
        let mut state = self.state();
        state.open -= 1;
        if state.open == 0 {
            let reading = Duration::from_secs(bytes / MIN_BYTES_PER_SECOND);
            state.deadline = Some(Instant::now() + state.idle_timeout + reading);
            state.in_head = self.protocol == Protocol::Http2;
        }
    }

    /// Whether the client may get another byte: not if it has sent a part of a head.
    fn may_respond(&self) -> bool {
        self.protocol == Protocol::Http2 || !self.state().in_head
    }

    /// No further requests follow. The open ones end, and the client gets what they responded.
    fn close(&self) {
        let mut state = self.state();
        state.idle_timeout = CLOSE_TIMEOUT;
        if state.open == 0 {
            state.deadline = Some(Instant::now() + CLOSE_TIMEOUT);
        }
    }

    /// Everything that hyper had buffered has been sent.
    fn flush(&self) {
        if self.head_written.load(Relaxed) {
            self.head_sent.store(true, Relaxed);
        }
    }

    /// Completes, once, when a head without its body has been sent. The caller polls it after the connection.
    async fn head_sent(&self) {
        poll_fn(|_| if self.head_sent.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.head_sent.store(false, Relaxed);
    }

    /// Completes when the deadline has passed. The caller polls it after each change of the connection.
    async fn timeout(&self, mut timer: Pin<&mut Sleep>) {
        poll_fn(|context| {
            let Some(deadline) = self.state().deadline else {
                return Poll::Pending;
            };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
}

/// A request without a complete response.
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    /// The length of the last part of the response.
    pub(super) bytes: u64,
}

impl OpenRequest {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begin();
        Self { activity: Arc::clone(activity), bytes: 0 }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.activity.end(self.bytes);
    }
}

/// The stream of a connection, which reports the bytes that arrive.
struct ObservedStream<I> {
    stream: I,
    activity: Arc<Activity>,
}

impl<I: AsyncRead + Unpin> AsyncRead for ObservedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.receive();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ObservedStream<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        if result.is_ready() {
            self.activity.flush();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Makes a response hold its request open, and its bytes hold their [`Share`] until they are written to the socket. A
/// body without a known length moves to `endless`, if the request allows it.
fn track<B: Body>(
    mut response: Response<B>,
    open: OpenRequest,
    endless: Option<&Mutex<Option<B>>>,
) -> Response<TrackedBody<B>> {
    let share = response.extensions_mut().remove::<Arc<Share>>();
    let endless = endless.filter(|_| response.body().size_hint().exact().is_none());
    if endless.is_some() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| {
        let body = match endless {
            Some(place) => {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
                None
            }
            None => Some(body),
        };
        TrackedBody { body, open, share }
    })
}

/// The body of a response.
struct TrackedBody<B> {
    /// `None` if hyper sends the head alone.
    body: Option<B>,
    open: OpenRequest,
    share: Option<Arc<Share>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = TrackedBytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = &mut self.body else {
            // hyper asks for the body once it has buffered the head.
            self.open.activity.head_written.store(true, Relaxed);
            return Poll::Pending;
        };
        let frame = Pin::new(body).poll_frame(context);
        frame.map_ok(|frame| {
            frame.map_data(|bytes| {
                self.open.bytes = bytes.len() as u64;
                TrackedBytes { bytes, _share: self.share.clone() }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

/// A part of a response. hyper drops it when it has written it.
struct TrackedBytes {
    bytes: Bytes,
    _share: Option<Arc<Share>>,
}

impl Buf for TrackedBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
