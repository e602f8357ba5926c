//! `GET /events`: server-sent events (the HTML standard, section 9.2), and waiting for them in ordinary requests.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};
use warp::sse::Event;
use warp::{Filter, Reply};

use super::request::Caller;
use super::{Answer, App, Error, Request, Routes, one_of, route};
use crate::database::Snapshot;
use crate::push::{Heard, Listener, Message, Purpose, opening};

/// The longest that a request may wait, in seconds.
const WAIT_MAX: f64 = 60.0;

pub(super) fn routes(app: &App) -> Routes {
    one_of![route!(GET app, warp::path("events") => events)]
}

async fn events(request: Request) -> Answer<impl Reply> {
    let caller = request.read(|_, caller| Ok(caller.clone()))?;
    let after = match request.header_named("last-event-id").filter(|id| !id.is_empty()).or(request.query("after")) {
        Some(after) => Some(after.parse().map_err(|_| {
            Error::bad_request("bad_cursor", "Last-Event-ID and ?after= are whole numbers, the last id you have.")
        })?),
        None => None,
    };
    // Listening begins before the log is read, so that nothing falls in between; what comes twice is left out.
    let listener = request.app.hub.listen(&caller.name, caller.token_hash, Purpose::Stream);
    let opening = request
        .app
        .database
        .read_on_pool(move |snapshot| opening(snapshot, &caller.name, after).map_err(Error::from))
        .await?;
    let newest = opening.newest;
    let first = stream::iter(opening.messages).map(|message| server_sent(&message));
    let rest = heard(listener).filter_map(move |heard| {
        std::future::ready(match heard {
            Heard::Message(message) => (message.id > newest).then(|| server_sent(&message)),
            Heard::StillHere => Some(Event::default().comment("")),
        })
    });
    let reply = warp::sse::reply(first.chain(rest).map(Ok::<_, Infallible>));
    // nginx would collect the answer before it passes it on.
    Ok(warp::reply::with_header(reply, "x-accel-buffering", "no"))
}

fn heard(listener: Listener) -> impl Stream<Item = Heard> + Send {
    stream::unfold(listener, |mut listener| async move { listener.next().await.map(|heard| (heard, listener)) })
}

fn server_sent(message: &Message) -> Event {
    Event::default().id(message.id.to_string()).event(message.name).data(message.data.as_str())
}

/// How long the request wants to wait, from `?wait=SECONDS`.
///
/// # Errors
/// 400 if it is no number from 0 to 60.
fn wait_of(request: &Request) -> Result<Duration, Error> {
    let Some(wait) = request.query("wait") else {
        return Ok(Duration::ZERO);
    };
    match wait.parse::<f64>() {
        Ok(seconds) if (0.0..=WAIT_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(Error::bad_request("bad_wait", "?wait= is a number of seconds from 0 to 60.")),
    }
}

/// Looks for the caller until `is_news` likes what it sees, at each change that they may hear of, for as long as the request
/// wants to wait; then it answers what there is.
///
/// # Errors
/// As [`Request::caller`], 400 for a wait that is none, and what `look` returned.
pub(super) async fn look_until<T>(
    request: Request,
    purpose: Purpose,
    look: impl Fn(&App, &Snapshot, &Caller) -> Result<T, Error>,
    is_news: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    let wait = wait_of(&request)?;
    let (first, waiting) = request.read(|snapshot, caller| {
        Ok((look(&request.app, snapshot, caller)?, (!wait.is_zero()).then(|| caller.clone())))
    })?;
    let Some(caller) = waiting.filter(|_| !is_news(&first)) else {
        return Ok(first);
    };
    let app = request.app;
    let look = || app.database.read(|snapshot| look(&app, snapshot, &caller));
    let deadline = Instant::now() + wait;
    let mut listener = app.hub.listen(&caller.name, caller.token_hash.clone(), purpose);
    loop {
        // What came after the look before was perhaps not listened for yet.
        let seen = look()?;
        if is_news(&seen) {
            return Ok(seen);
        }
        // An ended session, a stopping server and the end of the wait all end it with one more look.
        if !matches!(timeout_at(deadline, listener.next()).await, Ok(Some(_))) {
            return look();
        }
    }
}
