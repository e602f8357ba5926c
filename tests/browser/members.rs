//! A cluster: the page continues at another member when its own dies.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::browser::{Browser, Media};
use crate::cluster::Cluster;
use crate::driver::Driver;

const PASSWORD: &str = "rabbit hole";

/// Signs in at the page of a member.
async fn signed_in(driver: &Driver, cluster: &Cluster, name: &str, node: u64) -> Browser {
    let browser = driver.browser(name).await;
    browser.client.goto(&cluster.url(node)).await.unwrap();
    browser.type_into("#username", name).await;
    browser.type_into("#password", PASSWORD).await;
    browser.click("#sign-in").await;
    browser.wait_visible("[data-view=lobby]").await;
    browser
}

/// Alice's page comes from the leader, bob's from another member. Their hosts differ, so the cookie of one does not count at
/// the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_survives_the_death_of_a_member_and_is_hung_up_through_another() {
    let driver = Driver::start().await;
    let mut cluster = Cluster::start(3, |server| {
        for name in ["alice", "bob"] {
            server.run(&["user", "add", name], PASSWORD);
        }
    });
    let addresses: Vec<String> = cluster.nodes().into_iter().map(|node| cluster.url(node)).collect();
    cluster.run(1, &["setting", "set", "client_addresses", &json!(addresses).to_string()]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let alice = signed_in(&driver, &cluster, "alice", leader).await;
    let bob = signed_in(&driver, &cluster, "bob", follower).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Both).await;
    }

    cluster.stop(leader, Signal::SIGKILL);
    // The page notices, finds another member, and says nothing more.
    alice
        .wait_until(
            "performance.getEntriesByType('resource').some(({ name, responseStatus }) => \
        responseStatus === 200 && !name.startsWith(location.origin) && name.includes('/state'))",
        )
        .await;
    alice.wait_until("document.querySelector('#banner').hidden").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Both).await;
        assert_eq!(browser.script("return window.connections.length").await, json!(1), "nothing is negotiated again");
    }
    let live = "SELECT count(*) FROM calls WHERE state = 'active' AND (SELECT count(*) FROM call_participants \
                WHERE state = 'accepted') = 2";
    assert_eq!(cluster.value::<i64>(follower, live), 1);

    // Hanging up goes through another member, and bob learns of it.
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    assert_eq!(cluster.value::<String>(follower, "SELECT ended_reason FROM calls"), "hangup");
    for browser in [&alice, &bob] {
        browser.click("#call-close").await;
    }

    // The page without its member rings, answers and learns of the end.
    bob.call("alice", "#call-voice").await;
    alice.click("[data-action=answer]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    bob.click("#leave").await;
    alice.wait_visible("#call-ended-reason").await;
    cluster.assert_equal();
    driver.finish([&alice, &bob]).await;
}
