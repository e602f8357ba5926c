//! The cursors of clients through stops, kills and restored copies.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{EventStream, Person, Server, connect};

/// Makes an event that bob sees.
async fn ring(alice: &Person) {
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
}

/// Whether bob's stream resumes after `cursor`. Otherwise it starts with a snapshot that says that events were lost.
async fn resumes(bob: &Person, cursor: i64) -> bool {
    let mut stream = EventStream::open(bob, Some(cursor)).await;
    let event = stream.next().await.unwrap();
    let is_snapshot = event.name == "snapshot";
    assert!(!is_snapshot || event.data["lost"] == json!(true), "{event:?}");
    !is_snapshot
}

fn newest(server: &Server) -> i64 {
    server.value("SELECT max(id) FROM events")
}

/// Copies the database as a backup does, with the server running or not.
fn back_up(file: &Path, copy: &Path) {
    let _ = fs::remove_file(copy);
    connect(file).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
}

/// Puts a copy in the place of the file, as an admin does.
fn restore(copy: &Path, folder: &TempDir) {
    let file = folder.path().join("presence.db");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(folder.path().join(format!("presence.db{suffix}")));
    }
    fs::copy(copy, file).unwrap();
}

#[tokio::test]
async fn clean_stop_keeps_cursors() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    ring(&alice).await;
    let cursor = newest(&server);
    let (folder, _) = server.stop(Signal::SIGTERM);
    let server = Server::start_in(folder, &[]);
    let (alice, bob) = (server.moved(&alice), server.moved(&bob));
    ring(&alice).await;
    assert!(resumes(&bob, cursor).await);
    assert!(!resumes(&bob, newest(&server) + 1).await, "an id that the log does not have yet");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM event_gaps"), 0);
    assert!(newest(&server) < cursor + 100);
}

#[tokio::test]
async fn kill_keeps_the_cursors_that_the_log_has() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    ring(&alice).await;
    let cursor = newest(&server);
    let (folder, _) = server.stop(Signal::SIGKILL);
    let server = Server::start_in(folder, &[]);
    let (alice, bob) = (server.moved(&alice), server.moved(&bob));
    // A client that comes before the first event gets the id from which the log continues, and it is valid.
    let (_, snapshot) = EventStream::open_with_snapshot(&bob).await;
    ring(&alice).await;
    assert!(resumes(&bob, cursor).await);
    assert!(resumes(&bob, snapshot.id).await);
    // Rows that a power loss has taken may have had any of these.
    for lost in [cursor + 1, cursor + 1000, snapshot.id - 1] {
        assert!(!resumes(&bob, lost).await, "{lost}");
    }
}

/// A client has read further than the copy goes. The restored log then grows past its cursor.
#[tokio::test]
async fn restored_copy_tells_clients_what_they_have_lost() {
    for is_stopped in [false, true] {
        let server = Server::start();
        let (alice, bob) = (server.person("alice"), server.person("bob"));
        ring(&alice).await;
        let shared = newest(&server);
        let copies = TempDir::new().unwrap();
        let copy = copies.path().join("copy.db");
        let server = if is_stopped {
            let (folder, _) = server.stop(Signal::SIGTERM);
            back_up(&folder.path().join("presence.db"), &copy);
            // The copy is as old as a test may wait for.
            connect(&copy).execute_batch("UPDATE clean_stop SET stopped_ts = stopped_ts - 60").unwrap();
            Server::start_in(folder, &[])
        } else {
            back_up(&server.db(), &copy);
            server
        };
        let (alice, bob) = (server.moved(&alice), server.moved(&bob));
        for _ in 0..3 {
            ring(&alice).await;
        }
        let cursor = newest(&server);
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
        let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
        let signals = format!("/calls/{call}/signal");
        assert_eq!(alice.post_json(&signals, signal.clone()).await.0, 200);
        let signal_id: i64 = server.value("SELECT max(id) FROM call_signals");

        let (folder, _) = server.stop(Signal::SIGTERM);
        restore(&copy, &folder);
        let server = Server::start_in(folder, &[]);
        let (alice, bob) = (server.moved(&alice), server.moved(&bob));
        for _ in 0..10 {
            ring(&alice).await;
        }
        assert!(resumes(&bob, shared).await, "the copy has this event");
        assert!(!resumes(&bob, cursor).await, "stopped: {is_stopped}");
        // Signals and media have no snapshot; their cursors are simply smaller than new ids.
        let call = alice.call("dm:alice:bob").await;
        bob.post(&format!("/calls/{call}/accept")).await;
        let signals = format!("/calls/{call}/signal");
        assert_eq!(alice.post_json(&signals, signal).await.0, 200);
        let read = bob.get(&format!("/calls/{call}/signals?after={signal_id}")).await.1;
        assert_eq!(read.as_array().unwrap().len(), 1, "{read}");
        let (_, uploaded) = alice.post_bytes(&format!("/calls/{call}/media"), b"chunk".as_slice()).await;
        assert!(uploaded["seq"].as_i64().unwrap() > 1_000_000_000_000, "{uploaded}");
        server.assert_integrity();
    }
}
