//! A server that dies during a call.

use nix::sys::signal::Signal;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;

#[tokio::test]
async fn killed_server_ends_the_call_with_a_reason() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media(1, Media::Both).await;

    let address = server.url.trim_start_matches("http://").to_owned();
    let (folder, _) = server.stop(Signal::SIGKILL);
    alice.wait_visible("[data-call-offline]").await;
    bob.wait_visible("[data-call-offline]").await;
    let server = Server::start_on(&address, folder, &[]);
    for browser in [&alice, &bob] {
        browser.wait_text("#call-ended-reason", "server").await;
        assert_eq!(browser.media_stats().await.connections, 0);
    }
    bob.click("#call-close").await;
    alice.click("#call-again").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media(1, Media::Both).await;
    bob.wait_media(1, Media::Both).await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}
