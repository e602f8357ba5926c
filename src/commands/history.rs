//! `history …`.

use std::thread;
use std::time::{Duration, Instant};

use super::{CommandError, print_line, write};
use crate::command_line::History;
use crate::database::{Database, Value, Write, text};
use crate::statements;

/// After each step come so many times its length for the server and other writers.
const PAUSE: u32 = 3;

pub(super) fn run(database: &Database, command: &History) -> Result<(), CommandError> {
    let History::Prune { older_than } = command;
    let seconds = older_than.as_secs_f64();
    let read = |statement| database.read(|snapshot| snapshot.row(statement, [&seconds], |row| row.get::<_, i64>(0)));
    let count = read(&statements::COUNT_OLD_HISTORY)?.unwrap_or_default();
    loop {
        let begun = Instant::now();
        write(database, "history", Write::new(&statements::PRUNE_HISTORY, [Value::Real(seconds)]))?;
        if read(&statements::HAS_OLD_HISTORY)? != Some(1) {
            break;
        }
        thread::sleep((begun.elapsed() * PAUSE).min(Duration::from_secs(1)));
    }
    if count > 0 {
        let entry = [text("pruned history of"), text(format!("{count} calls and screen shares")), Value::Null];
        write(database, "history", Write::new(&statements::LOG_CHANGE, entry))?;
    }
    print_line(&format!("{count} calls and screen shares were deleted"))
}
