//! A client that uses little of the processors: HTTP/1.1 over plain TCP, and server-sent events.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The bytes of a GET request.
pub fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// The bytes of a POST request with JSON.
pub fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n");
    write!(request, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    request.into_bytes()
}

/// A connection with one request at a time.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends a request that must succeed, and returns the body of its response.
    pub async fn request(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).await.unwrap();
        let head = self.head().await;
        let length = header(&head, "content-length").expect("a length").parse().unwrap();
        while self.received.len() < length {
            self.read().await;
        }
        let rest = self.received.split_off(length);
        let body = std::mem::replace(&mut self.received, rest);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}{}", String::from_utf8_lossy(&body));
        body
    }

    /// Sends a request that must succeed, and returns the JSON of its response.
    pub async fn json(&mut self, request: &[u8]) -> Value {
        serde_json::from_slice(&self.request(request).await).unwrap()
    }

    /// The status line and the headers of a response.
    async fn head(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                let rest = self.received.split_off(at + 4);
                return String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap();
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.unwrap();
        assert!(count > 0, "the server closed the connection");
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// An event stream.
pub struct Events {
    connection: Connection,
    /// What has been decoded, and is no whole event yet.
    text: String,
}

/// A server-sent event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: i64,
    /// JSON.
    pub data: String,
}

impl Events {
    /// Opens a stream and reads its first event, a snapshot unless it resumes.
    pub async fn open(server: SocketAddr, path: &str, token: &str) -> (Self, Event) {
        let mut events = Self::resume(server, path, token).await;
        let first = events.next().await;
        (events, first)
    }

    /// Opens a stream.
    pub async fn resume(server: SocketAddr, path: &str, token: &str) -> Self {
        let mut connection = Connection::open(server).await;
        connection.stream.write_all(&get(path, token)).await.unwrap();
        let head = connection.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
        Self { connection, text: String::new() }
    }

    /// The next event.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let block = std::mem::replace(&mut self.text, rest);
                if let Some(event) = parse(&block) {
                    return event;
                }
            } else if !self.decode_chunk() {
                self.connection.read().await;
            }
        }
    }

    /// The next event with this name whose data contains this text. Skips others.
    pub async fn expect(&mut self, name: &str, text: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.name == name && event.data.contains(text) {
                return event;
            }
        }
    }

    /// Decodes a chunk (RFC 9112, section 7.1), if a whole one has been received.
    fn decode_chunk(&mut self) -> bool {
        let received = &mut self.connection.received;
        let Some(line) = find(received, b"\r\n") else { return false };
        let size = usize::from_str_radix(std::str::from_utf8(&received[..line]).unwrap(), 16).unwrap();
        assert!(size > 0, "the server ended the stream");
        let data = line + 2;
        if received.len() < data + size + 2 {
            return false;
        }
        self.text.push_str(std::str::from_utf8(&received[data..data + size]).unwrap());
        received.drain(..data + size + 2);
        true
    }
}

/// The event of a block. `None` for a comment.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Some(Event { name: field("event")?.to_owned(), id: field("id")?.parse().ok()?, data: field("data")?.to_owned() })
}
