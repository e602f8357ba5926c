//! People: their display names, and who was removed from a call.

use serde_json::json;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;
use crate::views::set_display_name;

#[tokio::test]
async fn display_names_stand_everywhere() {
    let (driver, server) = (Driver::start().await, Server::start());
    for (name, display_name) in
        [("alice", "Alice Liddell"), ("bob", "Bob \u{201c}Rabbit\u{201d} Hole"), ("carol", "Bob")]
    {
        server.person(name);
        set_display_name(&server, name, display_name);
    }
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    let bobs = "Bob \u{201c}Rabbit\u{201d} Hole";
    alice.wait_text("[data-person=bob] strong", bobs).await;
    alice.wait_text("[data-person=carol] strong", "Bob").await;
    alice.call("bob", "#call-voice").await;
    bob.wait_text(".ring-card h2", "Alice Liddell").await;
    bob.wait_until("document.title === 'Alice Liddell is calling'").await;
    alice.wait_text("[data-absence=ringing] .absent-name", bobs).await;
    bob.click("[data-action=answer]").await;
    alice.wait_text("[data-kind=peer] .tile-name", bobs).await;
    bob.wait_text("[data-kind=peer] .tile-name", "Alice Liddell").await;
    alice.click("#people-button").await;
    alice
        .wait_until(&format!(
            "document.querySelector('#people-dialog [data-remove=bob]').ariaLabel === {}",
            json!(format!("Remove {bobs}"))
        ))
        .await;
    alice.click("#people-dialog [data-answer=done]").await;
    alice.click("#leave").await;
    bob.click("#call-close").await;
    bob.click("[data-person=alice]").await;
    bob.wait_text("[data-history='dm:alice:bob'] strong", "Alice Liddell called").await;
    bob.click("#open-history").await;
    bob.wait_text("[data-history=all] a", "Alice Liddell").await;

    // The relay's page has the same names.
    bob.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    bob.wait_text("[data-channel='dm:alice:bob'] strong", "Alice Liddell").await;
    alice.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    alice.click("[data-channel='dm:alice:bob'] [data-action=call]").await;
    bob.wait_text("[data-channel='dm:alice:bob'] p", "Alice Liddell is calling").await;
    bob.click("[data-channel='dm:alice:bob'] [data-action=join]").await;
    bob.wait_text("main [role=status]", "With Alice Liddell").await;
    bob.wait_text("[data-player=alice] strong", "Alice Liddell").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn only_an_invitation_brings_a_removed_person_back() {
    let (driver, server) = (Driver::start().await, Server::start());
    for name in ["alice", "bob", "carol"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.click("#call-voice").await;
    for browser in [&bob, &carol] {
        browser.click("[data-action=answer]").await;
    }
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }

    alice.click("#people-button").await;
    alice.click("[data-remove=bob]").await;
    bob.wait_text("#call-ended-reason", "You were removed from the call.").await;
    assert_eq!(bob.media_stats().await.connections, 0);
    alice.wait_absent("[data-kind=peer][data-tile=bob]").await;
    for browser in [&alice, &carol] {
        browser.wait_media(1, Media::Audio).await;
    }

    // The lobby offers no way back, also after a reload, and a call to the channel is refused in words.
    bob.click("#call-close").await;
    for _ in 0..2 {
        bob.click(&format!("[data-channel='{team}']")).await;
        bob.wait_visible("#call-voice").await;
        bob.wait_absent("[data-action=join]").await;
        bob.client.refresh().await.unwrap();
    }
    bob.click("#call-voice").await;
    bob.wait_text("#call-ended-reason", "You were removed from the call. A participant can invite you again.").await;
    bob.click("#call-close").await;
    let state = "SELECT state FROM call_participants WHERE username = 'bob'";
    assert_eq!(server.value::<String>(state), "left");

    alice.click("[data-invite=bob]").await;
    bob.wait_text(".ring-card h2", "alice").await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 1);
    server.assert_integrity();
    driver.finish([&alice, &bob, &carol]).await;
}

/// An admin can add a call in a shell, and leave its participants out.
#[tokio::test]
async fn lobby_shows_a_call_without_participants() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.execute("UPDATE settings SET value = 600 WHERE name = 'ringing_timeout'");
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    bob.click("[data-person=alice]").await;
    bob.wait_visible("#call-voice").await;
    server.execute(
        "INSERT INTO calls (call_id, channel, initiator, state, started_ts) \
         SELECT 'by_hand', 'dm:alice:bob', 'alice', 'ringing', ts FROM now",
    );
    bob.wait_text("[data-live]", "alice is calling").await;
    bob.wait_absent(".ring-card").await;
    for path in ["/relay", "/#dm%3Aalice%3Abob"] {
        bob.client.goto(&format!("{}{path}", server.url)).await.unwrap();
        bob.wait_visible("[data-action=join]").await;
    }
    bob.click("[data-action=join]").await;
    alice.click("[data-person=bob]").await;
    alice.click("[data-action=join]").await;
    for browser in [&alice, &bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;

    server.execute(
        "UPDATE settings SET value = 1 WHERE name = 'ringing_timeout';
         INSERT INTO calls (call_id, channel, initiator, state, started_ts) \
         SELECT 'ends', 'dm:alice:bob', 'alice', 'ringing', ts FROM now",
    );
    for browser in [&alice, &bob] {
        browser.click("#call-close").await;
        browser.click("#open-history").await;
        browser.wait_visible("[data-call=ends]").await;
    }
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn who_can_be_reached_is_seen_before_a_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.execute("UPDATE settings SET value = 2 WHERE name = 'gone_after'");
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    let (carol, dave) = (server.person("carol"), server.person("dave"));
    server.person("erin");
    alice.client.refresh().await.unwrap();
    for (person, state, words) in [("bob", "online", "Online"), ("erin", "offline", "Offline")] {
        alice.wait_visible(&format!("[data-person={person}][data-presence={state}]")).await;
        alice.wait_text(&format!("[data-person={person}]"), words).await;
    }
    alice.click("[data-person=bob]").await;
    alice.wait_text("#pane header", "Online").await;
    alice.wait_until("!document.querySelector('[data-warning]').checkVisibility()").await;

    bob.click("#open-quiet").await;
    bob.click("[data-quiet=always]").await;
    alice.wait_visible("[data-person=bob][data-presence=quiet]").await;
    alice.wait_text("[data-warning]", "bob does not want to be disturbed.").await;
    bob.click("#quiet [data-answer=done]").await;
    bob.click("#quiet-off").await;
    bob.wait_until("document.activeElement.id === 'open-quiet'").await;
    alice.wait_visible("[data-person=bob][data-presence=online]").await;

    // A call of others is none of alice's business, except that they are on one.
    let call = carol.call("dm:carol:dave").await;
    dave.post(&format!("/calls/{call}/accept")).await;
    alice.click("[data-person=carol]").await;
    alice.wait_text("[data-warning]", "carol is on another call.").await;
    // Each state has another shape.
    let shapes = "return new Set(['bob', 'carol', 'erin'].map((name) =>
        document.querySelector(`[data-person=${name}] .presence-dot path`).getAttribute('d'))).size";
    assert_eq!(alice.script(shapes).await, json!(3));
    carol.post(&format!("/calls/{call}/end")).await;
    alice.wait_until("!document.querySelector('[data-warning]').checkVisibility()").await;

    bob.click("#open-account").await;
    bob.click("#sign-out").await;
    bob.wait_visible("#sign-in").await;
    alice.wait_visible("[data-person=bob][data-presence=offline]").await;
    driver.finish([&alice, &bob]).await;
}
