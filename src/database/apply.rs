//! Applying a group of writes: a function of a connection inside a transaction, a time and the writes. On equal files it
//! leaves equal files, so one machine may decide the order of the groups and others repeat them.
//!
//! A rule that refuses a write, or an error in the write's own SQL, is the outcome of that write, and the same everywhere.
//! Any other error comes from the machine, such as a full disk: the whole group fails, and its transaction must be rolled
//! back.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter};

use super::WriteError;
use super::error::{is_constraint, is_of_statement, plain_message, refusal_code};
use super::write::{BoundStatement, Write, WriteResult};
use crate::statements;

/// A row that a statement of a write returned.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cluster", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Row {
    /// The position of the statement in the write. Those of `on_refusal` follow on.
    pub(super) position: usize,
    /// The columns.
    #[cfg_attr(feature = "cluster", serde(with = "super::encoding::values"))]
    pub(super) values: Vec<Value>,
}

/// The rows of a write.
pub(crate) type Rows = Vec<Row>;

/// What a write comes to: its rows, or why nothing of it is stored.
pub(crate) type Outcome = Result<Rows, NotApplied>;

/// Why a write of a group that is committed changes nothing.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cluster", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum NotApplied {
    /// A rule refused it, with this code. The rows are those of [`Write::on_refusal`].
    Refused { code: String, rows: Rows },
    /// A rule refused it while another refused the sweep before it: a row that the sweep should have changed may be why.
    Unswept,
    /// Its SQL is wrong.
    Unexpected(String),
}

/// How a group finds the clock, and leaves it.
#[derive(Clone, Copy, Debug)]
pub(super) enum GroupClock {
    /// It is the machine's, before and after, and nothing is swept.
    Free,
    /// It is pinned. The group frees it.
    Pinned,
    /// The group pins it to a time, in seconds since the epoch, which runs the sweeps that are due, and frees it.
    At(f64),
}

/// A group that was applied, in the transaction that is still open.
pub(super) struct Applied {
    /// One for each write, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// Why a rule refused the sweep, if one did.
    pub(super) sweep_refusal: Option<String>,
}

/// The refusal of the last sweep, if a rule refused it.
#[derive(Debug, Default)]
pub(super) struct SweepRefusal(Option<String>);

impl SweepRefusal {
    /// Notes the refusal of a sweep, or that none was refused. Logs it once while it lasts.
    pub(super) fn note(&mut self, refusal: Option<String>) {
        if let Some(error) = refusal.as_ref().filter(|_| refusal != self.0) {
            tracing::error!(
                error,
                "a rule refused the sweep: no time limit applies; see the view integrity_violations"
            );
        }
        self.0 = refusal;
    }
}

/// Applies `writes` in one transaction at the time `ts`, in seconds since the epoch, and returns what each comes to. Equal
/// files that get equal groups in equal order stay equal.
///
/// # Errors
/// The machine's, such as [`WriteError::Full`]. Then nothing of the group is stored.
pub fn apply_group(
    connection: &Connection,
    ts: f64,
    writes: &[Write],
) -> Result<Vec<Result<WriteResult, WriteError>>, WriteError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let applied = apply(&transaction, GroupClock::At(ts), writes)?;
    transaction.commit()?;
    Ok(writes.iter().zip(applied.outcomes).map(|(write, outcome)| write.result(outcome)).collect())
}

/// Applies `writes` one after another, each in a savepoint.
///
/// # Errors
/// The machine's. The caller rolls the transaction back.
pub(super) fn apply<'a>(
    connection: &Connection,
    clock: GroupClock,
    writes: impl IntoIterator<Item = &'a Write>,
) -> rusqlite::Result<Applied> {
    let sweep_refusal = match clock {
        GroupClock::At(ts) => pin_clock(connection, ts)?,
        GroupClock::Free | GroupClock::Pinned => None,
    };
    let outcome = |write| match run_write(connection, write)? {
        Err(NotApplied::Refused { .. }) if sweep_refusal.is_some() => Ok(Err(NotApplied::Unswept)),
        outcome => Ok(outcome),
    };
    let outcomes = writes.into_iter().map(outcome).collect::<rusqlite::Result<_>>()?;
    if !matches!(clock, GroupClock::Free) {
        connection.prepare_cached(statements::UNPIN_CLOCK.sql())?.execute([])?;
    }
    Ok(Applied { outcomes, sweep_refusal })
}

/// Pins the clock to `ts`, in seconds since the epoch; a trigger then runs the sweeps that are due. If a rule refuses the
/// sweep, which is a defect, pins the clock without a sweep, and returns the refusal.
///
/// # Errors
/// The machine's, as those of [`apply`].
pub(super) fn pin_clock(connection: &Connection, ts: f64) -> rusqlite::Result<Option<String>> {
    match connection.prepare_cached(statements::PIN_CLOCK.sql())?.execute([ts]) {
        Err(error) if is_constraint(&error) && !connection.is_autocommit() => {
            connection.prepare_cached(statements::PIN_CLOCK_UNSWEPT.sql())?.execute([ts])?;
            Ok(Some(plain_message(&error)))
        }
        result => result.map(|_| None),
    }
}

/// Runs the statements of `write` in a savepoint, which is rolled back if one of them fails.
///
/// # Errors
/// As [`apply`].
pub(super) fn run_write(connection: &Connection, write: &Write) -> rusqlite::Result<Outcome> {
    let mut statements = write.statements.iter().chain(&write.on_refusal);
    if let Some(problem) = statements.find_map(|statement| statement.sql.problem()) {
        return Ok(Err(NotApplied::Unexpected(problem.to_owned())));
    }
    let error = match run_statements(connection, &write.statements) {
        Ok(rows) => return Ok(Ok(rows)),
        Err(error) => error,
    };
    // SQLite rolls the whole transaction back when the disk is full or fails.
    if !is_of_statement(&error) || connection.is_autocommit() {
        return Err(error);
    }
    if needs_savepoint(&write.statements) {
        connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write")?;
    }
    let Some(code) = refusal_code(&error) else {
        let names: Vec<_> = write.statements.iter().map(|statement| statement.sql.name()).collect();
        tracing::error!(?names, %error, "a write failed for a reason that is no rule");
        return Ok(Err(NotApplied::Unexpected(plain_message(&error))));
    };
    let mut rows = Rows::new();
    for (position, query) in (write.statements.len()..).zip(&write.on_refusal) {
        run_statement(connection, position, query, &mut rows)?;
    }
    Ok(Err(NotApplied::Refused { code: code.to_owned(), rows }))
}

/// SQLite undoes a single statement that fails, if it is one of ours (<https://sqlite.org/lang_conflict.html>: the rules and
/// statements of this program ABORT). That saves a tenth of what a signal takes in SQLite.
fn needs_savepoint(statements: &[BoundStatement]) -> bool {
    !matches!(statements, [statement] if statement.sql.is_named())
}

fn run_statements(connection: &Connection, statements: &[BoundStatement]) -> rusqlite::Result<Rows> {
    let needs_savepoint = needs_savepoint(statements);
    if needs_savepoint {
        connection.prepare_cached("SAVEPOINT one_write")?.execute([])?;
    }
    let mut rows = Rows::new();
    for (position, statement) in statements.iter().enumerate() {
        run_statement(connection, position, statement, &mut rows)?;
    }
    if needs_savepoint {
        connection.prepare_cached("RELEASE one_write")?.execute([])?;
    }
    Ok(rows)
}

/// Runs one statement to its end and adds its rows to `rows`.
fn run_statement(
    connection: &Connection,
    position: usize,
    statement: &BoundStatement,
    rows: &mut Rows,
) -> rusqlite::Result<()> {
    let mut prepared = connection.prepare_cached(statement.sql.text())?;
    let columns = prepared.column_count();
    let mut found = prepared.query(params_from_iter(&statement.parameters))?;
    while let Some(row) = found.next()? {
        let values = (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
        rows.push(Row { position, values });
    }
    Ok(())
}
