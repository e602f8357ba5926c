//! Server-sent events, as a client reads them.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::Person;
use super::openapi::assert_event_described;

/// The timeout for the next event.
const NEXT_EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A user's event stream.
pub struct EventStream {
    response: Response,
    buffer: String,
}

/// A server-sent event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    /// 0 without an id.
    pub id: i64,
    pub data: Value,
}

impl Event {
    /// Whether it is not in the log: presences, and changes of the directory. Their time is not that of other events.
    fn is_unnumbered(&self) -> bool {
        self.id == 0
    }
}

impl EventStream {
    /// Opens a stream that resumes after event `after`, if that is given.
    pub async fn open(person: &Person, after: Option<i64>) -> Self {
        let mut request = person.getting("/events");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        Self::from_request(request).await
    }

    /// Opens a stream that names a call or a share: `call=ID` or `share=ID`.
    pub async fn naming(person: &Person, query: &str) -> Self {
        Self::from_request(person.getting(&format!("/events?{query}"))).await
    }

    /// Opens a stream that resumes after event `after`. `None` if the server is gone.
    pub async fn try_open(person: &Person, after: i64) -> Option<Self> {
        let response = person.getting(&format!("/events?after={after}")).send().await.ok()?;
        (response.status() == 200).then(|| Self { response, buffer: String::new() })
    }

    /// Opens a stream with this request.
    pub async fn from_request(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// Opens a stream and reads its first event, a snapshot.
    pub async fn open_with_snapshot(person: &Person) -> (Self, Event) {
        let mut stream = Self::open(person, None).await;
        let snapshot = stream.expect("snapshot").await;
        (stream, snapshot)
    }

    /// The next event of the log. `None` if the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.next_of_all().await;
            if !event.as_ref().is_some_and(Event::is_unnumbered) {
                return event;
            }
        }
    }

    /// The next event with this name, which may be one that is not in the log.
    pub async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next_of_all().await.unwrap_or_else(|| panic!("no event {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// The next event, in the log or not. `None` if the stream has ended.
    pub async fn next_of_all(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event = parse(&self.buffer[..end]);
                self.buffer.drain(..end + 2);
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(NEXT_EVENT_TIMEOUT, self.response.chunk()).await.expect("an event in time");
            match chunk {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                // A killed server resets the connection.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event. Fails if it has another name.
    pub async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("another event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// The next event, a `call`. Fails if the call has another state.
    pub async fn expect_call(&mut self, state: &str) -> Event {
        let event = self.expect("call").await;
        assert_eq!(event.data["state"], state, "{event:?}");
        event
    }

    /// Fails unless a comment, which keeps the connection open, is the next thing but presences, and comes within `limit`.
    pub async fn expect_keepalive(&mut self, limit: Duration) {
        let comment = async {
            loop {
                let chunk = self.response.chunk().await.unwrap().unwrap();
                if !chunk.starts_with(b"event:presence") {
                    return chunk;
                }
            }
        };
        assert_eq!(tokio::time::timeout(limit, comment).await.expect("a comment in time"), ":\n\n");
    }

    /// Reads events up to one whose data contains this text.
    pub async fn expect_data(&mut self, text: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no event with {text}"));
            if event.data.to_string().contains(text) {
                return event;
            }
        }
    }
}

/// The event of a block, which is as the description of the API has it. `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_start);
    let name = field("event")?.to_owned();
    let data = serde_json::from_str(field("data").unwrap()).unwrap();
    assert_event_described(&name, &data);
    let id = field("id").map_or(0, |id| id.parse().unwrap());
    assert_eq!(id == 0, name == "presence" || name == "directory", "{name} {id}");
    Some(Event { name, id, data })
}
