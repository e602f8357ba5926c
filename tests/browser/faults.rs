//! A server that is killed during a call.

use nix::sys::signal::Signal;

use crate::browser::Media;
use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn after_a_killed_server_both_know_why_and_can_call_again() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives(1, Media::Both).await;

    let address = server.url.trim_start_matches("http://").to_owned();
    let (folder, _) = server.stop(Signal::SIGKILL);
    alice.sees("[data-call-offline]").await;
    bob.sees("[data-call-offline]").await;
    let server = Server::start_on(&address, folder, &[]);
    for one in [&alice, &bob] {
        one.reads("#call-ended-reason", "server").await;
        assert_eq!(one.arrived().await.connections, 0);
    }
    bob.click("#call-close").await;
    alice.click("#call-again").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives(1, Media::Both).await;
    bob.receives(1, Media::Both).await;
    server.assert_integrity();
    stage.finish([&alice, &bob]).await;
}
