//! The session cookie: how it is found among others, and what keeps other sites from using it.

use serde_json::json;
use tempfile::TempDir;

use crate::raw::{Raw, RawResponse};
use crate::support::{Person, Server};

/// Sends a request with these header lines, and `Host` unless they have one.
fn send(server: &Server, request_line: &str, headers: &str, body: &str) -> RawResponse {
    let authority = server.url.trim_start_matches("http://");
    let has_host = headers.lines().any(|line| line.starts_with("Host:"));
    let host = if has_host { String::new() } else { format!("Host: {authority}\r\n") };
    let length = body.len();
    Raw::connect(server)
        .send(format!("{request_line} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}"))
        .response()
        .unwrap_or_else(|| panic!("no response to {request_line} {headers:?}"))
}

#[tokio::test]
async fn one_odd_cookie_does_not_hide_the_session() {
    let server = Server::start();
    let alice = server.person("alice");
    let good = &alice.token;
    let bad = "session=other; ";
    for (headers, status) in [
        (format!("Cookie: session={good}\r\n"), 200),
        (format!("Cookie:session={good}\r\n"), 200),
        (format!("Cookie: session=other; session={good}\r\n"), 200),
        (format!("Cookie: session={good}; session=other\r\n"), 200),
        (format!("Cookie: session=; session={good}\r\n"), 200),
        (format!("Cookie: theme=gr\u{fc}n; session={good}\r\n"), 200),
        (format!("Cookie: gr\u{fc}n=theme; session={good}; x=\u{1f3a8}\r\n"), 200),
        (format!("Cookie: session=gr\u{fc}n; session={good}\r\n"), 200),
        (format!("Cookie: \"odd; session={good}; even\"\r\n"), 200),
        (format!("Cookie: a; =b; ;; session={good};\r\n"), 200),
        (format!("Cookie: a=b=c; session={good}\r\n"), 200),
        (format!("Cookie: a=b;session={good}\r\n"), 200),
        (format!("Cookie: session = {good} \r\n"), 200),
        (format!("Cookie: session=\"{good}\"\r\n"), 200),
        (format!("Cookie: theme=dark\r\ncookie: session={good}\r\n"), 200),
        (format!("Cookie: session={good}\r\nCookie: session=other\r\n"), 200),
        (format!("Cookie: {}session={good}\r\n", bad.repeat(7)), 200),
        (format!("Authorization: Basic YTpi\r\nCookie: session={good}\r\n"), 200),
        (format!("Authorization: {good}\r\nCookie: session={good}\r\n"), 200),
        (format!("Authorization: Basic YTpi\r\nAuthorization: bearer {good}\r\n"), 200),
        // At most eight are tried.
        (format!("Cookie: {}session={good}\r\n", bad.repeat(8)), 401),
        // A bearer token counts alone.
        (format!("Authorization: Bearer other\r\nCookie: session={good}\r\n"), 401),
        (format!("Authorization: Bearer\r\nCookie: session={good}\r\n"), 401),
        (format!("Authorization: Bearer \u{fc}\r\nCookie: session={good}\r\n"), 401),
        // The name of a cookie is case-sensitive (RFC 6265, section 5.3).
        (format!("Cookie: Session={good}; xsession={good}; session2={good}\r\n"), 401),
        (format!("Cookie: theme=session={good}\r\n"), 401),
        (format!("Cookie: theme=session, session={good}\r\n"), 401),
        (format!("Cookie: session=\"{good}\r\n"), 401),
        ("Authorization: Basic YTpi\r\n".to_owned(), 401),
        (format!("Authorization: Basic {good}\r\n"), 401),
        ("Cookie: session\r\n".to_owned(), 401),
        ("Cookie:\r\n".to_owned(), 401),
    ] {
        let response = send(&server, "GET /calls/incoming", &headers, "");
        assert_eq!(response.status, status, "{headers:?}: {response:?}");
    }
    // Bytes that are no UTF-8.
    for odd in [b"\xfc".as_slice(), b"\xff\xfe=\xfd"] {
        let head = b"GET /calls/incoming HTTP/1.1\r\nHost: x\r\nCookie: theme=";
        let request = [head, odd, format!("; session={good}\r\n\r\n").as_bytes()].concat();
        assert_eq!(Raw::connect(&server).send(request).response().unwrap().status, 200, "{odd:?}");
    }
}

#[tokio::test]
async fn the_setting_names_the_cookie() {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "rabbit hole");
    server.execute("UPDATE settings SET value = '__Host-calls' WHERE name = 'session_cookie'");
    let body = json!({ "username": "alice", "password": "rabbit hole" }).to_string();
    let login = send(&server, "POST /login", "", &body);
    let cookie = login.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__host-calls="), "{cookie}");
    let token = serde_json::from_str::<serde_json::Value>(&login.body).unwrap()["token"].as_str().unwrap().to_owned();
    for (name, status) in [("__Host-calls", 200), ("session", 401)] {
        let response = send(&server, "GET /calls/incoming", &format!("Cookie: {name}={token}\r\n"), "");
        assert_eq!(response.status, status, "{name}");
    }
    let headers = format!("Cookie: __Host-calls={token}\r\nSec-Fetch-Site: same-origin\r\n");
    let logout = send(&server, "POST /logout", &headers, "");
    let cookie = logout.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__host-calls=;") && cookie.contains("max-age=0"), "{cookie}");
}

/// The cookie of a logout is the one whose session ends, which need not be the first.
#[tokio::test]
async fn logout_ends_the_session_that_counted() {
    let server = Server::start();
    let alice = server.person("alice");
    let headers = format!("Cookie: session=other; session={}\r\nSec-Fetch-Site: same-origin\r\n", alice.token);
    assert_eq!(send(&server, "POST /logout", &headers, "").status, 200);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions"), 0);
    assert_eq!(send(&server, "POST /logout", &headers, "").status, 401);
}

const JSON: &str = "Content-Type: application/json\r\n";

/// Sends POST requests with a cookie and each of `cases`, and compares the status, or the code of a 403.
fn assert_forgery(server: &Server, alice: &Person, cases: &[(String, &str)]) {
    for (headers, expected) in cases {
        let before = server.rows();
        let by_cookie = format!("Cookie: session={}\r\n{headers}", alice.token);
        let body = r#"{"channel":"dm:alice:bob"}"#;
        let response = send(server, "POST /calls/initiate", &by_cookie, body);
        if *expected == "allowed" {
            assert_eq!(response.status, 200, "{headers:?}: {response:?}");
            let call: serde_json::Value = serde_json::from_str(&response.body).unwrap();
            let end = format!("POST /calls/{}/end", call["call_id"].as_str().unwrap());
            assert_eq!(send(server, &end, &by_cookie, "").status, 200, "{headers:?}");
        } else {
            assert_eq!((response.status, response.code().as_str()), (403, *expected), "{headers:?}");
            assert_eq!(send(server, "POST /logout", &by_cookie, "").code(), *expected, "{headers:?}");
            assert_eq!(server.rows(), before, "{headers:?}");
            // Browsers add cookies to a request, and never a bearer token.
            let by_token = format!("Authorization: Bearer {}\r\n{headers}", alice.token);
            let response = send(server, "POST /calls/none/accept", &by_token, "");
            assert_eq!(response.code(), "call_not_found", "{headers:?}");
        }
        // A GET changes nothing.
        assert_eq!(send(server, "GET /calls/incoming", &by_cookie, "").status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn a_cookie_counts_for_the_own_site_alone() {
    let server = Server::start();
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let here = server.url.clone();
    let port = here.rsplit(':').next().unwrap();
    let cases: Vec<(String, &str)> = [
        // Sec-Fetch-Site alone, without a body or a content type.
        ("Sec-Fetch-Site: same-origin\r\n".to_owned(), "allowed"),
        ("Sec-Fetch-Site: same-origin\r\nContent-Type: text/plain\r\n".to_owned(), "allowed"),
        ("Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n".to_owned(), "allowed"),
        ("Sec-Fetch-Site: none\r\n".to_owned(), "cross_site"),
        (format!("Sec-Fetch-Site: none\r\n{JSON}"), "cross_site"),
        (format!("Sec-Fetch-Site: same-site\r\n{JSON}"), "cross_site"),
        (format!("Sec-Fetch-Site: cross-site\r\n{JSON}"), "cross_site"),
        (format!("Sec-Fetch-Site:\r\n{JSON}"), "cross_site"),
        (format!("Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n{JSON}"), "cross_site"),
        // Origin alone.
        (format!("Origin: {here}\r\n"), "allowed"),
        (format!("Origin: {here}/\r\n"), "allowed"),
        (format!("Origin: {}\r\nContent-Type: text/plain\r\n", here.to_uppercase()), "allowed"),
        (format!("Origin: http://[::1]:{port}\r\nHost: [0:0:0:0:0:0:0:1]:{port}\r\n"), "allowed"),
        ("Origin: http://calls.test\r\nHost: CALLS.test.:80\r\n".to_owned(), "allowed"),
        ("Origin: http://calls.test:80\r\nHost: calls.test\r\n".to_owned(), "allowed"),
        ("Origin: HTTP://Calls.Test.\r\nHost: calls.test:\r\n".to_owned(), "allowed"),
        ("Origin: http://calls.test:8080\r\nHost: calls.test:08080\r\n".to_owned(), "allowed"),
        (format!("Origin: {}\r\n{JSON}", here.replace("http:", "https:")), "cross_site"),
        (format!("Origin: {}\r\n{JSON}", here.replace("127.0.0.1", "localhost")), "cross_site"),
        (format!("Origin: {here}1\r\n{JSON}"), "cross_site"),
        (format!("Origin: null\r\n{JSON}"), "cross_site"),
        (format!("Origin:\r\n{JSON}"), "cross_site"),
        (format!("Origin: https://evil.example\r\n{JSON}"), "cross_site"),
        (format!("Origin: {here}@evil.example\r\n{JSON}"), "cross_site"),
        (format!("Origin: {here}.evil.example\r\n{JSON}"), "cross_site"),
        (format!("Origin: {here}\r\nOrigin: https://evil.example\r\n{JSON}"), "cross_site"),
        (format!("Origin: {here}, https://evil.example\r\n{JSON}"), "cross_site"),
        (format!("Origin: http://calls.test:443\r\nHost: calls.test\r\n{JSON}"), "cross_site"),
        (format!("Origin: http://gr\u{fc}n\r\nHost: x\r\n{JSON}"), "cross_site"),
        // X-Forwarded-Proto counts behind a proxy only.
        (format!("Origin: https://x\r\nHost: x\r\nX-Forwarded-Proto: https\r\n{JSON}"), "cross_site"),
        // Neither: the content type.
        (JSON.to_owned(), "allowed"),
        ("Content-Type: Application/JSON; charset=utf-8\r\n".to_owned(), "allowed"),
        ("Content-Type: application/octet-stream\r\n".to_owned(), "allowed"),
        (String::new(), "content_type_needed"),
        ("Content-Type:\r\n".to_owned(), "content_type_needed"),
        ("Content-Type: text/plain\r\n".to_owned(), "content_type_needed"),
        ("Content-Type: application/x-www-form-urlencoded\r\n".to_owned(), "content_type_needed"),
        ("Content-Type: multipart/form-data; boundary=x\r\n".to_owned(), "content_type_needed"),
        ("Content-Type: text/plain; application/json\r\n".to_owned(), "content_type_needed"),
        ("Content-Type: text/plain, application/json\r\n".to_owned(), "content_type_needed"),
        (format!("Referer: {here}/\r\n"), "content_type_needed"),
    ]
    .into();
    assert_forgery(&server, &alice, &cases);
}

#[tokio::test]
async fn behind_a_proxy_the_scheme_is_forwarded_or_follows_from_the_port() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let case = |origin: &str, host: &str, forwarded: &str, expected: &'static str| {
        let forwarded =
            if forwarded.is_empty() { String::new() } else { format!("X-Forwarded-Proto: {forwarded}\r\n") };
        (format!("Origin: {origin}\r\nHost: {host}\r\n{forwarded}{JSON}"), expected)
    };
    let cases = [
        case("https://calls.test", "calls.test", "", "allowed"),
        case("https://calls.test", "calls.test:443", "", "allowed"),
        case("https://calls.test:8443", "calls.test:8443", "", "allowed"),
        case("http://calls.test", "calls.test:80", "", "allowed"),
        case("http://calls.test", "calls.test", "http", "allowed"),
        case("http://calls.test:8080", "calls.test:8080", "HTTP", "allowed"),
        case("https://calls.test", "calls.test", "https", "allowed"),
        case("https://calls.test", "calls.test", "https, http", "allowed"),
        case("https://calls.test:80", "calls.test:80", "https", "allowed"),
        case("https://calls.test", "calls.test", "nonsense", "allowed"),
        case("http://calls.test", "calls.test", "", "cross_site"),
        case("http://calls.test", "calls.test", "https", "cross_site"),
        case("https://calls.test", "calls.test", "http", "cross_site"),
        case("https://calls.test", "calls.test:80", "", "cross_site"),
        case("https://calls.test", "calls.test:8443", "", "cross_site"),
        case("https://evil.example", "calls.test", "https", "cross_site"),
    ];
    assert_forgery(&server, &alice, &cases);
    // Forwarded is not read.
    let headers = format!("Origin: http://x\r\nHost: x\r\nForwarded: proto=http;host=x\r\n{JSON}");
    assert_forgery(&server, &alice, &[(headers, "cross_site")]);
}

/// The original's page sends these without a body, and so without a content type.
#[tokio::test]
async fn actions_without_a_body_work_with_the_cookie() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let here = server.url.clone();
    for site in ["Sec-Fetch-Site: same-origin\r\n".to_owned(), format!("Origin: {here}\r\n")] {
        let post = |person: &Person, path: &str| {
            let headers = format!("Cookie: session={}\r\n{site}", person.token);
            send(&server, &format!("POST {path}"), &headers, "").status
        };
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(post(&bob, &format!("/calls/{call}/accept")), 200);
        assert_eq!(post(&bob, &format!("/calls/{call}/leave")), 200);
        assert_eq!(post(&alice, &format!("/calls/{call}/end")), 200);
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(post(&bob, &format!("/calls/{call}/reject")), 200);
        let share = alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await.1;
        assert_eq!(post(&alice, &format!("/screenshare/{}/stop", share["share_id"].as_str().unwrap())), 200);
    }
}
