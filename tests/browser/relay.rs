//! The relay page.

use nix::sys::signal::Signal;

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

#[tokio::test]
async fn relayed_call_survives_a_killed_server_with_a_grace() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.execute("UPDATE settings SET value = 60 WHERE name = 'restart_grace'");
    server.person("bob");
    let alice = driver.signed_in_at(&server, "alice", "/relay").await;
    let bob = driver.signed_in_at(&server, "bob", "/relay").await;
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    alice.click("#send").await;
    let video = "document.querySelector('[data-player=alice] video')";
    bob.wait_until(&format!("{video}?.videoWidth > 0")).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let (folder, _) = server.stop(Signal::SIGKILL);
    let server = Server::start_on(&address, folder, &[]);
    // A player that begins now needs the init segment, which the restart has dropped.
    bob.client.refresh().await.unwrap();
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    bob.wait_until(&format!("{video}?.videoWidth > 0 && {video}.currentTime > 1")).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob]).await;
}
