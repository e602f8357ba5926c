//! The fixtures in README and on the pages: every block marked `slt`.

use minimost_calls::database::upgrade_schema;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sqllogictest::{DBOutput, DefaultColumnType};

use crate::documents::Document;

/// The database that a fixture runs on.
struct Rules(Connection);

impl sqllogictest::DB for Rules {
    type Error = rusqlite::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, rusqlite::Error> {
        let mut statement = self.0.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let cell = |column| match row.get_ref(column)? {
                ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
                other => Ok(format!("{other:?}")),
            };
            lines.push((0..columns).map(cell).collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(if columns == 0 {
            DBOutput::StatementComplete(0)
        } else {
            DBOutput::Rows { types: vec![DefaultColumnType::Text; columns], rows: lines }
        })
    }
}

#[test]
fn documented_fixtures_pass() {
    let fixtures: Vec<_> = Document::all().iter().flat_map(|document| document.blocks_of("slt")).collect();
    assert!(fixtures.len() >= 2, "README and fixtures.md show one each");
    for fixture in fixtures {
        runs(&fixture).unwrap();
        // A second earlier the call still rings.
        let hurried = fixture.replace("pinned_ts + 30", "pinned_ts + 29");
        assert!(runs(&hurried).is_err(), "the fixture does not depend on its time: {fixture}");
    }
}

fn runs(script: &str) -> Result<(), sqllogictest::TestError> {
    let mut runner = sqllogictest::Runner::new(|| async {
        let mut connection = Connection::open_in_memory().unwrap();
        upgrade_schema(&mut connection).unwrap();
        Ok(Rules(connection))
    });
    runner.run_script(&format!("{script}\n"))
}
