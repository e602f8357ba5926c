//! Who may do what: each route for each role in a call, over HTTP and in a shell, compared with the table in
//! `src/docs/api.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use minimost_calls::statements::{self, Statement};
use reqwest::RequestBuilder;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::json;

use crate::support::{EventStream, Person, Server, answer};

/// What a person is to a call. A namesake is a user who has the name of a removed participant of a DM's call.
const ROLES: [&str; 11] = [
    "initiator",
    "accepted",
    "pending",
    "rejected",
    "left",
    "removed",
    "expelled",
    "member",
    "former",
    "namesake",
    "stranger",
];

const ROUTES: [&str; 15] = [
    "GET state",
    "GET signals",
    "GET media",
    "GET /calls/active",
    "GET /events",
    "accept",
    "reject",
    "end",
    "leave",
    "invite",
    "remove",
    "gone",
    "signal",
    "screenshare",
    "media",
];

/// One call of alice, carol and, in some role, the person who sends the request.
struct Case {
    person: Person,
    channel: String,
    call: String,
}

impl Case {
    async fn new(server: &Server, role: &str) -> Self {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
        let channel = match role {
            "namesake" => "dm:alice:bob:carol".to_owned(),
            "member" | "stranger" => server.private_channel(&["alice", "carol"]),
            _ => server.private_channel(&["alice", "bob", "carol"]),
        };
        let call = alice.call(&channel).await;
        let path = |what: &str| format!("/calls/{call}/{what}");
        let done = |answer: (u16, serde_json::Value)| assert_eq!(answer.0, 200, "{role}: {}", answer.1);
        done(carol.post(&path("accept")).await);
        if ["accepted", "left", "removed", "expelled", "former", "namesake"].contains(&role) {
            done(bob.post(&path("accept")).await);
        }
        match role {
            "rejected" => done(bob.post(&path("reject")).await),
            "left" => done(bob.post(&path("leave")).await),
            "removed" => done(alice.post_json(&path("remove"), json!({ "username": "bob" })).await),
            "expelled" => server.execute("DELETE FROM private_channel_members WHERE username = 'bob'"),
            "member" => server.execute(&format!(
                "INSERT INTO private_channel_members (channel_id, username, joined_ts) VALUES ({}, 'bob', 0)",
                channel.trim_start_matches("private:")
            )),
            "former" => done(alice.post(&path("end")).await),
            "namesake" => server.execute("DELETE FROM users WHERE username = 'bob'"),
            _ => {}
        }
        let person = if role == "initiator" { alice } else { server.person("bob") };
        Self { person, channel, call }
    }

    fn request(&self, route: &str) -> RequestBuilder {
        let person = &self.person;
        let path = |what: &str| format!("/calls/{}/{what}", self.call);
        let carol = json!({ "username": "carol" });
        match route {
            "GET state" => person.getting(&path("state")),
            "GET signals" => person.getting(&path("signals")),
            "GET media" => person.getting(&path("media?sender=carol")),
            "GET /calls/active" => person.getting(&format!("/calls/active?channel={}", self.channel)),
            "invite" => person.posting_json(&path("invite"), json!({ "username": "dave" })),
            "remove" | "gone" => person.posting_json(&path(route), carol),
            "signal" => person.posting_json(&path("signal"), json!({ "to": "carol", "type": "offer", "payload": 1 })),
            "screenshare" => person.posting_json(&path("screenshare"), json!({ "on": true })),
            "media" => person.posting_bytes(&path("media"), *b"x"),
            _ => person.posting(&path(route)),
        }
    }

    /// The status of the response. Events have no status of their own: 200 is a snapshot with the call, 403 one without.
    async fn by_http(&self, route: &str) -> u16 {
        if route != "GET /events" {
            return answer(self.request(route)).await.0;
        }
        let (_, snapshot) = EventStream::open_with_snapshot(&self.person).await;
        let calls = snapshot.data["calls"].as_array().unwrap();
        if calls.iter().any(|call| call["call_id"] == self.call.as_str()) { 200 } else { 403 }
    }

    /// The status that the rules give the same request in a shell, which takes it back.
    fn by_sql(&self, sql: &Connection, route: &str) -> u16 {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        let (call, name, carol) = (text(&self.call), text(&self.person.name), text("carol"));
        let own = vec![call.clone(), name.clone()];
        let on_other = |other: SqlValue| vec![call.clone(), other, name.clone()];
        let (statement, parameters): (&Statement, Vec<SqlValue>) = match route {
            "GET state" => return access(sql, "state_access", &own),
            "GET signals" => return access(sql, "signals_access", &own),
            "GET media" => return access(sql, "media_access", &own),
            "GET /calls/active" => {
                let of_channel = "SELECT access FROM channel_access WHERE spelling = json_quote(?1) AND username = ?2";
                let of_call = "SELECT access FROM active_call_json WHERE channel = ?1 AND username = ?2";
                let parameters = [text(&self.channel), name];
                return status_of(sql, of_channel, &parameters).max(status_of(sql, of_call, &parameters));
            }
            "GET /events" => {
                let live = "SELECT 'granted' FROM user_live_calls WHERE call_id = ?1 AND username = ?2
                            UNION ALL SELECT 'not_a_member' LIMIT 1";
                return status_of(sql, live, &own);
            }
            "accept" => (&statements::ACCEPT_CALL, own),
            "reject" => (&statements::REJECT_CALL, own),
            "end" => (&statements::END_CALL, own),
            "leave" => (&statements::LEAVE_CALL, own),
            "invite" => (&statements::INVITE_TO_CALL, on_other(text("dave"))),
            "remove" => (&statements::REMOVE_FROM_CALL, on_other(carol)),
            "gone" => (&statements::REPORT_GONE, on_other(carol)),
            "signal" => (&statements::SEND_CALL_SIGNAL, vec![call, name, carol, text("offer"), text("1")]),
            "screenshare" => (&statements::SHARE_SCREEN_IN_CALL, vec![call, name, SqlValue::Integer(1)]),
            _ => {
                let chunk = [SqlValue::Integer(0), SqlValue::Null, SqlValue::Blob(b"x".to_vec())];
                (&statements::UPLOAD_CALL_MEDIA, [own, chunk.to_vec()].concat())
            }
        };
        sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        let outcome = run(sql, statement.sql(), &parameters);
        // Some refusals have ended the transaction.
        let _ = sql.execute_batch("ROLLBACK");
        outcome.map_or_else(|code| status(sql, &code), |_| 200)
    }
}

/// Runs SQL; returns the texts of its first column, or the code of its refusal. Parameters that are not given are NULL.
fn run(sql: &Connection, text: &str, parameters: &[SqlValue]) -> Result<Vec<String>, String> {
    let run = || {
        let mut prepared = sql.prepare(text)?;
        for number in 1..=prepared.parameter_count() {
            prepared.raw_bind_parameter(number, parameters.get(number - 1).unwrap_or(&SqlValue::Null))?;
        }
        let mut rows = prepared.raw_query();
        let mut texts = Vec::new();
        while let Some(row) = rows.next()? {
            texts.push(row.get::<_, String>(0).unwrap_or_default());
        }
        rusqlite::Result::Ok(texts)
    };
    run().map_err(|error| match error {
        rusqlite::Error::SqliteFailure(_, Some(code)) => code,
        other => panic!("{text}: {other}"),
    })
}

fn status(sql: &Connection, code: &str) -> u16 {
    sql.query_row("SELECT status FROM refusals WHERE code = ?1", [code], |row| row.get(0)).unwrap()
}

/// The status of a query for 'granted' or a code. Without a row, nothing is refused.
fn status_of(sql: &Connection, query: &str, parameters: &[SqlValue]) -> u16 {
    let found = run(sql, query, parameters).unwrap();
    found.first().filter(|access| *access != "granted").map_or(200, |code| status(sql, code))
}

fn access(sql: &Connection, column: &str, own: &[SqlValue]) -> u16 {
    status_of(sql, &format!("SELECT {column} FROM call_access WHERE call_id = ?1 AND username = ?2"), own)
}

#[tokio::test]
async fn each_role_has_the_documented_access_to_each_route() {
    let server = Server::start();
    server.person("dave");
    // Limits of crowds and rings, as far as they are set.
    server.execute(
        "UPDATE settings SET value = 0 WHERE kind = 'number' AND lowest = 0
         AND name IN ('live_calls_per_person', 'rings_per_pair', 'rings_per_person', 'refusal_pause', \
                      'sessions_per_person', 'streams_per_person')",
    );
    let mut table = format!("| route | {} |\n|{}\n", ROLES.join(" | "), " --- |".repeat(ROLES.len() + 1));
    for route in ROUTES {
        write!(table, "| {route} |").unwrap();
        for role in ROLES {
            let case = Case::new(&server, role).await;
            let by_sql = case.by_sql(&server.sql(), route);
            let by_http = case.by_http(route).await;
            assert_eq!(by_sql, by_http, "{route} of {role}: the rules, and the server");
            write!(table, " {by_http} |").unwrap();
            server.execute("UPDATE calls SET state = 'ended' WHERE is_live");
        }
        table.push('\n');
    }
    server.assert_integrity();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/api.md")).unwrap();
    assert!(docs.contains(&table), "src/docs/api.md lacks this table:\n{table}");
}
