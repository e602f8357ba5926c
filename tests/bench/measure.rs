//! Shared by the benchmarks: distributions of durations, and the resources of a process.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::fs;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::unistd::Pid;

/// A histogram of durations up to a minute, in microseconds.
pub struct Durations(Histogram<u64>);

impl Durations {
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).unwrap())
    }

    pub fn add(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap().max(1));
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// A percentile, in milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// Median, 99th percentile and maximum, in milliseconds.
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

/// The median.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The resident memory of a process, in KiB (`VmRSS` of proc(5)).
pub fn resident_kib(process: Pid) -> u64 {
    kib(process, "VmRSS:")
}

fn kib(process: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The processor time of a process, user and system (`utime` and `stime` of proc(5)).
pub fn processor_time(process: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

/// The processor time that all processes of the machine have used (`cpu` of proc(5)).
pub fn busy_time() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks = stat.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap());
    // All but idle, iowait, and the time of guests, which counts as user's.
    let busy = ticks.take(8).enumerate().filter(|(at, _)| ![3, 4].contains(at)).map(|(_, ticks)| ticks).sum::<u64>();
    Duration::from_millis(busy * 10)
}

/// The peak resident memory of a process, in KiB (`VmHWM` of proc(5)).
pub fn peak_kib(process: Pid) -> u64 {
    kib(process, "VmHWM:")
}
