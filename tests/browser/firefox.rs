//! Calls between Firefox and Chromium.

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;

/// A call is placed, answered and left; the caller is in one browser and the callee in the other.
async fn video_call(caller: &Browser, callee: &Browser) {
    caller.call(&callee.name, "#call-video").await;
    callee.click("[data-action=answer-video]").await;
    for (browser, other) in [(caller, callee), (callee, caller)] {
        browser.wait_media(1, Media::Both).await;
        let video = format!("document.querySelector('[data-kind=peer][data-tile={}] video')", other.name);
        browser.wait_until(&format!("{video}?.videoWidth > 0 && {video}.checkVisibility()")).await;
        browser.wait_until(&format!("{video}.currentTime > 1")).await;
    }
    callee.click("#leave").await;
    caller.wait_visible("#call-ended-reason").await;
    caller.click("#call-close").await;
    callee.click("#call-close").await;
}

/// The picture of a screen.
const FAKE_SCREEN: &str =
    "navigator.mediaDevices.getDisplayMedia = () => navigator.mediaDevices.getUserMedia({ video: true })";

#[tokio::test]
async fn firefox_and_chromium_hold_video_calls() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.run(&["user", "add", "alice"], "rabbit hole");
    server.person("bob");
    let alice = driver.firefox("alice").await;
    alice.client.goto(&server.url).await.unwrap();
    alice.type_into("#username", "alice").await;
    alice.type_into("#password", "rabbit hole").await;
    alice.click("#sign-in").await;
    alice.wait_visible("[data-view=lobby]").await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    video_call(&alice, &bob).await;
    video_call(&bob, &alice).await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn two_firefoxes_hold_a_video_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.firefox_signed_in_at(&server, "alice", "/").await;
    let bob = driver.firefox_signed_in_at(&server, "bob", "/").await;
    video_call(&alice, &bob).await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn firefox_reloads_a_call_turns_its_camera_off_and_sees_a_screen() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.firefox_signed_in_at(&server, "alice", "/").await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    alice.click("#camera").await;
    bob.wait_media(1, Media::Both).await;
    alice.click("#camera").await;
    bob.wait_absent("[data-kind=peer][data-tile=alice].with-video").await;

    bob.click("#screen").await;
    let video = "document.querySelector('[data-kind=screen][data-tile=bob] video')";
    alice.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 0")).await;
    // A headless Firefox has no screen to choose, so it shares its fake camera's picture in that role.
    alice.script(FAKE_SCREEN).await;
    alice.click("#screen").await;
    let video = "document.querySelector('[data-kind=screen][data-tile=alice] video')";
    bob.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 0")).await;
    alice.click("#screen").await;
    bob.wait_absent("[data-kind=screen]").await;

    alice.client.refresh().await.unwrap();
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob]).await;
}
