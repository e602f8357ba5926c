//! `GET /events`, server-sent events (HTML standard, section 9.2), and long polls, which wait for events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout_at};
use warp::http::Method;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::authentication::{Caller, as_caller};
use super::request::parse_cursor;
use super::{App, Error, HandlerResult, NO_STORE, Request, Routes, any_of, route};
use crate::database::{Database, ReadError, Snapshot};
use crate::push::{Audience, Message, Page, Subscription, first_page, newest_event, next_page};
use crate::statements;

/// A stream sends a comment this often. It keeps proxies from closing the connection, and finds dead clients. One timer
/// a stream is cheap, unless each event sets it again.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// The streams whose comments are due within this time send them at one wake-up: each wake-up costs more than a comment.
const COMMENT_STEP: Duration = Duration::from_millis(100);

/// How long a stream waits for a member of a cluster to catch up. A member that has not then says so itself.
const CATCH_UP_MAX: Duration = Duration::from_secs(3);

/// How often it checks.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(25);

/// The longest `?wait=`, in seconds.
const WAIT_MAX: f64 = 60.0;

/// The longest id of a call or share.
const ID_MAX_BYTES: usize = 64;

pub(super) fn routes(app: &App) -> Routes {
    any_of![route!(GET app, warp::path("events") => events().await)]
}

async fn events(request: &mut Request) -> HandlerResult<Response> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let id = request.header("last-event-id").filter(|id| !id.is_empty()).or(request.query("after"));
    let last_event_id = id.map(str::trim).and_then(parse_cursor);
    if request.method == Method::HEAD {
        return Ok(event_stream(stream::empty()));
    }
    let names = ["call", "share"].into_iter().filter_map(|name| request.query(name)).filter(|id| is_id(id));
    let names = names.map(str::to_owned).collect();
    catch_up(&request.app, last_event_id).await?;
    // Subscribing before reading the log leaves no gap. An event that comes both ways is sent once.
    let audience = request.app.database.read(|snapshot| Audience::of(snapshot, &caller.name))?;
    let subscription = subscribe(&request.app, &caller, names, audience)?;
    let database = request.app.database.clone();
    let name = caller.name.clone();
    let first = database
        .read_on_pool(&caller.name, move |snapshot| Ok::<_, Error>(first_page(snapshot, &name, last_event_id)?))
        .await?;
    Ok(event_stream(EventStream { database, page: first.into(), reading: None, subscription, keep_alive: comments() }))
}

/// Waits until this member of a cluster serves streams, and has event `last_event_id`, which another member may have sent.
/// Otherwise the client would take the log for an older copy, and would get events twice.
///
/// # Errors
/// 503 if this member does not catch up: the client finds another one.
async fn catch_up(app: &App, last_event_id: Option<i64>) -> Result<(), Error> {
    if !app.database.is_member() {
        return Ok(());
    }
    let deadline = Instant::now() + CATCH_UP_MAX;
    loop {
        let health = app.database.health();
        let is_ahead = last_event_id > Some(app.database.read(newest_event)?);
        if health.is_ok() && !is_ahead {
            return Ok(());
        }
        if Instant::now() >= deadline {
            // A member that is well has the whole log. The event is of a log before a restore.
            return Ok(health?);
        }
        sleep(CATCH_UP_INTERVAL).await;
    }
}

/// When a stream that begins now sends its comments.
fn comments() -> Interval {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let steps = FIRST.elapsed().as_millis() / COMMENT_STEP.as_millis();
    let begun = *FIRST + COMMENT_STEP * u32::try_from(steps).unwrap_or_default();
    let mut comments = interval_at(begun + COMMENT_INTERVAL, COMMENT_INTERVAL);
    comments.set_missed_tick_behavior(MissedTickBehavior::Skip);
    comments
}

fn event_stream(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static) -> Response {
    let mut response = warp::reply::stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    // Without this header, nginx buffers the response.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Whether this may be the id of a call or share. Others are not worth their memory.
fn is_id(id: &str) -> bool {
    (1..=ID_MAX_BYTES).contains(&id.len())
}

/// The events of a stream: those that the client missed, a page at a time, and then those of its subscription. A page is
/// read when the client has read the one before it, so that a slow client takes little memory.
struct EventStream {
    database: Database,
    page: UnsentPage,
    /// The next page, while it is read.
    reading: Option<PageRead>,
    subscription: Subscription,
    keep_alive: Interval,
}

type PageRead = Pin<Box<dyn Future<Output = Result<Page, ReadError>> + Send + Sync>>;

/// What is left of a page.
struct UnsentPage {
    messages: vec::IntoIter<Message>,
    newest: i64,
    has_more: bool,
}

impl From<Page> for UnsentPage {
    fn from(Page { messages, newest, has_more }: Page) -> Self {
        Self { messages: messages.into_iter(), newest, has_more }
    }
}

impl EventStream {
    /// The next event. `None` if the subscription has ended or the log cannot be read; the client resumes.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(message) = self.page.messages.next() {
                return Poll::Ready(Some(message.text));
            }
            if !self.page.has_more {
                self.page.messages = vec::IntoIter::default();
                break;
            }
            let (database, username, after) = (&self.database, self.subscription.username(), self.page.newest);
            let reading = self.reading.get_or_insert_with(|| read_page(database.clone(), username.to_owned(), after));
            let page = ready!(reading.as_mut().poll(context));
            self.reading = None;
            match page {
                Ok(page) => self.page = page.into(),
                Err(error) => {
                    tracing::warn!(%error, "cannot read the event log");
                    return Poll::Ready(None);
                }
            }
        }
        if let Some(presences) = self.subscription.take_presences() {
            return Poll::Ready(Some(presences.text.clone()));
        }
        loop {
            let Some(message) = ready!(self.subscription.poll_next(context)) else {
                return Poll::Ready(None);
            };
            // The page may have covered it, or the hub may have sent it twice after an error.
            if message.id.is_none_or(|id| id > self.page.newest) {
                self.page.newest = message.id.unwrap_or(self.page.newest);
                return Poll::Ready(Some(message.text.clone()));
            }
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.poll_event(context);
        if event.is_ready() {
            return event.map(|event| event.map(Ok));
        }
        self.keep_alive.poll_tick(context).map(|_| Some(Ok(Bytes::from_static(b":\n\n"))))
    }
}

fn read_page(database: Database, username: String, after: i64) -> PageRead {
    Box::pin(async move {
        let person = username.clone();
        database.read_on_pool(&person, move |snapshot| next_page(snapshot, &username, after)).await
    })
}

/// Subscribes a stream, with an audience, or a long poll of the caller to events. It proves presence on the calls and shares
/// that it names.
///
/// # Errors
/// 429 if the caller has as many as the setting `streams_per_person` allows.
fn subscribe(
    app: &App,
    caller: &Caller,
    names: Vec<String>,
    audience: Option<Audience>,
) -> Result<Subscription, Error> {
    let limit: Option<u32> =
        app.database.read(|snapshot| snapshot.row(&statements::STREAMS_PER_PERSON, [], |row| row.get(0)))?;
    let limit = usize::try_from(limit.unwrap_or_default()).unwrap_or(usize::MAX);
    app.hub.subscribe(&caller.name, caller.token_hash.clone(), names, audience, limit).ok_or_else(|| {
        Error::too_much("too_many_streams", "Too many open event streams and waiting requests. Close some first.")
    })
}

/// The duration of a long poll, from `?wait=SECONDS`. Zero without it.
///
/// # Errors
/// 400 if it is not a number from 0 to 60.
fn wait_duration(request: &Request) -> Result<Duration, Error> {
    let Some(wait) = request.query("wait") else {
        return Ok(Duration::ZERO);
    };
    match wait.parse::<f64>() {
        Ok(seconds) if (0.0..=WAIT_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Error::bad_request("bad_wait", "Invalid ?wait=: seconds from 0 to 60.")),
    }
}

/// Long poll: reads again on each event visible to the caller until `is_news` holds or `?wait=` expires, then returns
/// the last result. While it waits, it proves the caller's presence on the call or share whose id is `present_on`.
///
/// # Errors
/// As [`Request::caller`], also if the session ends during the wait, 400 for an invalid `?wait=`, and what `read`
/// returned.
pub(super) async fn long_poll<T>(
    request: &Request,
    present_on: Option<&str>,
    read: impl Fn(&App, &Snapshot, &Caller) -> Result<T, Error>,
    is_news: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    let wait = wait_duration(request)?;
    let app = &request.app;
    let (first, waiting) = request.read(|snapshot, caller| {
        app.hub.note_poll(&caller.name);
        Ok((read(app, snapshot, caller)?, (!wait.is_zero()).then(|| caller.clone())))
    })?;
    let Some(caller) = waiting.filter(|_| !is_news(&first)) else {
        return Ok(first);
    };
    // The session may end during the wait, or the person may.
    let token_hashes = [caller.token_hash.clone()];
    let read = || {
        app.database.read(|snapshot| as_caller(snapshot, &token_hashes, |snapshot, caller| read(app, snapshot, caller)))
    };
    let deadline = Instant::now() + wait;
    let names = present_on.filter(|id| is_id(id)).map(str::to_owned).into_iter().collect();
    let mut subscription = subscribe(app, &caller, names, None)?;
    let result = loop {
        // Events between the first read and the subscription were not delivered.
        match read() {
            Ok(result) if !is_news(&result) => {}
            result => break result,
        }
        // An ended session, a stopping server and an expired wait all end the poll with one more read.
        if !matches!(timeout_at(deadline, subscription.next()).await, Ok(Some(_))) {
            break read();
        }
    };
    subscription.finish();
    result
}
