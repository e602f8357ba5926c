//! Screens, on a call and without one.

use crate::browser::Media;
use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn a_screen_is_shown_and_taken_over() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    alice.receives(1, Media::Sound).await;
    assert_eq!(alice.arrived().await.frames, 0, "a voice call has no picture");

    for (sharer, watcher) in [(&alice, &bob), (&bob, &alice)] {
        sharer.click("#screen").await;
        watcher.receives(1, Media::Both).await;
        let video = format!("document.querySelector(\"[data-kind=screen][data-tile={}] video\")", sharer.name);
        watcher.until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 0")).await;
        assert_eq!(server.value::<String>("SELECT screenshare_user FROM calls"), sharer.name);
    }
    alice.until("document.querySelector('#screen').getAttribute('aria-pressed') === 'false'").await;
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn a_screen_outside_a_call_is_watched_also_by_who_comes_late_until_it_stops() {
    let (stage, server) = (Stage::open().await, Server::start());
    for name in ["alice", "bob", "carol"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    for one in [&alice, &bob] {
        one.click(&format!("[data-channel='{team}']")).await;
    }
    alice.click("#share-screen").await;
    alice.reads("[data-viewers]", "Nobody watches").await;
    bob.click("[data-action=watch]").await;
    bob.receives(1, Media::Picture).await;
    alice.reads("[data-viewers]", "1 person").await;

    // Her page was not there when the screen was first shown.
    let carol = stage.person(&server, "carol", &format!("/#{team}")).await;
    carol.click("[data-action=watch]").await;
    carol.receives(1, Media::Picture).await;
    bob.receives(1, Media::Picture).await;
    alice.reads("[data-viewers]", "2 people").await;
    assert_eq!(alice.arrived().await.frames, 0, "nothing comes back");

    // Whoever closes it is no viewer any more, and the other watches on.
    carol.click("#stop-watching").await;
    alice.reads("[data-viewers]", "1 person").await;
    bob.receives(1, Media::Picture).await;
    carol.click("[data-action=watch]").await;
    carol.receives(1, Media::Picture).await;

    alice.click("[data-action=stop-share]").await;
    for one in [&bob, &carol] {
        one.misses("#watching").await;
        one.reads("#notices", "no longer shown").await;
        one.misses("[data-action=watch]").await;
        one.until("window.connections.every(({ connectionState }) => connectionState === 'closed')").await;
    }
    alice.sees("#share-screen").await;
    assert_eq!(server.value::<String>("SELECT group_concat(state) FROM screenshares"), "ended");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_signals"), 0);
    server.assert_integrity();
    stage.finish([&alice, &bob, &carol]).await;
}
