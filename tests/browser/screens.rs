//! Screen sharing, in a call and outside.

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;

#[tokio::test]
async fn screen_share_is_taken_over() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    alice.wait_media(1, Media::Audio).await;
    assert_eq!(alice.media_stats().await.frames, 0, "a voice call has no video");

    for (sharer, viewer) in [(&alice, &bob), (&bob, &alice)] {
        sharer.click("#screen").await;
        viewer.wait_media(1, Media::Both).await;
        let video = format!("document.querySelector(\"[data-kind=screen][data-tile={}] video\")", sharer.name);
        viewer.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 0")).await;
        assert_eq!(server.value::<String>("SELECT screenshare_user FROM calls"), sharer.name);
    }
    alice.wait_until("document.querySelector('#screen').getAttribute('aria-pressed') === 'false'").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn share_outside_a_call_serves_late_viewers_until_it_stops() {
    let (driver, server) = (Driver::start().await, Server::start());
    for name in ["alice", "bob", "carol"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    for browser in [&alice, &bob] {
        browser.click(&format!("[data-channel='{team}']")).await;
    }
    alice.click("#share-screen").await;
    alice.wait_text("[data-viewers]", "No viewers yet").await;
    bob.click("[data-action=watch]").await;
    bob.wait_media(1, Media::Video).await;
    alice.wait_text("[data-viewers]", "1 viewer").await;

    // Carol's page opens after the share began.
    let carol = driver.signed_in_at(&server, "carol", &format!("/#{team}")).await;
    carol.click("[data-action=watch]").await;
    carol.wait_media(1, Media::Video).await;
    bob.wait_media(1, Media::Video).await;
    alice.wait_text("[data-viewers]", "2 viewers").await;
    assert_eq!(alice.media_stats().await.frames, 0, "viewers send no video");

    // One viewer closes, and the other one keeps watching.
    carol.click("#stop-watching").await;
    alice.wait_text("[data-viewers]", "1 viewer").await;
    bob.wait_media(1, Media::Video).await;
    carol.click("[data-action=watch]").await;
    carol.wait_media(1, Media::Video).await;

    alice.click("[data-action=stop-share]").await;
    for browser in [&bob, &carol] {
        browser.wait_absent("#watching").await;
        browser.wait_text("#notices", "has ended").await;
        browser.wait_absent("[data-action=watch]").await;
        browser.wait_until("window.connections.every(({ connectionState }) => connectionState === 'closed')").await;
    }
    alice.wait_visible("#share-screen").await;
    assert_eq!(server.value::<String>("SELECT group_concat(state) FROM screenshares"), "ended");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_signals"), 0);
    server.assert_integrity();
    driver.finish([&alice, &bob, &carol]).await;
}
