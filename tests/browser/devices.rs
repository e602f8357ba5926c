//! Several devices of one person, and microphones and cameras that are off or blocked.

use serde_json::json;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;

#[tokio::test]
async fn answering_or_declining_stops_the_ringing_on_all_devices() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    let other = driver.signed_in_at(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    for browser in [&bob, &other] {
        browser.wait_visible("[data-action=answer]").await;
    }
    bob.click("[data-action=answer]").await;
    bob.wait_media(1, Media::Audio).await;
    other.wait_absent("[data-action=answer]").await;
    other.wait_absent("#call").await;

    // The call moves to the other device, and the first one reports it.
    other.click("[data-person=alice]").await;
    other.wait_text("[data-live]", "on another device").await;
    other.click("[data-action=join]").await;
    other.wait_media(1, Media::Audio).await;
    alice.wait_media(1, Media::Audio).await;
    bob.wait_text("#call-ended-reason", "another device").await;
    assert_eq!(bob.media_stats().await.connections, 0);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    bob.click("#call-close").await;
    alice.click("#leave").await;
    other.wait_visible("#call-ended-reason").await;
    other.click("#call-close").await;

    alice.click("#call-again").await;
    for browser in [&bob, &other] {
        browser.wait_visible("[data-action=answer]").await;
    }
    other.click("[data-action=decline]").await;
    bob.wait_absent("[data-action=answer]").await;
    alice.wait_text("#call-ended-reason", "declined").await;
    driver.finish([&alice, &bob, &other]).await;
}

#[tokio::test]
async fn mute_and_camera_off_stop_the_media() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer]").await;
    bob.wait_media_where(1, Media::Both, |stats| stats.energy > 0).await;
    let tile = "[data-kind=peer][data-tile=alice]";

    alice.click("#mute").await;
    bob.wait_visible(&format!("{tile} .tile-muted")).await;
    bob.wait_media_stops(|stats| stats.energy).await;
    alice.click("#mute").await;
    let before = bob.media_stats().await.energy;
    bob.wait_until(&format!("!document.querySelector('{tile} .tile-muted').checkVisibility()")).await;
    bob.wait_media_where(1, Media::Both, |stats| stats.energy > before).await;

    alice.click("#camera").await;
    bob.wait_visible(&format!("{tile}:not(.with-video)")).await;
    bob.wait_media_stops(|stats| stats.frames).await;
    bob.wait_media(1, Media::Audio).await;
    alice.click("#camera").await;
    bob.wait_visible(&format!("{tile}.with-video")).await;
    bob.wait_media(1, Media::Both).await;

    // A camera turned on for the first time needs a negotiation.
    assert_eq!(alice.media_stats().await.frames, 0);
    bob.click("#camera").await;
    alice.wait_media(1, Media::Both).await;
    alice.wait_visible("[data-kind=peer][data-tile=bob].with-video").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn blocked_microphone_is_reported_before_anything_rings() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.browser_without_devices("alice").await;
    alice.sign_in(&server, "/").await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    alice.wait_text("#no-microphone", "Access to the microphone is blocked").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 0, "nothing rings yet");
    alice.click("[data-answer=cancel]").await;
    alice.wait_absent("#call").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 0);

    alice.click("#call-voice").await;
    alice.click("[data-answer=listen]").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media_where(1, Media::Both, |stats| stats.energy > 0).await;
    bob.wait_visible("[data-kind=peer][data-tile=alice] .tile-muted").await;
    assert_eq!(bob.media_stats().await.audio, 0, "alice sends no audio");
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn plain_http_is_explained_and_allows_listening() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.browser("alice").await;
    alice.sign_in_at(&server, &server.url.replace("127.0.0.1", Driver::INSECURE_HOST), "/").await;
    assert_eq!(alice.script("return isSecureContext").await, json!(false));
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    bob.call("alice", "#call-video").await;
    alice.click("[data-action=answer]").await;
    alice.wait_text("#no-microphone", "plain HTTP").await;
    alice.click("[data-answer=listen]").await;
    alice.wait_media(1, Media::Both).await;
    // The browser warns that this header needs HTTPS.
    let errors = alice.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("Cross-Origin-Opener-Policy")), "{errors:?}");
    driver.finish([&alice, &bob]).await;
}
