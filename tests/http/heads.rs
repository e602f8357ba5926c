//! The head of a request: `Host`, paths and queries. A raw socket, because a client library would tidy them.

use std::time::{Duration, Instant};

use crate::raw::{Raw, RawResponse, head};
use crate::scenes::Scene;
use crate::support::Server;

fn exchange(server: &Server, request: impl AsRef<[u8]>) -> RawResponse {
    let request = request.as_ref();
    Raw::connect(server)
        .send(request)
        .response()
        .unwrap_or_else(|| panic!("no response to {:?}", String::from_utf8_lossy(request)))
}

#[tokio::test]
async fn a_request_has_one_host() {
    let server = Server::start();
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nhOST:   x:80  \r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: x:\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: EXAMPLE.org.\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: [::1]:6767\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: my_calls-1.svc:80\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: xn--grn-hoa.example\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n", 200),
        ("GET /healthz HTTP/1.0\r\nHost: x\r\n", 200),
        ("GET http://y:1/healthz HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost:\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nhost: y\r\n", 400),
        ("GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x, y\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: not/a host\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x:99999\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x:+80\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: x:8o\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: user@x\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: [::1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: ::1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: http://x\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: gr\u{fc}n\r\n", 400),
        ("GET http://y:1/healthz HTTP/1.1\r\n", 400),
        ("GET http://u@y/healthz HTTP/1.1\r\nHost: x\r\n", 400),
        // Also where no route or another page is.
        ("GET / HTTP/1.1\r\n", 400),
        ("POST /nowhere HTTP/1.1\r\nContent-Length: 2\r\n", 400),
    ] {
        let body = if head.contains("Content-Length: 2") { "{}" } else { "" };
        let response = exchange(&server, format!("{head}\r\n{body}"));
        assert_eq!(response.status, status, "{head:?} got {response:?}");
        if status == 400 {
            assert_eq!(response.code(), "bad_host", "{head:?}");
            assert_eq!(response.header("connection"), Some("close"), "{head:?}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{head:?}");
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{head:?}");
        }
    }
}

#[tokio::test]
async fn odd_paths_and_queries_get_4xx_with_a_code() {
    let scene = Scene::active().await;
    let before = scene.server.rows();
    let call = &scene.call;
    let encoded: String = call.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for (target, status, code) in [
        ("/calls/incoming/".to_owned(), 404, "not_found"),
        ("/calls/incoming//".to_owned(), 404, "not_found"),
        ("//calls/incoming".to_owned(), 404, "not_found"),
        ("/calls//incoming".to_owned(), 404, "not_found"),
        ("/me/".to_owned(), 404, "not_found"),
        ("/healthz/".to_owned(), 404, "not_found"),
        (format!("/calls/{call}/state/"), 404, "not_found"),
        ("/CALLS/incoming".to_owned(), 404, "not_found"),
        ("/calls/incoming;x=1".to_owned(), 404, "not_found"),
        ("/%63alls/incoming".to_owned(), 404, "not_found"),
        ("/calls/%2e%2e/me".to_owned(), 404, "not_found"),
        ("/calls/../me".to_owned(), 404, "not_found"),
        ("/web/../calls/incoming".to_owned(), 404, "not_found"),
        ("/calls/%00/state".to_owned(), 404, "call_not_found"),
        ("/calls/%/state".to_owned(), 404, "call_not_found"),
        ("/calls/%ff%fe/state".to_owned(), 404, "call_not_found"),
        ("/calls/../state".to_owned(), 404, "call_not_found"),
        ("/calls/gr\u{fc}n/state".to_owned(), 404, "call_not_found"),
        (format!("/calls/{encoded}/state"), 404, "call_not_found"),
        (format!("/calls/{call}%20/state"), 404, "call_not_found"),
        (format!("/calls/{call}/signals?after=1&after=2"), 400, "bad_query"),
        (format!("/calls/{call}/signals?after=1&%61fter=2"), 400, "bad_query"),
        (format!("/calls/{call}/media?sender=%ff"), 400, "bad_query"),
        (format!("/calls/{call}/media?%ff=1"), 400, "bad_query"),
        ("/calls/active?channel=dm:alice:bob&channel=dm:alice:carol".to_owned(), 400, "bad_query"),
        ("/calls/active?channel=%C3%28".to_owned(), 400, "bad_query"),
        ("/calls/active?channel".to_owned(), 400, "query_missing"),
        ("/calls/active?channel=%20%09".to_owned(), 400, "query_missing"),
        ("/calls/active?=dm:alice:bob".to_owned(), 400, "query_missing"),
        ("/healthz?x=%ff".to_owned(), 400, "bad_query"),
    ] {
        let response = exchange(&scene.server, format!("{}\r\n", head(&scene.alice, &format!("GET {target}"))));
        assert_eq!((response.status, response.code().as_str()), (status, code), "{target}: {response:?}");
    }
    for target in ["x:443", "x"] {
        let response = exchange(&scene.server, format!("{}\r\n", head(&scene.alice, &format!("CONNECT {target}"))));
        assert_eq!((response.status, response.code().as_str()), (400, "bad_target"), "{target}: {response:?}");
    }
    // hyper refuses what is no URI.
    for target in [b"/calls/\xff/state".as_slice(), b"/calls/incoming?x=\xff", b"/calls/\x01/state"] {
        let head = head(&scene.alice, "GET TARGET");
        let (before, after) = head.split_once("TARGET").unwrap();
        let request = [before.as_bytes(), target, after.as_bytes(), b"\r\n"].concat();
        let response = exchange(&scene.server, request);
        assert_eq!(response.status, 400, "{response:?}");
    }
    // Empty pairs, plus signs and encoded letters have their usual meaning.
    for query in
        ["channel=dm%3Aalice:bob", "&&channel=dm:alice:bob&", "x=1&channel=+dm:alice:bob%20", "chann%65l=dm:alice:bob"]
    {
        let target = format!("GET /calls/active?{query}");
        let response = exchange(&scene.server, format!("{}\r\n", head(&scene.alice, &target)));
        assert_eq!(response.status, 200, "{query}: {response:?}");
        assert!(response.body.contains(call.as_str()), "{query}");
    }
    assert_eq!(scene.server.rows(), before);
}

#[tokio::test]
async fn an_oversized_head_is_refused_at_once() {
    let server = Server::start();
    let long = "x".repeat(100_000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET /healthz?{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
    ] {
        let begun = Instant::now();
        let response = exchange(&server, request);
        assert_eq!(response.status, status, "{response:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{status}");
    }
    // A head that never ends.
    let begun = Instant::now();
    let mut raw = Raw::connect(&server);
    raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n");
    for _ in 0..100 {
        raw.send(format!("X: {}\r\n", "y".repeat(20_000)));
    }
    assert!(raw.response().is_none_or(|response| response.status == 431));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(exchange(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}
