//! The query plan of every statement, and of every trigger that it runs, is a search in an index. So a file with a million
//! finished calls is as fast as an empty one.

use minimost_calls::statements::{self, Statement};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::new_file;

/// Tables that grow with use.
const GROWING: &[&str] = &[
    "calls",
    "call_participants",
    "call_signals",
    "call_media",
    "screenshares",
    "share_media",
    "media_bytes",
    "person_counts",
    "ring_counts",
    "sessions",
    "login_attempts",
    "users",
    "private_channels",
    "private_channel_members",
    "service_tokens",
    "dm_members",
    "events",
    "ended_tokens",
    "removed_subjects",
    "webhook_deliveries",
    "push_subscriptions",
    "push_deliveries",
    "links",
    "idempotency_keys",
];

/// Tables and views that stay short: the names in a DM, the rows of the clock and of the rules.
const SHORT: &[&str] = &[
    "json_each",
    "clock",
    "settings",
    "state_transitions",
    "refusals",
    "CONSTANT",
    "sqlite_sequence",
    "clean_stop",
    // One row, a row for each member, and the schema, which is read once in the life of a member.
    "cluster",
    "cluster_members",
    "sqlite_schema",
    // One row a start, as long as the log has events before it.
    "event_gaps",
    "now",
    "ring_cutoff",
    "presence_cutoff",
    "media_cutoff",
    "event_cutoff",
    "login_cutoff",
    "login_limits",
    // The pauses of one address.
    "login_pauses",
    "presence_note_cutoff",
    "gone_cutoff",
    "duration_cutoff",
    "idempotency_cutoff",
    "sweep_due",
    "durable_sweep_due",
    "buffer_sweep_due",
    "newest_time",
    "newest_user",
    // The oldest chunks of a sender, each found by a search.
    "oldest",
    // The characters of a subject, and the names that are tried for it until one is free.
    "characters",
    "derived",
    "candidates",
    // The channels in a token.
    "named",
    // The session or token of a caller, found by a search.
    "admin_access",
    // The calls and shares in which a person has signals, each found by a search.
    "signalling",
    // The receivers that an admin has added, and the types of events.
    "webhooks",
    "webhook",
    "type",
    "webhook_types",
    // The people of one call, in the body of a webhook.
    "attendee",
];

/// Indexes of live rows only: a scan of one of them is no scan of history.
const LIVE_INDEXES: [&str; 7] = [
    "person_counts_on_calls",
    "call_participants_accepted_by_seen",
    "screenshares_active_by_seen",
    "calls_live_by_channel",
    "calls_ringing_by_start",
    "screenshares_active_by_channel",
    "screenshares_active_by_sharer",
];

/// Statements that list or count a whole table.
const LISTS: [&str; 8] = [
    "DISPLAY_NAMES",
    "FOREIGN_KEY_CHECK",
    "METRICS",
    "OTHER_USERS",
    "REFUSALS",
    "STATISTICS",
    "VIOLATIONS",
    "VIOLATION_ITEMS",
];

/// Statements that empty the signals, or the subscriptions of web push, or apply a step of the wall clock: it moves all of the
/// tables whose age is bounded, and no history.
const STEPS: [&str; 5] = ["START_SERVER", "STEP_CLOCK", "SET_SETTING", "RESET_SETTING", "ADD_PUSH_KEY"];
const MOVED: [&str; 11] = [
    "call_signals",
    "call_media",
    "share_media",
    "login_attempts",
    "events",
    "person_counts",
    "ring_counts",
    "webhook_deliveries",
    "push_deliveries",
    "push_subscriptions",
    "idempotency_keys",
];

/// The lines of a statement's query plan, with those of its triggers.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Null; plan.parameter_count()];
    let lines = plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
    lines.collect::<Result<Vec<_>, _>>().unwrap()
}

/// The lines that scan a table which grows.
fn scans(connection: &Connection, sql: &str) -> Vec<String> {
    let lines = plan(connection, sql);
    // A scan of a subquery's rows is allowed: the tables that it reads have separate lines. Such a line names the subquery or
    // its alias alone; a line of a table's alias has the index, too.
    let subqueries = |line: &&String| line.starts_with("CO-ROUTINE ") || line.starts_with("MATERIALIZE ");
    let subqueries: Vec<&str> = lines.iter().filter(subqueries).filter_map(|line| line.split(' ').nth(1)).collect();
    let scanned = lines.iter().filter(|line| {
        let mut words = line.split(' ');
        let (verb, table) = (words.next(), words.next().unwrap_or_default());
        let live = LIVE_INDEXES.iter().any(|index| line.ends_with(index));
        let subquery = table.starts_with("(subquery-")
            || subqueries.contains(&table)
            || (["channel_members", "listed_channels"].iter().any(|view| subqueries.contains(view))
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
        .map(|statement: &&Statement| {
            let mut scans = scans(&connection, statement.sql());
            let is_moved = |scan: &String| scan.split(' ').nth(1).is_some_and(|table| MOVED.contains(&table));
            scans.retain(|scan| !(STEPS.contains(&statement.name()) && is_moved(scan)));
            // A change of the people is for all of them. Other events do not get there.
            scans.retain(|scan| !(statement.name() == "EVENT_RECIPIENTS" && scan == "SCAN person"));
            (statement.name(), scans)
        })
        .filter(|(_, scans)| !scans.is_empty())
        .collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

/// The history of a channel grows without limit. A statement about live calls must not read it.
#[test]
fn only_history_reads_history() {
    // Removing a user asks whether a DM has any history, once a channel. A sweep removes guests, who are in no DM.
    const HAS_HISTORY: &str = "SEARCH calls USING COVERING INDEX calls_by_channel (channel=?)";
    let (_folder, connection) = connection_that_explains_triggers();
    let history = [
        "ADMIN_HISTORY",
        "HISTORY",
        "PRUNE_HISTORY",
        "PRUNE_DUE_HISTORY",
        "STATISTICS",
        "VIOLATIONS",
        "VIOLATION_ITEMS",
    ];
    for statement in statements::ALL.iter().filter(|statement| !history.contains(&statement.name())) {
        let plan = plan(&connection, statement.sql());
        let reading: Vec<_> = plan.iter().filter(|line| line.contains("calls_by_channel")).collect();
        assert!(reading.is_empty() || reading == [HAS_HISTORY], "{}: {reading:?}", statement.name());
    }
}

/// The tests above would pass if plans did not show triggers, or if the wording of plans changed.
#[test]
fn a_scan_is_noticed_in_a_statement_and_in_a_trigger() {
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

#[test]
fn everyday_statements_of_an_admin_are_searches() {
    let (_folder, connection) = connection_that_explains_triggers();
    for question in [
        "SELECT * FROM live_calls",
        "SELECT * FROM incoming_calls WHERE username = 'bob'",
        "SELECT * FROM missed_calls WHERE username = 'bob'",
        "SELECT * FROM call_history WHERE channel = 'dm:alice:bob' ORDER BY started_ts DESC LIMIT 20",
        "INSERT INTO end_call_as_admin (call_id) VALUES ('x')",
        "INSERT INTO revoke_session (session) VALUES ('x')",
        "SELECT * FROM session_list WHERE username = 'bob'",
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
