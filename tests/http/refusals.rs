//! Every code that there is: which request is answered with it, or why none is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::scenes::Talk;
use crate::support::{Person, Server};

/// Codes of rules that no request meets: the handlers do not write such rows, so only a shell or the command line can.
const MET_ELSEWHERE: &[&str] = &[
    // Adding and removing people and channels is the command line's.
    "already_a_member",
    // Events, and taking people off a call: in tests/push.
    "event_is_final",
    "events_detail_is_json",
    "events_kind_known",
    "not_in_call",
    "not_the_initiator",
    "channel_exists",
    "channel_id_is_fixed",
    "channel_not_found",
    "membership_is_fixed",
    "private_channels_name_length",
    "user_exists",
    "user_name_is_fixed",
    "users_username_format",
    // A request never writes states, times, ids or roles.
    "answered_ts_is_final",
    "call_exists",
    "call_identity_is_fixed",
    "call_is_live",
    "call_media_is_init_boolean",
    "call_move_illegal",
    "call_not_answered",
    "call_participants_role_known",
    "call_participants_state_known",
    "call_still_ringing",
    "calls_call_id_format",
    "calls_end_once_finished",
    "calls_ended_reason_known",
    "calls_state_known",
    "media_is_final",
    "stream_start_miscounted",
    "participant_identity_is_fixed",
    "participant_move_illegal",
    "role_is_wrong",
    "screenshares_end_once_ended",
    "screenshares_share_id_format",
    "screenshares_state_known",
    "share_exists",
    "share_identity_is_fixed",
    "share_is_active",
    "share_media_is_init_boolean",
    "share_move_illegal",
    "signal_is_final",
    // The server sweeps before it writes, so an answer that is late finds the call rejected.
    "invitation_timed_out",
    // Claiming the screen is refused with not_accepted before this is asked.
    "sharer_not_accepted",
    // The handlers refuse these bodies first: chunk_empty and mime_missing.
    "call_media_data_not_empty",
    "call_media_init_has_mime_type",
    "share_media_data_not_empty",
    "share_media_init_has_mime_type",
    // A name that nobody can have is answered like a wrong password.
    "login_attempts_username_format",
    // The clock, the settings, sessions and this very table are an admin's.
    "clock_has_one_row",
    "clock_is_needed",
    "ice_server_malformed",
    "ice_servers_are_a_json_list",
    "refusal_status_is_a_client_error",
    "session_is_fixed",
    "sessions_token_hash_format",
    "setting_is_a_number",
    "setting_is_in_range",
    "setting_is_needed",
];

/// Codes of the HTTP shell that are met in other tests: they take ten seconds, or an admin with the write lock.
const MET_IN_OTHER_TESTS: &[&str] = &[
    // Plain HTTP on a port that speaks TLS: tests/http/tls.rs.
    "https_needed",
    "body_too_slow",
    "database_busy",
    "bad_limit",
    "bad_time",
    "bad_wait",
];

/// Codes of the HTTP shell for what no client can bring about: broken disks, defects, a server that has all but stopped, and
/// what warp might say although it does not.
const NOBODYS_FAULT: &[&str] = &["bad_query", "bad_request", "database_broken", "disk_full", "internal", "stopping"];

/// A call that alice and bob talk in, one that rings, one that is over, a share that goes on and one that has ended.
struct Everything {
    talk: Talk,
    ringing: String,
    over: String,
    share: String,
    ended_share: String,
}

impl Everything {
    async fn set_up() -> Self {
        let talk = Talk::active().await;
        let ringing = talk.alice.call("dm:alice:carol").await;
        let over = talk.alice.call("dm:alice:bob:carol").await;
        assert_eq!(talk.alice.post(&format!("/calls/{over}/end")).await.0, 200);
        let mut shares = Vec::new();
        for channel in ["dm:alice:bob", "dm:alice:carol"] {
            let (status, body) = talk.alice.post_json("/screenshare/start", json!({ "channel": channel })).await;
            assert_eq!(status, 200, "{body}");
            shares.push(body["share_id"].as_str().unwrap().to_owned());
        }
        let [share, ended_share] = shares.try_into().unwrap();
        assert_eq!(talk.alice.post(&format!("/screenshare/{ended_share}/stop")).await.0, 200);
        // Guessing has begun already.
        talk.server.execute(
            "UPDATE settings SET value = 1 WHERE name = 'login_attempts_per_name'; \
             UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_address'; \
             INSERT INTO login_attempts (username, address, ts) SELECT 'alice', '192.0.2.1', ts FROM now;",
        );
        Self { talk, ringing, over, share, ended_share }
    }

    /// One request for each code of the rules that a client can meet.
    fn of_the_rules(&self) -> Vec<(&'static str, RequestBuilder)> {
        let Talk { alice, bob, carol, call, .. } = &self.talk;
        let Self { ringing, over, share, ended_share, .. } = self;
        let initiate = |channel: &str| alice.posting_json("/calls/initiate", json!({ "channel": channel }));
        let invite =
            |call: &str, name: &str| alice.posting_json(&format!("/calls/{call}/invite"), json!({ "username": name }));
        let signal = |person: &Person, path: &str, to: &str, signal_type: &str, payload: Value| {
            person.posting_json(path, json!({ "to": to, "type": signal_type, "payload": payload }))
        };
        let in_call = format!("/calls/{call}/signal");
        let in_share = format!("/screenshare/{share}/signal");
        let media = format!("/calls/{call}/media");
        let long_mime = format!("init=1&mime={}", "m".repeat(256));
        vec![
            ("already_in_call", invite(call, "bob")),
            ("call_finished", alice.posting(&format!("/calls/{over}/accept"))),
            ("call_media_mime_type_length", alice.posting_bytes(&format!("{media}?{long_mime}"), *b"x")),
            ("call_not_active", invite(ringing, "bob")),
            ("call_not_found", alice.posting("/calls/none/end")),
            ("call_signals_between_two", signal(alice, &in_call, "alice", "offer", json!(1))),
            ("call_signals_payload_is_json", signal(alice, &in_call, "bob", "offer", json!(null))),
            ("call_signals_type_known", signal(alice, &in_call, "bob", "hello", json!(1))),
            ("cannot_invite_oneself", invite(call, "alice")),
            ("channel_has_live_call", initiate("dm:bob:alice")),
            ("channel_not_callable", initiate("general")),
            ("media_chunk_too_large", alice.posting_bytes(&media, vec![0; (4 << 20) + 1])),
            ("nobody_to_call", initiate("dm:alice")),
            ("not_a_member", initiate("dm:bob:carol")),
            ("not_a_participant", carol.posting(&format!("/calls/{call}/end"))),
            ("not_accepted", carol.posting_bytes(&format!("/calls/{ringing}/media"), *b"x")),
            ("not_pending", alice.posting(&format!("/calls/{call}/reject"))),
            ("not_the_sharer", bob.posting(&format!("/screenshare/{share}/stop"))),
            ("recipient_not_in_call", signal(alice, &in_call, "carol", "offer", json!(1))),
            ("recipient_not_in_share", signal(alice, &in_share, "carol", "offer", json!(1))),
            ("share_ended", alice.posting_bytes(&format!("/screenshare/{ended_share}/media"), *b"x")),
            (
                "share_media_mime_type_length",
                alice.posting_bytes(&format!("/screenshare/{share}/media?{long_mime}"), *b"x"),
            ),
            ("share_not_found", alice.posting("/screenshare/none/stop")),
            ("signal_too_large", signal(alice, &in_call, "bob", "offer", json!("x".repeat(65_536)))),
            ("too_many_logins_for_name", self.login("alice")),
            ("user_not_found", initiate("dm:alice:ghost")),
        ]
    }

    /// One request for each code of the HTTP shell's own, with the status.
    fn of_the_shell(&self) -> Vec<(&'static str, u16, RequestBuilder)> {
        let Talk { server, alice, .. } = &self.talk;
        let by_cookie = |name: &str, value: &str| {
            Client::new()
                .post(format!("{}/logout", server.url))
                .header("cookie", format!("session={}", alice.token))
                .header(name, value)
        };
        let cross_site = by_cookie("content-type", "application/json").header("origin", "https://evil.example");
        let media = self.talk.path("media");
        vec![
            ("bad_body", 400, alice.posting_bytes("/calls/initiate", *b"{}")),
            ("bad_cursor", 400, alice.getting(&self.talk.path("signals?after=x"))),
            ("bad_json", 400, alice.posting_bytes("/calls/initiate", *b"{")),
            ("body_too_large", 413, alice.posting_bytes("/calls/initiate", vec![b' '; 17 << 10])),
            ("chunk_empty", 400, alice.posting_bytes(&media, *b"")),
            ("content_type_needed", 403, by_cookie("content-type", "text/plain")),
            ("cross_site", 403, cross_site),
            ("media_chunk_too_large", 413, alice.posting_bytes(&media, vec![0; (4 << 20) + 1])),
            ("method_not_allowed", 405, alice.request(Method::PUT, &media)),
            ("mime_missing", 400, alice.posting_bytes(&format!("{media}?init=1"), *b"x")),
            ("not_found", 404, alice.getting("/nowhere")),
            ("query_missing", 400, alice.getting("/calls/active")),
            ("unauthorized", 401, Client::new().post(format!("{}/logout", server.url))),
            ("wrong_credentials", 401, self.login("nobody")),
        ]
    }

    fn login(&self, name: &str) -> RequestBuilder {
        let body = json!({ "username": name, "password": "wrong" });
        Client::new().post(format!("{}/login", self.talk.server.url)).json(&body)
    }
}

/// Code and status of every row of `refusals`.
fn refusals(server: &Server) -> BTreeMap<String, u16> {
    let sql = server.sql();
    let mut statement = sql.prepare("SELECT code, status FROM refusals").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn every_refusal_code_that_a_client_can_meet() {
    let everything = Everything::set_up().await;
    let server = &everything.talk.server;
    let statuses = refusals(server);
    let mut met = BTreeSet::new();
    for (code, request) in everything.of_the_rules() {
        let status = statuses.get(code).unwrap_or_else(|| panic!("{code} is no code"));
        assert!((400..500).contains(status), "{code} has status {status}");
        server.assert_refuses(request, *status, code).await;
        assert!(met.insert(code), "{code} is here twice");
    }
    // Each wrong password counts, so this comes last.
    for (code, request) in
        [("wrong_credentials", "one"), ("wrong_credentials", "two"), ("too_many_logins_from_address", "three")]
            .map(|(code, name)| (code, everything.login(name)))
    {
        let status = statuses.get(code).copied().unwrap_or(401);
        server.assert_refuses(request, status, code).await;
    }
    met.insert("too_many_logins_from_address");

    let elsewhere: BTreeSet<&str> = MET_ELSEWHERE.iter().copied().collect();
    assert_eq!(elsewhere.len(), MET_ELSEWHERE.len(), "a code is there twice");
    let both: Vec<_> = met.intersection(&elsewhere).collect();
    assert!(both.is_empty(), "requests are answered with {both:?}");
    let listed: BTreeSet<&str> = met.union(&elsewhere).copied().collect();
    let known: BTreeSet<&str> = statuses.keys().map(String::as_str).collect();
    assert_eq!(listed, known, "the codes of this file and of the table refusals");
}

/// The codes that stand in the sources of the HTTP shell, next to what makes an error of them.
fn codes_in_the_sources() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for maker in ["Error::new(", "Self::new(", "bad_request(", ".bytes("] {
            for rest in text.split(maker).skip(1) {
                let arguments = rest.split([')', ';']).next().unwrap_or_default();
                let text = arguments.split('"').nth(1);
                let is_code = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                codes.extend(text.filter(is_code).map(str::to_owned));
            }
        }
    }
    codes
}

#[tokio::test]
async fn every_code_of_the_http_shell_is_met() {
    let everything = Everything::set_up().await;
    let server = &everything.talk.server;
    let mut listed: BTreeSet<String> =
        MET_IN_OTHER_TESTS.iter().chain(NOBODYS_FAULT).map(|code| (*code).to_owned()).collect();
    for (code, status, request) in everything.of_the_shell() {
        server.assert_refuses(request, status, code).await;
        assert!(listed.insert(code.to_owned()), "{code} is here twice");
    }
    assert_eq!(listed, codes_in_the_sources());
}
