//! The server's throughput and latency, beside two upper limits measured in the same run: a bare warp handler with a response
//! of the same size, and the same statements by rusqlite without HTTP.
//!
//!     cargo bench --bench load                     on an empty file
//!     cargo bench --bench load -- --large          also on one with a million finished calls
//!     cargo bench --bench load -- --only state     one row
//!     cargo bench --bench load -- --only beside    the polls beside 200 commits a second
//!     cargo bench --bench load -- --only mix       what a thousand people do
//!
//! The load generator is wrk, from Debian's package wrk. Server, bare handler and generator share the processors. Each figure
//! is the median of several rounds, which alternate between the server and the bare handler.

mod bare;
#[path = "../client.rs"]
mod client;
mod fill;
#[path = "../measure.rs"]
mod measure;
mod mix;
mod raw;
mod rows;
#[path = "../../support/mod.rs"]
mod support;
mod table;
mod wrk;

use std::time::Duration;

use clap::Parser;

#[derive(Parser)]
struct Options {
    /// Measure on a file with a million finished calls as well, and compare
    #[arg(long)]
    large: bool,
    /// Number of finished calls in the large file
    #[arg(long, default_value_t = 1_000_000)]
    finished: u32,
    /// Number of live calls in the large file
    #[arg(long, default_value_t = 10_000)]
    live: u32,
    /// Number of rounds of each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Duration of a round in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Measure only the rows whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// Number of people of the mix
    #[arg(long, default_value_t = 1000)]
    people: usize,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Serve the bare handler, with a response of this size in bytes
    #[arg(long, hide = true)]
    bare: Option<usize>,
}

impl Options {
    fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| row.contains(only.as_str()))
    }

    fn round(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if let Some(bytes) = options.bare {
        return bare::serve(bytes).await;
    }
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    table::print_machine();
    table::print_program();
    if options.wants("mix") {
        mix::measure(&options).await;
    }
    if options.only.as_deref() == Some("mix") {
        return;
    }
    let empty = rows::measure(&options, None).await;
    table::print_rows("an empty file", &empty, None);
    if options.large {
        let large = rows::measure(&options, Some((options.finished, options.live))).await;
        let title = format!("a file with {} finished calls and {} live ones", options.finished, options.live);
        table::print_rows(&title, &large, Some(&empty));
    }
}
