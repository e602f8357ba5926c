//! The load generator wrk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::Pid;
use tempfile::TempDir;

use crate::measure::processor_time;

const REQUESTS: &str = include_str!("../wrk/requests.lua");
const CALLS: &str = include_str!("../wrk/calls.lua");
const COMMON: &str = include_str!("../wrk/common.lua");

/// The figures of a round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Processor time of the server for each request, in microseconds.
    pub processor: f64,
}

/// A request, as a line for the script.
pub struct Line<'a> {
    pub method: &'a str,
    pub path: String,
    pub token: &'a str,
    /// The content type and the file of the body.
    pub body: Option<(&'a str, &'a Path)>,
}

/// A workload for wrk: a script and its lines.
pub struct Workload {
    folder: TempDir,
    threads: usize,
}

impl Workload {
    /// Requests that wrk repeats.
    pub fn requests<'a>(lines: impl IntoIterator<Item = Line<'a>>) -> Self {
        let lines = lines.into_iter().map(|Line { method, path, token, body }| {
            let (content_type, file) = body.map_or(("", String::new()), |(of, file)| (of, file.display().to_string()));
            format!("{method}\t{path}\t{token}\t{content_type}\t{file}\n")
        });
        Self::new(REQUESTS, lines.collect(), 2)
    }

    /// Whole calls. Each line is a worker with one connection: a channel, and the tokens and names of its two people.
    pub fn calls(lines: &[[&str; 5]]) -> Self {
        Self::new(CALLS, lines.iter().map(|line| line.join("\t") + "\n").collect(), lines.len())
    }

    fn new(script: &str, lines: String, threads: usize) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("script.lua"), format!("{COMMON}\n{script}")).unwrap();
        fs::write(folder.path().join("lines"), lines).unwrap();
        Self { folder, threads }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a round against a server, given by its process and URL.
    pub fn start(&self, (server, url): (Pid, &str), connections: usize, duration: Duration) -> Running {
        let before = processor_time(server);
        let child = Command::new("wrk")
            .args(["--threads", &self.threads.min(connections).to_string()])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", duration.as_secs())])
            .args(["--timeout", "20s", "--script"])
            .arg(self.file("script.lua"))
            .arg(url)
            .arg("--")
            .arg(self.file("lines"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Debian's package wrk is installed");
        Running { child, server, before }
    }

    /// Runs a round.
    pub fn round(&self, server: (Pid, &str), connections: usize, duration: Duration) -> Round {
        self.start(server, connections, duration).finish()
    }
}

/// A round in progress.
pub struct Running {
    child: Child,
    server: Pid,
    before: Duration,
}

impl Running {
    /// Waits for the end. Fails if a request failed: the figures would be wrong.
    pub fn finish(self) -> Round {
        let output = self.child.wait_with_output().unwrap();
        let used = processor_time(self.server) - self.before;
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).unwrap_or_else(|| panic!("{text}"));
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [requests, duration, refused, broken, p50, p99, _longest] = numbers[..] else { panic!("{line}") };
        assert!(
            refused == 0.0 && broken == 0.0,
            "{refused} requests were refused and {broken} had no response: {text}"
        );
        Round {
            per_second: requests / (duration / 1e6),
            p50: p50 / 1e3,
            p99: p99 / 1e3,
            processor: used.as_secs_f64() * 1e6 / requests,
        }
    }
}
