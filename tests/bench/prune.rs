//! What pruning does to writers: `cargo bench --bench prune`.
//!
//! A server has a file with a million finished calls, nearly all of them due. A few clients send signals and make whole
//! calls, before the pruning and while it goes on: first by the setting `history_max_age`, then, on a fresh copy of the
//! file, by the command `history prune`. `-- --limit 60` stops each pruning after a minute and prints what was done by then.
//! `-- --file PATH` keeps the file with the calls, for the next run.

#[path = "load/fill.rs"]
mod fill;
#[path = "measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use measure::{Durations, peak_kib, resident_kib};
use support::{PROGRAM, Person, Server, wait};

/// Pairs of people who send signals or make calls, each pair with a connection of each person.
const SIGNAL_PAIRS: u32 = 2;
const CALL_PAIRS: u32 = 2;

/// How often a pair begins a request, unless its last one has not ended.
const PACE: Duration = Duration::from_millis(25);

const DAY: &str = "86400";

#[derive(Parser)]
struct Options {
    /// Number of finished calls in the file
    #[arg(long, default_value_t = 1_000_000)]
    finished: u32,
    /// How long the writers are measured before the pruning, in seconds
    #[arg(long, default_value_t = 10)]
    before: u64,
    /// The longest pruning, in seconds
    #[arg(long, default_value_t = 7_200)]
    limit: u64,
    /// The file with the calls; it is filled if it does not exist
    #[arg(long)]
    file: Option<PathBuf>,
    /// Measure only this: setting or command
    #[arg(long)]
    only: Option<String>,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = TempDir::new().unwrap();
    let file = options.file.clone().unwrap_or_else(|| folder.path().join("filled.db"));
    if !file.exists() {
        fill::finished_calls(&file, options.finished);
    }
    for way in ["setting", "command"] {
        if options.only.as_ref().is_none_or(|only| only == way) {
            measure(&options, &file, way).await;
        }
    }
}

async fn measure(options: &Options, file: &Path, way: &str) {
    let folder = TempDir::new().unwrap();
    fs::copy(file, folder.path().join("presence.db")).unwrap();
    let server = Server::start_in(folder, &[]);
    server.execute(
        "BEGIN; UPDATE settings SET value = highest WHERE name = 'presence_timeout'; \
         UPDATE settings SET value = 0 WHERE name IN ('rings_per_pair', 'rings_per_person', 'refusal_pause'); COMMIT",
    );
    println!("\nby the {way}; {} MiB, load {}", mebibytes(&server.db()), load());
    let writers = Writers::start(&server).await;
    sleep(Duration::from_secs(1)).await;
    writers.take();
    sleep(Duration::from_secs(options.before)).await;
    print_latencies("before", &writers.take());

    let begun = Instant::now();
    let mut command = None;
    if way == "setting" {
        server.execute(&format!("UPDATE settings SET value = {DAY} WHERE name = 'history_max_age'"));
    } else {
        let mut prune = Command::new(PROGRAM);
        prune.arg("--db").arg(server.db()).args(["history", "prune", "--older-than", "1d"]).stdout(Stdio::null());
        command = Some(prune.spawn().unwrap());
    }
    let mut largest_log = 0;
    let mut is_finished = false;
    while !is_finished && begun.elapsed() < Duration::from_secs(options.limit) {
        sleep(Duration::from_millis(100)).await;
        largest_log = largest_log.max(mebibytes(&server.db().with_extension("db-wal")));
        is_finished = match &mut command {
            Some(child) => child.try_wait().unwrap().is_some_and(|status| {
                assert!(status.success());
                true
            }),
            None => !server.value::<bool>(&format!(
                "SELECT EXISTS (SELECT 1 FROM calls WHERE NOT is_live AND ended_ts < (SELECT ts FROM now) - {DAY})"
            )),
        };
    }
    let took = begun.elapsed();
    print_latencies("during", &writers.take());
    if let Some(mut child) = command.filter(|_| !is_finished) {
        child.kill().unwrap();
        wait(&mut child, Duration::from_secs(5));
    }
    let left: u32 = server
        .value(&format!("SELECT count(*) FROM calls WHERE NOT is_live AND ended_ts < (SELECT ts FROM now) - {DAY}"));
    let deleted = options.finished - left;
    println!(
        "{deleted} calls deleted in {:.0} s, {:.0} a second; largest log {largest_log} MiB; memory {} MiB, at most {} MiB",
        took.as_secs_f64(),
        f64::from(deleted) / took.as_secs_f64(),
        resident_kib(server.process()) / 1024,
        peak_kib(server.process()) / 1024,
    );
    // Free pages may follow for a while.
    let begun = Instant::now();
    while is_finished
        && server.value::<i64>("PRAGMA freelist_count") > 1_000
        && begun.elapsed() < Duration::from_secs(options.limit)
    {
        sleep(Duration::from_millis(100)).await;
    }
    println!(
        "file {} MiB after {:.0} s more, with {} free pages; load {}",
        mebibytes(&server.db()),
        begun.elapsed().as_secs_f64(),
        server.value::<i64>("PRAGMA freelist_count"),
        load()
    );
    print_latencies("after", &writers.take());
    writers.stop().await;
    server.assert_integrity();
}

fn print_latencies(when: &str, latencies: &[Duration]) {
    println!("writers {when}: {}", latencies.iter().copied().collect::<Durations>().summary());
}

fn mebibytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len()) >> 20
}

/// The average number of processes that want to run, over the last minute.
fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap().to_owned()
}

/// Clients that write at a steady pace. Each request must succeed.
struct Writers {
    tasks: Vec<JoinHandle<()>>,
    latencies: Arc<Mutex<Vec<Duration>>>,
    stops: Arc<AtomicBool>,
}

impl Writers {
    async fn start(server: &Server) -> Self {
        let latencies: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let stops: Arc<AtomicBool> = Arc::default();
        let mut tasks = Vec::new();
        for number in 0..SIGNAL_PAIRS + CALL_PAIRS {
            let one = server.person(&format!("one{number}"));
            let other = server.person(&format!("two{number}"));
            let pair = Pair { one, other, latencies: Arc::clone(&latencies), stops: Arc::clone(&stops) };
            tasks.push(if number < SIGNAL_PAIRS {
                let call = pair.begin_call().await;
                tokio::spawn(async move { pair.send_signals(&call).await })
            } else {
                tokio::spawn(async move { pair.make_calls().await })
            });
        }
        Self { tasks, latencies, stops }
    }

    /// The times from request to answer since the last time.
    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.latencies.lock().unwrap())
    }

    async fn stop(self) {
        self.stops.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

struct Pair {
    one: Person,
    other: Person,
    latencies: Arc<Mutex<Vec<Duration>>>,
    stops: Arc<AtomicBool>,
}

impl Pair {
    async fn timed(&self, request: reqwest::RequestBuilder) -> serde_json::Value {
        let begun = Instant::now();
        let (status, body) = support::answer(request).await;
        assert_eq!(status, 200, "{body}");
        self.latencies.lock().unwrap().push(begun.elapsed());
        body
    }

    fn signal(&self, call: &str) -> reqwest::RequestBuilder {
        let candidate = json!({ "candidate": "x".repeat(200) });
        let signal = json!({ "to": self.other.name, "type": "ice_candidate", "payload": candidate });
        self.one.posting_json(&format!("/calls/{call}/signal"), signal)
    }

    async fn begin_call(&self) -> String {
        let channel = json!({ "channel": format!("dm:{}:{}", self.one.name, self.other.name) });
        let body = self.timed(self.one.posting_json("/calls/initiate", channel)).await;
        let call = body["call_id"].as_str().unwrap().to_owned();
        self.timed(self.other.posting(&format!("/calls/{call}/accept"))).await;
        call
    }

    async fn send_signals(&self, call: &str) {
        let mut ticks = interval(PACE);
        while !self.stops.load(Ordering::Relaxed) {
            ticks.tick().await;
            self.timed(self.signal(call)).await;
        }
    }

    async fn make_calls(&self) {
        let mut ticks = interval(PACE * 4);
        while !self.stops.load(Ordering::Relaxed) {
            ticks.tick().await;
            let call = self.begin_call().await;
            self.timed(self.signal(&call)).await;
            self.timed(self.other.posting(&format!("/calls/{call}/end"))).await;
        }
    }
}
