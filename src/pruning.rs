//! Deletes calls and shares that are older than the setting `history_max_age`, in small steps between other writes.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::database::{Database, ReadError, Write};
use crate::last_error::LastError;
use crate::statements;

/// How often the history is checked, and how often a step is retried after an error.
const INTERVAL: Duration = Duration::from_secs(1);

/// After each step come so many times its length for other writes, within these bounds. At some 150 calls a second,
/// checkpoints are too rare to be in the way of one write in a hundred.
const PAUSE: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(150);

/// Prunes as long as the server runs. An error is logged once while it lasts.
pub async fn prune_history(database: Database) {
    let mut last_error = LastError::default();
    loop {
        let begun = Instant::now();
        let (pause, error) = match prune_step(&database).await {
            Ok(true) => ((begun.elapsed() * PAUSE).clamp(PAUSE_MIN, INTERVAL), None),
            Ok(false) => (INTERVAL, None),
            Err(error) => (INTERVAL, Some(error)),
        };
        last_error.note(error, "the history could not be pruned");
        sleep(pause).await;
    }
}

/// Deletes some calls and shares. Returns whether there may be more.
async fn prune_step(database: &Database) -> Result<bool, String> {
    // Of a cluster, one member prunes.
    if !database.is_leading() {
        return Ok(false);
    }
    let is_due = database.read(|snapshot| snapshot.row(&statements::HISTORY_DUE, [], |row| row.get::<_, bool>(0)));
    if !is_due.map_err(|error: ReadError| error.to_string())?.unwrap_or_default() {
        return Ok(false);
    }
    let step = database.write(Write::new(&statements::PRUNE_DUE_HISTORY, []));
    step.await.map(|_| true).map_err(|error| error.to_string())
}
