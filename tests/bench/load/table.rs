//! What is printed.

use std::fs;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::measure::median;
use crate::support::{PROGRAM, Server};
use crate::wrk::Round;

/// One row: what the server does, and what it is compared to.
pub struct Row {
    pub name: String,
    pub connections: usize,
    pub server: Round,
    /// The handler that does nothing, on as many connections.
    pub bare: Option<Round>,
    /// The same statements without HTTP, times a second.
    pub raw: Option<f64>,
}

/// The medians of some rounds, figure by figure.
pub fn medians(rounds: &[Round]) -> Round {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    Round {
        per_second: of(|round| round.per_second),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        processor: of(|round| round.processor),
    }
}

/// What all this runs on.
pub fn machine() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().unwrap();
    println!("{cores} cores of {}, load generator on them too", model.trim_start_matches([' ', '\t', ':']));
}

/// The size of the program, and how soon it serves an empty file.
pub fn program() {
    let starts = (0..9).map(|_| {
        let folder = TempDir::new().unwrap();
        let begun = Instant::now();
        let server = Server::start_in(folder, &[]);
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        drop(server);
        took
    });
    println!(
        "binary {:.1} MB; start to serving on an empty file {:.0} ms",
        fs::metadata(PROGRAM).unwrap().len() as f64 / 1e6,
        median(starts.collect())
    );
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    if let Ok(commit) = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) {
        println!("commit {commit}");
    }
}

/// The rows of one file; with `before`, also as a part of what they are on another.
pub fn print(title: &str, rows: &[Row], before: Option<&[Row]>) {
    println!("\non {title}:\n");
    let more = if before.is_some() { " of the empty file's |" } else { "" };
    println!(
        "| request | connections | requests/s | p50 ms | p99 ms | µs of CPU | of bare's | of bare warp | p99, of its | of raw SQLite |{more}"
    );
    println!(
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |{}",
        if before.is_some() { " ---: |" } else { "" }
    );
    for row in rows {
        let ratio = |of: Option<f64>| of.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let rate = row.server.per_second;
        print!(
            "| {} | {} | {} | {:.2} | {:.2} | {:.0} | {} | {} | {} | {} |",
            row.name,
            row.connections,
            if rate < 1000.0 { format!("{rate:.1}") } else { format!("{rate:.0}") },
            row.server.p50,
            row.server.p99,
            row.server.processor,
            ratio(row.bare.map(|bare| row.server.processor / bare.processor)),
            ratio(row.bare.map(|bare| rate / bare.per_second)),
            ratio(row.bare.map(|bare| row.server.p99 / bare.p99)),
            ratio(row.raw.map(|raw| rate / raw)),
        );
        if let Some(before) = before {
            let same = before.iter().find(|other| other.name == row.name && other.connections == row.connections);
            print!(" {} |", ratio(same.map(|other| rate / other.server.per_second)));
        }
        println!();
    }
}
