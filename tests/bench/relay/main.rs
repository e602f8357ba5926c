//! Signals through this server beside two relays that keep nothing, in turns: `PeerServer` (npm `peer`) and socket.io.
//!
//!     cargo bench --bench relay
//!     cargo bench --bench relay -- --pairs 32             pairs that send at a time
//!     cargo bench --bench relay -- --only ours            one of peer, socket.io, ours and joins
//!     cargo bench --bench relay -- --program FILE         another build of the program; may be repeated
//!
//! The relays need Node and npm; without them this server is measured alone. One process has all clients, and shares the
//! machine's processors with the server. Each pair sends its next signal when the last one has arrived and, where the
//! server does that, has been acknowledged. Each figure is the median of several rounds.
//!
//! `joins` measures a call from its first request until both people have offer and answer.

#[path = "../client.rs"]
mod client;
mod joins;
#[path = "../measure.rs"]
mod measure;
mod node;
mod ours;
#[path = "../../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::unistd::Pid;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use measure::{Durations, busy_time, median, processor_time, resident_kib};
use node::Relay;
use support::PROGRAM;

const PAYLOAD_BYTES: usize = 2048;

const WARM_UP: Duration = Duration::from_millis(700);

/// Percent of a core that other processes of the machine may use without a warning.
const OTHERS_MAX: f64 = 10.0;

#[derive(Parser)]
struct Options {
    /// Pairs that send at a time, and calls that are made at a time
    #[arg(long, value_delimiter = ',')]
    pairs: Vec<usize>,
    /// Measure only this: peer, socket.io, ours or joins
    #[arg(long)]
    only: Option<String>,
    /// Measure this build of the program; several are measured in turns
    #[arg(long)]
    program: Vec<PathBuf>,
    /// Number of rounds of each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Duration of a round in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Threads of the clients
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, what: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == what)
    }

    fn round(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How many are measured at a time.
    fn pairs(&self, unless_given: &[usize]) -> Vec<usize> {
        if self.pairs.is_empty() { unless_given.to_vec() } else { self.pairs.clone() }
    }

    /// The builds of the program, each with a name for its rows.
    fn programs(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let given = self.program.iter().map(|program| (program.display().to_string(), program.clone()));
        let built = self.program.is_empty().then(|| ("this server".to_owned(), PROGRAM.into()));
        given.chain(built)
    }
}

/// Two people who exchange something again and again.
trait Pair: Send + 'static {
    /// Exchanges it once. Returns when it had arrived, after everything else that belongs to it.
    fn exchange(&mut self) -> impl Future<Output = Instant> + Send;
}

/// A server to measure.
enum Contender {
    Relay(Relay),
    Ours { name: String, program: PathBuf },
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Relay(relay) => relay.to_string(),
            Self::Ours { name, .. } => name.clone(),
        }
    }

    fn is_peer(&self) -> bool {
        matches!(self, Self::Relay(relay) if relay.package == "peer")
    }

    /// A round of signals on a new server.
    async fn round(&self, options: &Options, pairs: usize) -> Figures {
        match self {
            Self::Relay(relay) => {
                let server = relay.start();
                let pairs = server.connect(pairs).await;
                measure(options, server.process(), pairs).await
            }
            Self::Ours { program, .. } => {
                let server = ours::start(program);
                let pairs = ours::connect(&server, pairs).await;
                measure(options, server.process(), pairs).await
            }
        }
    }
}

/// The figures of a round.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    /// MB.
    resident: f64,
    /// Percent of a core.
    server: f64,
    client: f64,
}

fn main() {
    let options = Options::parse();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build();
    runtime.unwrap().block_on(run(&options));
}

async fn run(options: &Options) {
    println!("{} cores, which the clients share", std::thread::available_parallelism().unwrap());
    let mut contenders = Vec::new();
    if options.wants("peer") || options.wants("socket.io") {
        match node::install() {
            Ok(relays) => {
                let wanted = relays.into_iter().filter(|relay| options.wants(relay.package));
                contenders.extend(wanted.map(Contender::Relay));
            }
            Err(missing) => println!("PeerServer and socket.io are not measured: {missing}"),
        }
    }
    if options.wants("ours") {
        contenders.extend(options.programs().map(|(name, program)| Contender::Ours { name, program }));
    }
    if !contenders.is_empty() {
        signals(options, &contenders).await;
    }
    if options.wants("joins") {
        joins::measure_all(options).await;
    }
}

/// Prints a row for each number of pairs and each server.
async fn signals(options: &Options, contenders: &[Contender]) {
    println!("\n| pairs | server | signals/s | of PeerServer | p50 ms | p99 ms | memory | CPU | CPU of the clients |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for pairs in options.pairs(&[1, 32, 256]) {
        let mut rounds = vec![Vec::new(); contenders.len()];
        for _ in 0..options.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                rounds.push(contender.round(options, pairs).await);
            }
        }
        let peer = contenders.iter().position(Contender::is_peer);
        for (contender, own) in contenders.iter().zip(&rounds) {
            let of_peer = peer.map(|peer| {
                let ratios = own.iter().zip(&rounds[peer]).map(|(own, peer)| own.per_second / peer.per_second);
                format!("{:.2}", median(ratios.collect()))
            });
            let Figures { per_second, p50, p99, resident, server, client, .. } = medians(own);
            println!(
                "| {pairs} | {} | {per_second:.0} | {} | {p50:.2} | {p99:.2} | {resident:.0} MB | {server:.0} % | {client:.0} % |",
                contender.name(),
                of_peer.unwrap_or_default()
            );
        }
    }
}

/// The median of each figure over several rounds.
fn medians(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    Figures {
        per_second: of(|round| round.per_second),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        resident: of(|round| round.resident),
        server: of(|round| round.server),
        client: of(|round| round.client),
    }
}

/// A round: all pairs exchange for its duration, each one thing after the other. What arrives in the warm-up does not count.
async fn measure(options: &Options, server: Pid, pairs: Vec<impl Pair>) -> Figures {
    let begin = Instant::now() + WARM_UP;
    let end = begin + options.round();
    let mut exchanging = JoinSet::new();
    for mut pair in pairs {
        exchanging.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return latencies;
                }
                let arrived = pair.exchange().await;
                if (begin..end).contains(&arrived) {
                    latencies.push(arrived - sent);
                }
            }
        });
    }
    let used = |process| processor_time(process).as_secs_f64();
    sleep_until(begin.into()).await;
    let before = [used(server), used(Pid::this()), busy_time().as_secs_f64()];
    sleep_until(end.into()).await;
    let percent = |used: f64| 100.0 * used / options.seconds;
    let (server_used, client_used) = (percent(used(server) - before[0]), percent(used(Pid::this()) - before[1]));
    let busy = percent(busy_time().as_secs_f64() - before[2]);
    let resident = resident_kib(server);
    let latencies: Durations = exchanging.join_all().await.into_iter().flatten().collect();
    let others = busy - server_used - client_used;
    if others > OTHERS_MAX {
        eprintln!("other processes used {others:.0} % of a core in this round");
    }
    Figures {
        per_second: latencies.count() as f64 / options.seconds,
        p50: latencies.percentile(50.0),
        p99: latencies.percentile(99.0),
        resident: resident as f64 / 1024.0,
        server: server_used,
        client: client_used,
    }
}

/// The payload of an offer, as JSON.
fn payload() -> String {
    let (head, line, tail) = (r#"{"type":"offer","sdp":"v=0\r\n"#, r"a=rtpmap:111 opus/48000/2\r\n", r#""}"#);
    let mut payload = head.to_owned();
    while payload.len() + line.len() + tail.len() <= PAYLOAD_BYTES {
        payload.push_str(line);
    }
    payload.push_str(&"x".repeat(PAYLOAD_BYTES - payload.len() - tail.len()));
    payload + tail
}
