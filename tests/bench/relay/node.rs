//! `PeerServer` and socket.io: a process of Node each, and pairs of clients over WebSocket.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{Pair, payload};

const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("package.json")),
    ("package-lock.json", include_str!("package-lock.json")),
    ("peer.js", include_str!("peer.js")),
    ("socket.io.js", include_str!("socket.io.js")),
];

/// A package of npm that relays signals.
pub struct Relay {
    pub package: &'static str,
    version: String,
    folder: PathBuf,
}

impl Display for Relay {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let name = if self.package == "peer" { "PeerServer" } else { self.package };
        write!(formatter, "{name} {}", self.version)
    }
}

/// Installs both packages below `target/`, in the versions of the lock file.
///
/// # Errors
/// What is missing.
pub fn install() -> Result<[Relay; 2], String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relay");
    fs::create_dir_all(&folder).unwrap();
    for (name, contents) in FILES {
        fs::write(folder.join(name), contents).unwrap();
    }
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_node {
        return Err("there is no Node here.".to_owned());
    }
    // As tests/web/run does: the packages are installed once for each lock file.
    let installed = folder.join("node_modules/.installed-lock.json");
    let lock = folder.join("package-lock.json");
    if fs::read(&installed).ok() != fs::read(&lock).ok() {
        let npm = Command::new("npm")
            .args(["ci", "--no-fund", "--no-audit", "--loglevel=error"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .status();
        if !npm.is_ok_and(|status| status.success()) {
            return Err("npm could not install them.".to_owned());
        }
        fs::copy(&lock, &installed).unwrap();
    }
    Ok(["peer", "socket.io"].map(|package| {
        let manifest = fs::read(folder.join("node_modules").join(package).join("package.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        Relay { package, version: manifest["version"].as_str().unwrap().to_owned(), folder: folder.clone() }
    }))
}

impl Relay {
    /// Starts a server.
    pub fn start(&self) -> RelayServer {
        let mut child = Command::new("node")
            .arg(format!("{}.js", self.package))
            .current_dir(&self.folder)
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("the relay prints its port");
        RelayServer { package: self.package, address: ([127, 0, 0, 1], port).into(), child }
    }
}

/// A process of a relay. It ends on drop.
pub struct RelayServer {
    package: &'static str,
    address: SocketAddr,
    child: Child,
}

impl Drop for RelayServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RelayServer {
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Connects so many pairs.
    pub async fn connect(&self, pairs: usize) -> Vec<RelayPair> {
        let payload = payload();
        let mut connected = Vec::new();
        for number in 0..pairs {
            let (caller, callee) = (format!("caller{number}"), format!("callee{number}"));
            let is_peer = self.package == "peer";
            let signal = if is_peer {
                format!(r#"{{"type":"OFFER","dst":"{callee}","payload":{payload}}}"#)
            } else {
                // An event of socket.io whose acknowledgement has the number 0.
                format!(r#"420["signal",{{"to":"{callee}","type":"offer","payload":{payload}}}]"#)
            };
            connected.push(RelayPair {
                caller: self.client(&caller).await,
                callee: self.client(&callee).await,
                signal: Message::text(signal),
                payload: payload.clone(),
                is_acknowledged: !is_peer,
            });
        }
        connected
    }

    async fn client(&self, name: &str) -> Socket {
        let path = if self.package == "peer" {
            format!("peerjs?key=peerjs&id={name}&token=token-of-{name}&version=1.5.5")
        } else {
            "socket.io/?EIO=4&transport=websocket".to_owned()
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = client_async(format!("ws://{}/{path}", self.address), stream).await.unwrap();
        let mut socket = Socket(socket);
        if self.package == "peer" {
            socket.expect("OPEN").await;
        } else {
            socket.send(Message::text(format!(r#"40{{"name":"{name}"}}"#))).await;
            socket.expect(r#"40{"sid""#).await;
        }
        socket
    }
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Waits for the next message, which has to contain this text.
    async fn expect(&mut self, text: &str) {
        loop {
            let message = self.0.next().await.expect("the relay keeps the connection open").unwrap();
            let Ok(message) = message.to_text() else { continue };
            match message {
                // The heartbeat of engine.io.
                "2" => self.send(Message::text("3")).await,
                // The parameters of engine.io.
                _ if message.starts_with("0{") => {}
                _ => return assert!(message.contains(text), "{message}"),
            }
        }
    }
}

/// A caller and a callee at a relay.
pub struct RelayPair {
    caller: Socket,
    callee: Socket,
    signal: Message,
    payload: String,
    is_acknowledged: bool,
}

impl Pair for RelayPair {
    async fn exchange(&mut self) -> Instant {
        let Self { caller, callee, signal, payload, is_acknowledged } = self;
        let sending = async {
            caller.send(signal.clone()).await;
            if *is_acknowledged {
                caller.expect("430[").await;
            }
        };
        let arriving = async {
            callee.expect(payload).await;
            Instant::now()
        };
        tokio::join!(sending, arriving).1
    }
}
