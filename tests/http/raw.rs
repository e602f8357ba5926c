//! Raw bytes on a socket, for requests that no HTTP library sends.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::openapi::assert_described;
use crate::support::{Person, Server};

/// A connection to a server.
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
    /// Method and path of the requests without a response.
    requests: VecDeque<(String, String)>,
}

/// A response: status, headers in lower case, body.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Raw {
    pub fn connect(server: &Server) -> Self {
        Self::over(TcpStream::connect(server.url.trim_start_matches("http://")).unwrap())
    }

    /// Wraps an open connection.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new(), requests: VecDeque::new() }
    }

    /// Sends bytes. Ignores a connection that the server has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.requests.extend(bytes.as_ref().split(|byte| *byte == b'\n').filter_map(request_of));
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Shuts down the sending half of the connection.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Another handle of the connection, to send while this one waits for a response.
    pub fn try_clone(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The head of the next response. `None` if the server closes the connection instead.
    fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                return None;
            }
        };
        Some(String::from_utf8(self.received.drain(..end + 4).collect()).unwrap())
    }

    /// The next response. `None` if the server closes the connection instead.
    pub fn response(&mut self) -> Option<RawResponse> {
        let request = self.requests.front().cloned();
        let mut response = self.response_to_head()?;
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.received.len() < length {
            assert!(self.fill(), "the body is incomplete");
        }
        response.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        // hyper's own refusals have no body.
        if let (Some((method, path)), Ok(body)) = (request, serde_json::from_str(&response.body)) {
            assert_described(&method, &path, response.status, response.header("content-type"), Some(&body));
        }
        Some(response)
    }

    /// The next response if it has no body, as that to HEAD.
    pub fn response_to_head(&mut self) -> Option<RawResponse> {
        let headers = self.head()?.to_lowercase();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        if status >= 200 {
            self.requests.pop_front();
        }
        Some(RawResponse { status, headers, body: String::new() })
    }

    /// Whether the server has closed the connection without another response.
    pub fn is_closed(&mut self) -> bool {
        self.received.is_empty() && !self.fill()
    }
}

/// Method and path of a request, if this is its first line and names a path.
fn request_of(line: &[u8]) -> Option<(String, String)> {
    let line = str::from_utf8(line).ok()?.trim_end();
    let (method, target) =
        line.strip_suffix(" HTTP/1.1").or_else(|| line.strip_suffix(" HTTP/1.0"))?.split_once(' ')?;
    let path = target.split('?').next().filter(|path| path.starts_with('/'))?;
    // The body of the request before may precede it.
    let method = method.rsplit(|letter: char| !letter.is_ascii_alphabetic()).next()?;
    Some((method.to_owned(), path.to_owned()))
}

impl RawResponse {
    /// The value of a header, in lower case. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(field, value)| (field == name).then_some(value))
    }

    /// The member `code` of an error.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The head of a request with a token, without the empty line at its end.
pub fn head(person: &Person, request_line: &str) -> String {
    format!("{request_line} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n", person.token)
}
