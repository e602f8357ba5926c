//! The rows of the table.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use minimost_calls::statements::{self, Statement};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::Options;
use crate::bare::Bare;
use crate::fill;
use crate::measure::{median, peak_kib, resident_kib};
use crate::raw::{self, Raw};
use crate::support::{Person, Server};
use crate::table::{Row, medians};
use crate::wrk::{Line, Round, Workload};

/// The pace of the writes beside the polls.
const COMMITS_PER_SECOND: f64 = 200.0;

const GROUPS: usize = 32;
const WORKERS: usize = 8;
const CHUNKS: usize = 30;
const CHUNK_BYTES: usize = 32 * 1024;

/// Three people on a call.
struct Group {
    people: [Person; 3],
    call: String,
    last_signal: i64,
}

/// A request that clients repeat, and its statements.
struct Poll {
    name: &'static str,
    work: Workload,
    path: String,
    queries: Vec<(&'static Statement, Vec<String>)>,
}

/// Signals at a steady rate, each in a separate commit. Their recipient is the third person of a group, who does not poll.
struct Commits {
    task: JoinHandle<()>,
    acknowledged: Arc<AtomicU32>,
    started: Instant,
}

impl Commits {
    fn start(groups: &[Group]) -> Self {
        let senders: Vec<_> = groups
            .iter()
            .map(|group| {
                let body = json!({
                    "to": group.people[2].name, "type": "ice_candidate", "payload": { "candidate": "x".repeat(2048) },
                });
                (group.people[0].clone(), format!("/calls/{}/signal", group.call), body)
            })
            .collect();
        let acknowledged = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&acknowledged);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / COMMITS_PER_SECOND));
            for (sender, path, body) in senders.into_iter().cycle() {
                ticks.tick().await;
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    assert_eq!(sender.post_json(&path, body).await.0, 200);
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { task, acknowledged, started: Instant::now() }
    }

    /// Stops, and returns the rate of acknowledged commits, in commits a second.
    async fn stop(self) -> f64 {
        self.task.abort();
        let _ = self.task.await;
        f64::from(self.acknowledged.load(Ordering::Relaxed)) / self.started.elapsed().as_secs_f64()
    }
}

struct Scene<'a> {
    options: &'a Options,
    server: Server,
    groups: Vec<Group>,
    workers: Vec<(String, Person, Person)>,
    signals: Vec<PathBuf>,
    chunk: PathBuf,
    _bodies: TempDir,
}

/// Measures every row on an empty file, or on one with these numbers of finished and live calls.
pub async fn measure(options: &Options, large: Option<(u32, u32)>) -> Vec<Row> {
    let folder = TempDir::new().unwrap();
    if let Some((finished, _)) = large {
        let begun = Instant::now();
        fill::finished_calls(&folder.path().join("presence.db"), finished);
        eprintln!("filled in {:.0?}", begun.elapsed());
    }
    let begun = Instant::now();
    let server = Server::start_in(folder, &[]);
    let started = begun.elapsed();
    if let Some((_, live)) = large {
        let size = fs::metadata(server.db()).unwrap().len() as f64 / 1e6;
        println!("\na file of {size:.0} MB: start to serving {} ms", started.as_millis());
        // The participants send no requests.
        server.execute("UPDATE settings SET value = highest WHERE name = 'presence_timeout'");
        fill::live_calls(&server.db(), live);
        tokio::time::sleep(Duration::from_secs(3)).await;
        println!("memory at rest {:.0} MB", resident_kib(server.process()) as f64 / 1e3);
    }
    let scene = Scene::new(options, server).await;
    let mut rows = Vec::new();
    scene.polls(&mut rows).await;
    scene.polls_beside_commits(&mut rows).await;
    scene.signals(&mut rows);
    scene.whole_calls(&mut rows);
    scene.media(&mut rows).await;
    scene.readers_among_writers(&mut rows);
    println!("peak memory {:.0} MB", peak_kib(scene.server.process()) as f64 / 1e3);
    scene.server.assert_integrity();
    rows
}

impl<'a> Scene<'a> {
    async fn new(options: &'a Options, server: Server) -> Self {
        server.lift_limits();
        for setting in ["presence_timeout", "media_buffer_seconds"] {
            server.execute(&format!("UPDATE settings SET value = highest WHERE name = '{setting}'"));
        }
        let mut groups = Vec::new();
        for number in 0..GROUPS {
            let people = ["caller", "callee", "third"].map(|role| server.person(&format!("{role}{number}")));
            let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
            let call = people[0].call(&format!("dm:{}", names.join(":"))).await;
            for person in &people[1..] {
                assert_eq!(person.post(&format!("/calls/{call}/accept")).await.0, 200);
            }
            let path = format!("/calls/{call}/signal");
            for _ in 0..10 {
                let body = json!({ "to": names[1], "type": "ice_candidate", "payload": { "candidate": "one" } });
                assert_eq!(people[0].post_json(&path, body).await.0, 200);
            }
            let signals = people[1].read(&format!("/calls/{call}/signals")).await;
            let last_signal = signals[9]["id"].as_i64().unwrap();
            groups.push(Group { people, call, last_signal });
        }
        let workers = (0..WORKERS).map(|number| {
            let (one, other) = (server.person(&format!("one{number}")), server.person(&format!("other{number}")));
            (format!("dm:{}:{}", one.name, other.name), one, other)
        });
        let workers = workers.collect();
        let bodies = TempDir::new().unwrap();
        let signals = groups.iter().map(|group| {
            let payload = json!({ "candidate": "x".repeat(2048) });
            let body = json!({ "to": group.people[1].name, "type": "ice_candidate", "payload": payload });
            let path = bodies.path().join(&group.call);
            fs::write(&path, body.to_string()).unwrap();
            path
        });
        let signals = signals.collect();
        let chunk = bodies.path().join("chunk");
        let bytes: Vec<u8> = (0..CHUNK_BYTES).map(|at| u8::try_from(at * 7919 % 251).unwrap()).collect();
        fs::write(&chunk, bytes).unwrap();
        Self { options, server, groups, workers, signals, chunk, _bodies: bodies }
    }

    fn server(&self) -> (Pid, &str) {
        (self.server.process(), &self.server.url)
    }

    /// Rounds of `work` that alternate with rounds of a bare handler, whose response has the size of that to `path`.
    async fn compare_with_bare(
        &self,
        name: &str,
        work: &Workload,
        connections: usize,
        path: &str,
        raw: Option<f64>,
    ) -> Row {
        let bytes = self.groups[0].people[1].getting(path).send().await.unwrap().bytes().await.unwrap().len();
        let bare = Bare::start(bytes);
        let (mut ours, mut bares) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            ours.push(work.round(self.server(), connections, self.options.round()));
            bares.push(work.round(bare.server(), connections, self.options.round()));
        }
        let row = Row { name: name.to_owned(), connections, server: medians(&ours), bare: Some(medians(&bares)), raw };
        progress(&row);
        row
    }

    fn measure_alone(&self, name: &str, work: &Workload, connections: usize, raw: Option<f64>) -> Row {
        let rounds: Vec<Round> =
            (0..self.options.rounds).map(|_| work.round(self.server(), connections, self.options.round())).collect();
        let row = Row { name: name.to_owned(), connections, server: medians(&rounds), bare: None, raw };
        progress(&row);
        row
    }

    /// GET requests of the second person of each group.
    fn gets(&self, path: impl Fn(&Group) -> String) -> Workload {
        Workload::requests(self.groups.iter().map(|group| Line {
            method: "GET",
            path: path(group),
            token: &group.people[1].token,
            body: None,
        }))
    }

    async fn polls(&self, rows: &mut Vec<Row>) {
        for Poll { name, work, path, queries } in self.every_poll() {
            if self.options.wants(name) {
                let raw = raw::reads(&self.server.db(), &queries, Duration::from_secs(1));
                for connections in [16, 64] {
                    rows.push(self.compare_with_bare(name, &work, connections, &path, Some(raw)).await);
                }
            }
        }
    }

    /// The same polls beside [`COMMITS_PER_SECOND`] signals a second. Each commit makes the readers' caches stale.
    async fn polls_beside_commits(&self, rows: &mut Vec<Row>) {
        for Poll { name, work, path, .. } in self.every_poll() {
            let name = format!("{name}, beside commits");
            if !self.options.wants(&name) {
                continue;
            }
            let commits = Commits::start(&self.groups);
            rows.push(self.compare_with_bare(&name, &work, 16, &path, None).await);
            let per_second = commits.stop().await;
            eprintln!("{per_second:.0} commits a second");
            assert!(per_second > COMMITS_PER_SECOND * 0.8, "the server did not keep up");
        }
    }

    fn every_poll(&self) -> [Poll; 3] {
        let first = &self.groups[0];
        let name = first.people[1].name.clone();
        let session = (&statements::FIND_SESSION, vec![minimost_calls::tokens::token_hash(&first.people[1].token)]);
        let signals = |group: &Group| format!("/calls/{}/signals?after={}", group.call, group.last_signal);
        let state = |group: &Group| format!("/calls/{}/state", group.call);
        let of_call = |statement| (statement, vec![first.call.clone(), name.clone()]);
        let after = vec![first.call.clone(), name.clone(), first.last_signal.to_string()];
        [
            Poll {
                name: "GET /calls/incoming, nothing",
                work: self.gets(|_| "/calls/incoming".to_owned()),
                path: "/calls/incoming".to_owned(),
                queries: vec![session.clone(), (&statements::INCOMING_CALLS, vec![name.clone()])],
            },
            Poll {
                name: "GET /calls/ID/signals, nothing new",
                work: self.gets(signals),
                path: signals(first),
                queries: vec![session.clone(), (&statements::POLL_CALL_SIGNALS, after)],
            },
            Poll {
                name: "GET /calls/ID/state, three people",
                work: self.gets(state),
                path: state(first),
                queries: vec![session, of_call(&statements::CALL_STATE_AND_ACCESS)],
            },
        ]
    }

    fn signal_work(&self) -> Workload {
        Workload::requests(self.groups.iter().zip(&self.signals).map(|(group, body)| Line {
            method: "POST",
            path: format!("/calls/{}/signal", group.call),
            token: &group.people[0].token,
            body: Some(("application/json", body)),
        }))
    }

    fn signals(&self, rows: &mut Vec<Row>) {
        let name = "POST /calls/ID/signal, 2 KB";
        if !self.options.wants(name) {
            return;
        }
        let raw = Raw::new();
        for (connections, batch) in [(1, 1), (16, 16), (64, 64)] {
            let raws: Vec<_> = (0..3).map(|_| raw.signals(batch, Duration::from_secs(1))).collect();
            let rate = median(raws.iter().map(|(rate, _)| *rate).collect());
            if batch == 1 {
                let commit = median(raws.iter().map(|(_, commit)| commit.as_secs_f64() * 1000.0).collect());
                eprintln!("one signal by raw SQLite: {commit:.2} ms");
            }
            rows.push(self.measure_alone(name, &self.signal_work(), connections, Some(rate)));
        }
    }

    fn whole_calls(&self, rows: &mut Vec<Row>) {
        let name = "whole calls, thirteen requests each";
        if !self.options.wants(name) {
            return;
        }
        let raw = median((0..3).map(|_| Raw::new().whole_calls(WORKERS, Duration::from_secs(1))).collect());
        // The end of a round interrupts calls, which the statement below ends.
        let work = Workload::calls(
            &self
                .workers
                .iter()
                .map(|(channel, one, other)| {
                    [channel.as_str(), one.token.as_str(), one.name.as_str(), other.token.as_str(), other.name.as_str()]
                })
                .collect::<Vec<_>>(),
        );
        let rounds: Vec<Round> = (0..self.options.rounds)
            .map(|_| {
                let round = work.round(self.server(), WORKERS, self.options.round());
                self.server.execute(
                    "UPDATE calls SET state = 'ended' WHERE state IN ('ringing', 'active') AND channel GLOB 'dm:one*'",
                );
                Round { per_second: round.per_second / 13.0, processor: round.processor * 13.0, ..round }
            })
            .collect();
        let row =
            Row { name: name.to_owned(), connections: WORKERS, server: medians(&rounds), bare: None, raw: Some(raw) };
        progress(&row);
        rows.push(row);
    }

    async fn media(&self, rows: &mut Vec<Row>) {
        let name = "POST /calls/ID/media, 32 KiB";
        if self.options.wants(name) {
            let upload = Workload::requests(self.groups[1..].iter().map(|group| Line {
                method: "POST",
                path: format!("/calls/{}/media", group.call),
                token: &group.people[0].token,
                body: Some(("application/octet-stream", &self.chunk)),
            }));
            let chunk = fs::read(&self.chunk).unwrap();
            let raw = median((0..3).map(|_| Raw::new().media(16, &chunk, Duration::from_secs(1))).collect());
            rows.push(self.measure_alone(name, &upload, 16, Some(raw)));
        }
        let name = "GET /calls/ID/media, thirty chunks";
        if self.options.wants(name) {
            let group = &self.groups[0];
            let chunk = fs::read(&self.chunk).unwrap();
            let path = format!("/calls/{}/media", group.call);
            group.people[0].post_bytes(&format!("{path}?init=1&mime=video/webm"), chunk.clone()).await;
            for _ in 0..CHUNKS {
                assert_eq!(group.people[0].post_bytes(&path, chunk.clone()).await.0, 200);
            }
            let path = format!("{path}?sender={}", group.people[0].name);
            let line = Line { method: "GET", path: path.clone(), token: &group.people[1].token, body: None };
            rows.push(self.compare_with_bare(name, &Workload::requests([line]), 16, &path, None).await);
        }
    }

    /// Reads beside the maximum rate of writes.
    fn readers_among_writers(&self, rows: &mut Vec<Row>) {
        let name = "GET /calls/incoming, while 64 write";
        if !self.options.wants(name) {
            return;
        }
        let (reads, writes) = (self.gets(|_| "/calls/incoming".to_owned()), self.signal_work());
        let (mut quiet, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            quiet.push(reads.round(self.server(), 16, self.options.round()));
            let writing = writes.start(self.server(), 64, self.options.round() + Duration::from_secs(1));
            busy.push(reads.round(self.server(), 16, self.options.round()));
            writing.finish();
        }
        let (quiet, busy) = (medians(&quiet), medians(&busy));
        eprintln!("p99 of reads while 64 write: {:.2} times that without writes", busy.p99 / quiet.p99);
        let row = Row { name: name.to_owned(), connections: 16, server: busy, bare: None, raw: None };
        progress(&row);
        rows.push(row);
    }
}

/// Prints a row as soon as it is measured.
fn progress(row: &Row) {
    let Row { name, connections, server: Round { per_second, p50, p99, processor }, .. } = row;
    eprintln!(
        "{name}, {connections} connections: {per_second:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {processor:.0} µs of CPU"
    );
}
