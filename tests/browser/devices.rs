//! Several devices of one person, and devices that somebody has turned off or never allowed.

use serde_json::json;

use crate::browser::Media;
use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn all_devices_of_a_person_ring_and_all_stop_when_one_answers_or_declines() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    let other = stage.person(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    for one in [&bob, &other] {
        one.sees("[data-action=answer]").await;
    }
    bob.click("[data-action=answer]").await;
    bob.receives(1, Media::Sound).await;
    other.misses("[data-action=answer]").await;
    other.misses("#call").await;

    // The call goes on at the other device, and the first one says so.
    other.click("[data-person=alice]").await;
    other.reads("[data-live]", "on another device").await;
    other.click("[data-action=join]").await;
    other.receives(1, Media::Sound).await;
    alice.receives(1, Media::Sound).await;
    bob.reads("#call-ended-reason", "another device").await;
    assert_eq!(bob.arrived().await.connections, 0);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    bob.click("#call-close").await;
    alice.click("#leave").await;
    other.sees("#call-ended-reason").await;
    other.click("#call-close").await;

    alice.click("#call-again").await;
    for one in [&bob, &other] {
        one.sees("[data-action=answer]").await;
    }
    other.click("[data-action=decline]").await;
    bob.misses("[data-action=answer]").await;
    alice.reads("#call-ended-reason", "declined").await;
    stage.finish([&alice, &bob, &other]).await;
}

#[tokio::test]
async fn who_mutes_is_not_heard_and_whose_camera_is_off_is_not_seen() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer]").await;
    bob.receives_where(1, Media::Both, |arrived| arrived.loudness > 0).await;
    let tile = "[data-kind=peer][data-tile=alice]";

    alice.click("#mute").await;
    bob.sees(&format!("{tile} .tile-muted")).await;
    bob.receives_no_more(|arrived| arrived.loudness).await;
    alice.click("#mute").await;
    let silent = bob.arrived().await.loudness;
    bob.until(&format!("!document.querySelector('{tile} .tile-muted').checkVisibility()")).await;
    bob.receives_where(1, Media::Both, |arrived| arrived.loudness > silent).await;

    alice.click("#camera").await;
    bob.sees(&format!("{tile}:not(.with-picture)")).await;
    bob.receives_no_more(|arrived| arrived.frames).await;
    bob.receives(1, Media::Sound).await;
    alice.click("#camera").await;
    bob.sees(&format!("{tile}.with-picture")).await;
    bob.receives(1, Media::Both).await;

    // A camera that was never on needs another negotiation.
    assert_eq!(alice.arrived().await.frames, 0);
    bob.click("#camera").await;
    alice.receives(1, Media::Both).await;
    alice.sees("[data-kind=peer][data-tile=bob].with-picture").await;
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn without_a_microphone_nobody_is_called_before_one_has_said_what_to_do() {
    let (stage, server) = (Stage::open().await, Server::start());
    server.person("bob");
    let alice = stage.browser_without_devices("alice").await;
    alice.enter(&server, "/").await;
    let bob = stage.person(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    alice.reads("#no-microphone", "not allowed to use the microphone").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 0, "no ring time is burnt");
    alice.click("[data-answer=cancel]").await;
    alice.misses("#call").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 0);

    alice.click("#call-voice").await;
    alice.click("[data-answer=listen]").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives_where(1, Media::Both, |arrived| arrived.loudness > 0).await;
    bob.sees("[data-kind=peer][data-tile=alice] .tile-muted").await;
    assert_eq!(bob.arrived().await.audio, 0, "there is nothing to hear");
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn over_plain_http_the_page_says_why_there_is_no_microphone_and_lets_one_listen() {
    let (stage, server) = (Stage::open().await, Server::start());
    server.person("bob");
    let alice = stage.browser("alice").await;
    alice.enter_as(&server, &server.url.replace("127.0.0.1", Stage::INSECURE_NAME), "/").await;
    assert_eq!(alice.script("return isSecureContext").await, json!(false));
    let bob = stage.person(&server, "bob", "/").await;
    bob.call("alice", "#call-video").await;
    alice.click("[data-action=answer]").await;
    alice.reads("#no-microphone", "plain http").await;
    alice.click("[data-answer=listen]").await;
    alice.receives(1, Media::Both).await;
    // The browser says that one header of the page's counts over HTTPS only.
    let complaints = alice.complaints().await;
    assert!(complaints.iter().all(|one| one.contains("Cross-Origin-Opener-Policy")), "{complaints:?}");
    stage.finish([&alice, &bob]).await;
}
