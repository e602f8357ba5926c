//! The event `directory`: people and channels that appear, change and go.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{EventStream, Person, Server};

/// Adds users of two host applications, and of a guest's call.
pub fn add_hosted_users(server: &Server) {
    server.execute(
        "INSERT INTO add_issuer (name, algorithm, key) VALUES ('chat', 'HS256', printf('%.*c', 32, 'k'));
         INSERT INTO add_issuer (name, algorithm, key) VALUES ('forum', 'HS256', printf('%.*c', 32, 'k'));
         INSERT INTO users (username, password_hash, created_ts, issuer, subject)
         VALUES ('zoe', '', 0, 'chat', 'zoe'), ('xia', '', 0, 'forum', 'xia')",
    );
}

/// A stream after its first events.
async fn stream_of(person: &Person) -> EventStream {
    let (mut stream, _) = EventStream::open_with_snapshot(person).await;
    stream.next_named("presence").await;
    stream
}

/// Reads a stream up to a change of the directory. A change from before may come first.
async fn people_of(person: &Person, stream: &mut EventStream, expected: &str) {
    loop {
        let event = stream.next_named("directory").await;
        assert!(event.data["within"].as_f64().unwrap() > 0.0, "{event:?}");
        if person.read("/me").await["people"].as_array().unwrap().contains(&json!(expected)) {
            return;
        }
    }
}

#[tokio::test]
async fn a_new_user_of_any_writer_reaches_those_who_see_them() {
    let server = Server::start();
    add_hosted_users(&server);
    let (alice, zoe, xia) = (server.person("alice"), server.person("zoe"), server.person("xia"));
    let (mut to_alice, mut to_zoe) = (stream_of(&alice).await, stream_of(&zoe).await);
    server.run(&["user", "add", "frank"], "a good password");
    people_of(&alice, &mut to_alice, "frank").await;
    people_of(&zoe, &mut to_zoe, "frank").await;

    // A user of one application, by SQL. zoe, of another one, gets the next change alone.
    server.execute("INSERT INTO users (username, password_hash, created_ts, issuer, subject) VALUES ('yan', '', 0, 'forum', 'yan')");
    people_of(&alice, &mut to_alice, "yan").await;
    let mut to_xia = stream_of(&xia).await;
    server.execute("INSERT INTO remove_user (username) VALUES ('yan')");
    to_xia.next_named("directory").await;
    assert!(!xia.read("/me").await["people"].to_string().contains("yan"));
    server.execute("INSERT INTO set_display_name (username, display_name) VALUES ('alice', 'Alice A.')");
    to_zoe.next_named("directory").await;
    assert_eq!(zoe.read("/me").await["display_names"]["alice"], "Alice A.");
}

#[tokio::test]
async fn a_channel_reaches_its_members_alone() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let (mut to_alice, mut to_bob, mut to_carol) =
        (stream_of(&alice).await, stream_of(&bob).await, stream_of(&carol).await);
    server.run(&["channel", "add", "Team", "--member", "alice", "--member", "bob"], "");
    to_alice.next_named("directory").await;
    to_bob.next_named("directory").await;
    assert_eq!(alice.read("/me").await["channels"][0]["title"], "Team");

    server.execute("INSERT INTO leave_channel (channel, username) VALUES ('private:1', 'bob')");
    to_bob.next_named("directory").await;
    assert_eq!(bob.read("/me").await["channels"], json!([]));

    // carol has learned nothing so far: her first one is of her display name, which all get.
    server.execute("INSERT INTO set_display_name (username, display_name) VALUES ('carol', 'Carol C.')");
    to_carol.next_named("directory").await;
    assert_eq!(carol.read("/me").await["display_name"], "Carol C.");
    let first = Instant::now();
    server.execute("INSERT INTO set_quiet (username, seconds) VALUES ('carol', 60)");
    to_carol.next_named("directory").await;
    assert!(first.elapsed() > Duration::from_millis(800), "at most one a second: {:?}", first.elapsed());
}

#[tokio::test]
async fn an_import_of_a_thousand_users_is_few_events() {
    let server = Server::start();
    server.lift_limits();
    let people = server.people(20);
    let mut streams = Vec::new();
    for person in &people {
        streams.push(stream_of(person).await);
    }
    // Each INSERT is a commit.
    let insert = |number| format!("INSERT INTO add_user (username) VALUES ('new{number}')");
    let sql = server.sql();
    let started = Instant::now();
    for number in 0..1000 {
        sql.execute(&insert(number), []).unwrap();
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM events WHERE kind = 'directory'"), 1);
    let seconds = started.elapsed().as_secs();
    server.execute(
        "INSERT INTO initiate_call (call_id, channel, initiator) VALUES ('last', 'dm:person0:person1', 'person0')",
    );
    let mut changes = 0;
    while let Some(event) = streams[0].next_of_all().await
        && event.name != "call"
    {
        changes += u64::from(event.name == "directory");
    }
    assert!((1..=seconds + 2).contains(&changes), "{changes} events in {seconds} s");
    people_of(&people[1], &mut streams[1], "new999").await;
}
