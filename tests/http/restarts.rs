//! A server that is killed, and one that is asked to stop.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::raw::{Raw, head};
use crate::scenes::{Talk, participants};
use crate::support::{Server, answer};

#[tokio::test]
async fn a_killed_server_ends_what_was_live_when_it_starts_again() {
    let talk = Talk::active().await;
    let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
    assert_eq!(talk.alice.post_json(&talk.path("signal"), signal).await.0, 200);
    assert_eq!(talk.alice.post_bytes(&talk.path("media"), b"chunk".as_slice()).await.0, 200);
    let ringing = talk.carol.call("dm:bob:carol").await;
    let start = json!({ "channel": "dm:alice:bob" });
    let (_, share) = talk.alice.post_json("/screenshare/start", start).await;
    let share = share["share_id"].as_str().unwrap().to_owned();
    let upload = format!("/screenshare/{share}/media");
    assert_eq!(talk.alice.post_bytes(&upload, b"chunk".as_slice()).await.0, 200);
    // One that is over keeps its end.
    let over = talk.alice.call("dm:alice:carol").await;
    assert_eq!(talk.alice.post(&format!("/calls/{over}/end")).await.0, 200);

    let Talk { server, alice, call, .. } = talk;
    let (folder, status) = server.stop(Signal::SIGKILL);
    assert!(!status.success());
    let server = Server::start_in(folder, &[]);
    let get = |path: String| {
        let request = reqwest::Client::new().get(format!("{}{path}", server.url));
        answer(request.bearer_auth(&alice.token))
    };
    // The session of before is still one.
    let (status, state) = get(format!("/calls/{call}/state")).await;
    assert_eq!(status, 200, "{state}");
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("restart")));
    assert_eq!(participants(&state), "alice left, bob left");
    assert_eq!(get(format!("/calls/{over}/state")).await.1["ended_reason"], "hangup");
    let reasons: String = server.value(&format!("SELECT state || ended_reason FROM calls WHERE call_id = '{ringing}'"));
    assert_eq!(reasons, "endedrestart");
    assert_eq!(get(upload).await.1["active"], false);
    for table in ["call_signals", "call_media", "share_media"] {
        assert_eq!(server.value::<i64>(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    server.person("alice").call("dm:alice:bob").await;
    server.assert_integrity();
}

#[tokio::test]
async fn what_timed_out_while_no_server_ran_has_timed_out() {
    let talk = Talk::ringing().await;
    let (folder, _) = talk.server.stop(Signal::SIGKILL);
    crate::support::connect(&folder.path().join("presence.db"))
        .execute_batch(
            "UPDATE calls SET started_ts = started_ts - 100; UPDATE call_participants SET invited_ts = invited_ts - 100",
        )
        .unwrap();
    let server = Server::start_in(folder, &[]);
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "rejected timeout");
    server.assert_integrity();
}

#[tokio::test]
async fn sigterm_finishes_the_request_under_way_and_exits_0() {
    let talk = Talk::active().await;
    let mut raw = Raw::connect(&talk.server);
    raw.send(format!(
        "{}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        head(&talk.alice, &format!("POST {}", talk.path("media")))
    ));
    // Now the server waits for the body.
    assert_eq!(raw.answer().unwrap().status, 100);
    raw.send("12345");
    let mut idle = Raw::connect(&talk.server);
    assert_eq!(idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").answer().unwrap().status, 200);

    let address = talk.server.url.trim_start_matches("http://").to_owned();
    kill(talk.server.process(), Signal::SIGTERM).unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "a stopping server takes nobody in");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(idle.is_closed(), "a connection with nothing under way is closed");
    let answer = raw.send("67890").answer().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let (folder, status) = talk.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let sql = crate::support::connect(&folder.path().join("presence.db"));
    let stored: Vec<u8> = sql.query_row("SELECT data FROM call_media", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, b"1234567890");
}

#[tokio::test]
async fn a_request_that_never_finishes_does_not_keep_the_server() {
    let talk = Talk::active().await;
    let mut raw = Raw::connect(&talk.server);
    raw.send(format!(
        "{}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        head(&talk.alice, &format!("POST {}", talk.path("media")))
    ));
    assert_eq!(raw.answer().unwrap().status, 100);
    let begin = Instant::now();
    let (_folder, status) = talk.server.stop(Signal::SIGINT);
    assert_eq!(status.code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_who_holds_the_write_lock_delays_writes_alone() {
    let talk = Talk::active().await;
    let admin = talk.server.sql();
    admin.execute_batch("BEGIN IMMEDIATE").unwrap();
    let end = talk.path("end");
    let request = talk.alice.post(&end);
    let reads = async {
        for _ in 0..10 {
            assert_eq!(talk.bob.read(&talk.path("state")).await["state"], "active");
        }
    };
    let ((status, body), ()) = futures_util::future::join(request, reads).await;
    assert_eq!((status, &body["code"]), (503, &json!("database_busy")));
    admin.execute_batch("ROLLBACK").unwrap();
    assert_eq!(talk.state().await["state"], "active", "what was refused was not done");
    assert_eq!(talk.alice.post(&end).await.0, 200);
    talk.server.assert_integrity();
}
