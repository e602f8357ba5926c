//! People of an original MiniMost log in with the passwords that they had.

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Server, answer, assert_refused, imported};

const PASSWORDS: [(&str, &str); 3] =
    [("alice", "Rabbit-hole-number-1"), ("bob", "The_builder_number_2"), ("carol", "Käse & Brot Nummer 3")];

fn login(server: &Server, name: &str, password: &str) -> RequestBuilder {
    Client::new().post(format!("{}/login", server.url)).json(&json!({ "username": name, "password": password }))
}

fn hash(server: &Server, name: &str) -> String {
    server.value(&format!("SELECT password_hash FROM users WHERE username = '{name}'"))
}

#[tokio::test]
async fn the_first_login_replaces_the_hash() {
    for version in ["0.0.2", "0.0.4"] {
        let server = Server::start_in(imported(version), &[]);
        for (name, password) in PASSWORDS {
            let outdated = hash(&server, name);
            assert!(outdated.starts_with("scrypt:") || outdated.starts_with("pbkdf2:"), "{outdated}");
            for wrong in ["", "x", &password.to_lowercase(), &outdated] {
                server.assert_refuses(login(&server, name, wrong), 401, "wrong_credentials").await;
            }
            let (status, body) = answer(login(&server, &name.to_uppercase(), password)).await;
            assert_eq!((status, &body["username"]), (200, &json!(name)), "{version}: {body}");
            let replaced = hash(&server, name);
            assert!(replaced.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{replaced}");
            // The session is the one after the change, and the hash stays.
            let token = body["token"].as_str().unwrap();
            let me = Client::new().get(format!("{}/me", server.url)).bearer_auth(token);
            assert_eq!(answer(me).await.1["username"], name);
            assert_eq!(answer(login(&server, name, password)).await.0, 200);
            assert_eq!(hash(&server, name), replaced);
            server.assert_refuses(login(&server, name, "wrong"), 401, "wrong_credentials").await;
            assert_eq!(server.value::<i64>(&format!("SELECT count(*) FROM sessions WHERE username = '{name}'")), 2);
        }
        let hashes: i64 = server.value("SELECT count(DISTINCT password_hash) FROM users");
        assert_eq!(hashes, 3, "a salt for each");
        server.assert_integrity();
    }
}

#[tokio::test]
async fn first_logins_at_the_same_time_all_succeed() {
    let server = Server::start_in(imported("0.0.4"), &[]);
    for (name, password) in PASSWORDS {
        let logins = (0..6).map(|_| answer(login(&server, name, password)));
        let statuses: Vec<u16> =
            futures_util::future::join_all(logins).await.into_iter().map(|(status, _)| status).collect();
        assert_eq!(statuses, [200; 6], "{name}");
        assert_eq!(server.value::<i64>(&format!("SELECT count(*) FROM sessions WHERE username = '{name}'")), 6);
        assert!(hash(&server, name).starts_with("$argon2id$"));
    }
}

/// A password that an admin sets while the old one is verified is not overwritten.
#[tokio::test]
async fn a_changed_password_wins_over_the_replacement() {
    let server = Server::start_in(imported("0.0.2"), &[]);
    server.run(&["user", "passwd", "alice"], "battery staple");
    let changed = hash(&server, "alice");
    server.assert_refuses(login(&server, "alice", PASSWORDS[0].1), 401, "wrong_credentials").await;
    assert_eq!(answer(login(&server, "alice", "battery staple")).await.0, 200);
    assert_eq!(hash(&server, "alice"), changed);
}

/// A row that somebody forged must take neither minutes nor gigabytes.
#[tokio::test]
async fn a_hash_that_asks_for_too_much_work_is_refused() {
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let server = Server::start_logging(imported("0.0.2"), &log);
    let (name, password) = PASSWORDS[0];
    let digits = "0".repeat(128);
    let hashes = [
        format!("scrypt:1073741824:8:1$salt${digits}"),
        format!("scrypt:32768:8:1000000$salt${digits}"),
        format!("pbkdf2:sha256:4000000000$salt${}", &digits[..64]),
        format!("pbkdf2:sha1:1000$salt${}", &digits[..40]),
        "scrypt:32768:8:1$salt".to_owned(),
    ];
    for forged in &hashes {
        server
            .sql()
            .execute("UPDATE users SET password_hash = ?1 WHERE username = ?2", [forged.as_str(), name])
            .unwrap();
        assert_refused(&answer(login(&server, name, password)).await, 401, "wrong_credentials");
        assert_eq!(hash(&server, name), *forged);
    }
    // The others are not affected, and a new password helps.
    assert_eq!(answer(login(&server, "carol", PASSWORDS[2].1)).await.0, 200);
    server.run(&["user", "passwd", name], "battery staple");
    assert_eq!(answer(login(&server, name, "battery staple")).await.0, 200);
    drop(server);
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = log.lines().filter(|line| line.contains("login failed")).collect::<Vec<_>>();
    assert_eq!(lines.len(), hashes.len(), "{log}");
    for line in lines {
        assert!(line.contains(" WARN ") && line.contains("username=alice") && !line.contains(password), "{line}");
    }
}
