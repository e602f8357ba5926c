//! A file after years of use: a million finished calls, and ten thousand live ones.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::path::Path;

use minimost_calls::database::Database;
use rusqlite::{Connection, params};

use crate::support::connect;

/// Finished calls belong to so many channels of three people each, as many of them to each as to every other.
const CHANNELS: u32 = 50_000;

/// Adds finished calls of three people each to the file at `path`: the rows that the triggers would store, without the time
/// that they take.
pub fn finished_calls(path: &Path, count: u32) {
    Database::open(path).unwrap().close();
    let connection = connect(path);
    connection.execute_batch("PRAGMA synchronous = OFF; BEGIN IMMEDIATE").unwrap();
    let triggers: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (name, _) in &triggers {
        connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    people(&connection, CHANNELS / 10);
    let channel =
        "printf('dm:u%05d:u%05d:u%05d', channel % 4998, channel % 4998 + 1, channel % 4998 + 2 + channel / 4998)";
    connection
        .execute_batch(&format!(
            "CREATE TEMP TABLE channels AS
               WITH RECURSIVE n (channel) AS (SELECT 0 UNION ALL SELECT channel + 1 FROM n WHERE channel < {CHANNELS} - 1)
               SELECT channel AS number, {channel} AS name,
                      printf('u%05d', channel % 4998) AS a, printf('u%05d', channel % 4998 + 1) AS b,
                      printf('u%05d', channel % 4998 + 2 + channel / 4998) AS c FROM n;
             CREATE INDEX temp.channels_by_number ON channels (number);
             INSERT INTO dm_members (channel, username) SELECT name, a FROM channels UNION SELECT name, b FROM channels
               UNION SELECT name, c FROM channels;"
        ))
        .unwrap();
    // Ids in the order of their times, as those of the server are.
    connection
        .execute_batch(&format!(
            "CREATE TEMP TABLE finished AS
               WITH RECURSIVE n (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM n WHERE number < {count} - 1)
               SELECT number, printf('%08x-0000-7000-8000-%012x', number, number) AS call_id,
                      1000000000.0 + number AS ts FROM n;
             INSERT INTO calls (call_id, channel, initiator, state, started_ts, answered_ts, ended_ts, ended_reason,
                                newest_number)
               SELECT call_id, name, a, 'ended', ts, ts + 5, ts + 600, 'hangup', (SELECT max(number) FROM users)
               FROM finished CROSS JOIN channels ON channels.number = finished.number % {CHANNELS} ORDER BY call_id;"
        ))
        .unwrap();
    for (column, role) in [("a", "initiator"), ("b", "participant"), ("c", "participant")] {
        connection
            .execute_batch(&format!(
                "INSERT INTO call_participants (call_id, username, role, state, joined_ts, left_ts, invited_ts, last_seen_ts,
                                                 number)
                   SELECT call_id, {column}, '{role}', 'left', ts + 5, ts + 600, ts, ts + 599,
                          (SELECT number FROM users WHERE username = {column})
                   FROM finished CROSS JOIN channels ON channels.number = finished.number % {CHANNELS} ORDER BY call_id;"
            ))
            .unwrap();
    }
    for (_, sql) in &triggers {
        connection.execute_batch(sql).unwrap();
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn people(connection: &Connection, count: u32) {
    connection
        .execute(
            "WITH RECURSIVE n (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM n WHERE number < ?1 + 20)
             INSERT INTO users (username, password_hash, created_ts) SELECT printf('u%05d', number), '', 0 FROM n",
            params![count],
        )
        .unwrap();
    connection.execute("INSERT INTO person_counts (username) SELECT username FROM users", []).unwrap();
}

/// Adds active calls of three people each, through the rules.
pub fn live_calls(path: &Path, count: u32) {
    let mut connection = connect(path);
    let mut begun = 0;
    while begun < count {
        let transaction = connection.transaction().unwrap();
        for number in begun..count.min(begun + 500) {
            let call = format!("live-{number}");
            let names = ["x", "y", "z"].map(|letter| format!("{letter}{number:05}"));
            for name in &names {
                transaction
                    .prepare_cached("INSERT INTO users (username, password_hash, created_ts) VALUES (?1, '', 0)")
                    .unwrap()
                    .execute([name])
                    .unwrap();
            }
            transaction
                .prepare_cached("INSERT INTO initiate_call (call_id, channel, initiator) VALUES (?1, ?2, ?3)")
                .unwrap()
                .execute([&call, &format!("dm:{}", names.join(":")), &names[0]])
                .unwrap();
            for name in &names[1..] {
                transaction
                    .prepare_cached("INSERT INTO accept_call (call_id, username) VALUES (?1, ?2)")
                    .unwrap()
                    .execute([&call, name])
                    .unwrap();
            }
        }
        transaction.commit().unwrap();
        begun += 500;
    }
}
