//! The relay page.

use crate::driver::Driver;
use crate::support::Server;

#[tokio::test]
async fn relay_plays_what_it_records() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.signed_in_at(&server, "alice", "/relay").await;
    let bob = driver.signed_in_at(&server, "bob", "/relay").await;
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    alice.click("#send").await;
    let video = "document.querySelector('[data-player=alice] video')";
    bob.wait_until(&format!("{video}?.videoWidth > 0")).await;
    bob.wait_until(&format!("{video}.currentTime > 1 && {video}.getVideoPlaybackQuality().totalVideoFrames > 10"))
        .await;
    let before = bob.script(&format!("return {video}.currentTime")).await.as_f64().unwrap();
    bob.wait_until(&format!("{video}.currentTime > {before} + 1")).await;
    driver.finish([&alice, &bob]).await;
}
