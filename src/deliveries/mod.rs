//! Deliveries by HTTP: one loop for each kind makes the attempts that are due, and stores each outcome.
//!
//! A delivery is a row, and the rules in `sql/rules/` decide when its next attempt is due. A kill between an attempt and its
//! outcome sends it again: at least once.

mod addresses;
mod client;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{self, JoinHandle, JoinSet};

pub use self::client::ClientError;
pub(crate) use self::client::{HttpClients, Outcome};
use crate::database::{Database, ReadError, Snapshot, Write};
use crate::last_error::LastError;

/// The attempts at a time for one receiver. A slow one keeps no other from its deliveries.
const ATTEMPTS_PER_RECEIVER: usize = 4;

/// Commits come in bursts: one search for all.
const COMMITS_PAUSE: Duration = Duration::from_millis(20);

/// The next search after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A stopping server waits this long for attempts under way. The next start repeats the others.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A kind of deliveries.
pub(crate) trait Delivery: Send + Sync + Sized + 'static {
    /// The kind, for logs.
    const KIND: &str;

    /// The receivers that may have deliveries that are due.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn receivers(snapshot: &Snapshot) -> Result<Vec<String>, ReadError>;

    /// The `limit` first deliveries to a receiver that are due.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn due(snapshot: &Snapshot, receiver: &str, limit: i64) -> Result<Vec<Self>, ReadError>;

    /// Seconds until another delivery becomes due.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn next_due(snapshot: &Snapshot) -> Result<Option<f64>, ReadError>;

    /// Its name, which nothing else that is due has. Logs have it.
    fn name(&self) -> String;

    /// The request of an attempt.
    ///
    /// # Errors
    /// Why there can be none.
    fn request(&self, clients: &HttpClients) -> Result<RequestBuilder, String>;

    /// Stores what became of an attempt.
    fn note(&self, outcome: Outcome) -> Write;
}

/// What a loop has done since the start, for monitors.
#[derive(Debug, Default)]
pub struct Attempts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl Attempts {
    /// The deliveries that receivers have acknowledged.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// The attempts that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// A running loop.
pub(crate) struct Deliveries {
    attempts: Arc<Attempts>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Deliveries {
    /// Starts the loop of a kind. `commits` changes after each commit, of any program.
    pub(crate) fn start<D: Delivery>(
        runtime: &Handle,
        database: &Database,
        clients: &Arc<HttpClients>,
        commits: watch::Receiver<()>,
    ) -> Self {
        let attempts = Arc::<Attempts>::default();
        let (stopping, stop) = watch::channel(false);
        let delivery_loop = DeliveryLoop {
            database: database.clone(),
            clients: Arc::clone(clients),
            attempts: Arc::clone(&attempts),
            under_way: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let task = runtime.spawn(delivery_loop.run::<D>(commits, stop));
        Self { attempts, stopping, task }
    }

    /// What the loop has done.
    pub(crate) fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// Stops the loop, after attempts under way or two seconds.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(true);
        // It fails only if the task has panicked.
        let _ = self.task.await;
    }
}

struct DeliveryLoop {
    database: Database,
    clients: Arc<HttpClients>,
    attempts: Arc<Attempts>,
    /// The names of the deliveries under way, and their receivers.
    under_way: HashMap<task::Id, (String, String)>,
    tasks: JoinSet<()>,
}

impl DeliveryLoop {
    async fn run<D: Delivery>(mut self, mut commits: watch::Receiver<()>, mut stop: watch::Receiver<bool>) {
        let mut last_error = LastError::default();
        let problem = format!("cannot read the deliveries to {}", D::KIND);
        loop {
            let (next, error) = match self.start_due::<D>() {
                Ok(next) => (next, None),
                Err(error) => (Some(RETRY_INTERVAL), Some(error.to_string())),
            };
            last_error.note(error, &problem);
            let due = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopped(&mut stop) => break,
                // A panic ends one attempt. Its delivery stays due.
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|panic| panic.id(), |(id, ())| id);
                    self.under_way.remove(&id);
                }
                () = committed(&mut commits) => {}
                () = due => {}
            }
        }
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        // The tasks that remain end with the loop.
        let _ = tokio::time::timeout(STOP_TIMEOUT, finish).await;
    }

    /// Starts the attempts that are due, as far as there is room. Returns how long it is until the next one.
    fn start_due<D: Delivery>(&mut self) -> Result<Option<Duration>, ReadError> {
        let database = self.database.clone();
        // Of a cluster, the leader delivers. Another member may lead soon.
        if !database.is_leading() {
            return Ok(Some(RETRY_INTERVAL));
        }
        database.read(|snapshot| {
            for receiver in D::receivers(snapshot)? {
                self.start_due_of::<D>(snapshot, &receiver)?;
            }
            // A time is in milliseconds, and a sleep ends within the next one.
            let next = D::next_due(snapshot)?;
            Ok(next.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_INTERVAL)))
        })
    }

    fn start_due_of<D: Delivery>(&mut self, snapshot: &Snapshot, receiver: &str) -> Result<(), ReadError> {
        let under_way: Vec<String> =
            self.under_way.values().filter(|(_, of)| of == receiver).map(|(name, _)| name.clone()).collect();
        let room = ATTEMPTS_PER_RECEIVER.saturating_sub(under_way.len());
        if room == 0 {
            return Ok(());
        }
        // Those under way are still due.
        let limit = i64::try_from(room + under_way.len()).unwrap_or(i64::MAX);
        let due = D::due(snapshot, receiver, limit)?;
        for delivery in due.into_iter().filter(|delivery| !under_way.contains(&delivery.name())).take(room) {
            let name = delivery.name();
            let attempt = Attempt {
                clients: Arc::clone(&self.clients),
                database: self.database.clone(),
                attempts: Arc::clone(&self.attempts),
                receiver: receiver.to_owned(),
                delivery,
            };
            let task = self.tasks.spawn(attempt.run());
            self.under_way.insert(task.id(), (name, receiver.to_owned()));
        }
        Ok(())
    }
}

/// Waits for commits, and for those that follow them.
async fn committed(commits: &mut watch::Receiver<()>) {
    if commits.changed().await.is_err() {
        return std::future::pending().await; // The server stops.
    }
    // A search in between, after an attempt, finds what this one would.
    tokio::time::sleep(COMMITS_PAUSE).await;
}

/// Waits until the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // It fails only if the server is gone, which is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One attempt, whose outcome is stored.
struct Attempt<D> {
    clients: Arc<HttpClients>,
    database: Database,
    attempts: Arc<Attempts>,
    receiver: String,
    delivery: D,
}

impl<D: Delivery> Attempt<D> {
    /// Without a stored outcome, as when the disk is full, the delivery stays due.
    async fn run(self) {
        let (kind, receiver, id) = (D::KIND, &self.receiver, self.delivery.name());
        let outcome = match self.delivery.request(&self.clients) {
            Ok(request) => client::send(request).await,
            Err(error) => Outcome::impossible(error),
        };
        match &outcome.error {
            None => {
                self.attempts.delivered.fetch_add(1, Relaxed);
                tracing::debug!(receiver, id, "delivered to {kind}");
            }
            Some(error) => {
                self.attempts.failed.fetch_add(1, Relaxed);
                tracing::warn!(receiver, id, error, "a delivery to {kind} failed");
            }
        }
        if let Err(error) = self.database.write(self.delivery.note(outcome)).await {
            tracing::warn!(%error, receiver, id, "the outcome of a delivery could not be stored");
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}
