//! Every refusal code: the request that gets it, or why no request does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::scenes::Scene;
use crate::support::openapi::{DOCUMENT, Operation, operations};
use crate::support::{Person, Server};
use crate::web_push::keys;

/// Codes of the HTTP layer that other tests cover, because they take ten seconds or the write lock.
const COVERED_BY_OTHER_TESTS: &[&str] = &[
    // tests/http/idempotency.rs
    "idempotency_key_malformed",
    // tests/http/tls.rs
    "https_needed",
    // tests/http/heads.rs
    "bad_host",
    "bad_query",
    "bad_target",
    // tests/http/bounds.rs
    "too_many_streams",
    "too_much_unread",
    "too_much_uploading",
    // elsewhere
    "body_too_slow",
    "database_busy",
    // tests/http/own_account.rs
    "password_length",
    "wrong_password",
    // tests/http/login.rs
    "logins_busy",
    "bad_limit",
    "bad_time",
    "bad_wait",
    // tests/http/sweeps.rs
    "sweep_refused",
    // tests/http/monitoring.rs
    "metrics_only",
    // tests/faults/health.rs
    "writer_hangs",
    // tests/cluster
    "member_behind",
    "no_leader",
    "outcome_unknown",
];

/// Codes of rules that other tests cover, because they need tokens of a host application, a proxy, or another setting.
const RULES_COVERED_BY_OTHER_TESTS: &[&str] = &[
    // tests/http/idempotency.rs
    "idempotency_key_reused",
    // tests/http/issuers.rs
    "token_channels_malformed",
    "token_expired",
    "token_not_yet_valid",
    "token_of_another_audience",
    "token_of_removed_user",
    "token_revoked",
    "token_subject_malformed",
    // tests/http/issuers_admin.rs
    "issuer_exists",
    "issuers_audience_length",
    "issuers_clock_skew_bounded",
    "issuers_key_length",
    "issuers_name_format",
    // tests/http/trusted_header.rs
    "trusted_name_malformed",
    "trusted_name_taken",
    // tests/http/web_push.rs
    "web_push_is_off",
];

/// Codes of the HTTP layer that no client can provoke: broken disks, defects, a clock that is set, and a stopping server.
const NOT_PROVOKABLE: &[&str] = &["clock_set", "database_broken", "disk_full", "internal", "stopping"];

/// An active, a ringing and a finished call, an active and an ended share.
struct AllStates {
    scene: Scene,
    ringing: String,
    over: String,
    /// A call that alice was removed from.
    removed: String,
    share: String,
    ended_share: String,
    /// Invited to the active call.
    dave: Person,
    /// Has rung too often.
    erin: Person,
    /// Has rung bob too often.
    frank: Person,
    /// Bob has declined all their calls.
    grace: Person,
    /// Came to the active call by `link`, and has accepted.
    guest: Person,
    link: String,
    /// To a channel whose call rings.
    early_link: String,
}

impl AllStates {
    async fn set_up() -> Self {
        let scene = Scene::active().await;
        let ringing = scene.alice.call("dm:alice:carol").await;
        let over = scene.alice.call("dm:alice:bob:carol").await;
        assert_eq!(scene.alice.post(&format!("/calls/{over}/end")).await.0, 200);
        let mut shares = Vec::new();
        for channel in ["dm:alice:bob", "dm:alice:carol"] {
            let (status, body) = scene.alice.post_json("/screenshare/start", json!({ "channel": channel })).await;
            assert_eq!(status, 200, "{body}");
            shares.push(body["share_id"].as_str().unwrap().to_owned());
        }
        let [share, ended_share] = shares.try_into().unwrap();
        assert_eq!(scene.alice.post(&format!("/screenshare/{ended_share}/stop")).await.0, 200);
        let (_, removed) = scene.carol.post_json("/calls/initiate", json!({ "channel": "dm:bob:carol:alice" })).await;
        let removed = removed["call_id"].as_str().unwrap().to_owned();
        for (person, action, name) in
            [(&scene.bob, "accept", ""), (&scene.alice, "accept", ""), (&scene.carol, "remove", "alice")]
        {
            let path = format!("/calls/{removed}/{action}");
            assert_eq!(person.post_json(&path, json!({ "username": name })).await.0, 200);
        }
        let [dave, erin, frank, grace] = ["dave", "erin", "frank", "grace"].map(|name| scene.server.person(name));
        let invite = scene.alice.post_json(&scene.path("invite"), json!({ "username": "dave" })).await;
        assert_eq!(invite.0, 200, "{invite:?}");
        let [link, early_link] = [scene.link("dm:alice:bob").await, scene.link("dm:alice:carol").await];
        let guest = scene.server.guest(&link, "Gwen").await;
        let admit = scene.bob.post_json(&scene.path("invite"), json!({ "username": guest.name })).await;
        assert_eq!(admit.0, 200, "{admit:?}");
        assert_eq!(guest.post(&scene.path("accept")).await.0, 200);
        scene.server.execute(
            "UPDATE settings SET value = 2 WHERE name IN ('call_people_max', 'links_per_person', 'live_calls_per_person'); \
             UPDATE settings SET value = 1 WHERE name IN ('guests_per_call', 'live_shares_per_person'); \
             UPDATE person_counts SET rings = 60, rings_from_ts = (SELECT ts FROM now) WHERE username = 'erin'; \
             INSERT INTO ring_counts (caller, callee, rings, rings_from_ts) SELECT 'frank', 'bob', 30, ts FROM now; \
             INSERT INTO ring_counts (caller, callee, rings, rings_from_ts, refusals, refused_ts) \
             SELECT 'grace', 'bob', 1, ts, 9, ts FROM now;",
        );
        // One failed attempt, and low limits.
        scene.server.execute(
            "UPDATE settings SET value = 1 WHERE name = 'login_attempts_per_name'; \
             UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_address'; \
             UPDATE settings SET value = 60 WHERE name = 'login_pause'; \
             INSERT INTO attempt_login (username, address) VALUES ('alice', '127.0.0.1');",
        );
        scene.server.private_channel(&["alice"]);
        scene.server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1)");
        scene.server.run(&["webhook", "add", "chat", "https://127.0.0.1:1/", "--kind", "call.busy"], "");
        scene.server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
        Self { scene, ringing, over, removed, share, ended_share, dave, erin, frank, grace, guest, link, early_link }
    }

    /// A request for each code of a rule that a client can get.
    fn rule_requests(&self) -> Vec<(&'static str, RequestBuilder)> {
        let Scene { alice, bob, carol, call, .. } = &self.scene;
        let Self { ringing, over, removed, share, ended_share, dave, erin, frank, grace, .. } = self;
        let start =
            |person: &Person, channel: &str| person.posting_json("/calls/initiate", json!({ "channel": channel }));
        let initiate = |channel: &str| start(alice, channel);
        let nested = (0..65).fold(json!(1), |inner, _| json!([inner]));
        let many_names = (0..32).fold("dm:alice".to_owned(), |names, number| format!("{names}:n{number}"));
        let invite =
            |call: &str, name: &str| alice.posting_json(&format!("/calls/{call}/invite"), json!({ "username": name }));
        let remove = |person: &Person, name: &str| {
            person.posting_json(&format!("/calls/{call}/remove"), json!({ "username": name }))
        };
        let signal = |person: &Person, path: &str, to: &str, signal_type: &str, payload: Value| {
            person.posting_json(path, json!({ "to": to, "type": signal_type, "payload": payload }))
        };
        let in_call = format!("/calls/{call}/signal");
        let in_share = format!("/screenshare/{share}/signal");
        let media = format!("/calls/{call}/media");
        let long_mime = format!("init=1&mime={}", "m".repeat(256));
        vec![
            ("already_in_call", invite(call, "bob")),
            ("call_full", dave.posting(&format!("/calls/{call}/accept"))),
            ("call_finished", alice.posting(&format!("/calls/{over}/accept"))),
            ("call_media_mime_type_length", alice.posting_bytes(&format!("{media}?{long_mime}"), *b"x")),
            ("call_not_active", alice.posting_json(&format!("/calls/{ringing}/screenshare"), json!({ "on": true }))),
            ("call_not_found", alice.posting("/calls/none/end")),
            ("call_signals_between_two", signal(alice, &in_call, "alice", "offer", json!(1))),
            ("call_signals_payload_is_json", signal(alice, &in_call, "bob", "offer", json!(null))),
            ("call_signals_type_known", signal(alice, &in_call, "bob", "hello", json!(1))),
            ("cannot_invite_oneself", invite(call, "alice")),
            ("channel_has_live_call", initiate("dm:bob:alice")),
            ("channel_names_nobody", bob.posting_json("/screenshare/start", json!({ "channel": "dm:bob:ghost" }))),
            ("channel_name_malformed", initiate("dm:alice:bob\u{1}carol")),
            ("channel_name_too_long", initiate(&format!("dm{}", ":alice".repeat(367)))),
            ("channel_not_callable", initiate("general")),
            ("declined_too_often", start(grace, "dm:bob:grace")),
            ("media_chunk_too_large", alice.posting_bytes(&media, vec![0; (4 << 20) + 1])),
            ("nobody_to_call", initiate("dm:alice")),
            ("not_a_member", initiate("dm:bob:carol")),
            ("not_a_participant", carol.posting(&format!("/calls/{call}/end"))),
            ("not_in_call", remove(alice, "carol")),
            ("not_the_initiator", remove(bob, "alice")),
            ("not_accepted", carol.posting_bytes(&format!("/calls/{ringing}/media"), *b"x")),
            ("not_pending", alice.posting(&format!("/calls/{call}/reject"))),
            ("not_the_sharer", bob.posting(&format!("/screenshare/{share}/stop"))),
            ("quiet_seconds_out_of_range", alice.posting_json("/quiet", json!({ "seconds": -1 }))),
            ("recipient_not_in_call", signal(alice, &in_call, "carol", "offer", json!(1))),
            ("recipient_not_in_share", signal(alice, &in_share, "carol", "offer", json!(1))),
            ("removed_from_call", alice.posting(&format!("/calls/{removed}/accept"))),
            ("session_not_found", alice.request(Method::DELETE, "/sessions/none")),
            ("share_ended", alice.posting_bytes(&format!("/screenshare/{ended_share}/media"), *b"x")),
            (
                "share_media_mime_type_length",
                alice.posting_bytes(&format!("/screenshare/{share}/media?{long_mime}"), *b"x"),
            ),
            ("share_not_found", alice.posting("/screenshare/none/stop")),
            ("signal_too_deep", signal(alice, &in_call, "bob", "offer", nested)),
            ("signal_too_large", signal(alice, &in_call, "bob", "offer", json!("x".repeat(65_536)))),
            ("too_many_calls", initiate("dm:alice:erin")),
            ("too_many_logins_for_name", self.login("alice")),
            ("too_many_names", initiate(&many_names)),
            ("too_many_rings", start(erin, "dm:bob:erin")),
            ("too_many_rings_for_person", start(frank, "dm:bob:frank")),
            ("too_many_shares", alice.posting_json("/screenshare/start", json!({ "channel": "dm:alice:carol" }))),
            ("user_not_found", initiate("dm:alice:ghost")),
        ]
    }

    /// As `rule_requests`, for what an admin does.
    fn admin_requests(&self) -> Vec<(&'static str, RequestBuilder)> {
        let Scene { alice, bob, .. } = &self.scene;
        let set = |name: &str, value: Value| {
            alice.posting_json(&format!("/admin/settings/{name}"), json!({ "value": value }))
        };
        let add = |name: &str| alice.posting_json("/admin/people", json!({ "username": name, "password": "8 chars!" }));
        let title = |title: &str| alice.posting_json("/admin/channels/private:1/title", json!({ "title": title }));
        let member = |action: &str, name: &str| {
            alice.posting_json(&format!("/admin/channels/private:1/{action}"), json!({ "username": name }))
        };
        let delete = |path: &str| alice.request(Method::DELETE, path);
        vec![
            ("admin_only", bob.getting("/admin/people")),
            ("already_a_member", member("join", "alice")),
            ("channel_not_found", delete("/admin/channels/private:7")),
            ("history_max_age_too_short", set("history_max_age", json!(10))),
            ("busy_policy_unknown", set("busy_policy", json!("maybe"))),
            ("ice_server_malformed", set("ice_servers", json!([1]))),
            ("turn_url_malformed", set("turn_urls", json!(["stun:stun.example.org"]))),
            ("setting_is_text", set("turn_secret", json!("\u{0}"))),
            ("origin_malformed", set("allowed_origins", json!(["*"]))),
            ("setting_is_a_json_list", set("ice_servers", json!("none"))),
            ("issuer_not_found", delete("/admin/issuers/none")),
            ("member_not_found", member("leave", "bob")),
            ("presence_interval_too_long", set("presence_interval", json!(31))),
            ("private_channels_name_length", title("")),
            ("private_channels_name_printable", title("a\tb")),
            ("service_token_not_found", delete("/admin/tokens/none")),
            ("session_cookie_malformed", set("session_cookie", json!("a b"))),
            ("setting_is_a_number", set("gone_after", json!("soon"))),
            ("setting_is_in_range", set("gone_after", json!(-1))),
            ("setting_not_found", alice.posting("/admin/settings/none/reset")),
            ("trusted_header_malformed", set("trusted_header", json!("Remote User"))),
            (
                "users_display_name_format",
                alice.posting_json("/admin/people/bob/display_name", json!({ "display_name": "" })),
            ),
            ("users_role_known", alice.posting_json("/admin/people/bob/role", json!({ "role": "owner" }))),
            ("users_username_format", add("a b")),
            ("user_exists", add("Bob")),
        ]
    }

    /// As `rule_requests`, for links and guests.
    fn guest_requests(&self) -> Vec<(&'static str, RequestBuilder)> {
        let Scene { server, alice, bob, .. } = &self.scene;
        let add = |person: &Person, member: &str, value: i64| {
            person.posting_json("/links", json!({ "channel": "dm:alice:bob", member: value }))
        };
        let naming = |person: &Person, action: &str| {
            person.posting_json(&self.scene.path(action), json!({ "username": "dave" }))
        };
        vec![
            ("guest_may_not", naming(&self.guest, "invite")),
            ("guest_not_found", naming(alice, "dismiss")),
            ("link_not_found", alice.request(Method::DELETE, "/links/none")),
            ("links_lifetime_in_range", add(bob, "seconds", 1)),
            ("links_uses_in_range", add(bob, "uses", 0)),
            ("no_active_call", server.opening_link(&self.early_link, "Hugo")),
            ("too_many_guests", server.opening_link(&self.link, "Hugo")),
            ("too_many_links", add(alice, "uses", 1)),
        ]
    }

    /// As `rule_requests`, for the rules of webhooks.
    fn webhook_requests(&self) -> Vec<(&'static str, RequestBuilder)> {
        let alice = &self.scene.alice;
        let add = |changed: &str, value: Value| {
            let mut body = json!({ "name": "new", "url": "https://example.org/" });
            body[changed] = value;
            alice.posting_json("/admin/webhooks", body)
        };
        vec![
            ("webhook_exists", add("name", json!("chat"))),
            ("webhook_kind_unknown", add("kinds", json!(["ended"]))),
            ("webhook_not_found", alice.request(Method::DELETE, "/admin/webhooks/none")),
            ("webhooks_name_format", add("name", json!("a b"))),
            ("webhooks_secret_format", add("secret", json!("short"))),
            ("webhooks_url_format", add("url", json!("ftp://example.org/"))),
        ]
    }

    /// As `rule_requests`, for notifications.
    fn push_requests(&self) -> Vec<(&'static str, RequestBuilder)> {
        let Scene { alice, .. } = &self.scene;
        let add = |changed: &str, value: &str| {
            let mut body = json!({ "endpoint": "https://push.example.org/1", "keys": keys() });
            *body.pointer_mut(changed).unwrap() = value.into();
            alice.posting_json("/push/subscriptions", body)
        };
        let contact = json!({ "value": "admin@example.org" });
        vec![
            ("push_subscription_not_found", alice.request(Method::DELETE, "/push/subscriptions/none")),
            ("push_subscriptions_auth_format", add("/keys/auth", "short")),
            ("push_subscriptions_endpoint_format", add("/endpoint", "http://push.example.org/1")),
            ("push_subscriptions_p256dh_format", add("/keys/p256dh", "short")),
            ("web_push_contact_malformed", alice.posting_json("/admin/settings/web_push_contact", contact)),
        ]
    }

    /// A request for each code of the HTTP layer, with its status.
    fn http_requests(&self) -> Vec<(&'static str, u16, RequestBuilder)> {
        let Scene { server, alice, .. } = &self.scene;
        let by_cookie = |name: &str, value: &str| {
            Client::new()
                .post(format!("{}/logout", server.url))
                .header("cookie", format!("session={}", alice.token))
                .header(name, value)
        };
        let cross_site = by_cookie("content-type", "application/json").header("origin", "https://evil.example");
        let media = self.scene.path("media");
        let issuer = json!({ "name": "chat", "algorithm": "HS256", "key": "short" });
        vec![
            ("bad_body", 400, alice.posting_bytes("/calls/initiate", *b"{}")),
            ("bad_cursor", 400, alice.getting("/calls/history?before=x")),
            ("bad_json", 400, alice.posting_bytes("/calls/initiate", *b"{")),
            ("body_too_large", 413, alice.posting_bytes("/calls/initiate", vec![b' '; 17 << 10])),
            ("chunk_empty", 400, alice.posting_bytes(&media, *b"")),
            ("content_type_needed", 403, by_cookie("content-type", "text/plain")),
            ("cross_site", 403, cross_site),
            ("issuer_key_unusable", 400, alice.posting_json("/admin/issuers", issuer)),
            ("media_chunk_too_large", 413, alice.posting_bytes(&media, vec![0; (4 << 20) + 1])),
            ("method_not_allowed", 405, alice.request(Method::PUT, &media)),
            ("mime_missing", 400, alice.posting_bytes(&format!("{media}?init=1"), *b"x")),
            ("not_found", 404, alice.getting("/nowhere")),
            ("query_missing", 400, alice.getting("/calls/active")),
            ("token_invalid", 401, Client::new().get(format!("{}/me", server.url)).bearer_auth("a.b.c")),
            ("track_unknown", 400, alice.posting_bytes(&media, *b"x").header("x-track", "screen")),
            ("unauthorized", 401, Client::new().post(format!("{}/logout", server.url))),
            ("wrong_credentials", 401, self.login("nobody")),
        ]
    }

    fn login(&self, name: &str) -> RequestBuilder {
        let body = json!({ "username": name, "password": "wrong" });
        Client::new().post(format!("{}/login", self.scene.server.url)).json(&body)
    }
}

/// Code and status of every refusal that a request can meet.
fn refusals(server: &Server) -> BTreeMap<String, u16> {
    let sql = server.sql();
    let mut statement = sql.prepare("SELECT code, status FROM refusals WHERE over_http").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn every_code_of_a_rule_has_a_request() {
    let all = AllStates::set_up().await;
    let server = &all.scene.server;
    let statuses = refusals(server);
    let mut met = BTreeSet::new();
    let requests = [all.rule_requests(), all.admin_requests(), all.guest_requests(), all.webhook_requests()];
    for (code, request) in requests.into_iter().flatten().chain(all.push_requests()) {
        let status = statuses.get(code).unwrap_or_else(|| panic!("{code} is not in refusals"));
        assert!((400..500).contains(status), "{code} has status {status}");
        server.assert_refuses(request, *status, code).await;
        assert!(met.insert(code), "{code} is here twice");
    }
    // Last, because each wrong password counts.
    for (code, request) in [("wrong_credentials", "one"), ("too_many_logins_from_address", "three")]
        .map(|(code, name)| (code, all.login(name)))
    {
        let status = statuses.get(code).copied().unwrap_or(401);
        server.assert_refuses(request, status, code).await;
    }
    met.insert("too_many_logins_from_address");
    met.extend(RULES_COVERED_BY_OTHER_TESTS);

    let reachable: BTreeSet<&str> = statuses.keys().map(String::as_str).collect();
    assert_eq!(met, reachable, "the codes of this file, and those of refusals with over_http");
}

/// The codes in the sources of the HTTP layer, next to an error constructor.
fn codes_in_the_sources() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut codes = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for maker in ["Error::new(", "Self::new(", "bad_request(", "too_much(", ".bytes("] {
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
async fn every_code_of_the_http_layer_has_a_request() {
    let all = AllStates::set_up().await;
    let server = &all.scene.server;
    let mut listed: BTreeSet<String> =
        COVERED_BY_OTHER_TESTS.iter().chain(NOT_PROVOKABLE).map(|code| (*code).to_owned()).collect();
    for (code, status, request) in all.http_requests() {
        server.assert_refuses(request, status, code).await;
        assert!(listed.insert(code.to_owned()), "{code} is here twice");
    }
    assert_eq!(listed, codes_in_the_sources());
}

/// The description has the codes of rules that a request can meet, with their statuses, and those of the HTTP layer. A route
/// answers with each of them.
#[tokio::test]
async fn the_description_has_every_code_and_no_other() {
    let rules = refusals(&Server::start());
    let described = DOCUMENT["components"]["schemas"]["Code"]["oneOf"].as_array().unwrap().iter();
    let described: BTreeMap<String, u64> = described
        .map(|code| (code["const"].as_str().unwrap().to_owned(), code["x-status"].as_u64().unwrap()))
        .collect();
    let known: BTreeSet<String> = rules.keys().cloned().chain(codes_in_the_sources()).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), known);
    for (code, status) in rules {
        assert_eq!(described[&code], u64::from(status), "{code}");
    }
    let of_routes: BTreeSet<&str> = operations().iter().flat_map(Operation::codes).map(|(_, code)| code).collect();
    let of_none: Vec<&str> = described.keys().map(String::as_str).filter(|code| !of_routes.contains(code)).collect();
    // The target of a request that is for a proxy is no path of ours.
    assert_eq!(of_none, ["bad_target", "method_not_allowed"]);
}
