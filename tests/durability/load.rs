//! The load: pairs of users who call, signal, upload and share, each over its own connection.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::ledger::{Content, History, Write};
use crate::raw::{Raw, head};
use crate::support::{Person, Server};

/// Timeouts that do not pass during a test, so that no row is deleted.
pub const LONG_TIMEOUTS: &str = "UPDATE settings SET value = 3600 \
    WHERE name IN ('ringing_timeout', 'presence_timeout', 'media_buffer_seconds')";

/// Two users with a channel.
pub struct Pair {
    people: [Person; 2],
}

impl Pair {
    /// Adds the users to the file of a server.
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
pub struct Worker {
    people: [Person; 2],
    connection: Raw,
    /// The client's port.
    pub port: u16,
    progress: Arc<Progress>,
    random: Rng,
    history: History,
    signals: usize,
}

impl Worker {
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

    /// Runs until [`Progress::stop`] or until the server is gone.
    pub fn run(mut self) -> History {
        while self.call_or_share().is_some() {}
        self.history
    }

    /// A call or share from start to end; `None` if the server is gone before that.
    fn call_or_share(&mut self) -> Option<()> {
        if self.random.u8(..4) == 0 { self.share() } else { self.call() }
    }

    fn call(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let body =
            self.write_json(0, "/calls/initiate", &channel, |body| Write::Called { call: id_in(body, "call_id") })?;
        let call = id_in(&body, "call_id");
        let path = |what: &str| format!("/calls/{call}/{what}");
        if self.random.u8(..6) == 0 {
            self.write(1, &path("reject"), b"", |_| Write::Declined { call: call.clone() })?;
            return Some(());
        }
        self.write(1, &path("accept"), b"", |_| Write::Answered { call: call.clone() })?;
        for _ in 0..self.random.usize(3..14) {
            match self.random.u8(..8) {
                0..=3 => {
                    let who = self.random.usize(..2);
                    self.signal(who, &path("signal"), &call)?;
                }
                4 => self.begin_media(&path("media"), &call)?,
                5 | 6 => self.upload(&path("media"), &call)?,
                _ => {
                    let (who, on) = (self.random.usize(..2), self.random.bool());
                    let name = self.people[who].name.clone();
                    // Only the sharer can stop sharing.
                    let others = self.sharer(&call).filter(|sharer| !on && *sharer != name);
                    let sharer = if on { Some(name) } else { others };
                    let record = |_: &Value| Write::ScreenClaimed { call: call.clone(), sharer: sharer.clone() };
                    self.write_json(who, &path("screenshare"), &json!({ "on": on }), record)?;
                }
            }
        }
        let action = if self.random.bool() { "end" } else { "leave" };
        let who = self.random.usize(..2);
        self.write(who, &path(action), b"", |_| Write::Ended { call: call.clone() })?;
        Some(())
    }

    fn share(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let record = |body: &Value| Write::Shared { share: id_in(body, "share_id") };
        let share = id_in(&self.write_json(0, "/screenshare/start", &channel, record)?, "share_id");
        let path = |what: &str| format!("/screenshare/{share}/{what}");
        self.begin_media(&path("media"), &share)?;
        for _ in 0..self.random.usize(1..8) {
            if self.random.bool() {
                self.upload(&path("media"), &share)?;
            } else {
                let who = self.random.usize(..2);
                self.signal(who, &path("signal"), &share)?;
            }
        }
        self.write(0, &path("stop"), b"", |_| Write::Stopped { share: share.clone() })?;
        Some(())
    }

    /// A call with more media than the free pages that the server keeps. The file shrinks when it ends.
    pub fn call_with_much_media(&mut self) -> Option<()> {
        let channel = json!({ "channel": self.channel() });
        let body =
            self.write_json(0, "/calls/initiate", &channel, |body| Write::Called { call: id_in(body, "call_id") })?;
        let call = id_in(&body, "call_id");
        for _ in 0..16 {
            self.upload_of(&format!("/calls/{call}/media"), &call, 128 << 10)?;
        }
        self.write(0, &format!("/calls/{call}/end"), b"", |_| Write::Ended { call: call.clone() })?;
        Some(())
    }

    fn channel(&self) -> String {
        format!("dm:{}:{}", self.people[1].name, self.people[0].name)
    }

    /// The sharer in a call, by the acknowledged writes.
    fn sharer(&self, call: &str) -> Option<String> {
        self.history.writes.iter().rev().find_map(|write| match write {
            Write::ScreenClaimed { call: found, sharer } if found == call => Some(sharer.clone()),
            _ => None,
        })?
    }

    fn signal(&mut self, who: usize, path: &str, id: &str) -> Option<()> {
        self.signals += 1;
        let (to, length) = (&self.people[1 - who].name, self.random.usize(10..3000));
        let payload = format!(r#"{{"number":{},"sdp":"{}"}}"#, self.signals, "v".repeat(length));
        let body = format!(r#"{{"to":"{to}","type":"offer","payload":{payload}}}"#);
        let record = |_: &Value| Write::Signalled { id: id.to_owned(), payload: payload.clone() };
        self.write(who, path, body.as_bytes(), record)?;
        Some(())
    }

    fn begin_media(&mut self, path: &str, id: &str) -> Option<()> {
        let content = Content { seed: self.random.u64(..), length: self.random.usize(1..2000) };
        let record = |_: &Value| Write::MediaBegun { id: id.to_owned(), content };
        self.write(0, &format!("{path}?init=1&mime=video/webm"), &content.bytes(), record)?;
        Some(())
    }

    fn upload(&mut self, path: &str, id: &str) -> Option<()> {
        let length = self.random.usize(1..20_000);
        self.upload_of(path, id, length)
    }

    fn upload_of(&mut self, path: &str, id: &str, length: usize) -> Option<()> {
        let content = Content { seed: self.random.u64(..), length };
        let record =
            |body: &Value| Write::Uploaded { id: id.to_owned(), seq: body["seq"].as_i64().unwrap_or(-1), content };
        self.write(0, path, &content.bytes(), record)?;
        Some(())
    }

    fn write_json(&mut self, who: usize, path: &str, body: &Value, record: impl Fn(&Value) -> Write) -> Option<Value> {
        self.write(who, path, body.to_string().as_bytes(), record)
    }

    /// Sends a write, and records it when it is acknowledged. Fails unless the status is 200: every write here is legal.
    /// `None` if there is no response.
    fn write(&mut self, who: usize, path: &str, body: &[u8], record: impl Fn(&Value) -> Write) -> Option<Value> {
        if self.progress.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.history.attempt = Some(record(&Value::Null));
        let head = head(&self.people[who], &format!("POST {path}"));
        let request = [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
        let response = self.connection.send(request).response()?;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let body = serde_json::from_str(&response.body).unwrap();
        self.history.writes.push(record(&body));
        self.history.attempt = None;
        self.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(body)
    }
}

/// The id in a response. An attempt has none yet.
fn id_in(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}
