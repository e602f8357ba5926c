//! Users of host applications: tokens that another library has signed.

use std::time::Duration;

use minimost_calls::tokens::token_hash;
use reqwest::Method;
use serde_json::{Value, json};

use crate::monitoring::metrics;
use crate::signer::{SECRET, Signer, claims, now};
use crate::support::{Server, answer, assert_refused};

/// A server with the issuer `chat`, and a process that signs its tokens.
fn chat() -> (Server, Signer) {
    let server = Server::start();
    server.add_issuer("chat", "HS256", SECRET);
    (server, Signer::start())
}

#[tokio::test]
async fn tokens_of_all_algorithms_are_accepted() {
    let (server, mut signer) = chat();
    for (issuer, algorithm, key) in [("rs", "RS256", "rsa"), ("es", "ES256", "ec"), ("ed", "EdDSA", "ed")] {
        server.add_issuer(issuer, algorithm, &signer.pem(key));
        let other = format!("{key}2");
        let set = json!({ "keys": [
            { "kty": "oct", "kid": "other kind", "k": "AAAA" },
            with_kid(&signer.keys[&other]["jwk"], "old"),
            with_kid(&signer.keys[key]["jwk"], "new"),
        ] });
        server.add_issuer(&format!("{issuer}-set"), algorithm, &set.to_string());

        let claims = |issuer: &str| claims(&format!("zoe-{issuer}"), &json!({ "iss": issuer, "name": "Zoe" }));
        let token = signer.sign_with(algorithm, Some(key), &json!({}), &claims(issuer));
        let me = server.bearer(token).read("/me").await;
        assert_eq!((&me["username"], &me["display_name"]), (&json!(format!("zoe-{issuer}")), &json!("Zoe")));

        // In a set, the token names its key.
        let issuer = format!("{issuer}-set");
        for (kid, signed_with, accepted) in [
            ("new", key, true),
            ("old", &*other, true),
            ("old", key, false),
            ("other kind", key, false),
            ("?", key, false),
        ] {
            let token = signer.sign_with(algorithm, Some(signed_with), &json!({ "kid": kid }), &claims(&issuer));
            let answer = server.bearer(token).get("/me").await;
            if accepted {
                assert_eq!(answer.0, 200, "{kid} {}", answer.1);
            } else {
                assert_refused(&answer, 401, "token_invalid");
            }
        }
        let token = signer.sign_with(algorithm, Some(key), &json!({}), &claims(&issuer));
        assert_refused(&server.bearer(token).get("/me").await, 401, "token_invalid");
    }
    let token = signer.sign(&claims("zoe", &json!({})));
    assert_eq!(server.bearer(token).read("/me").await["username"], "zoe");
    server.assert_integrity();
}

fn with_kid(jwk: &Value, kid: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk["kid"] = kid.into();
    jwk["use"] = "sig".into();
    jwk
}

/// A token never chooses its algorithm or its key.
#[tokio::test]
async fn forged_tokens_are_refused() {
    let (server, mut signer) = chat();
    let pem = signer.pem("rsa");
    server.add_issuer("rs", "RS256", &pem);
    server.add_issuer("es", "ES256", &signer.pem("ec"));
    let of = |issuer: &str| claims("zoe", &json!({ "iss": issuer }));

    let none = json!({});
    let jwk = signer.keys["ec2"]["jwk"].clone();
    let mut forged = vec![
        signer.sign_with("none", None, &none, &of("chat")),
        signer.sign_with("none", None, &none, &of("rs")),
        // The public key as the secret of HS256, as it was stored and without the line break.
        signer.sign_with("confused", Some(&pem), &none, &of("rs")),
        signer.sign_with("confused", Some(pem.trim_end()), &none, &of("rs")),
        // Another key, another algorithm, another issuer's key, and a key in the token itself.
        signer.sign_with("HS256", Some("another secret of at least 32 bytes"), &none, &of("chat")),
        signer.sign_with("HS512", Some(SECRET), &none, &of("chat")),
        signer.sign_with("RS256", Some("rsa2"), &none, &of("rs")),
        signer.sign_with("PS256", Some("rsa"), &none, &of("rs")),
        signer.sign_with("ES256", Some("ec"), &none, &of("rs")),
        signer.sign_with("RS256", Some("rsa"), &none, &of("chat")),
        signer.sign_with("ES256", Some("ec2"), &json!({ "jwk": jwk }), &of("es")),
        // Issuers that are unknown, or not named.
        signer.sign(&of("chatter")),
        signer.sign(&claims("zoe", &json!({ "iss": null }))),
        signer.sign(&claims("zoe", &json!({ "iss": 7 }))),
        // A header that a recipient has to understand.
        signer.sign_with("HS256", Some(SECRET), &json!({ "crit": ["exp"] }), &of("chat")),
    ];
    let good = signer.sign(&of("chat"));
    let parts: Vec<&str> = good.split('.').collect();
    let other = signer.sign(&claims("yves", &json!({})));
    let other: Vec<&str> = other.split('.').collect();
    let flipped = if parts[2].starts_with('A') { "B" } else { "A" };
    forged.extend([
        format!("{}.{}.{}", parts[0], other[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{flipped}{}", parts[0], parts[1], &parts[2][1..]),
        format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{}.{}", "x".repeat(9000), parts[1], parts[2]),
    ]);
    for token in forged {
        let request = server.bearer(token.clone()).getting("/me");
        let refused = server.assert_refuses(request, 401, "token_invalid").await;
        assert!(!refused.to_string().contains("BEGIN"), "{refused}");
        assert!(!refused.to_string().contains(SECRET), "{refused}");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM users"), 0);
    assert_eq!(server.bearer(good).read("/me").await["username"], "zoe");
}

/// Every claim, in a token with a valid signature.
#[tokio::test]
async fn claims_are_checked() {
    let (server, mut signer) = chat();
    server.execute(
        "INSERT INTO add_issuer (name, algorithm, key, audience) SELECT 'strict', algorithm, key, 'calls' FROM issuers",
    );
    let many = |count: usize| (0..count).map(|number| format!("C{number}")).collect::<Vec<_>>();
    for (code, more) in [
        ("token_expired", json!({ "exp": now() - 60 })),
        ("token_expired", json!({ "exp": -1e300 })),
        ("token_not_yet_valid", json!({ "nbf": now() + 60 })),
        ("token_not_yet_valid", json!({ "iat": now() + 60 })),
        ("token_of_another_audience", json!({ "iss": "strict" })),
        ("token_of_another_audience", json!({ "iss": "strict", "aud": "mail" })),
        ("token_of_another_audience", json!({ "iss": "strict", "aud": ["mail", "wiki"] })),
        ("token_subject_malformed", json!({ "sub": "" })),
        ("token_subject_malformed", json!({ "sub": "a\u{0}b" })),
        ("token_subject_malformed", json!({ "sub": "x".repeat(1001) })),
        ("token_channels_malformed", json!({ "channels": [""] })),
        ("token_channels_malformed", json!({ "channels": [{ "id": " C1" }] })),
        ("token_channels_malformed", json!({ "channels": many(501) })),
        ("token_invalid", json!({ "sub": null })),
        ("token_invalid", json!({ "sub": 7 })),
        ("token_invalid", json!({ "exp": null })),
        ("token_invalid", json!({ "exp": "tomorrow" })),
        ("token_invalid", json!({ "nbf": "now" })),
        ("token_invalid", json!({ "iat": [] })),
        ("token_invalid", json!({ "aud": 7 })),
        ("token_invalid", json!({ "name": 7 })),
        ("token_invalid", json!({ "channels": "C1" })),
        ("token_invalid", json!({ "channels": [7] })),
        ("token_invalid", json!({ "channels": [{ "title": "General" }] })),
        ("token_invalid", json!({ "channels": [{ "id": "C1", "title": 7 }] })),
    ] {
        let token = signer.sign(&claims("zoe", &more));
        server.assert_refuses(server.bearer(token).getting("/me"), 401, code).await;
    }
    // Claims that are no object, and one that is there twice.
    let token = signer.sign(&json!(["zoe"]));
    server.assert_refuses(server.bearer(token).getting("/me"), 401, "token_invalid").await;

    for (number, more) in [
        json!({ "channels": many(500), "role": "admin", "other": { "deep": [1] } }),
        json!({ "exp": now() - 10 }),
        json!({ "exp": 1e18 }),
        json!({ "nbf": now() + 10, "iat": now() + 10 }),
        json!({ "iat": null, "exp": now() + 9 }),
        json!({ "iss": "strict", "aud": "calls", "sub": "yves" }),
        json!({ "iss": "strict", "aud": ["mail", "calls"], "sub": "yves" }),
    ]
    .into_iter()
    .enumerate()
    {
        let token = signer.sign(&claims("zoe", &more));
        let me = server.bearer(token).read("/me").await;
        assert_eq!(me["username"], if more["sub"] == "yves" { "yves" } else { "zoe" }, "{number}");
        assert_eq!(me["role"], "member", "{number}");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM private_channel_members"), 500);
    server.assert_integrity();
}

#[tokio::test]
async fn subjects_become_user_names() {
    let (server, mut signer) = chat();
    server.add_issuer("forum", "HS256", SECRET);
    server.person("alice");
    let long = "é".repeat(300);
    let mut names = Vec::new();
    for (issuer, sub, name) in [
        ("chat", "auth0|x", "Zoe\u{202e} Z\n"),
        ("forum", "auth0|x", "   "),
        ("chat", "Жанна", "Жанна"),
        ("chat", &*long, &*long),
        ("chat", "alice", "\u{200b}"),
        ("chat", "Alice", "Alice"),
        ("chat", "3e2f6c1a-90f1-4d1c-8a57-5f1d1e6f2b3c", ""),
    ] {
        let token = signer.sign(&claims(sub, &json!({ "iss": issuer, "name": name })));
        let me = server.bearer(token).read("/me").await;
        names.push((me["username"].as_str().unwrap().to_owned(), me["display_name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names[0], ("auth0-x".to_owned(), "Zoe  Z".to_owned()));
    assert_eq!(names[1], ("auth0-x-3".to_owned(), "auth0-x-3".to_owned()));
    assert_eq!(names[2], ("-----".to_owned(), "Жанна".to_owned()));
    assert_eq!(names[3], ("-".repeat(40), "é".repeat(100)));
    assert_eq!(names[4], ("alice-6".to_owned(), "alice-6".to_owned()));
    assert_eq!(names[5], ("Alice-7".to_owned(), "Alice".to_owned()));
    assert_eq!(names[6].0, "3e2f6c1a-90f1-4d1c-8a57-5f1d1e6f2b3c");

    // A later token of the same subject is of the same person.
    let token = signer.sign(&claims("auth0|x", &json!({ "iss": "forum", "iat": now() + 1 })));
    assert_eq!(server.bearer(token).read("/me").await["username"], "auth0-x-3");
    assert_eq!(server.value::<String>("SELECT subject FROM users WHERE username = 'alice-6'"), "alice");
    assert!(server.value::<bool>("SELECT issuer IS NULL FROM users WHERE username = 'alice'"));

    // They have no password. Neither an empty one nor another is right.
    for password in ["", "x"] {
        let login = json!({ "username": "auth0-x", "password": password });
        let refused = server.bearer(String::new()).post_json("/login", login).await;
        assert_refused(&refused, 401, "wrong_credentials");
    }
}

/// `iat` decides, not the order of use.
#[tokio::test]
async fn memberships_change_with_newer_tokens() {
    let (server, mut signer) = chat();
    let issued = now() - 100;
    let mut zoe = |seconds: i64, more: Value| {
        let mut more = more;
        more["iat"] = (issued + seconds).into();
        server.bearer(signer.sign(&claims("zoe", &more)))
    };
    let first = zoe(1, json!({ "name": "Zoe", "channels": [{ "id": "C1", "title": "General" }, "C2"] }));
    let older = zoe(0, json!({ "name": "Old", "channels": ["C9"] }));
    let newer = zoe(2, json!({ "name": "Zoe Z", "channels": [{ "id": "C2", "title": "Second" }, "C3"] }));
    let silent = zoe(3, json!({}));

    let channels = |me: Value| {
        let channels = me["channels"].as_array().unwrap().iter();
        channels
            .map(|channel| {
                format!("{} {}", channel["external_id"].as_str().unwrap(), channel["title"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(channels(first.read("/me").await), ["C1 General", "C2 C2"]);
    assert_eq!(channels(older.read("/me").await), ["C1 General", "C2 C2"]);
    assert_eq!(channels(newer.read("/me").await), ["C2 Second", "C3 C3"]);
    let me = silent.read("/me").await;
    assert_eq!(me["display_name"], "Zoe Z");
    assert_eq!(channels(me), ["C2 Second", "C3 C3"]);
    assert_eq!(channels(first.read("/me").await), ["C2 Second", "C3 C3"]);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM private_channels WHERE external_id = 'C9'"), 0);
}

/// `ext:ID` wherever a channel is accepted, in bodies and in queries.
#[tokio::test]
async fn channels_are_named_as_the_host_does() {
    let (server, mut signer) = chat();
    server.add_issuer("forum", "HS256", SECRET);
    let mut person = |sub: &str, issuer: &str, channels: Value| {
        server.bearer(signer.sign(&claims(sub, &json!({ "iss": issuer, "channels": channels }))))
    };
    let zoe = person("zoe", "chat", json!(["General/1", "C2"]));
    let yves = person("yves", "chat", json!(["General/1"]));
    let xenia = person("xenia", "forum", json!(["General/1"]));
    for person in [&zoe, &yves, &xenia] {
        person.read("/me").await;
    }
    let alice = server.person("alice");

    let call = zoe.call(" ext:General/1 ").await;
    let refused = zoe.post_json("/calls/initiate", json!({ "channel": "ext:General/1" })).await;
    assert_refused(&refused, 409, "channel_has_live_call");
    assert_eq!(refused.1["call_id"], call.as_str());
    let active = yves.read("/calls/active?channel=ext:General/1").await;
    assert_eq!(active["call"]["call_id"], call.as_str());
    assert_eq!(yves.read("/calls/incoming").await[0]["channel"], "private:2");
    assert_eq!(zoe.post(&format!("/calls/{call}/end")).await.0, 200);
    let history = yves.read("/calls/history?channel=ext%3AGeneral%2F1").await;
    assert_eq!(history[0]["call_id"], call.as_str());
    let (status, share) = zoe.post_json("/screenshare/start", json!({ "channel": "ext:General/1" })).await;
    assert_eq!(status, 200, "{share}");
    let shares = yves.read("/screenshare/active?channel=ext:General/1").await;
    assert_eq!(shares[0]["share_id"], share["share_id"]);

    // Another issuer's, one that is not theirs, an unknown one, and none at all are refused alike.
    for (person, channel) in [
        (&xenia, "ext:C2"),
        (&yves, "ext:C2"),
        (&zoe, "ext:C9"),
        (&zoe, "ext:"),
        (&alice, "ext:General/1"),
        (&zoe, "private:99"),
    ] {
        let initiate = person.posting_json("/calls/initiate", json!({ "channel": channel }));
        server.assert_refuses(initiate, 403, "not_a_member").await;
        for path in ["/calls/active", "/calls/history", "/screenshare/active"] {
            server.assert_refuses(person.getting(&format!("{path}?channel={channel}")), 403, "not_a_member").await;
        }
    }
    server.assert_integrity();
}

/// The first use is one write, however many requests are it. Later ones are a look-up.
#[tokio::test]
async fn only_the_first_use_writes() {
    let (server, mut signer) = chat();
    let token = signer.sign(&claims("zoe", &json!({ "channels": ["C1"] })));
    let zoe = server.bearer(token.clone());
    let first = (0..16).map(|_| answer(zoe.using(&reqwest::Client::new()).getting("/me")));
    for (status, me) in futures_util::future::join_all(first).await {
        assert_eq!((status, &me["username"]), (200, &json!("zoe")), "{me}");
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions"), 1);
    assert_eq!(server.value::<String>("SELECT token_hash FROM sessions"), token_hash(&token));

    // A connection sees in data_version whether another one has committed.
    let sql = server.sql();
    let version = || sql.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    for _ in 0..200 {
        zoe.read("/me").await;
    }
    assert_eq!(version(), before);
    zoe.post_json("/calls/missed/seen", json!({})).await;
    assert_ne!(version(), before, "a write is seen");
}

/// Every route that needs somebody takes the token, also as its first use.
#[tokio::test]
async fn every_route_takes_a_token() {
    let (server, mut signer) = chat();
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        server.bearer(signer.sign(&claims("zoe", &json!({ "jti": number, "channels": ["C1"] }))))
    };
    for path in [
        "/me",
        "/calls/incoming?wait=0.01",
        "/calls/history",
        "/calls/missed",
        "/calls/ice",
        "/sessions",
        "/calls/active?channel=ext:C1",
    ] {
        fresh().read(path).await;
    }
    let (status, body) = fresh().post_json("/calls/initiate", json!({ "channel": "ext:C1" })).await;
    assert_eq!((status, &body["code"]), (400, &json!("nobody_to_call")));
    assert_refused(&answer(fresh().getting("/admin/people")).await, 403, "admin_only");
    let response = fresh().getting("/events").send().await.unwrap();
    assert_eq!(response.status(), 200);
    // It is no session cookie.
    let token = signer.sign(&claims("zoe", &json!({ "jti": "cookie" })));
    let client = reqwest::Client::new();
    let with_cookie =
        client.request(Method::GET, format!("{}/me", server.url)).header("cookie", format!("session={token}"));
    assert_refused(&answer(with_cookie).await, 401, "unauthorized");
}

/// A stream and a long poll end with the token. The next request says why.
#[tokio::test]
async fn streams_end_with_the_token() {
    let (server, mut signer) = chat();
    let zoe = server.bearer(signer.sign(&claims("zoe", &json!({ "channels": ["C1"] }))));
    let mut stream = zoe.getting("/events").send().await.unwrap();
    let renewed = server.bearer(signer.sign(&claims("zoe", &json!({ "jti": 2 }))));
    let mut other = renewed.getting("/events").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some() && other.chunk().await.unwrap().is_some());
    let poll = tokio::spawn({
        let zoe = zoe.clone();
        async move { zoe.get("/calls/incoming?wait=30").await }
    });
    // Both streams and the poll are open: one that began later would be a first use again.
    while !metrics(&server).await.contains("minimost_calls_event_streams 3") {
        tokio::task::yield_now().await;
    }

    // The time of the expiry comes.
    let hash = token_hash(&zoe.token);
    server.execute(&format!("UPDATE sessions SET expires_ts = (SELECT ts FROM now) WHERE token_hash = '{hash}'"));
    let ended = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the stream ends with its token");
    assert_refused(&poll.await.unwrap(), 401, "unauthorized");
    assert_eq!(renewed.read("/me").await["username"], "zoe");
    server.eventually("SELECT count(*) = 1 FROM sessions", Duration::from_secs(5)).await;

    let gone = signer.sign(&claims("zoe", &json!({ "exp": now() - 31 })));
    assert_refused(&server.bearer(gone).get("/me").await, 401, "token_expired");
}

/// A logout, an admin, and the removal of the person or the issuer end a token for good.
#[tokio::test]
async fn ended_tokens_stay_ended() {
    let (server, mut signer) = chat();
    server.add_issuer("forum", "HS256", SECRET);
    let issued = now() - 20;
    let mut token = |sub: &str, issuer: &str, iat: i64| {
        server.bearer(signer.sign(&claims(sub, &json!({ "iss": issuer, "iat": iat }))))
    };
    let zoe = token("zoe", "chat", issued);
    zoe.read("/me").await;
    assert_eq!(zoe.post("/logout").await.0, 200);
    assert_refused(&zoe.get("/me").await, 401, "token_revoked");

    let (used, unused) = (token("yves", "chat", issued), token("yves", "chat", issued + 1));
    used.read("/me").await;
    server.run(&["user", "remove", "yves"], "");
    assert_refused(&used.get("/me").await, 401, "token_revoked");
    assert_refused(&unused.get("/me").await, 401, "token_of_removed_user");
    server.execute("UPDATE removed_subjects SET removed_ts = removed_ts - 10");
    token("yves", "chat", now()).read("/me").await;
    assert_refused(&unused.get("/me").await, 401, "token_of_removed_user");

    let xenia = token("xenia", "forum", issued);
    xenia.read("/me").await;
    server.run(&["issuer", "remove", "forum"], "");
    assert_refused(&xenia.get("/me").await, 401, "token_invalid");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions WHERE issuer = 'forum'"), 0);
    server.assert_integrity();
}

/// Two people of the host ring and talk, and one renews the token during the call.
#[tokio::test]
async fn a_call_outlasts_a_token() {
    let (server, mut signer) = chat();
    let mut person = |sub: &str, number: u32| {
        server.bearer(signer.sign(&claims(sub, &json!({ "jti": number, "channels": ["C1"] }))))
    };
    let (zoe, yves) = (person("zoe", 1), person("yves", 1));
    zoe.read("/me").await;
    yves.read("/me").await;
    let call = zoe.call("ext:C1").await;
    assert_eq!(yves.post(&format!("/calls/{call}/accept")).await.0, 200);

    let renewed = person("yves", 2);
    server.execute(&format!(
        "UPDATE sessions SET expires_ts = expires_ts - 200 WHERE token_hash = '{}'",
        token_hash(&yves.token)
    ));
    let mut stream = renewed.getting(&format!("/events?call={call}")).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let seen_by =
        format!("SELECT seen_by = '{}' FROM call_participants WHERE username = 'yves'", token_hash(&renewed.token));
    server.eventually(&seen_by, Duration::from_secs(5)).await;
    server.execute(&format!("UPDATE sessions SET expires_ts = 1 WHERE token_hash = '{}'", token_hash(&yves.token)));
    server.eventually("SELECT count(*) = 2 FROM sessions", Duration::from_secs(5)).await;
    assert_eq!(zoe.read(&format!("/calls/{call}/state")).await["state"], "active");
    server.assert_integrity();
}
