//! The event `presence`: who is online, on a call, not to be disturbed, or gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::SOON;
use crate::directory::add_hosted_users;
use crate::support::{EventStream, Person, Server};

/// A stream, and the presences as its client has them.
struct Watcher {
    stream: EventStream,
    people: BTreeMap<String, String>,
}

impl Watcher {
    async fn open(person: &Person) -> Self {
        let mut watcher = Self { stream: EventStream::open(person, None).await, people: BTreeMap::new() };
        assert_eq!(watcher.next().await["all"], true, "the first is complete");
        watcher
    }

    /// Applies the next event.
    async fn next(&mut self) -> Value {
        let event = self.stream.next_named("presence").await;
        if event.data["all"] == true {
            self.people.clear();
        }
        for (name, state) in event.data["people"].as_object().unwrap() {
            let state = state.as_str().unwrap().to_owned();
            if state == "offline" {
                self.people.remove(name)
            } else {
                self.people.insert(name.clone(), state)
            };
        }
        event.data
    }

    /// Reads up to the time when these are the presences.
    async fn expect(&mut self, people: &str) {
        let shown = |people: &BTreeMap<String, String>| {
            people.iter().map(|(name, state)| format!("{name} {state}")).collect::<Vec<_>>().join(", ")
        };
        let reading = async {
            while shown(&self.people) != people {
                self.next().await;
            }
        };
        timeout(SOON, reading).await.ok();
        assert_eq!(shown(&self.people), people);
    }
}

fn set(server: &Server, setting: &str, value: f64) {
    server.sql().execute("UPDATE settings SET value = ?2 WHERE name = ?1", (setting, value)).unwrap();
}

#[tokio::test]
async fn people_come_online_and_go() {
    let server = Server::start();
    set(&server, "gone_after", 1.0);
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let mut watcher = Watcher::open(&alice).await;
    watcher.expect("alice online").await;
    let stream = EventStream::open(&bob, None).await;
    watcher.expect("alice online, bob online").await;
    // One who comes later has them at once.
    let later = Watcher::open(&carol).await;
    assert!(later.people.contains_key("bob"), "{:?}", later.people);
    watcher.expect("alice online, bob online, carol online").await;
    drop(later);
    watcher.expect("alice online, bob online").await;
    drop(stream);
    watcher.expect("alice online").await;
}

#[tokio::test]
async fn a_reload_is_not_seen() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let mut watcher = Watcher::open(&alice).await;
    let stream = EventStream::open(&bob, None).await;
    watcher.expect("alice online, bob online").await;
    drop(stream);
    let _other = EventStream::open(&carol, None).await;
    watcher.expect("alice online, bob online, carol online").await;
    let _again = EventStream::open(&bob, None).await;
    server.execute("INSERT INTO set_quiet (username, seconds) VALUES ('carol', 60)");
    while watcher.people["carol"] != "quiet" {
        let changes = watcher.next().await;
        assert!(changes["people"].get("bob").is_none(), "{changes}");
    }
}

#[tokio::test]
async fn clients_that_poll_are_online() {
    let server = Server::start();
    set(&server, "gone_after", 0.0);
    set(&server, "presence_interval", 1.0);
    set(&server, "presence_timeout", 2.0);
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let mut watcher = Watcher::open(&alice).await;
    bob.read("/calls/incoming").await;
    watcher.expect("alice online, bob online").await;
    watcher.expect("alice online").await;
    bob.read("/calls/incoming?wait=0.1").await;
    watcher.expect("alice online, bob online").await;
    watcher.expect("alice online").await;
}

#[tokio::test]
async fn on_a_call_is_all_that_others_learn() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let mut watcher = Watcher::open(&carol).await;
    // Neither bob nor alice has a stream: being on a call shows without one.
    let call = alice.call("dm:alice:bob").await;
    watcher.expect("alice on-call, carol online").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    while watcher.people.get("bob").map(String::as_str) != Some("on-call") {
        let changes = watcher.next().await;
        assert!(!changes.to_string().contains(&call) && !changes.to_string().contains("dm:"), "{changes}");
    }
    // Not to be disturbed is not seen meanwhile, and afterwards.
    server.execute("INSERT INTO set_quiet (username, seconds) VALUES ('bob', 60)");
    bob.post(&format!("/calls/{call}/end")).await;
    while watcher.people.get("bob").map(String::as_str) != Some("quiet") {
        watcher.next().await;
    }
    assert_ne!(watcher.people.get("alice").map(String::as_str), Some("on-call"));
}

#[tokio::test]
async fn quiet_ends_with_its_time() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let mut watcher = Watcher::open(&alice).await;
    let _stream = EventStream::open(&bob, None).await;
    watcher.expect("alice online, bob online").await;
    assert_eq!(bob.post_json("/quiet", json!({ "seconds": 2 })).await.0, 200);
    watcher.expect("alice online, bob quiet").await;
    // Nobody writes anything.
    watcher.expect("alice online, bob online").await;
}

#[tokio::test]
async fn users_of_two_applications_do_not_see_each_other() {
    let server = Server::start();
    add_hosted_users(&server);
    let (alice, zoe, xia) = (server.person("alice"), server.person("zoe"), server.person("xia"));
    let mut to_zoe = Watcher::open(&zoe).await;
    let mut to_xia = Watcher::open(&xia).await;
    let mut to_alice = Watcher::open(&alice).await;
    to_alice.expect("alice online, xia online, zoe online").await;
    to_zoe.expect("alice online, zoe online").await;
    to_xia.expect("alice online, xia online").await;
    // Also at the start of a stream.
    let again = Watcher::open(&xia).await;
    assert!(!again.people.contains_key("zoe") && again.people.contains_key("alice"), "{:?}", again.people);
}

#[tokio::test]
async fn a_guest_sees_nothing_and_is_not_seen() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/accept")).await;
    let (_, link) = alice.post_json("/links", json!({ "channel": "dm:alice:bob", "admit": false })).await;
    let gwen = server.guest(link["token"].as_str().unwrap(), "Gwen").await;
    let mut to_guest = EventStream::open(&gwen, None).await;
    let mut watcher = Watcher::open(&alice).await;
    gwen.post(&format!("/calls/{call}/accept")).await;
    let _bobs = EventStream::open(&bob, None).await;
    watcher.expect("alice on-call, bob on-call").await;
    server.execute("INSERT INTO add_user (username) VALUES ('frank')");
    watcher.stream.next_named("directory").await;
    bob.post(&format!("/calls/{call}/leave")).await;
    watcher.expect("alice on-call, bob online").await;
    // Everything before bob's departure has arrived.
    loop {
        let event = to_guest.next_of_all().await.unwrap();
        assert!(event.name != "presence" && event.name != "directory", "{event:?}");
        if event.name == "call" && event.data["participants"].to_string().contains("\"left\"") {
            break;
        }
    }
}

#[tokio::test]
async fn a_mass_reconnect_is_bounded() {
    const PEOPLE: usize = 150;
    let server = Server::start();
    server.lift_limits();
    let people = server.people(PEOPLE);
    let started = std::time::Instant::now();
    let watchers = people.iter().map(Watcher::open);
    let mut watchers = futures_util::future::join_all(watchers).await;
    let (mut messages, mut names) = (0, 0);
    for watcher in &mut watchers {
        while watcher.people.len() < PEOPLE {
            let changes = timeout(Duration::from_secs(30), watcher.next()).await.unwrap();
            messages += 1;
            names += changes["people"].as_object().unwrap().len();
        }
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(messages <= PEOPLE * (seconds + 2), "{messages} messages in {seconds} s");
    assert!(names <= PEOPLE * PEOPLE, "each name comes once: {names}");
}
