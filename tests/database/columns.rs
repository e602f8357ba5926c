//! Every column of every table, with what a bare shell may do to it: a rule refuses the change, or it is harmless.
//!
//! Harmless means that all views can be read afterwards, that the sweep is not refused, and that every time limit still
//! ends what it has to end. A new column needs a verdict here.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::new_file;

/// The columns that a shell can change in some way, and why that is harmless. All others refuse every change.
const HARMLESS: &[(&str, &str)] = &[
    ("call_participants.guest_name", "shown in history"),
    ("call_participants.invited_by", "an admin may grant or take a person's way back into the call"),
    ("call_participants.invited_ts", "the past: the invitation ends sooner; for those off the call it is history"),
    ("call_participants.joined_ts", "shown; not in the future, and not removed while on the call"),
    ("call_participants.last_seen_ts", "the past: the person leaves sooner; for those off the call it means nothing"),
    ("call_participants.leaves_ts", "the past: the person leaves sooner; at most an hour ahead, as restart_grace"),
    ("call_participants.missed_seen_ts", "shown: whether the person took note"),
    ("call_participants.missed_ts", "shown as a missed call"),
    ("call_participants.seen_by", "which session's end takes the person off; NULL: none"),
    ("call_participants.state", "legal transitions"),
    ("call_participants.visible_after", "the past events that a guest may see, as an admin decides"),
    ("calls.screenshare_user", "people on the call"),
    ("calls.started_ts", "the past: the call times out sooner"),
    ("calls.state", "legal transitions"),
    ("clean_stop.stopped_ts", "a start that finds a change after it skips ids, which costs clients a snapshot"),
    ("clock.booted_ts", "describes the wall clock; a comparison that fails is a step"),
    ("clock.boot_id", "as booted_ts"),
    ("clock.pinned_ts", "the server frees it within a second"),
    ("clock.step_seconds", "the action clock_step; its trigger clears it"),
    ("clock.sweeps", "the server resets it within a second"),
    ("cluster.applied_ts", "in a member's file a guard refuses it; a single server has no such row"),
    ("cluster.log_id", "as applied_ts"),
    ("cluster.membership", "as applied_ts"),
    ("cluster.name", "as applied_ts"),
    ("cluster.stepped", "as applied_ts"),
    ("cluster_members.is_replaced", "as cluster.applied_ts"),
    ("cluster_members.node", "as cluster.applied_ts"),
    ("dm_members.listed", "whether GET /me lists the channel, as an admin decides"),
    ("ended_tokens.expires_ts", "when the row is of no use"),
    ("issuers.audience", "which tokens are accepted, as an admin decides"),
    ("issuers.clock_skew", "as audience"),
    ("issuers.created_ts", "shown"),
    ("issuers.key", "as audience; with an unusable one no token is accepted"),
    ("links.admit", "whether guests wait, as an admin decides"),
    ("links.created_ts", "shown"),
    ("links.expires_ts", "an admin may end or prolong a link"),
    ("links.uses_left", "how many guests may come, as an admin decides"),
    ("login_attempts.address", "failed logins; an admin may delete them, too"),
    ("login_attempts.failures", "as address"),
    ("login_attempts.ts", "as address"),
    ("login_attempts.username", "as address"),
    ("media_bytes.kept", "integrity_violations compares it with the rows"),
    ("media_bytes.call_id", "as kept"),
    ("media_bytes.sender", "as kept"),
    ("person_counts.live_calls", "integrity_violations compares it with the rows"),
    ("person_counts.live_shares", "as live_calls"),
    ("person_counts.media_bytes", "as live_calls"),
    ("person_counts.on_calls", "as live_calls"),
    ("person_counts.rings", "an admin may lift a limit, or impose it for a minute"),
    ("person_counts.rings_from_ts", "as rings; a minute from the future is over"),
    ("person_counts.username", "integrity_violations compares it with users"),
    ("private_channel_members.joined_ts", "shown"),
    ("private_channels.created_by", "shown"),
    ("private_channels.created_ts", "shown"),
    ("private_channels.name", "the title"),
    ("push_deliveries.attempts", "the next pause; an attempt is due within an hour"),
    ("push_deliveries.next_ts", "the attempt is sooner or later, until it is of no use"),
    ("push_deliveries.until_ts", "it is of use for a longer or shorter time"),
    ("refinery_schema_history.applied_on", "checked by the next start, which refuses a file of another version"),
    ("refinery_schema_history.checksum", "as applied_on"),
    ("refinery_schema_history.name", "as applied_on"),
    ("refinery_schema_history.version", "as applied_on"),
    ("removed_subjects.issuer", "an admin may let a person in again, or keep one out"),
    ("removed_subjects.removed_ts", "as issuer"),
    ("removed_subjects.subject", "as issuer"),
    ("ring_counts.callee", "as rings"),
    ("ring_counts.caller", "as rings"),
    ("ring_counts.refusals", "as rings; a pause lasts at most an hour"),
    ("ring_counts.refused_ts", "as refusals; a refusal from the future is over"),
    ("ring_counts.rings", "an admin may lift a limit, or impose it for a minute"),
    ("ring_counts.rings_from_ts", "as rings; a minute from the future is over"),
    ("screenshares.last_seen_ts", "the past: the share ends sooner"),
    ("screenshares.leaves_ts", "as call_participants.leaves_ts"),
    ("screenshares.seen_by", "as call_participants.seen_by"),
    ("screenshares.started_ts", "shown; no rule measures it"),
    ("screenshares.state", "legal transitions"),
    ("service_tokens.created_ts", "shown"),
    ("service_tokens.expires_ts", "an admin may end or prolong a token"),
    ("service_tokens.scopes", "what a program may do, as an admin decides"),
    ("sessions.created_ts", "shown"),
    ("sessions.expires_ts", "an admin may end or prolong a session"),
    ("settings.meaning", "shown"),
    ("settings.unit", "shown"),
    ("settings.value", "within its range, and with the others"),
    ("users.created_ts", "shown"),
    ("users.display_name", "what people see"),
    ("users.password_hash", "an admin may lock a person out"),
    ("users.quiet_until", "until when calls do not ring, as an admin decides, too"),
    ("users.role", "an admin decides who else is one"),
    ("users.token_ts", "which tokens count as newer"),
    ("webhook_deliveries.attempts", "the next pause; an attempt is due within an hour"),
    ("webhook_deliveries.body", "the receiver gets it"),
    ("webhook_deliveries.given_up_ts", "an admin may give one up"),
    ("webhook_deliveries.last_error", "shown"),
    ("webhook_deliveries.last_status", "shown"),
    ("webhook_deliveries.message_id", "the receiver takes it for another event"),
    ("webhook_deliveries.next_ts", "integrity_violations says if it waits for nothing; retry_webhook mends it"),
    ("webhook_deliveries.queued_ts", "retried for a longer or shorter time"),
    ("webhook_deliveries.subject", "in order with those of another call"),
    ("webhooks.allow_private", "an admin decides"),
    ("webhooks.created_ts", "shown"),
    ("webhooks.disabled_ts", "an admin may disable one"),
    ("webhooks.dropped", "shown"),
    ("webhooks.kept", "integrity_violations compares it with the rows"),
];

/// The tables whose rows a shell can delete while they matter, and why that is harmless. All others refuse it.
const DELETABLE: &[(&str, &str)] = &[
    ("call_media", "receivers miss a chunk; a restarted recorder sends a new init segment"),
    ("call_participants", "the person departs"),
    ("call_signals", "the sender's client negotiates again"),
    ("calls", "finished calls: history may be pruned"),
    ("clean_stop", "the next start skips ids"),
    ("cluster", "in a member's file a guard refuses it; a single server has no such row"),
    ("cluster_members", "as cluster"),
    ("command_log", "the newest are kept for a while only"),
    ("ended_tokens", "an admin may let a token in again"),
    ("events", "clients that resume from before get a snapshot"),
    ("idempotency_keys", "a retry is carried out again"),
    ("issuers", "the sessions of its people end"),
    ("links", "the link is revoked"),
    ("login_attempts", "an admin may lift a pause"),
    ("media_bytes", "integrity_violations compares it with the rows"),
    ("person_counts", "integrity_violations says which are missing"),
    ("private_channel_members", "the person leaves"),
    ("private_channels", "its call ends"),
    ("push_deliveries", "the browser does not get it"),
    ("push_subscriptions", "the browser is not woken; the page subscribes again"),
    ("refinery_schema_history", "the next start refuses a file of another version"),
    ("removed_subjects", "as the column issuer"),
    ("ring_counts", "an admin may lift a limit"),
    ("screenshares", "ended shares: history may be pruned"),
    ("service_tokens", "the token is revoked"),
    ("sessions", "the session ends"),
    ("share_media", "as call_media"),
    ("users", "the user is removed"),
    ("webhook_deliveries", "the receiver does not get it"),
    ("webhooks", "it is removed, with its deliveries"),
];

/// Values that a column may be set to: NULL, nothing, the past, the future, and other types.
const VALUES: [&str; 17] = [
    "NULL",
    "0",
    "1",
    "-1",
    "2",
    "(SELECT ts FROM now) - 1000",
    "(SELECT ts FROM now) + 1000",
    "9e999",
    "-9e999",
    "9223372036854775807",
    "''",
    "'bob'",
    "'x' || char(0) || char(10)",
    "x'00ff'",
    "'left'",
    "'ended'",
    "'admin'",
];

/// A file at a pinned clock with a row in every table: a ringing, an active and a finished call, two shares, guests.
fn filled() -> (tempfile::TempDir, Connection) {
    let (folder, _, connection) = new_file();
    connection.set_prepared_statement_cache_capacity(1000);
    connection
        .execute_batch(
            "UPDATE clock SET pinned_ts = 100000;
             UPDATE settings SET value = 0 WHERE name = 'rings_per_pair' OR name = 'refusal_pause';
             INSERT INTO users (username, password_hash, created_ts)
             VALUES ('alice', 'x', 1000), ('bob', 'x', 1000), ('carol', 'x', 1000), ('dave', 'x', 1000);
             INSERT INTO private_channels (id, name, created_by, created_ts) VALUES (1, 'Team', 'alice', 1000);
             INSERT INTO private_channel_members (channel_id, username, joined_ts)
             VALUES (1, 'alice', 1000), (1, 'bob', 1000), (1, 'carol', 1000);
             INSERT INTO sessions (token_hash, username, created_ts, expires_ts)
             VALUES (printf('%064d', 0), 'alice', 1000, 200000), (printf('%064d', 3), 'carol', 1000, 200000);
             UPDATE settings SET value = 1 WHERE name = 'web_push';
             INSERT INTO add_push_subscription (id, token_hash, endpoint, p256dh, auth)
             VALUES (printf('%032d', 1), printf('%064d', 3), 'https://push.example.org/1',
                     'BP' || printf('%085d', 0), printf('%022d', 0));
             INSERT INTO add_service_token VALUES ('monitor', printf('%064d', 0), json_array('metrics'), NULL);
             INSERT INTO add_issuer (name, algorithm, key) VALUES ('chat', 'ES256', 'x');
             INSERT INTO admit_token_user (token_hash, issuer, subject, issued_ts, expires_ts)
             VALUES (printf('%064d', 1), 'chat', 'zoe', 1000, 200000), (printf('%064d', 2), 'chat', 'yves', 1000, 200000);
             DELETE FROM users WHERE username = 'yves';
             INSERT INTO login_attempts (username, address, ts) VALUES ('bob', '192.0.2.1', 100000);
             INSERT INTO command_log (ts, change, subject) VALUES (1000, 'added user', 'alice');
             INSERT INTO add_webhook (name, url, secret)
             VALUES ('chat', 'https://chat.example.org/', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
             INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('finished', 'private:1', 'alice');
             INSERT INTO end_call (call_id, username) VALUES ('finished', 'alice');
             INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('active', 'private:1', 'alice');
             INSERT INTO accept_call (call_id, username) VALUES ('active', 'bob');
             INSERT INTO invite_to_call (call_id, username, invited_by) VALUES ('active', 'dave', 'alice');
             INSERT INTO add_link (token_hash, channel, username, admit)
             VALUES (printf('%064d', 1), 'private:1', 'alice', 1), (printf('%064d', 2), 'private:1', 'alice', 0);
             INSERT INTO open_link (link_hash, username, display_name, session_hash)
             VALUES (printf('%064d', 1), 'guest-1', 'Gwen', printf('%064d', 11)),
                    (printf('%064d', 2), 'guest-2', 'Hugo', printf('%064d', 12));
             INSERT INTO accept_call (call_id, username) VALUES ('active', 'guest-2');
             INSERT INTO share_screen_in_call (call_id, username, sharing) VALUES ('active', 'bob', 1);
             INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('ringing', 'dm:alice:carol', 'alice');
             INSERT INTO send_call_signal VALUES ('active', 'alice', 'bob', 'offer', '1');
             INSERT INTO call_media (call_id, sender, is_init, mime_type, ts, data)
             VALUES ('active', 'bob', 1, 'video/webm', 100000, x'01'), ('active', 'bob', 0, NULL, 100000, x'02');
             INSERT INTO start_screenshare (share_id, channel, sharer)
             VALUES ('ended', 'dm:alice:bob', 'bob'), ('shared', 'dm:alice:bob', 'alice');
             INSERT INTO stop_screenshare (share_id, username) VALUES ('ended', 'bob');
             INSERT INTO upload_share_media (share_id, username, is_init, mime_type, data)
             VALUES ('shared', 'alice', 1, 'video/webm', x'01'), ('shared', 'alice', 0, NULL, x'02');
             INSERT INTO keep_answer (username, key, fingerprint, answer)
             VALUES ('alice', 'key', printf('%064d', 1), '{}');
             INSERT INTO cluster (id, name, applied_ts) VALUES (1, 'x', 1000);
             INSERT INTO add_member (node, address) VALUES (1, 'a.example.org:7100');
             INSERT INTO begin_run (restored) VALUES (1);
             INSERT INTO end_run DEFAULT VALUES;",
        )
        .unwrap();
    (folder, connection)
}

fn strings(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare_cached(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn tables(connection: &Connection) -> Vec<String> {
    strings(
        connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name",
    )
}

/// The columns of a table that are stored.
fn columns(connection: &Connection, table: &str) -> Vec<String> {
    strings(connection, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"))
}

/// Fails unless all views can be read, the sweep passes, and nothing is live for ever.
fn assert_harmless(connection: &Connection, change: &str) {
    for view in strings(connection, "SELECT name FROM sqlite_schema WHERE type = 'view'") {
        let mut statement = connection.prepare_cached(&format!("SELECT * FROM {view}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        loop {
            match rows.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => panic!("{change}: {view} cannot be read: {error}"),
            }
        }
    }
    let swept = connection.execute("UPDATE clock SET pinned_ts = 1e9, sweeps = 1, step_seconds = NULL", []);
    assert!(swept.is_ok(), "{change}: the sweep is refused: {swept:?}");
    // Media and people on a call have left long ago. Shares have no time limit.
    for (what, query) in [
        ("live calls", "SELECT call_id FROM calls WHERE is_live"),
        ("people on a call", "SELECT username FROM call_participants WHERE in_call"),
        ("media", "SELECT sender FROM call_media"),
        ("sessions", "SELECT token_hash FROM sessions WHERE expires_ts < 1e9"),
    ] {
        assert_eq!(strings(connection, query), [""; 0], "{change}: {what} stay");
    }
}

/// The rows of a table, to compare.
fn dump(connection: &Connection, table: &str) -> Vec<String> {
    let columns: Vec<String> = columns(connection, table).iter().map(|column| format!("quote(\"{column}\")")).collect();
    strings(connection, &format!("SELECT {} FROM {table} ORDER BY 1", columns.join(" || ' ' || ")))
}

#[test]
fn every_column_has_a_verdict() {
    let (_folder, connection) = filled();
    let harmless: BTreeMap<&str, &str> = HARMLESS.iter().copied().collect();
    let mut changed: BTreeSet<String> = BTreeSet::new();
    for table in tables(&connection) {
        let before = dump(&connection, &table);
        assert!(!before.is_empty(), "{table} has no row to change");
        let keys: Vec<String> = (0..before.len()).map(|offset| row_key(&connection, &table, offset)).collect();
        for column in columns(&connection, &table) {
            let name = format!("{table}.{column}");
            // Each setting has rules of its own. Elsewhere a dozen rows have every state.
            let rows = match table.as_str() {
                "settings" if column == "value" => keys.len(),
                "settings" | "rules" => 1,
                _ => keys.len().min(12),
            };
            for (key, value) in keys[..rows].iter().flat_map(|key| VALUES.map(|value| (key, value))) {
                // Each row alone: a statement for all rows would be refused by the first.
                for conflict in ["", "OR REPLACE "] {
                    let change = format!("UPDATE {conflict}{table} SET \"{column}\" = {value} WHERE {key}");
                    connection.execute_batch("SAVEPOINT one").unwrap();
                    if connection.execute(&change, []).is_ok() && dump(&connection, &table) != before {
                        assert!(harmless.contains_key(name.as_str()), "no rule refuses this: {change}");
                        changed.insert(name.clone());
                        if !table.starts_with("refinery") && conflict.is_empty() {
                            assert_harmless(&connection, &change);
                        }
                    }
                    connection.execute_batch("ROLLBACK TO one; RELEASE one").unwrap();
                }
            }
        }
    }
    let obsolete: Vec<_> = harmless.keys().filter(|name| !changed.contains(**name)).collect();
    assert!(obsolete.is_empty(), "these refuse every change, or do not exist: {obsolete:?}");
}

/// A condition for one row of a table, by its primary key.
fn row_key(connection: &Connection, table: &str, offset: usize) -> String {
    let keys = strings(connection, &format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"));
    assert!(!keys.is_empty(), "{table} has no primary key");
    let conditions: Vec<String> = keys.iter().map(|key| format!("'\"{key}\" IS ' || quote(\"{key}\")")).collect();
    let order = keys.iter().map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
    let query =
        format!("SELECT {} FROM {table} ORDER BY {order} LIMIT 1 OFFSET {offset}", conditions.join(" || ' AND ' || "));
    strings(connection, &query).remove(0)
}

#[test]
fn every_table_has_a_verdict_about_deleted_and_replaced_rows() {
    let (_folder, connection) = filled();
    let deletable: BTreeMap<&str, &str> = DELETABLE.iter().copied().collect();
    let mut deleted: BTreeSet<String> = BTreeSet::new();
    for table in tables(&connection) {
        let before = dump(&connection, &table);
        for offset in 0..before.len().min(40) {
            let key = row_key(&connection, &table, offset);
            let change = format!("DELETE FROM {table} WHERE {key}");
            connection.execute_batch("SAVEPOINT one").unwrap();
            if connection.execute(&change, []).is_ok() {
                assert!(deletable.contains_key(table.as_str()), "no rule refuses this: {change}");
                deleted.insert(table.clone());
                if !table.starts_with("refinery") {
                    assert_harmless(&connection, &change);
                }
            }
            connection.execute_batch("ROLLBACK TO one; RELEASE one").unwrap();

            // INSERT OR REPLACE deletes a row without its DELETE triggers, and stores it anew.
            let stored: Vec<String> = strings(
                &connection,
                &format!("SELECT '\"' || name || '\"' FROM pragma_table_info('{table}') ORDER BY cid"),
            );
            let stored = stored.join(", ");
            let change = format!("INSERT OR REPLACE INTO {table} ({stored}) SELECT {stored} FROM {table} WHERE {key}");
            connection.execute_batch("SAVEPOINT one").unwrap();
            if connection.execute(&change, []).is_ok() {
                assert_eq!(dump(&connection, &table), before, "{change}");
                if !table.starts_with("refinery") {
                    assert_harmless(&connection, &change);
                }
            }
            connection.execute_batch("ROLLBACK TO one; RELEASE one").unwrap();
        }
    }
    let obsolete: Vec<_> = deletable.keys().filter(|name| !deleted.contains(**name)).collect();
    assert!(obsolete.is_empty(), "these refuse every deletion, or do not exist: {obsolete:?}");
}
