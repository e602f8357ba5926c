//! The load: pairs of users who call, signal, upload and share, each over its own connection.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::ledger::{Content, Deed, History};
use crate::raw::{Raw, head};
use crate::support::{Person, Server};

/// Limits that must not delete rows during a test.
pub const PATIENT_SETTINGS: &str = "UPDATE settings SET value = 3600 \
    WHERE name IN ('ringing_timeout', 'presence_timeout', 'media_buffer_seconds')";

/// Two users with a channel.
pub struct Pair {
    people: [Person; 2],
}

impl Pair {
    /// Adds them to the file of a server.
    pub fn new(server: &Server, number: usize) -> Self {
        Self { people: [server.person(&format!("caller{number}")), server.person(&format!("callee{number}"))] }
    }
}

/// State that all pairs share.
#[derive(Default)]
pub struct Progress {
    pub acknowledged: AtomicUsize,
    pub stop: AtomicBool,
}

/// A pair that sends one request after the other over one connection.
pub struct Work {
    people: [Person; 2],
    connection: Raw,
    /// The client's port.
    pub port: u16,
    progress: Arc<Progress>,
    random: Rng,
    history: History,
    signals: usize,
}

impl Work {
    pub fn new(server: &Server, pair: &Pair, seed: u64, progress: &Arc<Progress>) -> Self {
        let stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        let port = stream.local_addr().unwrap().port();
        Self {
            people: pair.people.clone().map(|person| server.moved(&person)),
            connection: Raw::over(stream),
            port,
            progress: Arc::clone(progress),
            random: Rng::with_seed(seed),
            history: History::default(),
            signals: 0,
        }
    }

    /// Runs until told to stop or until the server is gone.
    pub fn run(mut self) -> History {
        while self.scene().is_some() {}
        self.history
    }

    /// A call or share from start to end; `None` if the server is gone before that.
    fn scene(&mut self) -> Option<()> {
        if self.random.u8(..4) == 0 { self.share() } else { self.call() }
    }

    fn call(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let body = self.act_json(0, "/calls/initiate", &channel, |body| Deed::Called { call: id(body, "call_id") })?;
        let call = id(&body, "call_id");
        let path = |what: &str| format!("/calls/{call}/{what}");
        if self.random.u8(..6) == 0 {
            self.act(1, &path("reject"), b"", |_| Deed::Declined { call: call.clone() })?;
            return Some(());
        }
        self.act(1, &path("accept"), b"", |_| Deed::Answered { call: call.clone() })?;
        for _ in 0..self.random.usize(3..14) {
            match self.random.u8(..8) {
                0..=3 => {
                    let who = self.random.usize(..2);
                    self.signal(who, &path("signal"), &call)?;
                }
                4 => self.begin_media(&path("media"), &call)?,
                5 | 6 => self.chunk(&path("media"), &call)?,
                _ => {
                    let (who, on) = (self.random.usize(..2), self.random.bool());
                    let name = self.people[who].name.clone();
                    // Only the sharer can stop sharing.
                    let others = self.sharer(&call).filter(|sharer| !on && *sharer != name);
                    let sharer = if on { Some(name) } else { others };
                    let deed = |_: &Value| Deed::Claimed { call: call.clone(), sharer: sharer.clone() };
                    self.act_json(who, &path("screenshare"), &json!({ "on": on }), deed)?;
                }
            }
        }
        let how = if self.random.bool() { "end" } else { "leave" };
        let who = self.random.usize(..2);
        self.act(who, &path(how), b"", |_| Deed::Ended { call: call.clone() })?;
        Some(())
    }

    fn share(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let deed = |body: &Value| Deed::Shared { share: id(body, "share_id") };
        let share = id(&self.act_json(0, "/screenshare/start", &channel, deed)?, "share_id");
        let path = |what: &str| format!("/screenshare/{share}/{what}");
        self.begin_media(&path("media"), &share)?;
        for _ in 0..self.random.usize(1..8) {
            if self.random.bool() {
                self.chunk(&path("media"), &share)?;
            } else {
                let who = self.random.usize(..2);
                self.signal(who, &path("signal"), &share)?;
            }
        }
        self.act(0, &path("stop"), b"", |_| Deed::Stopped { share: share.clone() })?;
        Some(())
    }

    /// More than the free pages that the server keeps, so that the file shrinks when the call ends.
    pub fn much_media(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let body = self.act_json(0, "/calls/initiate", &channel, |body| Deed::Called { call: id(body, "call_id") })?;
        let call = id(&body, "call_id");
        for _ in 0..16 {
            self.chunk_of(&format!("/calls/{call}/media"), &call, 128 << 10)?;
        }
        self.act(0, &format!("/calls/{call}/end"), b"", |_| Deed::Ended { call: call.clone() })?;
        Some(())
    }

    fn channel(&self) -> String {
        format!("dm:{}:{}", self.people[1].name, self.people[0].name)
    }

    /// The sharer in a call, by the acknowledged writes.
    fn sharer(&self, call: &str) -> Option<String> {
        self.history.deeds.iter().rev().find_map(|deed| match deed {
            Deed::Claimed { call: found, sharer } if found == call => Some(sharer.clone()),
            _ => None,
        })?
    }

    fn signal(&mut self, who: usize, path: &str, place: &str) -> Option<()> {
        self.signals += 1;
        let (to, length) = (&self.people[1 - who].name, self.random.usize(10..3000));
        let payload = format!(r#"{{"number":{},"sdp":"{}"}}"#, self.signals, "v".repeat(length));
        let body = format!(r#"{{"to":"{to}","type":"offer","payload":{payload}}}"#);
        let deed = |_: &Value| Deed::Signalled { place: place.to_owned(), payload: payload.clone() };
        self.act(who, path, body.as_bytes(), deed)?;
        Some(())
    }

    fn begin_media(&mut self, path: &str, place: &str) -> Option<()> {
        let content = Content { seed: self.random.u64(..), length: self.random.usize(1..2000) };
        let deed = |_: &Value| Deed::Began { place: place.to_owned(), content };
        self.act(0, &format!("{path}?init=1&mime=video/webm"), &content.bytes(), deed)?;
        Some(())
    }

    fn chunk(&mut self, path: &str, place: &str) -> Option<()> {
        let length = self.random.usize(1..20_000);
        self.chunk_of(path, place, length)
    }

    fn chunk_of(&mut self, path: &str, place: &str, length: usize) -> Option<()> {
        let content = Content { seed: self.random.u64(..), length };
        let deed =
            |body: &Value| Deed::Uploaded { place: place.to_owned(), seq: body["seq"].as_i64().unwrap_or(-1), content };
        self.act(0, path, &content.bytes(), deed)?;
        Some(())
    }

    fn act_json(&mut self, who: usize, path: &str, body: &Value, deed: impl Fn(&Value) -> Deed) -> Option<Value> {
        self.act(who, path, body.to_string().as_bytes(), deed)
    }

    /// Sends a write and records it when it is acknowledged. Every write here is legal, so the status is 200; `None` if
    /// there is no response.
    fn act(&mut self, who: usize, path: &str, body: &[u8], deed: impl Fn(&Value) -> Deed) -> Option<Value> {
        if self.progress.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.history.attempt = Some(deed(&Value::Null));
        let head = head(&self.people[who], &format!("POST {path}"));
        let request = [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
        let answer = self.connection.send(request).response()?;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let body = serde_json::from_str(&answer.body).unwrap();
        self.history.deeds.push(deed(&body));
        self.history.attempt = None;
        self.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(body)
    }
}

/// The id in a response; the record of an attempt has none yet.
fn id(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}
