//! Who is on a call: windows and devices of one person, lost ones, and a server that restarts during the call.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::browser::{Browser, Media};
use crate::driver::{Driver, keep_connections};
use crate::support::{Server, eventually};

/// Longer than the server takes to notice a lost connection and to end a call.
const SOON: Duration = Duration::from_secs(20);

/// Presence ends soon after a connection is lost. A reload is faster.
fn end_presence_soon(server: &Server) {
    server.execute("UPDATE settings SET value = 4 WHERE name = 'gone_after'");
}

/// alice and bob talk.
async fn on_a_call(driver: &Driver, server: &Server) -> [Browser; 2] {
    let [alice, bob] = driver.signed_in(server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    [alice, bob]
}

/// The open event streams of a page.
const OPEN_STREAMS: &str = "window.streams.filter(({ isOpen }) => isOpen)";

/// Waits until the page's one stream names its call.
async fn wait_named(browser: &Browser) {
    let names = "streams.length === 1 && new URL(streams[0].url).searchParams.has('call')";
    browser.wait_until(&format!("((streams) => {names})({OPEN_STREAMS})")).await;
}

async fn call_ends_without(server: &Server, lost: &str) {
    let gone = format!("SELECT count(*) FROM gone_participants WHERE username = '{lost}'");
    eventually(SOON, "a lost participant", 1_i64, || server.value(&gone)).await;
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "ended hangup");
}

#[tokio::test]
async fn second_window_does_not_keep_its_person_on_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    end_presence_soon(&server);
    let [alice, bob] = on_a_call(&driver, &server).await;
    wait_named(&bob).await;
    let call_window = bob.client.window().await.unwrap();
    let lobby = bob.client.new_window(true).await.unwrap().handle;
    bob.client.switch_to_window(lobby.clone()).await.unwrap();
    keep_connections(&bob).await;
    bob.client.goto(&server.url).await.unwrap();
    bob.click("[data-person=alice]").await;
    bob.wait_text("[data-live]", "on another device").await;
    let urls = bob.script(&format!("return {OPEN_STREAMS}.map(({{ url }}) => new URL(url).search)")).await;
    assert_eq!(urls, json!([""]), "the lobby names no call");

    // The window on the call dies, the lobby stays.
    bob.client.switch_to_window(call_window).await.unwrap();
    bob.client.close_window().await.unwrap();
    bob.client.switch_to_window(lobby).await.unwrap();
    call_ends_without(&server, "bob").await;
    alice.wait_visible("#call-ended-reason").await;
    bob.wait_visible("#call-voice").await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn closed_tab_leaves_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    end_presence_soon(&server);
    let [alice, bob] = on_a_call(&driver, &server).await;
    wait_named(&bob).await;
    let call_window = bob.client.window().await.unwrap();
    let other = bob.client.new_window(true).await.unwrap().handle;
    bob.client.switch_to_window(call_window).await.unwrap();
    bob.client.close_window().await.unwrap();
    bob.client.switch_to_window(other).await.unwrap();
    let closed = Instant::now();
    // The other person waits: the tab may be reloading.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.value::<String>("SELECT state FROM calls"), "active");
    call_ends_without(&server, "bob").await;
    assert!(closed.elapsed() < Duration::from_secs(12), "gone after {:?}", closed.elapsed());
    alice.wait_visible("#call-ended-reason").await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn killed_browser_leaves_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    end_presence_soon(&server);
    let [alice, bob] = on_a_call(&driver, &server).await;
    wait_named(&bob).await;
    driver.kill_browser(&bob);
    call_ends_without(&server, "bob").await;
    alice.wait_visible("#call-ended-reason").await;
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn reload_and_another_device_keep_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    end_presence_soon(&server);
    let [alice, bob] = on_a_call(&driver, &server).await;
    for _ in 0..2 {
        wait_named(&bob).await;
        bob.client.refresh().await.unwrap();
        bob.wait_media(1, Media::Audio).await;
    }
    let other = driver.signed_in_at(&server, "bob", "/").await;
    other.click("[data-person=alice]").await;
    other.click("[data-action=join]").await;
    other.wait_media(1, Media::Audio).await;
    bob.wait_text("#call-ended-reason", "another device").await;
    wait_named(&other).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    alice.wait_media(1, Media::Audio).await;
    let left = "SELECT count(*) FROM events WHERE kind = 'left' OR kind = 'ended'";
    assert_eq!(server.value::<i64>(left), 0, "nobody has left");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob, &other]).await;
}

#[tokio::test]
async fn changed_password_ends_the_call_of_its_user() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = on_a_call(&driver, &server).await;
    server.run(&["user", "passwd", "bob"], "a new password");
    alice.wait_visible("#call-ended-reason").await;
    bob.wait_visible("#sign-in").await;
    assert_eq!(bob.media_stats().await.connections, 0);
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "ended hangup");
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn call_survives_a_killed_server_with_a_grace() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.execute("UPDATE settings SET value = 60 WHERE name = 'restart_grace'");
    let [alice, bob] = on_a_call(&driver, &server).await;
    let call: String = server.value("SELECT call_id FROM calls");
    let address = server.url.trim_start_matches("http://").to_owned();
    let (folder, _) = server.stop(Signal::SIGKILL);
    for browser in [&alice, &bob] {
        browser.wait_visible("[data-call-offline]").await;
        browser.wait_media(1, Media::Audio).await;
    }
    let server = Server::start_on(&address, folder, &[]);
    for browser in [&alice, &bob] {
        browser.wait_until("!document.querySelector('[data-call-offline]').checkVisibility()").await;
    }
    let returned = "SELECT count(*) FROM call_participants WHERE state = 'accepted' AND leaves_ts IS NULL";
    eventually(SOON, "the people who have returned", 2_i64, || server.value(returned)).await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
        assert_eq!(browser.script("return window.connections.length").await, json!(1), "one connection");
    }
    assert_eq!(server.value::<String>("SELECT call_id FROM calls WHERE state = 'active'"), call);
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}

/// Browsers keep pages that were left, for Back. With a stream in each there would soon be no connection for a request, and
/// people who have left would look online.
#[tokio::test]
async fn pages_that_were_left_hold_no_stream() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    for _ in 0..8 {
        alice.client.goto("about:blank").await.unwrap();
        alice.client.goto(&server.url).await.unwrap();
        alice.wait_visible("[data-person=bob]").await;
    }
    let begun = Instant::now();
    while open_streams(&server).await != "2" {
        assert!(begun.elapsed() < SOON, "{} streams are open", open_streams(&server).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    alice.click("[data-person=bob]").await;
    alice.wait_until("!document.querySelector('#call-voice').disabled").await;
    alice.click("#call-voice").await;
    bob.wait_visible("[data-action=answer]").await;
    alice.click("#leave").await;
    alice.click("#call-close").await;
    // A page that Back shows again continues where it was.
    alice.client.goto("about:blank").await.unwrap();
    bob.click("[data-person=alice]").await;
    bob.click("#call-voice").await;
    alice.client.back().await.unwrap();
    alice.wait_visible("[data-action=answer]").await;
    driver.finish([&alice, &bob]).await;
}

/// The number of open event streams, as `/metrics` has it.
async fn open_streams(server: &Server) -> String {
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    metrics.lines().find_map(|line| line.strip_prefix("minimost_calls_event_streams ")).unwrap().to_owned()
}
