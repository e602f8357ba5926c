//! Receivers that fail, are slow, or answer too much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::SOON;
use crate::receiver::{Receiver, Reply, add_webhook, kept, reserved_port, retry_now, url_of};
use crate::support::{Server, eventually};

/// A receiver that acknowledges everything once it is back, and gives another answer before.
fn switched(is_back: &Arc<AtomicBool>, before: Reply) -> Receiver {
    let is_back = Arc::clone(is_back);
    Receiver::replying(move |_| if is_back.load(Relaxed) { Reply::Status(200) } else { before.clone() })
}

/// The last error of the only delivery.
fn last_error(server: &Server) -> Option<String> {
    server.value("SELECT max(last_error) FROM webhook_deliveries")
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let inner = Receiver::start();
    let url = inner.url.clone();
    let outer = Receiver::replying(move |_| Reply::Redirect(url.clone()));
    add_webhook(&server, "chat", &outer.url);
    let call = alice.call("dm:alice:bob").await;
    server.eventually("SELECT max(last_status) IS 302 FROM webhook_deliveries", SOON).await;
    outer.expect(&call, &["call.started"]).await;
    assert_eq!(inner.kinds(&call), [""; 0]);
    assert!(last_error(&server).unwrap().contains("302"), "{:?}", last_error(&server));
}

#[tokio::test]
async fn a_gone_receiver_is_disabled_until_a_retry() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let is_back = Arc::<AtomicBool>::default();
    let receiver = switched(&is_back, Reply::Status(410));
    add_webhook(&server, "chat", &receiver.url);
    let first = alice.call("dm:alice:bob").await;
    server.eventually("SELECT disabled_ts IS NOT NULL FROM webhooks", SOON).await;
    assert_eq!(alice.post(&format!("/calls/{first}/end")).await.0, 200);
    assert_eq!(kept(&server), 1, "events for a disabled webhook");

    is_back.store(true, Relaxed);
    let second = alice.call("dm:alice:bob").await;
    server.run(&["webhook", "retry", "chat"], "");
    receiver.expect(&first, &["call.started"; 2]).await;
    assert_eq!(alice.post(&format!("/calls/{second}/end")).await.0, 200);
    receiver.expect(&second, &["call.ended"]).await;
}

/// An answer is as long as its receiver likes; the status is there.
#[tokio::test]
async fn an_endless_answer_is_an_answer() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let receiver = Receiver::replying(|_| Reply::Endless);
    add_webhook(&server, "chat", &receiver.url);
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    receiver.expect(&call, &["call.started", "call.ended"]).await;
    eventually(SOON, "rows", 0, || kept(&server)).await;
}

/// A receiver that never answers keeps neither another webhook from its events, nor the server from stopping.
#[tokio::test]
async fn a_slow_receiver_delays_nobody_else() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let is_back = Arc::<AtomicBool>::default();
    let (slow, fast) = (switched(&is_back, Reply::Nothing), Receiver::start());
    add_webhook(&server, "a-slow", &slow.url);
    add_webhook(&server, "fast", &fast.url);
    for _ in 0..6 {
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
        fast.expect(&call, &["call.started", "call.ended"]).await;
    }
    // Four attempts at a time, each of another call.
    eventually(SOON, "attempts", 4, || slow.received().len()).await;
    let begun = Instant::now();
    let (folder, status) = server.stop(Signal::SIGTERM);
    assert!(status.success() && begun.elapsed() < SOON, "{status} after {:?}", begun.elapsed());

    // The next start repeats what was under way.
    is_back.store(true, Relaxed);
    let server = Server::start_in(folder, &[]);
    retry_now(&server);
    eventually(SOON, "rows", 0, || kept(&server)).await;
    let ids: BTreeSet<String> = slow.received().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 12);
}

#[tokio::test]
async fn events_wait_for_a_receiver_that_is_down() {
    let server = Server::start();
    let [alice, _bob] = ["alice", "bob"].map(|name| server.person(name));
    let port = reserved_port();
    add_webhook(&server, "chat", &url_of(port.local_addr().unwrap()));
    let call = alice.call("dm:alice:bob").await;
    server.eventually("SELECT max(attempts) IS 1 FROM webhook_deliveries", SOON).await;
    assert!(last_error(&server).unwrap().contains("refused"), "{:?}", last_error(&server));
    let (folder, _) = server.stop(Signal::SIGTERM);

    let receiver = Receiver::on(port, |_| Reply::Status(200));
    let server = Server::start_in(folder, &[]);
    retry_now(&server);
    // The restart ended the call.
    receiver.expect(&call, &["call.started", "call.ended"]).await;
}
