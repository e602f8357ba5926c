//! This server: a signal is a POST on a connection that is kept, and arrives on the event stream of its recipient.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::client::{Connection, Events, post};
use crate::support::{Person, Server};
use crate::{Pair, payload};

/// Starts a build of the program on an empty file.
pub fn start(program: &Path) -> Server {
    let server = Server::start_as(Command::new(program), "127.0.0.1:0", TempDir::new().unwrap(), &[]);
    server.lift_limits();
    server
}

pub fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A caller and a callee on a call. Each has an event stream, as on the page.
pub struct OurPair {
    caller: Connection,
    callee: Events,
    signal: Vec<u8>,
    payload: String,
    _stream_of_caller: Events,
}

/// Puts so many pairs on a call each.
pub async fn connect(server: &Server, pairs: usize) -> Vec<OurPair> {
    let mut connected = Vec::new();
    for number in 0..pairs {
        connected.push(pair(address(server), &people(server, number)).await);
    }
    connected
}

/// The caller and the callee with this number.
pub fn people(server: &Server, number: usize) -> [Person; 2] {
    ["caller", "callee"].map(|role| server.person(&format!("{role}{number}")))
}

async fn pair(address: SocketAddr, [caller, callee]: &[Person; 2]) -> OurPair {
    let mut connection = Connection::open(address).await;
    let channel = json!({ "channel": format!("dm:{}:{}", caller.name, callee.name) }).to_string();
    let call = connection.json(&post("/calls/initiate", &caller.token, &channel)).await;
    let call = call["call_id"].as_str().unwrap();
    connection.request(&post(&format!("/calls/{call}/accept"), &callee.token, "{}")).await;
    let stream = format!("/events?call={call}");
    let payload = payload();
    let signal = format!(r#"{{"to":"{}","type":"offer","payload":{payload}}}"#, callee.name);
    OurPair {
        caller: connection,
        callee: Events::open(address, &stream, &callee.token).await.0,
        signal: post(&format!("/calls/{call}/signal"), &caller.token, &signal),
        payload,
        _stream_of_caller: Events::open(address, &stream, &caller.token).await.0,
    }
}

impl Pair for OurPair {
    async fn exchange(&mut self) -> Instant {
        let Self { caller, callee, signal, payload, .. } = self;
        let arriving = async {
            let event = callee.next().await;
            assert!(event.name == "signal" && event.data.contains(payload.as_str()), "{event:?}");
            Instant::now()
        };
        tokio::join!(caller.request(signal), arriving).1
    }
}
