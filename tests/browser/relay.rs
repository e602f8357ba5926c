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

/// Sends requests to `path`, and loses their answers while `window.losing` is true.
const LOSE_ANSWERS: &str = "
    const send = window.fetch;
    window.losing = true;
    window.fetch = async (path, options) => {
        const answer = await send(path, options);
        if (window.losing && LOST.test(path)) {
            throw new TypeError('Failed to fetch');
        }
        return answer;
    };";

#[tokio::test]
async fn relayed_call_whose_answer_is_lost_stops_ringing() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.signed_in_at(&server, "alice", "/relay").await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    alice.wait_visible("[data-action=call]").await;
    alice.script(&LOSE_ANSWERS.replace("LOST", "/initiate|accept|active/")).await;
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.wait_visible("[data-action=answer]").await;
    alice.wait_text("#alerts", "cannot be reached").await;
    assert_eq!(server.value::<String>("SELECT state FROM calls"), "ringing");
    alice.script("window.losing = false").await;
    bob.wait_absent("[data-action=answer]").await;
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "ended hangup");
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn leaving_a_relayed_call_is_retried() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = driver.signed_in_at(&server, "alice", "/relay").await;
    let bob = driver.signed_in_at(&server, "bob", "/relay").await;
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    alice.wait_text("main [role=status]", "With bob").await;
    // The request itself is lost.
    alice
        .script(
            "const send = window.fetch;
             let lost = 0;
             window.fetch = (path, options) => {
                 if (path.endsWith('/leave') && lost < 2) {
                     lost += 1;
                     return Promise.reject(new TypeError('Failed to fetch'));
                 }
                 return send(path, options);
             }",
        )
        .await;
    alice.click("#leave").await;
    alice.wait_visible("#places").await;
    bob.wait_visible("#places").await;
    assert_eq!(server.value::<String>("SELECT state || ' ' || ended_reason FROM calls"), "ended hangup");
    driver.finish([&alice, &bob]).await;
}
