//! Calls: ringing, answering, leaving and ending.

use std::process::Command;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;

#[tokio::test]
async fn two_people_sign_in_and_hold_a_video_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    let mut people = Vec::new();
    for name in ["alice", "bob"] {
        server.run(&["user", "add", name], "rabbit hole");
    }
    for name in ["alice", "bob"] {
        let browser = driver.browser(name).await;
        browser.client.goto(&server.url).await.unwrap();
        browser.type_into("#username", name).await;
        browser.type_into("#password", "rabbit hole").await;
        browser.click("#sign-in").await;
        browser.wait_visible("[data-view=lobby]").await;
        people.push(browser);
    }
    let [alice, bob] = &people[..] else { unreachable!("there are two") };
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media(1, Media::Both).await;
    bob.wait_media(1, Media::Both).await;
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    assert_eq!(bob.media_stats().await.connections, 0);
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "answered");
    server.assert_integrity();
    driver.finish([alice, bob]).await;
}

#[tokio::test]
async fn mesh_of_three_survives_a_leave_and_a_new_invitation() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media(1, Media::Both).await;

    // Carol is no member of the channel, so her card names the members.
    alice.click("#people-button").await;
    alice.click("[data-invite=carol]").await;
    carol.wait_text(".ring-card", "invites you to a call with bob").await;
    carol.click("[data-action=answer]").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Both).await;
    }
    bob.click("#leave").await;
    alice.wait_absent("[data-kind=peer][data-tile=bob]").await;
    alice.wait_media(1, Media::Audio).await;
    carol.wait_media(1, Media::Both).await;
    bob.click("#call-close").await;

    alice.click("[data-invite=bob]").await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }
    bob.wait_media(2, Media::Both).await;
    server.assert_integrity();
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn declined_and_unanswered_calls_end() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=decline]").await;
    alice.wait_visible("#call-ended-reason").await;
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "declined");

    alice.click("#call-again").await;
    bob.wait_visible("[data-action=answer]").await;
    server.age_invitations(60.0);
    alice.wait_visible("#call-ended-reason").await;
    bob.wait_absent("[data-action=answer]").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_history WHERE outcome = 'missed'"), 1);
    bob.wait_until("document.querySelector('[data-missed]').textContent === '1'").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn callers_learn_who_does_not_want_to_be_disturbed() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    bob.click("#open-quiet").await;
    bob.wait_text("#quiet-status", "Calls ring for you.").await;
    bob.click("[data-quiet=hour]").await;
    bob.wait_text("#quiet-status", "Do not disturb until").await;
    bob.click("#quiet [data-answer=done]").await;
    bob.wait_text("#quiet-now", "Do not disturb until").await;

    // Nobody waits, and bob has missed it.
    alice.call("bob", "#call-voice").await;
    alice.wait_text("#call-ended-reason", "bob is busy.").await;
    bob.wait_until("document.querySelector('[data-missed]').textContent === '1'").await;
    bob.wait_absent("[data-action=answer]").await;
    bob.click("#open-history").await;
    bob.wait_text("[data-history=all] [data-outcome=missed].missed", "do not disturb").await;
    alice.click("#call-close").await;

    // An invitation says it, too.
    alice.call("carol", "#call-voice").await;
    carol.click("[data-action=answer]").await;
    alice.wait_media(1, Media::Audio).await;
    alice.click("#people-button").await;
    alice.click("[data-invite=bob]").await;
    alice.wait_text("[data-toast=notice]", "bob is busy.").await;

    bob.click("#quiet-off").await;
    bob.wait_until("!document.querySelector('#quiet-now').checkVisibility()").await;
    alice.click("[data-invite=bob]").await;
    bob.wait_visible("[data-action=answer]").await;
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn simultaneous_calls_become_one() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    for (browser, other) in [(&alice, "bob"), (&bob, "alice")] {
        browser.click(&format!("[data-person={other}]")).await;
        browser.wait_visible("#call-video").await;
    }
    tokio::join!(alice.click("#call-video"), bob.click("#call-video"));
    alice.wait_media(1, Media::Both).await;
    bob.wait_media(1, Media::Both).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 1);
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn reloaded_page_returns_to_its_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    alice.wait_media(1, Media::Both).await;
    bob.client.refresh().await.unwrap();
    bob.wait_media(1, Media::Both).await;
    alice.wait_media(1, Media::Both).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn ending_a_call_in_sqlite3_closes_both_pages() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.call("bob", "#call-voice").await;
    bob.click("[data-action=answer]").await;
    alice.wait_media(1, Media::Audio).await;
    let status = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(server.db())
        .arg("UPDATE calls SET state = 'ended' WHERE state = 'active'")
        .status()
        .unwrap();
    assert!(status.success());
    for browser in [&alice, &bob] {
        browser.wait_visible("#call-ended-reason").await;
        assert_eq!(browser.media_stats().await.connections, 0);
    }
    driver.finish([&alice, &bob]).await;
}
