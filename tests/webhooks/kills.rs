//! `kill -9` under load: no event is lost, and of each call they come in order.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::Signal;

use crate::SOON;
use crate::receiver::{Received, Receiver, add_webhook, kept, retry_now};
use crate::support::{Person, Server, eventually};

const PAIRS: usize = 4;
const KILLS: usize = 4;

/// Calls until the server is gone.
async fn call_on_and_on(people: [Person; 2]) {
    let [caller, callee] = people;
    let channel = format!("dm:{}:{}", caller.name, callee.name);
    loop {
        let request = caller.posting_json("/calls/initiate", serde_json::json!({ "channel": channel }));
        let Ok(response) = request.send().await else { return };
        let Ok(answer) = response.json::<serde_json::Value>().await else { return };
        let Some(call) = answer["call_id"].as_str() else { panic!("{answer}") };
        for (person, action) in [(&callee, "accept"), (&caller, "end")] {
            if person.posting(&format!("/calls/{call}/{action}")).send().await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_killed_server_loses_no_event() {
    let mut server = Server::start();
    server.lift_limits();
    let receiver = Receiver::start();
    add_webhook(&server, "chat", &receiver.url);
    let people = server.people(2 * PAIRS);
    for round in 1..=KILLS {
        let pairs = people.chunks(2).map(|pair| [server.moved(&pair[0]), server.moved(&pair[1])]);
        let load: Vec<_> = pairs.map(|pair| tokio::spawn(call_on_and_on(pair))).collect();
        // In the middle of deliveries.
        eventually(SOON * 3, "events", true, || receiver.received().len() >= round * 40).await;
        let (folder, status) = server.stop(Signal::SIGKILL);
        assert!(!status.success());
        for one in load {
            one.await.unwrap();
        }
        server = Server::start_in(folder, &[]);
    }
    retry_now(&server);
    eventually(SOON * 3, "rows", 0, || kept(&server)).await;
    server.assert_integrity();

    let received = receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    let sql = server.sql();
    let mut statement = sql
        .prepare("SELECT 'msg_' || call_id || '_' || id FROM events WHERE kind IN (SELECT kind FROM webhook_types)")
        .unwrap();
    let events: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let lost: Vec<_> = events.iter().filter(|id| !ids.contains(id.as_str())).collect();
    assert!(events.len() > KILLS * 20 && lost.is_empty(), "of {} events, these are lost: {lost:?}", events.len());

    // The first arrival of each event is after those of the earlier ones of its call.
    let mut newest = BTreeMap::<&str, i64>::new();
    let mut seen = BTreeSet::new();
    for it in &received {
        let number: i64 = it.id().rsplit('_').next().unwrap().parse().unwrap();
        if seen.insert(it.id()) {
            let before = newest.insert(it.subject(), number).unwrap_or(0);
            assert!(before < number, "{} came after event {before} of its call", it.id());
        }
    }
}
