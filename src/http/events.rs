//! `GET /events`, server-sent events (HTML standard, section 9.2), and long polls, which wait for events.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

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
use crate::database::Snapshot;
use crate::push::{Message, Presence, Subscription, stream_start};

/// The longest `?wait=`, in seconds.
const WAIT_MAX: f64 = 60.0;

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
    // Subscribing before reading the log leaves no gap. An event that comes both ways is sent once.
    let subscription = request.app.hub.subscribe(&caller.name, caller.token_hash, Presence::Proven);
    let start = request
        .app
        .database
        .read_on_pool(move |snapshot| stream_start(snapshot, &caller.name, last_event_id).map_err(Error::from))
        .await?;
    let newest = start.newest;
    let first = stream::iter(start.messages).map(|message| server_sent(&message));
    let rest =
        messages(subscription).filter_map(move |message| ready((message.id > newest).then(|| server_sent(&message))));
    Ok(event_stream(first.chain(rest)))
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

fn messages(subscription: Subscription) -> impl Stream<Item = Arc<Message>> + Send {
    stream::unfold(subscription, |mut subscription| async move {
        subscription.next().await.map(|message| (message, subscription))
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
/// the last result.
///
/// # Errors
/// As [`Request::caller`], also if the session ends during the wait, 400 for an invalid `?wait=`, and what `read`
/// returned.
pub(super) async fn long_poll<T>(
    request: &Request,
    presence: Presence,
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
    let mut subscription = app.hub.subscribe(&caller.name, caller.token_hash.clone(), presence);
    loop {
        // Events between the first read and the subscription were not delivered.
        let result = read()?;
        if is_news(&result) {
            return Ok(result);
        }
        // An ended session, a stopping server and an expired wait all end the poll with one more read.
        if !matches!(timeout_at(deadline, subscription.next()).await, Ok(Some(_))) {
            return read();
        }
    }
}
