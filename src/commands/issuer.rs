//! `issuer …`: host applications whose users come in with tokens.

use std::fs::File;
use std::io;
use std::path::Path;

use super::output::{self, Columns};
use super::{CommandError, change, read_input, refused};
use crate::command_line::Issuer;
use crate::database::{Database, Value, Write, text};
use crate::issuers::check_key;
use crate::statements;

const ISSUERS: Columns = &[
    ("ISSUER", "name"),
    ("ALGORITHM", "algorithm"),
    ("AUDIENCE", "audience"),
    ("CLOCK SKEW", "clock_skew"),
    ("SINCE", "created_ts"),
    ("PEOPLE", "people"),
];

pub(super) fn run(database: &Database, command: Issuer) -> Result<(), CommandError> {
    match command {
        Issuer::Add { name, algorithm, key, audience, clock_skew } => {
            let key = read_key(&key, &name, &algorithm)?;
            let or_null = |value: Option<String>| value.map_or(Value::Null, Value::Text);
            let skew = clock_skew.map_or(Value::Null, |skew| Value::Real(skew.as_secs_f64()));
            let parameters = [text(&name), text(algorithm), text(key), or_null(audience), skew];
            change(database, &name, "added issuer", &[], Write::new(&statements::ADD_ISSUER, parameters)).map(drop)
        }
        Issuer::List(output) => output::list(database, &statements::ISSUERS, [&"", &output::ALL], ISSUERS, output),
        Issuer::SetKey { name, key } => {
            let issuer: Option<String> =
                database.read(|snapshot| snapshot.row(&statements::ISSUER, [&name], |row| row.get(0)))?;
            let algorithm = issuer.ok_or_else(|| refused(database, &name, "issuer_not_found"))?;
            let key = read_key(&key, &name, &algorithm)?;
            let write = Write::new(&statements::SET_ISSUER_KEY, [text(&name), text(key)]);
            change(database, &name, "changed key of issuer", &[], write).map(drop)
        }
        Issuer::Remove { name } => {
            let write = Write::new(&statements::REMOVE_ISSUER, [text(&name)]);
            change(database, &name, "removed issuer", &[], write).map(drop)
        }
    }
}

/// Reads the key of issuer `name` from a file, or from standard input if `path` is `-`.
fn read_key(path: &Path, name: &str, algorithm: &str) -> Result<String, CommandError> {
    let key = if path == Path::new("-") { read_input(io::stdin()) } else { File::open(path).and_then(read_input) };
    let key = key.map_err(|error| CommandError::refused(path.display().to_string(), error.to_string()))?;
    check_key(algorithm, &key).map_err(|error| CommandError::refused(name, error.to_string()))?;
    Ok(key)
}
