//! How many requests a second the server answers, and how fast, next to what could be had at most: a warp handler that
//! does nothing but answer as many bytes, and the same statements by rusqlite without HTTP, all in the same run.
//!
//!     cargo bench --bench load                     on an empty file
//!     cargo bench --bench load -- --large          also on one with a million finished calls
//!     cargo bench --bench load -- --only state     one row
//!     cargo bench --bench load -- --only beside    the polls beside 200 commits a second
//!
//! The load generator is wrk, of Debian's package of that name. Server, handler and generator share the machine's
//! processors. Every figure is the median of some rounds; those of the server and of what it is compared to take turns.

mod bare;
mod fill;
#[path = "../measure.rs"]
mod measure;
mod raw;
mod scenes;
#[path = "../../support/mod.rs"]
mod support;
mod table;
mod wrk;

use std::time::Duration;

use clap::Parser;

#[derive(Parser)]
struct Options {
    /// Also on a file with a million finished calls, and compare
    #[arg(long)]
    large: bool,
    /// How many finished calls a large file has
    #[arg(long, default_value_t = 1_000_000)]
    finished: u32,
    /// How many calls go on in it
    #[arg(long, default_value_t = 10_000)]
    live: u32,
    /// How often each row is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a round takes, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only the rows whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    /// Serve as the handler that does nothing but answer so many bytes
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
    table::machine();
    table::program();
    let empty = scenes::measure(&options, None).await;
    table::print("an empty file", &empty, None);
    if options.large {
        let large = scenes::measure(&options, Some((options.finished, options.live))).await;
        let title = format!("a file with {} finished calls and {} live ones", options.finished, options.live);
        table::print(&title, &large, Some(&empty));
    }
}
