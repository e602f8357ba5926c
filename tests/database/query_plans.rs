//! Every statement of the server, and every statement of the triggers that it fires, is a search: a file with a million
//! finished calls is as fast as an empty one.

use minimost_calls::statements::{self, Statement};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::new_file;

/// Tables that grow with use.
const GROWING: [&str; 13] = [
    "calls",
    "call_participants",
    "call_signals",
    "signal_counts",
    "call_media",
    "screenshares",
    "share_media",
    "sessions",
    "login_attempts",
    "users",
    "private_channel_members",
    "dm_members",
    "events",
];

/// What is short whatever happens: a DM's name, the rows of the clock and of the rules.
const SHORT: [&str; 8] =
    ["json_each", "clock", "settings", "legal_moves", "refusals", "CONSTANT", "sqlite_sequence", "now"];

/// Indexes that hold only what goes on now, not what has been: going through one of them is no scan of history.
const LIVE_INDEXES: [&str; 4] = [
    "calls_live_by_channel",
    "calls_ringing_by_start",
    "screenshares_active_by_channel",
    "screenshares_active_by_sharer",
];

/// Statements whose work it is to list everything.
const LISTS: [&str; 3] = ["LIST_USERS", "LIST_CHANNELS", "OTHER_USERS"];

/// The lines of a statement's plan, its triggers' included.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Null; plan.parameter_count()];
    let lines = plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
    lines.collect::<Result<Vec<_>, _>>().unwrap()
}

/// Those of them that scan a table which grows.
fn scans(connection: &Connection, sql: &str) -> Vec<String> {
    let lines = plan(connection, sql);
    // What a subquery answers is gone through; what it reads for that has lines of its own. Such a line does not always
    // name the subquery, but its alias; an alias of a table would be followed by the index, or stand without a subquery.
    let subqueries = |line: &&String| line.starts_with("CO-ROUTINE ") || line.starts_with("MATERIALIZE ");
    let subqueries: Vec<&str> = lines.iter().filter(subqueries).filter_map(|line| line.split(' ').nth(1)).collect();
    let scanned = lines.iter().filter(|line| {
        let mut words = line.split(' ');
        let (verb, table) = (words.next(), words.next().unwrap_or_default());
        let live = LIVE_INDEXES.iter().any(|index| line.ends_with(index));
        let subquery = table.starts_with("(subquery-")
            || subqueries.contains(&table)
            || (subqueries.contains(&"channel_members")
                && ["member", "mine"].contains(&table)
                && words.next().is_none());
        verb == Some("SCAN") && !SHORT.contains(&table) && !live && !subquery && !line.contains(" VIRTUAL TABLE ")
    });
    scanned.cloned().collect()
}

fn connection_that_explains_triggers() -> (tempfile::TempDir, Connection) {
    let (folder, _, connection) = new_file();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRIGGER_EQP, true).unwrap();
    (folder, connection)
}

#[test]
fn every_statement_is_a_search() {
    let (_folder, connection) = connection_that_explains_triggers();
    let slow: Vec<(&str, Vec<String>)> = statements::ALL
        .iter()
        .filter(|statement| !LISTS.contains(&statement.name()))
        .map(|statement: &&Statement| (statement.name(), scans(&connection, statement.sql())))
        .filter(|(_, scans)| !scans.is_empty())
        .collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

/// A channel's history is as long as the channel is old; who asks for what is live does not go through it.
#[test]
fn only_history_reads_history() {
    let (_folder, connection) = connection_that_explains_triggers();
    for statement in statements::ALL.iter().filter(|statement| statement.name() != "HISTORY") {
        let plan = plan(&connection, statement.sql());
        let reading: Vec<_> = plan.iter().filter(|line| line.contains("calls_by_channel")).collect();
        assert!(reading.is_empty(), "{}: {reading:?}", statement.name());
    }
}

/// The tests above would see nothing if plans did not show triggers, or the words of a plan changed.
#[test]
fn a_scan_would_be_noticed_in_a_statement_and_in_a_trigger() {
    let (_folder, connection) = connection_that_explains_triggers();
    for table in GROWING {
        assert!(!scans(&connection, &format!("SELECT * FROM {table}")).is_empty(), "{table}");
    }
    connection
        .execute_batch(
            "CREATE TRIGGER slow AFTER UPDATE ON clock BEGIN DELETE FROM call_participants WHERE role = 'x'; END",
        )
        .unwrap();
    assert!(!scans(&connection, statements::PIN_CLOCK.sql()).is_empty());
}

/// What an admin asks every day stays a search, too.
#[test]
fn the_everyday_questions_of_an_admin_are_searches() {
    let (_folder, connection) = connection_that_explains_triggers();
    for question in [
        "SELECT * FROM live_calls",
        "SELECT * FROM incoming_calls WHERE username = 'bob'",
        "SELECT * FROM missed_calls WHERE username = 'bob'",
        "SELECT * FROM call_history WHERE channel = 'dm:alice:bob' ORDER BY started_ts DESC LIMIT 20",
        "UPDATE calls SET state = 'ended' WHERE call_id = 'x'",
        "UPDATE call_participants SET state = 'left' WHERE call_id = 'x' AND username = 'bob'",
        "DELETE FROM users WHERE username = 'bob'",
        "DELETE FROM private_channels WHERE id = 1",
        "DELETE FROM private_channel_members WHERE channel_id = 1 AND username = 'bob'",
        "DELETE FROM calls WHERE call_id = 'x'",
    ] {
        assert_eq!(scans(&connection, question), Vec::<String>::new(), "{question}");
    }
}
