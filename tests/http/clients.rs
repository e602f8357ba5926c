//! Malformed, incomplete and slow requests.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::raw::{Raw, head};
use crate::scenes::Scene;
use crate::support::Server;

#[tokio::test]
async fn malformed_requests_are_refused_and_change_nothing() {
    let scene = Scene::active().await;
    let before = scene.server.rows();
    for garbage in [
        b"\r\n\r\n\r\n".as_slice(),
        b"garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nbad name: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /login HTTP/1.1\r\nTransfer-Encoding: rot13\r\n\r\n{}",
        b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&scene.server);
        if let Some(response) = raw.send(garbage).finish().response() {
            let what = String::from_utf8_lossy(garbage);
            assert!((400..500).contains(&response.status), "{what:?} got {response:?}");
        }
    }
    let mut raw = Raw::connect(&scene.server);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    assert!(raw.send(long).response().is_none_or(|response| (400..500).contains(&response.status)));
    let mut raw = Raw::connect(&scene.server);
    let many = "X: y\r\n".repeat(20_000);
    raw.send(format!("GET /healthz HTTP/1.1\r\n{many}\r\n"));
    assert!(raw.response().is_none_or(|response| (400..500).contains(&response.status)));

    assert_eq!(scene.server.rows(), before);
    assert_eq!(scene.state().await["state"], "active");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::active().await;
    let mut raw = Raw::connect(&scene.server);
    let body = r#"{"on":true}"#;
    let claim = format!(
        "{}Content-Length: {}\r\n\r\n{body}",
        head(&scene.alice, &format!("POST {}", scene.path("screenshare"))),
        body.len()
    );
    let state = format!("{}\r\n", head(&scene.bob, &format!("GET {}", scene.path("state"))));
    raw.send(format!("{claim}{state}GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n{state}"));
    assert_eq!(raw.response().unwrap().body, r#"{"status":"ok"}"#);
    assert!(raw.response().unwrap().body.contains(r#""screenshare_user":"alice""#));
    assert_eq!(raw.response().unwrap().status, 404);
    assert_eq!(raw.response().unwrap().status, 200);
}

#[tokio::test]
async fn an_incomplete_body_changes_nothing() {
    let scene = Scene::active().await;
    let before = scene.server.rows();
    for (path, body) in [
        (scene.path("media"), "half of it"),
        (scene.path("screenshare"), r#"{"on":true}"#),
        (scene.path("screenshare"), r#"{"on""#),
        ("/calls/initiate".to_owned(), r#"{"channel":"dm:alice:carol"}"#),
    ] {
        // Half-closed: the response can still be read.
        let mut raw = Raw::connect(&scene.server);
        let head = head(&scene.alice, &format!("POST {path}"));
        raw.send(format!("{head}Content-Length: 100\r\n\r\n{body}")).finish();
        assert!(raw.response().is_none_or(|response| response.status == 400));
        let mut raw = Raw::connect(&scene.server);
        raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()));
        raw.finish();
        assert!(raw.response().is_none_or(|response| response.status == 400));
        // Closed.
        Raw::connect(&scene.server).send(format!("{head}Content-Length: 100\r\n\r\n{body}"));
    }
    assert_eq!(scene.state().await["screenshare_user"], json!(null));
    assert_eq!(scene.server.rows(), before);
}

#[tokio::test]
async fn a_chunked_body_has_the_same_size_limit() {
    let scene = Scene::active().await;
    for (path, size, code) in [
        (scene.path("invite"), 17 << 10, "body_too_large"),
        (scene.path("media"), (4 << 20) + 1, "media_chunk_too_large"),
        ("/calls/initiate".to_owned(), 1 << 20, "body_too_large"),
    ] {
        let mut raw = Raw::connect(&scene.server);
        raw.send(format!("{}Transfer-Encoding: chunked\r\n\r\n", head(&scene.alice, &format!("POST {path}"))));
        raw.send(format!("{size:x}\r\n")).send(vec![b' '; size]).send("\r\n0\r\n\r\n");
        let response = raw.response().unwrap();
        assert_eq!(response.status, 413, "{response:?}");
        assert!(response.body.contains(&format!(r#""code":"{code}""#)), "{response:?}");
    }
    // A small chunked body is accepted.
    let mut raw = Raw::connect(&scene.server);
    raw.send(format!(
        "{}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"on\"\r\n6\r\n:true}}\r\n0\r\n\r\n",
        head(&scene.alice, &format!("POST {}", scene.path("screenshare")))
    ));
    assert_eq!(raw.response().unwrap().status, 200);
}

#[tokio::test]
async fn expect_100_continue_is_refused_before_the_body() {
    let scene = Scene::active().await;
    let head = |path: &str, size: usize| {
        format!(
            "{}Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n",
            head(&scene.alice, &format!("POST {}", scene.path(path)))
        )
    };
    let begin = Instant::now();
    for (path, size, status) in [("media", 5 << 20, 413), ("invite", 17 << 10, 413), ("nowhere", 10, 404)] {
        let mut raw = Raw::connect(&scene.server);
        let response = raw.send(head(path, size)).response().unwrap();
        assert_eq!(response.status, status, "{response:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "the server waited for a body that does not come");
    let mut raw = Raw::connect(&scene.server);
    assert_eq!(raw.send(head("media", 4)).response().unwrap().status, 100);
    let response = raw.send("data").response().unwrap();
    assert_eq!(response.status, 200, "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_time_out_and_delay_nobody() {
    let scene = Scene::active().await;
    let mut silent: Vec<Raw> = (0..50).map(|_| Raw::connect(&scene.server)).collect();
    for raw in &mut silent {
        raw.send("GET /healthz HTTP/1.1\r\nX-Never: finish");
    }
    let mut slow_body = Raw::connect(&scene.server);
    slow_body.send(format!(
        "{}Content-Length: 100\r\n\r\n{{",
        head(&scene.alice, &format!("POST {}", scene.path("invite")))
    ));
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.bob.get("/calls/incoming").await.0, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "other requests are delayed");

    let timeouts = tokio::task::spawn_blocking(move || {
        let response = slow_body.response().unwrap();
        assert_eq!(response.status, 408, "{response:?}");
        assert!(response.body.contains(r#""code":"body_too_slow""#), "{response:?}");
        for raw in &mut silent {
            assert!(raw.response().is_none_or(|response| response.status == 408));
            assert!(raw.is_closed());
        }
    });
    timeouts.await.unwrap();
    let waited = begin.elapsed();
    assert!((8..24).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(scene.state().await["state"], "active");
}

#[tokio::test]
async fn a_connection_serves_many_requests_or_one_of_http_1_0() {
    let server = Server::start();
    let mut raw = Raw::connect(&server);
    for _ in 0..50 {
        assert_eq!(raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").response().unwrap().status, 200);
    }
    let mut raw = Raw::connect(&server);
    let response = raw.send("GET /healthz HTTP/1.0\r\n\r\n").response().unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, r#"{"status":"ok"}"#));
    assert!(response.headers.contains("content-type: application/json"), "{response:?}");
    assert!(raw.is_closed());
}
