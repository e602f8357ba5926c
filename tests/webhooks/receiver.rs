//! A receiver of webhooks, with answers that a test chooses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::SOON;
use crate::support::{Server, eventually};

/// An attempt that the receiver has got.
#[derive(Clone, Debug)]
pub struct Received {
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Received {
    /// The id of the event.
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// The type of the event.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    /// The call or share.
    pub fn subject(&self) -> &str {
        let data = &self.body["data"];
        data["call_id"].as_str().or(data["share_id"].as_str()).unwrap()
    }
}

/// What the receiver answers.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// 302 to this URL.
    Redirect(String),
    /// No head ever.
    Nothing,
    /// 200, and a body that never ends.
    Endless,
}

type Choose = dyn Fn(&Received) -> Reply + Send + Sync;

/// Listens on loopback until it is dropped.
pub struct Receiver {
    pub url: String,
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// A receiver that acknowledges everything.
    pub fn start() -> Self {
        Self::replying(|_| Reply::Status(204))
    }

    /// A receiver with these answers.
    pub fn replying(choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(reserved_port(), choose)
    }

    /// A receiver on a port that refused connections until now.
    pub fn on(port: TcpSocket, choose: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = port.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let (store, choose): (_, Arc<Choose>) = (Arc::clone(&received), Arc::new(choose));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&store), Arc::clone(&choose)));
            }
        });
        Self { url: url_of(address), address, received, task }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The types that came about a call or share.
    pub fn kinds(&self, subject: &str) -> Vec<String> {
        let received = self.received();
        received.iter().filter(|it| it.subject() == subject).map(|it| it.kind().to_owned()).collect()
    }

    /// Waits until these types have come about a call or share, and no others.
    pub async fn expect(&self, subject: &str, kinds: &[&str]) {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        eventually(SOON, subject, kinds, || self.kinds(subject)).await;
    }
}

/// A port of loopback that nobody else gets, and that refuses connections.
pub fn reserved_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// The URL of a receiver at this address.
pub fn url_of(address: SocketAddr) -> String {
    format!("http://{address}/hook")
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one request. A sender that is killed breaks off, which is no request.
async fn serve(stream: TcpStream, store: Arc<Mutex<Vec<Received>>>, choose: Arc<Choose>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    assert!(line.is_empty() || line.starts_with("POST /hook HTTP/1.1"), "{line}");
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let received = Received { headers, body: serde_json::from_slice(&body).unwrap() };
    let reply = choose(&received);
    store.lock().unwrap().push(received);
    let head = match &reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        Reply::Redirect(url) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        }
        Reply::Nothing => std::future::pending().await,
        Reply::Endless => "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned(),
    };
    stream.write_all(head.as_bytes()).await?;
    if matches!(reply, Reply::Endless) {
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    }
    stream.shutdown().await
}

/// Adds a webhook of this server to a receiver on loopback, and returns its secret.
pub fn add_webhook(server: &Server, name: &str, url: &str) -> String {
    server.run(&["webhook", "add", name, url, "--allow-private"], "").trim().to_owned()
}

/// Makes the deliveries that wait for their next attempt due.
pub fn retry_now(server: &Server) {
    server.execute("UPDATE webhook_deliveries SET next_ts = next_ts - 3600 WHERE next_ts IS NOT NULL");
}

/// What waits, and what was given up.
pub fn kept(server: &Server) -> i64 {
    server.value("SELECT count(*) FROM webhook_deliveries")
}
