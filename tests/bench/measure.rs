//! What the benchmarks share: the distribution of what was measured, and what a process uses.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::fs;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::unistd::Pid;

/// Durations, to the microsecond, up to a minute.
pub struct Durations(Histogram<u64>);

impl Durations {
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).unwrap())
    }

    pub fn add(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap().max(1));
    }

    /// The duration that so many percent stay within, in milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// Median, 99th percentile and the longest, in milliseconds.
    pub fn summary(&self) -> String {
        format!(
            "p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms ({} measured)",
            self.percentile(50.0),
            self.percentile(99.0),
            self.0.max() as f64 / 1000.0,
            self.0.len()
        )
    }
}

impl FromIterator<Duration> for Durations {
    fn from_iter<T: IntoIterator<Item = Duration>>(durations: T) -> Self {
        let mut all = Self::new();
        durations.into_iter().for_each(|duration| all.add(duration));
        all
    }
}

/// The middle one of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The memory of a process that is its own or that it touched, in KiB (`VmRSS` of proc(5)).
pub fn resident_kib(process: Pid) -> u64 {
    kib(process, "VmRSS:")
}

fn kib(process: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor time that a process has used, user and system (`utime` and `stime` of proc(5)).
pub fn processor_time(process: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

/// The most memory that a process has had, in KiB (`VmHWM` of proc(5)).
pub fn peak_kib(process: Pid) -> u64 {
    kib(process, "VmHWM:")
}
