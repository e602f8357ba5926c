//! What makes a file a member's: the list of members, and guards against a shell.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::open::open_connection;
use super::replica::Members;
use super::schema::{SchemaError, upgrade_plan};
use crate::statements::{self, Statement};

/// The triggers of one table.
const GUARD: &str = include_str!("../../sql/cluster/guard.sql");

/// Stores who the members are, and guards the file.
pub(super) fn found(connection: &Connection, name: &str, ts: f64, members: &Members) -> rusqlite::Result<()> {
    connection.execute(statements::FOUND_CLUSTER.sql(), (name, ts))?;
    for (node, address) in members {
        connection.execute(statements::ADD_MEMBER.sql(), (node.cast_signed(), address))?;
    }
    add_guards(connection)
}

/// Guards each table against a shell.
fn add_guards(connection: &Connection) -> rusqlite::Result<()> {
    let tables = names(connection, &statements::GUARDED_TABLES)?;
    tables.iter().try_for_each(|table| connection.execute_batch(&GUARD.replace("{table}", table)))
}

fn drop_guards(connection: &Connection) -> rusqlite::Result<()> {
    let guards = names(connection, &statements::GUARDS)?;
    guards.iter().try_for_each(|guard| connection.execute_batch(&format!("DROP TRIGGER \"{guard}\"")))
}

fn names(connection: &Connection, statement: &Statement) -> rusqlite::Result<Vec<String>> {
    connection.prepare(statement.sql())?.query_map([], |row| row.get(0))?.collect()
}

/// Changes the schema by the statements of a plan, if there are any. New tables get guards, too.
pub(super) fn change_schema(connection: &Connection, plan: &[String]) -> rusqlite::Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    drop_guards(connection)?;
    plan.iter().try_for_each(|sql| connection.execute_batch(sql))?;
    add_guards(connection)
}

/// The statements by which the schema of the member's file at `path` becomes this program's, tried and rolled back; empty if
/// it is. `ts` is the present, in seconds since the epoch.
///
/// # Errors
/// The file is of a newer version, or the statements fail on it.
pub(crate) fn plan_upgrade(path: &Path, ts: f64) -> Result<Vec<String>, SchemaError> {
    let connection = open_connection(path)?;
    let applied_on: String =
        connection.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch')", [ts], |row| row.get(0))?;
    let plan = upgrade_plan(&connection, &applied_on)?;
    if !plan.is_empty() {
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        transaction.execute(statements::PIN_CLOCK_UNSWEPT.sql(), [ts])?;
        change_schema(&transaction, &plan)?;
        transaction.rollback()?;
    }
    Ok(plan)
}

/// Makes the file a single server's again.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn leave(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    drop_guards(&transaction)?;
    transaction.execute(statements::LEAVE_CLUSTER.sql(), [])?;
    transaction.execute(statements::FORGET_MEMBERS.sql(), [])?;
    transaction.commit()
}
