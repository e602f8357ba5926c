//! `sql`: a statement of an admin, by the rules of the database, and in a cluster through its log.

use std::io;

use super::{CommandError, print_line, read_input, write};
use crate::database::{Database, Value, Write};

/// Runs `statement`, and prints its rows, with tabs between the columns.
pub(super) fn run(database: &Database, statement: String) -> Result<(), CommandError> {
    let statement = if statement == "-" { read_input(io::stdin())? } else { statement };
    let statement = statement.trim_end().trim_end_matches(';');
    let result = write(database, "sql", Write::of_text(statement))?;
    for row in result.unnamed() {
        print_line(&row.iter().map(cell).collect::<Vec<_>>().join("\t"))?;
    }
    Ok(())
}

/// A value as the sqlite3 shell prints it in its mode `list`. A blob is in hexadecimal digits.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => text.replace(['\t', '\n', '\r'], " "),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
