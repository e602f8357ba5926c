//! The relay: what one records, the other plays.

use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn the_relay_plays_what_it_recorded() {
    let (stage, server) = (Stage::open().await, Server::start());
    server.person("bob");
    let alice = stage.person(&server, "alice", "/relay").await;
    let bob = stage.person(&server, "bob", "/relay").await;
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    alice.click("#send").await;
    let video = "document.querySelector('[data-player=alice] video')";
    bob.until(&format!("{video}?.videoWidth > 0")).await;
    bob.until(&format!("{video}.currentTime > 1 && {video}.getVideoPlaybackQuality().totalVideoFrames > 10")).await;
    let begun = bob.script(&format!("return {video}.currentTime")).await.as_f64().unwrap();
    bob.until(&format!("{video}.currentTime > {begun} + 1")).await;
    stage.finish([&alice, &bob]).await;
}
