//! Ringing, answering, talking, and hanging up.

use std::process::Command;

use crate::browser::Media;
use crate::stage::Stage;
use crate::support::Server;

#[tokio::test]
async fn two_sign_in_ring_answer_and_see_each_other() {
    let (stage, server) = (Stage::open().await, Server::start());
    let mut people = Vec::new();
    for name in ["alice", "bob"] {
        server.run(&["user", "add", name], "rabbit hole");
    }
    for name in ["alice", "bob"] {
        let browser = stage.browser(name).await;
        browser.client.goto(&server.url).await.unwrap();
        browser.write("#username", name).await;
        browser.write("#password", "rabbit hole").await;
        browser.click("#sign-in").await;
        browser.sees("[data-view=lobby]").await;
        people.push(browser);
    }
    let [alice, bob] = &people[..] else { unreachable!("there are two") };
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives(1, Media::Both).await;
    bob.receives(1, Media::Both).await;
    alice.click("#leave").await;
    bob.sees("#call-ended-reason").await;
    assert_eq!(bob.arrived().await.connections, 0);
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "answered");
    server.assert_integrity();
    stage.finish([alice, bob]).await;
}

#[tokio::test]
async fn three_talk_in_a_mesh_one_leaves_and_is_invited_again() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob, carol] = stage.people(&server, ["alice", "bob", "carol"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives(1, Media::Both).await;

    // The channel is not hers, so she is told who is there.
    alice.click("#people-button").await;
    alice.click("[data-invite=carol]").await;
    carol.reads(".ring-card", "invites you to a call with bob").await;
    carol.click("[data-action=answer]").await;
    for one in [&alice, &bob, &carol] {
        one.receives(2, Media::Both).await;
    }
    bob.click("#leave").await;
    alice.misses("[data-kind=peer][data-tile=bob]").await;
    alice.receives(1, Media::Sound).await;
    carol.receives(1, Media::Both).await;
    bob.click("#call-close").await;

    alice.click("[data-invite=bob]").await;
    bob.click("[data-action=answer]").await;
    for one in [&alice, &bob, &carol] {
        one.receives(2, Media::Sound).await;
    }
    bob.receives(2, Media::Both).await;
    server.assert_integrity();
    stage.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn a_call_is_declined_and_another_is_not_answered() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=decline]").await;
    alice.sees("#call-ended-reason").await;
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "declined");

    alice.click("#call-again").await;
    bob.sees("[data-action=answer]").await;
    server.age_invitations(60.0);
    alice.sees("#call-ended-reason").await;
    bob.misses("[data-action=answer]").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_history WHERE outcome = 'missed'"), 1);
    bob.until("document.querySelector('[data-missed]').textContent === '1'").await;
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn who_call_each_other_at_the_same_moment_talk() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    for (one, other) in [(&alice, "bob"), (&bob, "alice")] {
        one.click(&format!("[data-person={other}]")).await;
        one.sees("#call-video").await;
    }
    tokio::join!(alice.click("#call-video"), bob.click("#call-video"));
    alice.receives(1, Media::Both).await;
    bob.receives(1, Media::Both).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 1);
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn a_page_that_is_loaded_anew_comes_back_to_its_call() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.receives(1, Media::Both).await;
    bob.client.refresh().await.unwrap();
    bob.receives(1, Media::Both).await;
    alice.receives(1, Media::Both).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    stage.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn a_hang_up_typed_into_sqlite3_closes_both() {
    let (stage, server) = (Stage::open().await, Server::start());
    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    alice.receives(1, Media::Sound).await;
    let status = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(server.db())
        .arg("UPDATE calls SET state = 'ended' WHERE state = 'active'")
        .status()
        .unwrap();
    assert!(status.success());
    for one in [&alice, &bob] {
        one.sees("#call-ended-reason").await;
        assert_eq!(one.arrived().await.connections, 0);
    }
    stage.finish([&alice, &bob]).await;
}
