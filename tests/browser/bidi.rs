//! The bidirectional protocol of WebDriver, by which a test does in Firefox what Chromium's driver has commands for.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

/// A session, over the socket that geckodriver names.
pub struct Bidi {
    socket: Mutex<Socket>,
}

struct Socket {
    stream: WebSocketStream<TcpStream>,
    last_id: u64,
    /// What has arrived between the answers.
    events: VecDeque<Value>,
}

impl Bidi {
    pub async fn connect(url: &str) -> Self {
        let parsed = Url::parse(url).unwrap();
        let address = (parsed.host_str().unwrap(), parsed.port().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (stream, _) = client_async(url, stream).await.unwrap();
        Self { socket: Mutex::new(Socket { stream, last_id: 0, events: VecDeque::new() }) }
    }

    pub async fn command(&self, method: &str, params: Value) -> Value {
        self.socket.lock().await.command(method, params).await
    }

    /// What pages have logged since the last call.
    pub async fn log_entries(&self) -> Vec<Value> {
        let mut socket = self.socket.lock().await;
        // Events stand in the socket before the answer to a later command.
        socket.command("session.status", json!({})).await;
        socket.events.drain(..).filter(|event| event["method"] == "log.entryAdded").collect()
    }
}

impl Socket {
    async fn command(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let command = json!({ "id": self.last_id, "method": method, "params": params });
        self.stream.send(Message::text(command.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = self.stream.next().await.expect("an open socket").unwrap() else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.last_id {
                assert_eq!(message["type"], "success", "{method}: {message}");
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }
}
