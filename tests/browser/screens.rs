//! Screens, on a call.

use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn a_screen_is_shown_and_taken_over() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    alice.receives(1, false).await;
    assert_eq!(alice.arrived().await.frames, 0, "a voice call has no picture");

    for (sharer, watcher) in [(&alice, &bob), (&bob, &alice)] {
        sharer.click("#screen").await;
        watcher.receives(1, true).await;
        let video = format!("document.querySelector(\"[data-kind=screen][data-tile={}] video\")", sharer.name);
        watcher.until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 0")).await;
        assert_eq!(server.value::<String>("SELECT screenshare_user FROM calls"), sharer.name);
    }
    alice.until("document.querySelector('#screen').getAttribute('aria-pressed') === 'false'").await;
    stage.finish([&alice, &bob]).await;
}
