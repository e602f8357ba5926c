//! Webhooks: one loop delivers events to other programs by HTTP.
//!
//! The rules in `sql/rules/webhooks.sql` decide which delivery is due when. The loop sends what is due, and stores each
//! outcome. A delivery is a row until it is acknowledged, so that a kill between the two sends it again: at least once.

mod addresses;
mod sender;
mod signature;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::ToSql;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{self, JoinHandle, JoinSet};

pub use self::sender::SenderError;
use self::sender::{Delivery, Outcome, Sender};
pub use self::signature::new_secret;
use crate::database::{Database, ReadError, Snapshot, Value, Write, text};
use crate::last_error::LastError;
use crate::statements;

/// The attempts at a time for one webhook. A slow receiver keeps no other from its deliveries.
const ATTEMPTS_PER_WEBHOOK: usize = 4;

/// Commits come in bursts: one search for all.
const COMMITS_PAUSE: Duration = Duration::from_millis(20);

/// The next search after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A stopping server waits this long for attempts under way. The next start repeats the others.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What the loop has done since the start, for monitors.
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

/// The running loop.
pub struct Webhooks {
    attempts: Arc<Attempts>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Webhooks {
    /// Starts the loop. `commits` changes after each commit, of any program.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(runtime: &Handle, database: Database, commits: watch::Receiver<()>) -> Result<Self, SenderError> {
        let attempts = Arc::<Attempts>::default();
        let (stopping, stop) = watch::channel(false);
        let delivery_loop = DeliveryLoop {
            database,
            sender: Arc::new(Sender::new()?),
            attempts: Arc::clone(&attempts),
            under_way: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let task = runtime.spawn(delivery_loop.run(commits, stop));
        Ok(Self { attempts, stopping, task })
    }

    /// What the loop has done.
    #[must_use]
    pub fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// Stops the loop, after attempts under way or two seconds.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        // It fails only if the task has panicked.
        let _ = self.task.await;
    }
}

struct DeliveryLoop {
    database: Database,
    sender: Arc<Sender>,
    attempts: Arc<Attempts>,
    /// The ids of the deliveries under way, and their webhooks.
    under_way: HashMap<task::Id, (i64, String)>,
    tasks: JoinSet<()>,
}

impl DeliveryLoop {
    async fn run(mut self, mut commits: watch::Receiver<()>, mut stop: watch::Receiver<bool>) {
        let mut last_error = LastError::default();
        loop {
            let (next, error) = match self.start_due() {
                Ok(next) => (next, None),
                Err(error) => (Some(RETRY_INTERVAL), Some(error.to_string())),
            };
            last_error.note(error, "cannot read the deliveries to webhooks");
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
    fn start_due(&mut self) -> Result<Option<Duration>, ReadError> {
        let database = self.database.clone();
        database.read(|snapshot| {
            for webhook in snapshot.rows(&statements::ACTIVE_WEBHOOKS, [], |row| row.get::<_, String>(0))? {
                self.start_due_of(snapshot, &webhook)?;
            }
            let seconds: Option<Option<f64>> = snapshot.row(&statements::NEXT_DELIVERY, [], |row| row.get(0))?;
            // A time is in milliseconds, and a sleep ends within the next one.
            Ok(seconds.flatten().map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_INTERVAL)))
        })
    }

    fn start_due_of(&mut self, snapshot: &Snapshot, webhook: &str) -> Result<(), ReadError> {
        let under_way: Vec<i64> = self.under_way.values().filter(|(_, of)| of == webhook).map(|(id, _)| *id).collect();
        let room = ATTEMPTS_PER_WEBHOOK.saturating_sub(under_way.len());
        if room == 0 {
            return Ok(());
        }
        // Those under way are still due.
        let limit = i64::try_from(room + under_way.len()).unwrap_or(i64::MAX);
        let due = snapshot.rows(&statements::DUE_DELIVERIES, [&webhook as &dyn ToSql, &limit], |row| {
            Ok(Delivery {
                id: row.get(0)?,
                message_id: row.get(1)?,
                body: row.get(2)?,
                url: row.get(3)?,
                secret: row.get(4)?,
                allow_private: row.get(5)?,
                timestamp: row.get(6)?,
            })
        })?;
        for delivery in due.into_iter().filter(|delivery| !under_way.contains(&delivery.id)).take(room) {
            let id = delivery.id;
            let attempt = Attempt {
                sender: Arc::clone(&self.sender),
                database: self.database.clone(),
                attempts: Arc::clone(&self.attempts),
                webhook: webhook.to_owned(),
                delivery,
            };
            let task = self.tasks.spawn(attempt.run());
            self.under_way.insert(task.id(), (id, webhook.to_owned()));
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
struct Attempt {
    sender: Arc<Sender>,
    database: Database,
    attempts: Arc<Attempts>,
    webhook: String,
    delivery: Delivery,
}

impl Attempt {
    /// Without a stored outcome, as when the disk is full, the delivery stays due.
    async fn run(self) {
        let (webhook, id) = (&self.webhook, &self.delivery.message_id);
        let Outcome { status, error } = self.sender.send(&self.delivery).await;
        match &error {
            None => {
                self.attempts.delivered.fetch_add(1, Relaxed);
                tracing::debug!(webhook, id, "delivered an event");
            }
            Some(error) => {
                self.attempts.failed.fetch_add(1, Relaxed);
                tracing::warn!(webhook, id, error, "an event could not be delivered");
            }
        }
        let status = status.map_or(Value::Null, |status| Value::Integer(status.into()));
        let note = [Value::Integer(self.delivery.id), status, error.map_or(Value::Null, text)];
        if let Err(error) = self.database.write(Write::new(&statements::NOTE_DELIVERY, note)).await {
            tracing::warn!(%error, webhook, id, "the outcome of a delivery could not be stored");
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}
