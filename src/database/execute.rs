//! Running the statements of one write.

use rusqlite::{Connection, params_from_iter};

use super::WriteError;
use super::write::{BoundStatement, Write, WriteResult};

/// Runs the statements of `write` in a savepoint, which is rolled back if one of them fails.
///
/// # Errors
/// If a statement fails. Then the write is rolled back. If SQLite rolled back the whole transaction, the connection is
/// in none afterwards.
pub(super) fn run_write(connection: &Connection, write: &Write) -> Result<WriteResult, WriteError> {
    let mut error = match run_statements(connection, &write.statements) {
        Ok(result) => return Ok(result),
        Err(error) => WriteError::from(error),
    };
    // SQLite rolls the whole transaction back when the disk is full or fails.
    if !connection.is_autocommit() {
        if let Err(error) = connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write") {
            // A part of this write must not be committed with the others.
            connection.execute_batch("ROLLBACK")?;
            return Err(error.into());
        }
        if let WriteError::Refused { rows, .. } = &mut error {
            for query in &write.on_refusal {
                run_statement(connection, query, rows)?;
            }
        }
    }
    if let WriteError::Unexpected(error) = &error {
        let names: Vec<_> = write.statements.iter().map(|(statement, _)| statement.name()).collect();
        tracing::error!(?names, %error, "a write failed for a reason that is no rule");
    }
    Err(error)
}

fn run_statements(connection: &Connection, statements: &[BoundStatement]) -> rusqlite::Result<WriteResult> {
    connection.prepare_cached("SAVEPOINT one_write")?.execute([])?;
    let mut result = WriteResult::default();
    for statement in statements {
        run_statement(connection, statement, &mut result)?;
    }
    connection.prepare_cached("RELEASE one_write")?.execute([])?;
    Ok(result)
}

/// Runs one statement to its end and adds its rows to `result`.
fn run_statement(
    connection: &Connection,
    (statement, parameters): &BoundStatement,
    result: &mut WriteResult,
) -> rusqlite::Result<()> {
    let mut prepared = connection.prepare_cached(statement.sql())?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        let row = (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
        result.add(statement, row);
    }
    Ok(())
}
