//! Push: server-sent events, long polls, presence and history.

#[path = "../support/mod.rs"]
mod support;

mod history;
mod presence;
mod streams;
mod unrenderable;
mod waiting;

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::Person;

/// The timeout for what should happen at once.
const SOON: Duration = Duration::from_secs(10);

/// A user's event stream.
struct Stream {
    response: Response,
    buffer: String,
}

/// A server-sent event.
#[derive(Debug)]
struct Event {
    name: String,
    id: i64,
    data: Value,
}

impl Stream {
    /// Opens a stream that resumes after event `after`, if that is given.
    async fn open(person: &Person, after: Option<i64>) -> Self {
        let mut request = person.request(Method::GET, "/events");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// Opens a stream and reads its first event, a snapshot.
    async fn open_with_snapshot(person: &Person) -> (Self, Event) {
        let mut stream = Self::open(person, None).await;
        let snapshot = stream.next().await.unwrap();
        assert_eq!(snapshot.name, "snapshot");
        (stream, snapshot)
    }

    /// The next event. `None` if the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let event = parse(block);
                self.buffer = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            match tokio::time::timeout(SOON, self.response.chunk()).await.expect("an event within ten seconds") {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                // A killed server resets the connection.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event. Fails if it has another name.
    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("another event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// The next event, a `call`. Fails if the call has another state.
    async fn expect_call(&mut self, state: &str) -> Event {
        let event = self.expect("call").await;
        assert_eq!(event.data["state"], state, "{event:?}");
        event
    }
}

/// The event of a block. `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim_start())
    };
    Some(Event {
        name: field("event")?.to_owned(),
        id: field("id").unwrap().parse().unwrap(),
        data: serde_json::from_str(field("data").unwrap()).unwrap(),
    })
}

/// Polls until the value is the expected one. A sweep runs each second.
async fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, ask: impl Fn() -> T) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < SOON {
        if ask() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(), expected);
}
