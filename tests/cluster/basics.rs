//! What clients and commands see of a cluster in which nothing fails.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Login, wait_for};
use crate::support::{EventStream, Person, Server};
use crate::{TIMEOUT, lock_machine};

/// Three members, and the sessions of alice, bob and carol.
fn cluster() -> (Cluster, Vec<Login>) {
    let mut people = Vec::new();
    let cluster = Cluster::start(3, |server| {
        server.lift_limits();
        people.extend(["alice", "bob", "carol"].map(|name| Login::prepare(server, name)));
    });
    (cluster, people)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_read_at_once_at_its_member_and_soon_at_the_others() {
    let _machine = lock_machine().await;
    let (cluster, people) = cluster();
    for round in 0..30 {
        let node = 1 + round % 3;
        let (alice, bob) = (cluster.at(node, &people[0]), cluster.at(node, &people[1]));
        let call = alice.call("dm:alice:bob").await;
        let ringing = bob.read("/calls/incoming").await;
        assert_eq!(ringing[0]["call_id"], call.as_str(), "member {node}, round {round}");
        for other in cluster.nodes() {
            let (alice, bob) = (cluster.at(other, &people[0]), cluster.at(other, &people[1]));
            let path = format!("/calls/{call}/state");
            let begun = std::time::Instant::now();
            while bob.get(&path).await.0 != 200 {
                assert!(begun.elapsed() < TIMEOUT, "member {other} has no call {call}");
            }
            assert_eq!(alice.read(&path).await["state"], "ringing");
        }
        assert_eq!(bob.post(&format!("/calls/{call}/reject")).await.0, 200);
        assert_eq!(alice.read("/calls/history").await[0]["call_id"], call.as_str());
    }
    cluster.assert_equal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_at_any_member_change_all_of_them() {
    let _machine = lock_machine().await;
    let (cluster, _) = cluster();
    for node in cluster.nodes() {
        let name = format!("person{node}");
        let added = cluster.try_run(node, &["user", "add", &name], "a long password");
        assert!(added.status.success(), "{added:?}");
        assert!(cluster.run(node, &["user", "list"]).contains(&name));
        let seconds = (30 + node).to_string();
        cluster.run(node, &["setting", "set", "ringing_timeout", &seconds]);
        assert!(cluster.run(node, &["setting", "list"]).contains(&seconds));
        let again = cluster.try_run(node, &["user", "add", &name], "a long password");
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).contains(&name), "{again:?}");
    }
    cluster.assert_equal();
    let people = |node| cluster.value::<i64>(node, "SELECT count(*) FROM users WHERE username LIKE 'person_'");
    assert!(cluster.nodes().into_iter().all(|node| people(node) == 3));
}

/// Requests that are refused: their statuses and codes.
async fn refusals(alice: &Person, bob: &Person, carol: &Person) -> Vec<(u16, Value)> {
    let call = alice.call("dm:alice:bob").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    let mut stranger = alice.clone();
    "0123456789".clone_into(&mut stranger.token);
    let offer = |to: &str| json!({ "to": to, "type": "offer", "payload": {} });
    let mut refused = vec![
        alice.post_json("/calls/initiate", json!({ "channel": "dm:alice:bob" })).await,
        alice.post_json("/calls/initiate", json!({ "channel": "dm:bob:carol" })).await,
        alice.post_json("/calls/initiate", json!({ "channel": "dm:alice:nobody" })).await,
        alice.post_json("/calls/initiate", json!({ "chanel": 1 })).await,
        stranger.post_json("/calls/initiate", json!({ "channel": "dm:alice:bob" })).await,
        carol.post(&path("accept")).await,
        carol.post_json(&path("signal"), offer("alice")).await,
        alice.post_json(&path("signal"), offer("carol")).await,
        alice.post_json(&path("screenshare"), json!({ "on": true })).await,
    ];
    assert_eq!(bob.post(&path("reject")).await.0, 200);
    refused.push(bob.post(&path("accept")).await);
    refused.push(alice.post_json(&path("signal"), offer("bob")).await);
    refused.push(alice.post("/calls/no-such-call/end").await);
    refused.into_iter().map(|(status, body)| (status, body["code"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_refuse_as_a_single_server_does() {
    let _machine = lock_machine().await;
    let server = Server::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let alone = refusals(&alice, &bob, &carol).await;
    assert!(alone.iter().all(|(status, code)| *status >= 400 && code.is_string()), "{alone:?}");
    let (cluster, people) = cluster();
    for node in cluster.nodes() {
        let [alice, bob, carol] = [0, 1, 2].map(|person: usize| cluster.at(node, &people[person]));
        assert_eq!(refusals(&alice, &bob, &carol).await, alone, "member {node}");
    }
    cluster.assert_equal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_reads_and_the_sql_command_writes() {
    let _machine = lock_machine().await;
    let (cluster, _) = cluster();
    let before = cluster.value::<i64>(1, "SELECT count(*) FROM users");
    for node in cluster.nodes() {
        let shell = cluster.connect(node);
        for statement in [
            "UPDATE settings SET value = 7 WHERE name = 'ringing_timeout'",
            "INSERT INTO add_user (username, password_hash) VALUES ('eve', 'x')",
            "DELETE FROM users",
            "INSERT INTO clock_step (seconds) VALUES (3600)",
            "UPDATE cluster SET name = 'x'",
            "DELETE FROM cluster_members",
        ] {
            let refused = shell.execute_batch(statement).unwrap_err().to_string();
            assert!(refused.contains("use_the_sql_command"), "{statement}: {refused}");
        }
        assert_eq!(shell.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0)).unwrap(), before);

        let seconds = (40 + node).to_string();
        cluster.sql(node, &format!("UPDATE settings SET value = {seconds} WHERE name = 'ringing_timeout'"));
        let stored = cluster.value::<i64>(node, "SELECT value FROM settings WHERE name = 'ringing_timeout'");
        assert_eq!(stored.to_string(), seconds, "the member has it when the command ends");
        assert_eq!(cluster.sql(node, "SELECT 1, 'two', NULL, x'0a', 0.5 FROM now;"), "1\ttwo\t\t0a\t0.5\n");
        for statement in [
            "UPDATE settings SET value = abs(random() % 9) + 1 WHERE name = 'ringing_timeout'",
            "UPDATE settings SET value = unixepoch() % 9 WHERE name = 'ringing_timeout'",
            "UPDATE settings SET value = julianday('now') WHERE name = 'ringing_timeout'",
            "SELECT strftime('%s', 'now')",
            "SELECT hex(randomblob(8))",
            "SELECT current_timestamp",
            "COMMIT",
            "BEGIN",
            "ROLLBACK",
            "SAVEPOINT one_write",
            "RELEASE one_write",
            "PRAGMA user_version = 7",
            "PRAGMA writable_schema = 1",
            "ATTACH ':memory:' AS other",
            "VACUUM",
            "CREATE TABLE t (a)",
            "DROP TABLE users",
            "UPDATE users SET username = 'a'; COMMIT",
            "INSERT OR ROLLBACK INTO users (username, password_hash) SELECT username, 'x' FROM users",
            "REPLACE INTO users SELECT * FROM users WHERE 0; UPDATE OR/**/ROLLBACK users SET username = 'a'",
            "/* a comment */ COMMIT",
            "EXPLAIN COMMIT",
            "",
            "UPDATE settings SET value = -1 WHERE name = 'ringing_timeout'",
            "nonsense",
        ] {
            let refused = cluster.try_run(node, &["sql", statement], "");
            let stderr = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{statement}: {refused:?}");
            assert!(refused.stdout.is_empty(), "{statement}: {refused:?}");
            assert_eq!(stderr.trim_end().lines().count(), 1, "{statement}: {stderr}");
        }
        let unchanged = cluster.value::<i64>(node, "SELECT value FROM settings WHERE name = 'ringing_timeout'");
        assert_eq!(unchanged, stored);
    }
    // One that does not end does not get into the log.
    let leader = cluster.leader();
    let shell = cluster.connect(leader);
    let endless = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    let mut command = cluster.start_command(leader, &["sql", endless]);
    wait_for(TIMEOUT, "lock of the command", || shell.execute_batch("BEGIN IMMEDIATE; ROLLBACK").err());
    command.kill().unwrap();
    command.wait().unwrap();
    for node in cluster.nodes() {
        assert_eq!(cluster.sql(node, "SELECT 'goes on'"), "goes on\n");
    }
    cluster.assert_equal();
    assert_eq!(cluster.nodes().len(), 3, "no member has ended");
}

/// alice, at one member, calls bob, at another. bob resumes his stream at the third, and then the members restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_between_members_outlives_their_restarts() {
    let _machine = lock_machine().await;
    let (mut cluster, people) = cluster();
    let leader = cluster.leader();
    let followers: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != leader).collect();
    let (alice, bob) = (cluster.at(followers[0], &people[0]), cluster.at(leader, &people[1]));
    let (mut to_alice, _) = EventStream::open_with_snapshot(&alice).await;
    let (mut to_bob, _) = EventStream::open_with_snapshot(&bob).await;

    let call = alice.call("dm:alice:bob").await;
    let path = |what: &str| format!("/calls/{call}/{what}");
    assert_eq!(to_alice.expect_call("ringing").await.data["call_id"], call.as_str());
    to_bob.expect_call("ringing").await;
    to_bob.expect("incoming").await;
    assert_eq!(bob.post(&path("accept")).await.0, 200);
    let at_alice = to_alice.expect_call("active").await;
    let at_bob = to_bob.expect_call("active").await;
    assert_eq!((at_alice.id, &at_alice.data), (at_bob.id, &at_bob.data), "an event is the same everywhere");

    let signal = |to: &str, number: usize| json!({ "to": to, "type": "offer", "payload": { "number": number } });
    for number in 0..20 {
        assert_eq!(alice.post_json(&path("signal"), signal("bob", number)).await.0, 200);
        assert_eq!(bob.post_json(&path("signal"), signal("alice", number)).await.0, 200);
    }
    let mut seen = 0;
    for number in 0..20 {
        assert_eq!(to_alice.expect("signal").await.data["payload"]["number"], number);
        let event = to_bob.expect("signal").await;
        assert_eq!(event.data["payload"]["number"], number);
        if number == 9 {
            seen = event.id;
        }
    }
    // The third member has what followed, and nothing twice.
    drop(to_bob);
    let bob = cluster.at(followers[1], &people[1]);
    let mut to_bob = EventStream::open(&bob, Some(seen)).await;
    for number in 10..20 {
        assert_eq!(to_bob.expect("signal").await.data["payload"]["number"], number);
    }

    for node in [followers[0], leader, followers[1]] {
        assert_eq!(cluster.stop(node, Signal::SIGTERM).code(), Some(0));
        let other = cluster.follower();
        let alice = cluster.at(other, &people[0]);
        assert_eq!(alice.post_json(&path("signal"), signal("bob", 20)).await.0, 200, "{node} is away");
        cluster.restart(node);
        let state = cluster.at(node, &people[1]).read(&path("state")).await;
        assert_eq!((&state["state"], state["participants"].as_array().map(Vec::len)), (&json!("active"), Some(2)));
    }
    let bob = cluster.at(leader, &people[1]);
    assert_eq!(bob.post(&path("end")).await.0, 200);
    let ended = bob.read("/calls/history").await;
    assert_eq!((&ended[0]["call_id"], &ended[0]["reason"]), (&json!(call), &json!("hangup")));
    cluster.assert_equal();
    let reasons = "SELECT group_concat(DISTINCT ended_reason) FROM calls";
    wait_for(TIMEOUT, "end of the call at each member", || {
        cluster.nodes().into_iter().all(|node| cluster.value::<String>(node, reasons) == "hangup").then_some(())
    });
}
