//! The upper limit for a server: warp with one handler that does nothing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use nix::unistd::Pid;
use warp::Filter;

/// Responds to each request with this number of bytes. Prints its URL, and runs until the process is killed.
pub async fn serve(bytes: usize) {
    let body = Bytes::from(vec![b'x'; bytes]);
    let handler = warp::any().and(warp::body::bytes()).map(move |_| warp::reply::Response::new(body.clone().into()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    warp::serve(handler).incoming(listener).run().await;
}

/// A process that serves the bare handler.
pub struct Bare {
    url: String,
    child: Child,
}

impl Bare {
    pub fn start(bytes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--bare", &bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { url: url.trim_end().to_owned(), child }
    }
}

impl Bare {
    /// Its process and URL.
    pub fn server(&self) -> (Pid, &str) {
        (Pid::from_raw(self.child.id().try_into().unwrap()), &self.url)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
