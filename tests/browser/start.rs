//! The first view: calls to join and to call back, new calls and channels, guests' links, and a server without people.

use serde_json::json;

use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;
use crate::views::{Viewport, set_display_name};

const ENTER: &str = "\u{E007}";

#[tokio::test]
async fn missed_calls_are_called_back_from_the_first_view() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, carol] = ["alice", "carol"].map(|name| server.person(name));
    server.person("bob");
    for (caller, channel) in [(&alice, "dm:alice:bob"), (&carol, "dm:bob:carol"), (&alice, "dm:alice:bob")] {
        let call = caller.call(channel).await;
        caller.post(&format!("/calls/{call}/end")).await;
    }
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    let other = driver.signed_in_at(&server, "alice", "/").await;
    bob.wait_text("#missed [data-call-back='dm:alice:bob'] p", "2 calls").await;
    bob.wait_text("#missed [data-call-back='dm:bob:carol'] a", "carol").await;
    bob.wait_text("[data-missed-in='dm:alice:bob']", "2 missed").await;
    bob.wait_text("[data-missed-in='dm:bob:carol']", "1 missed").await;
    bob.wait_text("[data-missed]", "3").await;

    // A call back takes note of what was missed there, and of nothing else.
    bob.tab_to(30, "#missed [data-call-back='dm:alice:bob'] [data-action=call-back]").await;
    bob.press(ENTER).await;
    other.click("[data-action=answer]").await;
    for browser in [&bob, &other] {
        browser.wait_media(1, Media::Audio).await;
    }
    bob.click("#leave").await;
    bob.click("#call-close").await;
    bob.wait_text("#recent [data-call-back='dm:alice:bob'] p", "Answered").await;
    bob.wait_until("!document.querySelector('[data-missed-in=\"dm:alice:bob\"]').checkVisibility()").await;
    bob.wait_text("[data-missed]", "1").await;

    // So does the conversation.
    bob.click("#missed [data-call-back='dm:bob:carol'] a").await;
    bob.wait_until("!document.querySelector('[data-missed]').checkVisibility()").await;
    bob.click("#open-start").await;
    bob.wait_text("#recent [data-call-back='dm:bob:carol'] p", "Missed").await;
    bob.wait_until("!document.querySelector('#missed').checkVisibility()").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM missed_calls WHERE NOT seen"), 0);

    // The history has the same buttons.
    other.click("#call-close").await;
    bob.click("#open-history").await;
    bob.click("[data-history=all] li:first-child [data-action=call-back-video]").await;
    other.click("[data-action=answer]").await;
    other.wait_media(1, Media::Both).await;
    driver.finish([&bob, &other]).await;
}

#[tokio::test]
async fn a_call_in_progress_is_joined_from_the_first_view() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    let team = server.private_channel(&["alice", "bob", "carol"]);
    server.execute(&format!("UPDATE private_channels SET name = 'Team' WHERE 'private:' || id = '{team}'"));
    for browser in [&alice, &bob, &carol] {
        browser.client.refresh().await.unwrap();
    }
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.click("#call-voice").await;
    bob.click("[data-action=answer]").await;
    carol.click("[data-action=decline]").await;
    carol.wait_text("#start [data-call] a", "Team").await;
    carol.wait_text("#start [data-call] p", "alice, bob").await;
    carol.click("#start [data-action=join]").await;
    carol.click("#join-now").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn people_are_picked_for_a_call_by_keyboard() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.people(100);
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    server.person("dave");
    set_display_name(&server, "carol", &"Wolfeschlegelsteinhausenbergerdorff".repeat(3)[..100]);
    alice.client.refresh().await.unwrap();
    alice.wait_visible("[data-person=carol]").await;
    alice.set_viewport(Viewport { width: 320, height: 600, scheme: "light" }).await;
    alice.tab_to(30, "#new-call").await;
    alice.press(ENTER).await;
    alice.wait_until("document.querySelector('#new-call-voice').disabled").await;
    // One by name, one by the arrow keys, and one of them not after all.
    for keys in ["dav", ENTER, "bob", ENTER, "wolfe", "\u{E015}", ENTER] {
        alice.press(keys).await;
    }
    alice.wait_until("document.querySelectorAll('[data-chosen]').length === 3").await;
    alice.click("[data-chosen=dave]").await;
    // The buttons are in view, however many people there are, and however long their names.
    let in_view = "[...document.querySelectorAll('#new-call-dialog .row button, [data-chosen]')].every((button) => {
        const { left, right, bottom } = button.getBoundingClientRect();
        return left >= 0 && right <= innerWidth && bottom <= innerHeight;
    })";
    alice.wait_until(in_view).await;
    alice.tab_to(30, "#new-call-voice").await;
    alice.press(ENTER).await;
    for browser in [&bob, &carol] {
        browser.click("[data-action=answer]").await;
    }
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }
    assert_eq!(server.value::<String>("SELECT channel FROM calls"), "dm:alice:bob:carol");
    alice.click("#leave").await;
    // The channel is in the list from now on.
    alice.click("#call-close").await;
    alice.wait_visible("[data-channel='dm:alice:bob:carol']").await;
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn an_admin_makes_a_channel_on_the_page() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.wait_visible("[data-person=bob]").await;
    assert_eq!(alice.script("return document.querySelector('#new-channel').checkVisibility()").await, json!(false));
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    alice.client.refresh().await.unwrap();
    alice.click("#new-channel").await;
    alice.click("#create-channel").await;
    alice.wait_until("document.querySelector('#new-channel-dialog .error').textContent !== ''").await;
    alice.type_into("#channel-title", "Design team").await;
    alice.type_into("#picker", &format!("bob{ENTER}")).await;
    alice.click("#create-channel").await;
    alice.wait_text("[data-title]", "Design team").await;
    alice.wait_visible("[data-channel='private:1']").await;
    let members = "SELECT group_concat(username) FROM private_channel_members";
    assert_eq!(server.value::<String>(members), "alice,bob");
    bob.wait_text("[data-channel='private:1'] strong", "Design team").await;
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn the_caller_invites_while_it_rings() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.people(200);
    let [alice, bob, carol] = driver.signed_in(&server, ["alice", "bob", "carol"]).await;
    set_display_name(&server, "person0", &"Wolfeschlegelsteinhausenbergerdorff".repeat(3)[..100]);
    alice.client.refresh().await.unwrap();
    alice.call("bob", "#call-voice").await;
    bob.wait_visible("[data-action=answer]").await;
    alice.click("#people-button").await;
    alice.wait_visible("[data-invite=carol]").await;
    // 200 people neither push the buttons out of view, nor are they 200 stops of the Tab key.
    alice.set_viewport(Viewport { width: 320, height: 600, scheme: "light" }).await;
    let in_view =
        "[...document.querySelectorAll('#people-dialog .row button, [data-invite=person0]')].every((button) => {
        const { left, right } = button.getBoundingClientRect();
        return left >= 0 && right <= innerWidth;
    }) && document.querySelector('#end-for-all').getBoundingClientRect().bottom <= innerHeight";
    alice.wait_until(in_view).await;
    let stops = "return [...document.querySelectorAll('[data-invite]')].filter(({ tabIndex }) => tabIndex >= 0).length";
    assert_eq!(alice.script(stops).await, json!(1));
    alice.type_into("#invite-filter", "CARO").await;
    alice.wait_until("document.querySelectorAll('[data-invite]').length === 1").await;
    alice.press(ENTER).await;
    carol.wait_text(".ring-card", "invites you to a call with bob").await;
    carol.click("[data-action=answer]").await;
    alice.wait_media(1, Media::Audio).await;
    bob.click("[data-action=answer]").await;
    for browser in [&alice, &bob, &carol] {
        browser.wait_media(2, Media::Audio).await;
    }
    server.assert_integrity();
    driver.finish([&alice, &bob, &carol]).await;
}

#[tokio::test]
async fn links_for_guests_are_listed_and_revoked() {
    let (driver, server) = (Driver::start().await, Server::start());
    let alice = driver.signed_in(&server, ["alice", "bob"]).await;
    let [alice, bob] = alice;
    alice.click("[data-person=bob]").await;
    alice.wait_visible("#copy-link").await;
    assert_eq!(alice.script("return document.querySelector('#guest-links').checkVisibility()").await, json!(false));
    for _ in 0..2 {
        alice.click("#copy-link").await;
        alice.click("#link-dialog [data-answer=done]").await;
    }
    alice.wait_until("document.querySelectorAll('[data-link]').length === 2").await;
    alice.wait_text("[data-link] p", "for 10 more guests").await;
    // The other member revokes one, too.
    bob.click("[data-person=alice]").await;
    bob.wait_text("[data-link] p", "made by alice").await;
    bob.click("[data-revoke]").await;
    bob.wait_until("document.querySelectorAll('[data-link]').length === 1").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM live_links"), 1);
    driver.finish([&alice, &bob]).await;
}

#[tokio::test]
async fn a_server_without_people_says_what_to_do_next() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice] = driver.signed_in(&server, ["alice"]).await;
    alice.wait_text("#start-empty", "An admin adds people.").await;
    assert_eq!(alice.script("return document.querySelector('#add-people').checkVisibility()").await, json!(false));
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    alice.client.refresh().await.unwrap();
    alice.click("#add-people").await;
    alice.wait_visible("#add-person").await;
    server.person("bob");
    alice.client.goto(&server.url).await.unwrap();
    alice.wait_text("#start-empty", "No calls yet. Choose a person").await;

    // An address of a channel that is none of alice's has no buttons to call it.
    alice.client.goto(&format!("{}/#private%3A7", server.url)).await.unwrap();
    alice.wait_visible("#unknown-channel").await;
    assert_eq!(alice.script("return document.querySelector('#call-voice').checkVisibility()").await, json!(false));
    alice.click("#unknown-channel a").await;
    alice.wait_visible("#start").await;
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn a_phone_shows_the_start_above_the_list() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    let call = bob.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{call}/end")).await;
    drop(alice);
    let alice = driver.browser("alice").await;
    alice.set_viewport(Viewport { width: 320, height: 640, scheme: "light" }).await;
    alice.sign_in(&server, "/").await;
    alice.wait_visible(".sidebar #missed [data-action=call-back]").await;
    alice.press("/").await;
    alice.press("bob").await;
    alice.wait_until("!document.querySelector('#missed').checkVisibility()").await;
    alice.press(ENTER).await;
    alice.wait_text("[data-title]", "bob").await;
    // The search is on the first screen alone.
    alice.press("\u{E009}k\u{E000}").await;
    alice.wait_until("document.activeElement.id === 'search' && document.activeElement.checkVisibility()").await;
    alice.set_viewport(Viewport { width: 1000, height: 700, scheme: "light" }).await;
    alice.wait_visible(".pane #start").await;
    driver.finish([&alice]).await;
}
