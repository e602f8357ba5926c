//! Clients that send garbage, break off, or take their time.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::raw::{Raw, head};
use crate::scenes::Talk;
use crate::support::Server;

#[tokio::test]
async fn garbage_is_refused_and_harms_nobody() {
    let talk = Talk::active().await;
    let before = talk.server.rows();
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
        let mut raw = Raw::connect(&talk.server);
        if let Some(answer) = raw.send(garbage).finish().answer() {
            let what = String::from_utf8_lossy(garbage);
            assert!((400..500).contains(&answer.status), "{what:?} got {answer:?}");
        }
    }
    let mut raw = Raw::connect(&talk.server);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    assert!(raw.send(long).answer().is_none_or(|answer| (400..500).contains(&answer.status)));
    let mut raw = Raw::connect(&talk.server);
    let many = "X: y\r\n".repeat(20_000);
    raw.send(format!("GET /healthz HTTP/1.1\r\n{many}\r\n"));
    assert!(raw.answer().is_none_or(|answer| (400..500).contains(&answer.status)));

    assert_eq!(talk.server.rows(), before);
    assert_eq!(talk.state().await["state"], "active");
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_order() {
    let talk = Talk::active().await;
    let mut raw = Raw::connect(&talk.server);
    let body = r#"{"on":true}"#;
    let claim = format!(
        "{}Content-Length: {}\r\n\r\n{body}",
        head(&talk.alice, &format!("POST {}", talk.path("screenshare"))),
        body.len()
    );
    let state = format!("{}\r\n", head(&talk.bob, &format!("GET {}", talk.path("state"))));
    raw.send(format!("{claim}{state}GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n{state}"));
    assert_eq!(raw.answer().unwrap().body, r#"{"status":"sharing"}"#);
    assert!(raw.answer().unwrap().body.contains(r#""screenshare_user":"alice""#));
    assert_eq!(raw.answer().unwrap().status, 404);
    assert_eq!(raw.answer().unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_does_nothing() {
    let talk = Talk::active().await;
    let before = talk.server.rows();
    for (path, body) in [
        (talk.path("media"), "half of it"),
        (talk.path("screenshare"), r#"{"on":true}"#),
        (talk.path("screenshare"), r#"{"on""#),
        ("/calls/initiate".to_owned(), r#"{"channel":"dm:alice:carol"}"#),
    ] {
        // Half-closed, so that the answer can be read.
        let mut raw = Raw::connect(&talk.server);
        let head = head(&talk.alice, &format!("POST {path}"));
        raw.send(format!("{head}Content-Length: 100\r\n\r\n{body}")).finish();
        assert!(raw.answer().is_none_or(|answer| answer.status == 400));
        let mut raw = Raw::connect(&talk.server);
        raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()));
        raw.finish();
        assert!(raw.answer().is_none_or(|answer| answer.status == 400));
        // Gone altogether.
        Raw::connect(&talk.server).send(format!("{head}Content-Length: 100\r\n\r\n{body}"));
    }
    assert_eq!(talk.state().await["screenshare_user"], json!(null));
    assert_eq!(talk.server.rows(), before);
}

#[tokio::test]
async fn a_chunked_body_meets_the_same_limit() {
    let talk = Talk::active().await;
    for (path, size, code) in [
        (talk.path("invite"), 17 << 10, "body_too_large"),
        (talk.path("media"), (4 << 20) + 1, "media_chunk_too_large"),
        ("/calls/initiate".to_owned(), 1 << 20, "body_too_large"),
    ] {
        let mut raw = Raw::connect(&talk.server);
        raw.send(format!("{}Transfer-Encoding: chunked\r\n\r\n", head(&talk.alice, &format!("POST {path}"))));
        raw.send(format!("{size:x}\r\n")).send(vec![b' '; size]).send("\r\n0\r\n\r\n");
        let answer = raw.answer().unwrap();
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.body.contains(&format!(r#""code":"{code}""#)), "{answer:?}");
    }
    // Within it, a chunked body is a body.
    let mut raw = Raw::connect(&talk.server);
    raw.send(format!(
        "{}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"on\"\r\n6\r\n:true}}\r\n0\r\n\r\n",
        head(&talk.alice, &format!("POST {}", talk.path("screenshare")))
    ));
    assert_eq!(raw.answer().unwrap().status, 200);
}

#[tokio::test]
async fn whoever_asks_first_is_told_without_sending_the_body() {
    let talk = Talk::active().await;
    let head = |path: &str, size: usize| {
        format!(
            "{}Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n",
            head(&talk.alice, &format!("POST {}", talk.path(path)))
        )
    };
    let begin = Instant::now();
    for (path, size, status) in [("media", 5 << 20, 413), ("invite", 17 << 10, 413), ("nowhere", 10, 404)] {
        let mut raw = Raw::connect(&talk.server);
        let answer = raw.send(head(path, size)).answer().unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "nobody waits for a body that will not come");
    let mut raw = Raw::connect(&talk.server);
    assert_eq!(raw.send(head("media", 4)).answer().unwrap().status, 100);
    let answer = raw.send("data").answer().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_keep_nobody_waiting() {
    let talk = Talk::active().await;
    let mut silent: Vec<Raw> = (0..50).map(|_| Raw::connect(&talk.server)).collect();
    for raw in &mut silent {
        raw.send("GET /healthz HTTP/1.1\r\nX-Never: finish");
    }
    let mut slow_body = Raw::connect(&talk.server);
    slow_body
        .send(format!("{}Content-Length: 100\r\n\r\n{{", head(&talk.alice, &format!("POST {}", talk.path("invite")))));
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(talk.bob.get("/calls/incoming").await.0, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "others are served");

    let cut_off = tokio::task::spawn_blocking(move || {
        let answer = slow_body.answer().unwrap();
        assert_eq!(answer.status, 408, "{answer:?}");
        assert!(answer.body.contains(r#""code":"body_too_slow""#), "{answer:?}");
        for raw in &mut silent {
            assert!(raw.answer().is_none_or(|answer| answer.status == 408));
            assert!(raw.is_closed());
        }
    });
    cut_off.await.unwrap();
    let waited = begin.elapsed();
    assert!((8..24).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(talk.state().await["state"], "active");
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_an_http_1_0_client_one() {
    let server = Server::start();
    let mut raw = Raw::connect(&server);
    for _ in 0..50 {
        assert_eq!(raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").answer().unwrap().status, 200);
    }
    let mut raw = Raw::connect(&server);
    let answer = raw.send("GET /healthz HTTP/1.0\r\n\r\n").answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
    assert!(answer.headers.contains("content-type: application/json"), "{answer:?}");
    assert!(raw.is_closed());
}
