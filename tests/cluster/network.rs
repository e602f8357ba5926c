//! A network between members in which a test blocks directions: a proxy for each pair, and a file of hosts for each member
//! that leads to its proxies.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::{Cluster, Launcher, MEMBER_PORT, address, host, new_network};
use crate::support::{PROGRAM, Server};

/// The directions that are blocked, from one member to another.
type Blocked = HashSet<(u64, u64)>;

/// The network of the members 1 to 3.
pub struct Network {
    blocked: watch::Sender<Blocked>,
    _hosts: TempDir,
}

const NODES: [u64; 3] = [1, 2, 3];

impl Network {
    /// Starts three members in such a network. The process must be in a mount namespace of its own.
    pub async fn start(prepare: impl FnOnce(&Server)) -> (Self, Cluster) {
        let network = new_network();
        let (blocked, watched) = watch::channel(Blocked::new());
        let folder = TempDir::new().unwrap();
        for node in NODES {
            let mut hosts = format!("{} {}\n", address(network, node), host(node));
            for other in NODES.into_iter().filter(|other| *other != node) {
                let proxy = address(network, 10 * node + other);
                writeln!(hosts, "{proxy} {}", host(other)).unwrap();
                let listener = TcpListener::bind((proxy.as_str(), MEMBER_PORT)).await.unwrap();
                let target = address(network, other);
                tokio::spawn(serve(listener, target, (node, other), watched.clone()));
            }
            fs::write(folder.path().join(node.to_string()), hosts).unwrap();
        }
        let hosts = folder.path().to_owned();
        let launcher: Launcher = Box::new(move |node| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
            command.arg(hosts.join(node.to_string())).arg(PROGRAM);
            command
        });
        let cluster = Cluster::start_with_names(network, 3, launcher, prepare);
        (Self { blocked, _hosts: folder }, cluster)
    }

    /// Blocks these directions, and no others.
    pub fn block(&self, directions: impl IntoIterator<Item = (u64, u64)>) {
        self.blocked.send_replace(directions.into_iter().collect());
    }

    /// Blocks nothing.
    pub fn heal(&self) {
        self.block([]);
    }
}

/// The directions from a member to the others.
pub fn from(node: u64) -> impl Iterator<Item = (u64, u64)> {
    NODES.into_iter().filter(move |other| *other != node).map(move |other| (node, other))
}

/// The directions to a member from the others.
pub fn to(node: u64) -> impl Iterator<Item = (u64, u64)> {
    from(node).map(|(node, other)| (other, node))
}

/// Forwards the connections of one member to another.
async fn serve(listener: TcpListener, target: String, (from, to): (u64, u64), blocked: watch::Receiver<Blocked>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (target, mut blocked) = (target.clone(), blocked.clone());
        tokio::spawn(async move {
            // A connection needs both directions.
            let is_open = |blocked: &Blocked| !blocked.contains(&(from, to)) && !blocked.contains(&(to, from));
            if blocked.wait_for(is_open).await.is_err() {
                return;
            }
            let Ok(server) = TcpStream::connect((target.as_str(), MEMBER_PORT)).await else { return };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(flow(from_client, to_server, (from, to), blocked.clone()));
            flow(from_server, to_client, (to, from), blocked).await;
        });
    }
}

/// Copies bytes in one direction. While that is blocked they wait, as those that TCP sends again.
async fn flow(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: (u64, u64),
    mut blocked: watch::Receiver<Blocked>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if blocked.wait_for(|blocked| !blocked.contains(&direction)).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}
