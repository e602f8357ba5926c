//! Calls whose media goes through the server, because WebRTC finds no path.

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;
use crate::turn::{Coturn, free_port, relay_only, server_with};

/// The element that plays a person's relayed media.
fn relayed(name: &str) -> String {
    format!("document.querySelector('[data-kind=peer][data-tile={name}][data-via=relay] video.relayed')")
}

/// Waits until a person's picture and sound arrive through the server.
async fn wait_relayed(browser: &Browser, name: &str) {
    let video = relayed(name);
    browser.wait_until(&format!("{video}?.videoWidth > 0 && {video}.checkVisibility()")).await;
    let before = browser.script(&format!("return {video}.currentTime")).await.as_f64().unwrap();
    browser
        .wait_until(&format!(
            "{video}?.currentTime > {before} + 1 && {video}.getVideoPlaybackQuality().totalVideoFrames > 10 && \
             !({video}.webkitAudioDecodedByteCount < 1000)"
        ))
        .await;
    browser.wait_text(&format!("[data-kind=peer][data-tile={name}] .tile-note"), "Using the server’s relay").await;
}

#[tokio::test]
async fn call_goes_through_the_server_where_webrtc_is_blocked() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let [alice, bob] = [driver.browser_without_webrtc("alice").await, driver.browser_without_webrtc("bob").await];
    for browser in [&alice, &bob] {
        browser.sign_in(&server, "/").await;
    }
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    wait_relayed(&alice, "bob").await;
    wait_relayed(&bob, "alice").await;

    // Mute and camera.
    alice.click("#mute").await;
    bob.wait_visible("[data-kind=peer][data-tile=alice] .tile-muted").await;
    alice.click("#camera").await;
    bob.wait_until(&format!("{}?.checkVisibility() === false", relayed("alice"))).await;
    alice.click("#camera").await;
    alice.click("#mute").await;
    wait_relayed(&bob, "alice").await;
    bob.wait_until("!document.querySelector('[data-tile=alice] .tile-muted').checkVisibility()").await;

    // A screen.
    alice.click("#screen").await;
    let screen = "document.querySelector('[data-kind=screen][data-tile=alice] video.relayed')";
    bob.wait_until(&format!("{screen}?.videoWidth > 0 && {screen}.currentTime > 1")).await;
    alice.click("#screen").await;
    wait_relayed(&bob, "alice").await;

    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_media"), 0);
    driver.finish([&alice, &bob]).await;
}

/// The only path of WebRTC is a TURN server, which is away, comes, and goes.
#[tokio::test]
async fn call_returns_to_webrtc_when_it_gets_through_again() {
    let port = free_port();
    let (driver, server) = (Driver::start().await, server_with(port));
    let [alice, bob] = relay_only(&driver, &server).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    wait_relayed(&alice, "bob").await;
    wait_relayed(&bob, "alice").await;
    let coturn = Coturn::start_on(port);
    for (browser, other) in [(&alice, "bob"), (&bob, "alice")] {
        browser.wait_visible(&format!("[data-kind=peer][data-tile={other}][data-via=webrtc]")).await;
        browser.wait_media(1, Media::Both).await;
        browser.wait_absent("video.relayed").await;
        browser.wait_text("#notices", &format!("{other} is connected directly again.")).await;
    }
    drop(coturn);
    wait_relayed(&alice, "bob").await;
    wait_relayed(&bob, "alice").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn call_view_and_relay_page_see_each_other() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.signed_in_at(&server, "alice", "/").await;
    let bob = driver.signed_in_at(&server, "bob", "/relay").await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    bob.click("#send").await;
    let video = "document.querySelector('[data-player=alice] video')";
    bob.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 1")).await;
    wait_relayed(&alice, "bob").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn firefox_and_chromium_go_through_the_server_where_webrtc_is_blocked() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let [alice, bob] = [driver.firefox_without_webrtc("alice").await, driver.browser_without_webrtc("bob").await];
    for browser in [&alice, &bob] {
        browser.sign_in(&server, "/").await;
    }
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    wait_relayed(&bob, "alice").await;
    // Firefox drops frames that come irregularly, as those of fake cameras on a busy machine do, until the next key frame.
    let video = relayed("bob");
    alice.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 2 && !{video}.muted")).await;
    alice.wait_text("[data-kind=peer][data-tile=bob] .tile-note", "Using the server’s relay").await;
    driver.finish([&alice, &bob]).await;
}
