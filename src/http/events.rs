//! `GET /events`, server-sent events (HTML standard, section 9.2), and long polls, which wait for events.

use std::convert::Infallible;
use std::time::Duration;
use std::vec;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};
use warp::http::Method;
use warp::http::header::{CACHE_CONTROL, HeaderValue};
use warp::reply::Response;
use warp::sse::Event;
use warp::{Filter, Reply};

use super::authentication::{Caller, as_caller};
use super::request::parse_cursor;
use super::{App, Error, HandlerResult, NO_STORE, Request, Routes, any_of, route};
use crate::database::{Database, Snapshot};
use crate::push::{Message, Page, Subscription, first_page, next_page};
use crate::statements;

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
    // Subscribing before reading the log leaves no gap. An event that comes both ways is sent once.
    let subscription = subscribe(&request.app, &caller, names)?;
    let database = request.app.database.clone();
    let name = caller.name.clone();
    let first = database
        .read_on_pool(&caller.name, move |snapshot| Ok::<_, Error>(first_page(snapshot, &name, last_event_id)?))
        .await?;
    let stream = EventStream { database, username: caller.name, page: first.into(), subscription };
    Ok(event_stream(stream::unfold(stream, |mut stream| async move { Some((stream.next().await?, stream)) })))
}

fn event_stream(events: impl Stream<Item = Event> + Send + Sync + 'static) -> Response {
    // An idle stream sends a comment every 15 seconds. It keeps proxies from closing the connection, and finds dead
    // clients. One timer per stream is cheap: ten thousand idle streams use 1.6 % of a core.
    let events = warp::sse::keep_alive().stream(events.map(Ok::<_, Infallible>));
    let mut response = warp::sse::reply(events).into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    // Without this header, nginx buffers the response.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
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
    username: String,
    page: UnsentPage,
    subscription: Subscription,
}

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
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(message) = self.page.messages.next() {
                return Some(server_sent(&message));
            }
            if !self.page.has_more {
                break;
            }
            let (username, after) = (self.username.clone(), self.page.newest);
            let read =
                self.database.read_on_pool(&self.username, move |snapshot| next_page(snapshot, &username, after));
            self.page = match read.await {
                Ok(page) => page.into(),
                Err(error) => {
                    tracing::warn!(%error, "cannot read the event log");
                    return None;
                }
            };
        }
        loop {
            let message = self.subscription.next().await?;
            if message.id > self.page.newest {
                return Some(server_sent(&message));
            }
        }
    }
}

/// Subscribes a stream or a long poll of the caller to events. It proves presence on the calls and shares that it names.
///
/// # Errors
/// 429 if the caller has as many as the setting `streams_per_person` allows.
fn subscribe(app: &App, caller: &Caller, names: Vec<String>) -> Result<Subscription, Error> {
    let limit: Option<u32> =
        app.database.read(|snapshot| snapshot.row(&statements::STREAMS_PER_PERSON, [], |row| row.get(0)))?;
    let limit = usize::try_from(limit.unwrap_or_default()).unwrap_or(usize::MAX);
    app.hub.subscribe(&caller.name, caller.token_hash.clone(), names, limit).ok_or_else(|| {
        Error::too_much("too_many_streams", "Too many open event streams and waiting requests. Close some first.")
    })
}

fn server_sent(message: &Message) -> Event {
    Event::default().id(message.id.to_string()).event(message.name).data(message.data.as_str())
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
    let (first, waiting) = request
        .read(|snapshot, caller| Ok((read(app, snapshot, caller)?, (!wait.is_zero()).then(|| caller.clone()))))?;
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
    let mut subscription = subscribe(app, &caller, names)?;
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
