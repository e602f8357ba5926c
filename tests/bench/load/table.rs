//! The printed tables.

use std::fs;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::measure::median;
use crate::support::{PROGRAM, Server};
use crate::wrk::Round;

/// A row: the figures of the server, and those that it is compared with.
pub struct Row {
    pub name: String,
    pub connections: usize,
    pub server: Round,
    /// The bare handler with the same number of connections.
    pub bare: Option<Round>,
    /// The rate of the same statements without HTTP, in requests a second.
    pub raw: Option<f64>,
}

/// The median of each figure over several rounds.
pub fn medians(rounds: &[Round]) -> Round {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    Round {
        per_second: of(|round| round.per_second),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        processor: of(|round| round.processor),
    }
}

/// Prints the processors.
pub fn print_machine() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().unwrap();
    println!("{cores} cores of {}, load generator on them too", model.trim_start_matches([' ', '\t', ':']));
}

/// Prints the size of the program, its time from start to serving, and its commit.
pub fn print_program() {
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

/// Prints the rows of one file. With `baseline`, also their ratio to the rows of another file.
pub fn print_rows(title: &str, rows: &[Row], baseline: Option<&[Row]>) {
    println!("\non {title}:\n");
    let more = if baseline.is_some() { " / empty file |" } else { "" };
    println!(
        "| request | connections | requests/s | p50 ms | p99 ms | µs of CPU | CPU / bare | requests / bare | p99 / bare | requests / SQLite |{more}"
    );
    println!(
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |{}",
        if baseline.is_some() { " ---: |" } else { "" }
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
        if let Some(baseline) = baseline {
            let same = baseline.iter().find(|other| other.name == row.name && other.connections == row.connections);
            print!(" {} |", ratio(same.map(|other| rate / other.server.per_second)));
        }
        println!();
    }
}
