//! `POST /login`: passwords, cookies, and the limits on attempts.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::scenes::keys;
use crate::support::{Person, Server, answer, assert_refused};

fn login(server: &Server, name: &str, password: &str) -> RequestBuilder {
    Client::new().post(format!("{}/login", server.url)).json(&json!({ "username": name, "password": password }))
}

/// A server where alice has a password.
fn start() -> Server {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "correct horse");
    server
}

async fn retry_after(request: RequestBuilder, code: &str) -> u64 {
    let response: Response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let seconds = response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    assert_refused(&(status, response.json::<Value>().await.unwrap()), 429, code);
    seconds.expect("Retry-After")
}

#[tokio::test]
async fn the_right_password_gives_a_token_and_a_cookie() {
    let server = start();
    let response = login(&server, "alice", "correct horse").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(keys(&body), ["expires_ts", "token", "username"]);
    assert_eq!(body["username"], "alice");
    let token = body["token"].as_str().unwrap();
    let attributes: Vec<&str> = cookie.split("; ").collect();
    assert_eq!(attributes[0], format!("session={token}"));
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
    assert!(!attributes.contains(&"Secure"), "without TLS in front, no browser would send it back");
    let expires: f64 = server.value("SELECT expires_ts FROM sessions");
    assert_eq!(body["expires_ts"], expires);
    let ttl = expires - server.value::<f64>("SELECT ts FROM now");
    assert!((ttl - 2_592_000.0).abs() < 60.0, "{ttl}");

    let by_token = Client::new().get(format!("{}/calls/incoming", server.url)).bearer_auth(token);
    assert_eq!(answer(by_token).await, (200, json!([])));
    let by_cookie = Client::new().get(format!("{}/calls/incoming", server.url)).header("cookie", attributes[0]);
    assert_eq!(answer(by_cookie).await, (200, json!([])));
}

#[tokio::test]
async fn behind_a_proxy_cookies_are_secure_and_addresses_are_forwarded() {
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--behind-proxy"]);
    server.run(&["user", "add", "alice"], "correct horse");
    let response = login(&server, "alice", "correct horse").send().await.unwrap();
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    // The proxy appends the address. The client can forge those before it.
    let wrong = login(&server, "alice", "wrong").header("x-forwarded-for", "10.9.9.9, 192.0.2.7");
    assert_refused(&answer(wrong).await, 401, "wrong_credentials");
    assert_eq!(server.value::<String>("SELECT address FROM login_attempts"), "192.0.2.7");
}

#[tokio::test]
async fn without_a_proxy_x_forwarded_for_is_ignored() {
    let server = start();
    let wrong = login(&server, "alice", "wrong").header("x-forwarded-for", "192.0.2.7");
    assert_refused(&answer(wrong).await, 401, "wrong_credentials");
    assert_eq!(server.value::<String>("SELECT address FROM login_attempts"), "127.0.0.1");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_the_same_response() {
    let server = start();
    let mut sentences = Vec::new();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", "correct horse "),
        ("..", "correct horse"),
        ("nobody", "correct horse"),
        ("", "correct horse"),
        ("no such name at all", "x"),
        ("alice\0", "correct horse"),
        ("ünïcode", "x"),
    ] {
        sentences.push(server.assert_refuses(login(&server, name, password), 401, "wrong_credentials").await);
    }
    sentences.dedup();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
}

#[tokio::test]
async fn a_login_ignores_the_case_of_the_name() {
    let server = start();
    server.run(&["user", "add", "Dr.Zoe@example.org", "--display-name", "Zoë"], "battery staple");
    for (name, password, registered) in
        [("ALICE", "correct horse", "alice"), ("dr.zoe@EXAMPLE.org", "battery staple", "Dr.Zoe@example.org")]
    {
        let (status, body) = answer(login(&server, name, password)).await;
        assert_eq!((status, &body["username"]), (200, &json!(registered)));
        let token = body["token"].as_str().unwrap().to_owned();
        let me = Person::with_client(registered.to_owned(), token, server.url.clone(), Client::new()).read("/me").await;
        assert_eq!((&me["username"], &me["display_names"]["alice"]), (&json!(registered), &json!("alice")));
        assert_eq!(me["display_name"], me["display_names"][registered]);
        assert_eq!(me["display_names"]["Dr.Zoe@example.org"], "Zoë");
    }
    // Spellings of one name are counted as one name.
    server.execute("UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_name'");
    for name in ["aLice", "alIce"] {
        assert_refused(&answer(login(&server, name, "wrong")).await, 401, "wrong_credentials");
    }
    retry_after(login(&server, "alice", "correct horse"), "too_many_logins_for_name").await;
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let server = start();
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..3 {
        for (name, shortest) in ["alice", "nobody"].iter().zip(&mut shortest) {
            let begin = Instant::now();
            assert_refused(&answer(login(&server, name, "wrong")).await, 401, "wrong_credentials");
            *shortest = begin.elapsed().min(*shortest);
        }
    }
    // Skipping the hash would be a hundred times faster.
    assert!(shortest[1] > shortest[0] / 3, "{shortest:?}");
}

/// A login from another address of this machine.
fn login_from(server: &Server, address: [u8; 4], name: &str, password: &str) -> RequestBuilder {
    let client = Client::builder().local_address(IpAddr::from(address)).build().unwrap();
    client.post(format!("{}/login", server.url)).json(&json!({ "username": name, "password": password }))
}

#[tokio::test]
async fn attempts_for_one_name_are_limited() {
    let server = start();
    server.run(&["user", "add", "bob"], "battery staple");
    server.execute(
        "UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_name'; \
         UPDATE settings SET value = 20 WHERE name = 'login_pause'; \
         UPDATE settings SET value = 60 WHERE name = 'login_pause_max'",
    );
    for password in ["wrong", "correct horse", "wrong again", "wrong again"] {
        // A success forgets the failures before it.
        let (status, _) = answer(login(&server, "alice", password)).await;
        assert_eq!(status, if password == "correct horse" { 200 } else { 401 });
    }
    let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_for_name").await;
    assert!((15..=20).contains(&seconds), "{seconds}");
    // Another name, and another address: nobody locks alice out from elsewhere.
    assert_eq!(answer(login(&server, "bob", "battery staple")).await.0, 200);
    assert_eq!(answer(login_from(&server, [127, 0, 0, 9], "alice", "correct horse")).await.0, 200);
    assert_eq!(server.value::<i64>("SELECT failures FROM login_attempts WHERE username = 'alice'"), 2);
    // Attempts for an unknown name count, too.
    for _ in 0..2 {
        assert_refused(&answer(login(&server, "nobody", "x")).await, 401, "wrong_credentials");
    }
    retry_after(login(&server, "nobody", "x"), "too_many_logins_for_name").await;

    // The pause doubles, up to the longest.
    for longest in [40, 60, 60] {
        server.execute("UPDATE login_attempts SET ts = ts - 60");
        assert_refused(&answer(login(&server, "alice", "wrong")).await, 401, "wrong_credentials");
        let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_for_name").await;
        assert!((longest - 5..=longest).contains(&seconds), "{seconds} of {longest}");
    }
    server.execute("UPDATE login_attempts SET ts = ts - 60");
    assert_eq!(answer(login(&server, "alice", "correct horse")).await.0, 200);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM login_attempts WHERE username = 'alice'"), 0);
}

/// The machine's clock was set back: nobody waits longer than the longest pause.
#[tokio::test]
async fn retry_after_is_never_longer_than_the_longest_pause() {
    let server = start();
    server.execute(
        "UPDATE settings SET value = 1 WHERE name = 'login_attempts_per_name'; \
         UPDATE settings SET value = 30 WHERE name = 'login_pause_max'; \
         INSERT INTO login_attempts (username, address, failures, ts) SELECT 'alice', '127.0.0.1', 30, ts + 3600 FROM now",
    );
    let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_for_name").await;
    assert!((1..=30).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn attempts_from_one_address_are_limited() {
    let server = start();
    server.execute(
        "UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_address'; \
         UPDATE settings SET value = 60 WHERE name = 'login_pause'",
    );
    for name in ["one", "two"] {
        assert_refused(&answer(login(&server, name, "x")).await, 401, "wrong_credentials");
    }
    server.execute("UPDATE login_attempts SET ts = ts - 30");
    let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_from_address").await;
    assert!((25..=30).contains(&seconds), "{seconds}");
    // Other addresses are not limited.
    assert_eq!(answer(login_from(&server, [127, 0, 0, 9], "alice", "correct horse")).await.0, 200);
}

/// An IPv6 subscriber has a network of addresses, and could guess from each.
#[tokio::test]
async fn an_ipv6_network_is_one_address() {
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--behind-proxy"]);
    server.execute(
        "UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_name'; \
         UPDATE settings SET value = 60 WHERE name = 'login_pause'",
    );
    let from = |address: &str| login(&server, "alice", "wrong").header("x-forwarded-for", address.to_owned());
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"] {
        assert_refused(&answer(from(address)).await, 401, "wrong_credentials");
    }
    retry_after(from("2001:db8:1:2:3::3"), "too_many_logins_for_name").await;
    assert_refused(&answer(from("2001:db8:1:3::1")).await, 401, "wrong_credentials");
    // An IPv4 address in the form of IPv6 is the IPv4 address.
    for address in ["::ffff:192.0.2.7", "192.0.2.7"] {
        assert_refused(&answer(from(address)).await, 401, "wrong_credentials");
    }
    retry_after(from("192.0.2.7"), "too_many_logins_for_name").await;
}

/// People type their password as a name. Neither the file nor the log may keep it.
#[tokio::test]
async fn a_password_typed_as_a_name_is_not_kept() {
    let logs = tempfile::TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(tempfile::TempDir::new().unwrap(), &log);
    server.run(&["user", "add", "alice"], "correct horse");
    for name in ["correct-horse", "correct horse", "Tr0ub4dor&3"] {
        assert_refused(&answer(login(&server, name, "x")).await, 401, "wrong_credentials");
    }
    assert_refused(&answer(login(&server, "alice", "wrong horse")).await, 401, "wrong_credentials");
    let (_, body) = answer(login(&server, "alice", "correct horse")).await;
    let kept: String = server.value("SELECT group_concat(username) FROM login_attempts");
    assert!(kept.split(',').all(|name| name.len() == 5 && name.starts_with('?')), "{kept}");
    drop(server);
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("login failed"), lines("logged in"), lines("username=alice")), (4, 1, 2), "{log}");
    for secret in ["horse", "Tr0ub4dor", body["token"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// The memory of a process, in MiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Fifty clients guess, first from one address, then each from its own. The memory stays bounded, logins in excess are
/// refused at once, and an honest login from elsewhere does not wait for the guesses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_take_neither_the_memory_nor_the_turn_of_others() {
    let server = start();
    server.execute("UPDATE settings SET value = 1000000 WHERE name = 'login_attempts_per_address'");
    let quiet = resident(&server);
    for many_addresses in [false, true] {
        let stop = Instant::now() + Duration::from_secs(4);
        let mut guesses = JoinSet::new();
        for guesser in 0..50 {
            let address = if many_addresses { [127, 0, 1, guesser] } else { [127, 0, 1, 1] };
            let client = Client::builder().local_address(IpAddr::from(address)).build().unwrap();
            let url = format!("{}/login", server.url);
            guesses.spawn(async move {
                let (mut refused, mut busy) = (0, 0);
                for guess in 0.. {
                    if Instant::now() > stop {
                        break;
                    }
                    let body = json!({ "username": format!("g{guesser}-{guess}"), "password": "a wrong guess" });
                    let response = client.post(&url).json(&body).send().await.unwrap();
                    match response.status().as_u16() {
                        401 => refused += 1,
                        503 => {
                            assert_eq!(response.headers()["retry-after"], "1");
                            assert_eq!(response.json::<Value>().await.unwrap()["code"], "logins_busy");
                            busy += 1;
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        status => panic!("{status}"),
                    }
                }
                (refused, busy)
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut waits = Vec::new();
        for _ in 0..5 {
            let sent = Instant::now();
            assert_eq!(answer(login_from(&server, [127, 0, 0, 9], "alice", "correct horse")).await.0, 200);
            waits.push(sent.elapsed());
        }
        let memory = resident(&server);
        let guesses = guesses.join_all().await;
        let (refused, busy) = guesses.iter().fold((0, 0), |sum, guess| (sum.0 + guess.0, sum.1 + guess.1));
        println!(
            "quiet {quiet} MiB, now {memory} MiB; {refused} verified, {busy} busy; honest logins took {waits:.0?}"
        );
        assert!(memory < 100, "{quiet} MiB became {memory} MiB");
        assert!(refused > 0 && (busy > 0) != many_addresses, "{refused} {busy}");
        waits.sort();
        // The median: this machine may be busy with other tests.
        assert!(waits[2] < Duration::from_secs(1), "{waits:?}");
    }
}

#[tokio::test]
async fn concurrent_attempts_all_count() {
    let server = start();
    server.execute("UPDATE settings SET value = 3 WHERE name = 'login_attempts_per_name'");
    let guesses = (0..8).map(|_| answer(login(&server, "alice", "wrong")));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(guesses).await.into_iter().map(|(status, _)| status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn a_login_needs_a_name_and_a_password_and_the_own_site() {
    let server = start();
    for body in [json!({}), json!({ "username": "alice" }), json!({ "username": "alice", "password": 1 }), json!([])] {
        let request = Client::new().post(format!("{}/login", server.url)).json(&body);
        server.assert_refuses(request, 400, "bad_body").await;
    }
    let request = Client::new().post(format!("{}/login", server.url)).body("{");
    server.assert_refuses(request, 400, "bad_json").await;
    // Another site must not log a user in under a name of its choice.
    let request = login(&server, "alice", "correct horse").header("origin", "https://evil.example");
    server.assert_refuses(request, 403, "cross_site").await;
    let request = login(&server, "alice", "correct horse").header("sec-fetch-site", "cross-site");
    server.assert_refuses(request, 403, "cross_site").await;
    let long = login(&server, "alice", &"x".repeat(20_000));
    server.assert_refuses(long, 413, "body_too_large").await;
}

#[tokio::test]
async fn a_changed_password_replaces_the_previous() {
    let server = start();
    server.run(&["user", "passwd", "alice"], "battery staple");
    assert_refused(&answer(login(&server, "alice", "correct horse")).await, 401, "wrong_credentials");
    assert_eq!(answer(login(&server, "alice", "battery staple")).await.0, 200);
    server.run(&["user", "remove", "alice"], "");
    assert_refused(&answer(login(&server, "alice", "battery staple")).await, 401, "wrong_credentials");
}
