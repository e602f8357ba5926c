//! The metrics of the process, in the text format of Prometheus.

use std::fs;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounter, Opts, Registry, Result, TextEncoder};
use warp::http::{Method, StatusCode};

use super::App;

/// The upper bounds of the times of requests, in seconds. The last ones are those of requests that wait for an event.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 60.0];

/// The times of requests by method, route and status.
#[derive(Clone)]
pub struct RequestTimes(HistogramVec);

impl RequestTimes {
    /// Without any requests.
    ///
    /// # Errors
    /// Only if a name is malformed, which is a defect.
    pub fn new() -> Result<Self> {
        let options = HistogramOpts::new(
            "minimost_calls_http_request_duration_seconds",
            "Time from the head of a request to the head of its response.",
        );
        HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["method", "route", "status"]).map(Self)
    }

    /// Counts a request for a route, which is a pattern without ids.
    pub(super) fn observe(&self, method: &Method, route: &str, status: StatusCode, time: Duration) {
        // Clients may send any method.
        let known = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        self.0.with_label_values(&[method, route, status.as_str()]).observe(time.as_secs_f64());
    }
}

/// A row of the view `metrics`.
pub(super) struct Row {
    pub(super) name: String,
    /// The name and the value of a label.
    pub(super) label: Option<(String, String)>,
    pub(super) value: f64,
    pub(super) meaning: String,
}

/// The metrics of the process, and those in `rows`.
///
/// # Errors
/// If a name is malformed or there twice, which is a defect.
pub(super) fn encode(app: &App, rows: Vec<Row>) -> Result<String> {
    let registry = Registry::new();
    register(&registry, app.requests.0.clone())?;
    for row in rows {
        let options = Opts::new(row.name, row.meaning);
        let gauge = Gauge::with_opts(
            row.label.into_iter().fold(options, |options, (name, value)| options.const_label(name, value)),
        )?;
        gauge.set(row.value);
        register(&registry, gauge)?;
    }
    let activity = app.database.writer_activity();
    let counters = [
        ("minimost_calls_commits_total", "Commits of the server.", activity.commits()),
        (
            "minimost_calls_webhook_delivered_total",
            "Deliveries that receivers of webhooks have acknowledged.",
            app.webhook_attempts.delivered(),
        ),
        (
            "minimost_calls_webhook_failed_total",
            "Attempts to deliver to webhooks that failed.",
            app.webhook_attempts.failed(),
        ),
        (
            "minimost_calls_push_delivered_total",
            "Messages for browsers that push services have taken.",
            app.push_attempts.delivered(),
        ),
        (
            "minimost_calls_push_failed_total",
            "Attempts to deliver to push services that failed.",
            app.push_attempts.failed(),
        ),
        ("minimost_calls_writes_total", "Writes in these commits; several share one.", activity.writes()),
    ];
    for (name, meaning, value) in counters {
        let counter = IntCounter::new(name, meaning)?;
        counter.inc_by(value);
        register(&registry, counter)?;
    }
    let gauges = [
        ("minimost_calls_queued_writes", "Writes that have not begun.", Some(activity.queued() as f64)),
        (
            "minimost_calls_event_streams",
            "Open event streams and waiting requests.",
            Some(app.hub.subscriptions() as f64),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident_memory().map(|bytes| bytes as f64),
        ),
        ("process_open_fds", "Number of open file descriptors.", open_descriptors().map(|count| count as f64)),
    ];
    for (name, meaning, value) in gauges {
        let gauge = Gauge::new(name, meaning)?;
        if let Some(value) = value {
            gauge.set(value);
            register(&registry, gauge)?;
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn register(registry: &Registry, collector: impl Collector + 'static) -> Result<()> {
    registry.register(Box::new(collector))
}

/// The bytes of the process in memory, where the system has `/proc`.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The open files and sockets of the process, where the system has `/proc`.
fn open_descriptors() -> Option<usize> {
    fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}
