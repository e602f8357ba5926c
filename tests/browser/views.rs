//! A tour of every view of both pages.

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;

/// A window size and colour scheme.
#[derive(Clone, Copy, Debug)]
pub struct Viewport {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

/// A desktop and a small phone, in both looks.
pub const VIEWPORTS: [Viewport; 4] = [
    Viewport { width: 1280, height: 800, scheme: "light" },
    Viewport { width: 1280, height: 800, scheme: "dark" },
    Viewport { width: 320, height: 700, scheme: "dark" },
    Viewport { width: 320, height: 700, scheme: "light" },
];

/// Visits every view, with people who have a call history, and calls `see` in each of these viewports.
pub async fn tour(viewports: &[Viewport], see: impl AsyncFn(&Browser, &str, Viewport)) {
    let (driver, server) = (Driver::start().await, Server::start());
    // Calls keep ringing and people stay on them, however slow the machine is.
    server.execute(
        "UPDATE settings SET value = 600 WHERE name = 'ringing_timeout';
         UPDATE settings SET value = 3600 WHERE name IN ('presence_timeout', 'gone_after')",
    );
    let see = async |browser: &Browser, view: &str| {
        for viewport in viewports {
            browser.set_viewport(*viewport).await;
            see(browser, view, *viewport).await;
        }
        browser.set_viewport(VIEWPORTS[0]).await;
    };
    let alice = driver.browser("alice").await;
    alice.client.goto(&server.url).await.unwrap();
    alice.wait_visible("#sign-in").await;
    see(&alice, "sign-in").await;
    alice.type_into("#username", "alice").await;
    alice.type_into("#password", "wrong").await;
    alice.click("#sign-in").await;
    alice.wait_until("document.querySelector('#sign-in-error').textContent !== ''").await;
    see(&alice, "sign-in refused").await;

    for name in ["alice", "bob", "carol", "dave"] {
        server.person(name);
    }
    set_long_names(&server);
    let team = server.private_channel(&["alice", "bob", "carol"]);
    alice.sign_in(&server, "/").await;
    alice.wait_visible("[data-person=bob]").await;
    see(&alice, "lobby").await;
    alice.click("#open-history").await;
    alice.wait_visible("[data-history]").await;
    see(&alice, "history, empty").await;
    create_history(&server, &team).await;
    let [bob, carol] = driver.signed_in(&server, ["bob", "carol"]).await;
    see_lobby(&bob, &see).await;
    see_conversation(&alice, &team, &see).await;
    see_call([&alice, &bob, &carol], &see).await;
    see_share(&alice, &bob, &team, &see).await;
    see_relay(&server, &alice, &bob, &team, &see).await;
    see_admin_page(&server, &carol, &see).await;
    driver.finish([&alice, &bob, &carol]).await;
}

/// The lobby of a person with a missed call, and what its buttons open.
async fn see_lobby(bob: &Browser, see: &impl AsyncFn(&Browser, &str)) {
    bob.wait_text("[data-missed]", "1").await;
    see(bob, "lobby, missed call").await;
    bob.click("#open-history").await;
    bob.wait_visible("[data-outcome]").await;
    see(bob, "history").await;
    bob.click("#open-quiet").await;
    bob.click("[data-quiet=hour]").await;
    bob.wait_visible("#quiet-now").await;
    see(bob, "do not disturb").await;
    bob.click("#quiet [data-answer=done]").await;
    bob.click("#quiet-off").await;
    // The button is gone. A hidden page may leave the focus on it.
    bob.wait_until("!document.querySelector('#quiet-off').checkVisibility()").await;
    bob.script("document.activeElement.blur()").await;
    bob.press("/").await;
    bob.press("a").await;
    bob.wait_text("#search-outcome", "found").await;
    see(bob, "search").await;
    bob.press("\u{E00C}").await;
    bob.click("#open-devices").await;
    bob.wait_visible("#devices[open]").await;
    see(bob, "devices").await;
    bob.click("[data-answer=done]").await;
    bob.click("#open-account").await;
    bob.wait_visible("[data-session]").await;
    see(bob, "account").await;
    bob.click("#account [data-answer=done]").await;
}

/// A channel with a link for guests.
async fn see_conversation(alice: &Browser, team: &str, see: &impl AsyncFn(&Browser, &str)) {
    alice.click("#new-call").await;
    alice.type_into("#picker", "bob\u{E007}\u{E015}").await;
    alice.wait_visible("[data-chosen]").await;
    see(alice, "new group call").await;
    alice.click("#new-call-dialog [data-answer=done]").await;
    alice.click(&format!("[data-channel='{team}']")).await;
    alice.wait_visible("#call-video").await;
    alice.click("#copy-link").await;
    alice.click("#link-dialog [data-answer=done]").await;
    alice.wait_visible("[data-link]").await;
    see(alice, "conversation").await;
}

/// A call of three in the channel that the first has open, from the ring to the end.
async fn see_call([alice, bob, carol]: [&Browser; 3], see: &impl AsyncFn(&Browser, &str)) {
    alice.click("#call-video").await;
    bob.wait_visible("[data-action=answer]").await;
    see(bob, "ringing").await;
    alice.wait_visible("[data-absence=ringing]").await;
    see(alice, "calling").await;
    bob.click("[data-action=answer-video]").await;
    carol.click("[data-action=answer]").await;
    for browser in [alice, bob, carol] {
        browser.wait_media(2, Media::Both).await;
    }
    see(alice, "call of three").await;
    alice.click("#people-button").await;
    alice.wait_visible("#people-dialog[open]").await;
    see(alice, "people").await;
    alice.click("#people-dialog [data-answer=done]").await;
    bob.click("#screen").await;
    alice.wait_until("document.querySelector('[data-kind=screen] video')?.videoWidth > 0").await;
    see(alice, "screen share in a call").await;
    carol.click("#leave").await;
    alice.wait_absent("[data-kind=peer][data-tile=carol]").await;
    bob.click("#screen").await;
    alice.wait_absent("[data-kind=screen]").await;
    see(alice, "call of two").await;
    bob.click("#leave").await;
    alice.wait_visible("#call-ended-reason").await;
    see(alice, "ended").await;
    for browser in [alice, bob, carol] {
        browser.click("#call-close").await;
    }
}

/// A screen that is shared outside a call.
async fn see_share(alice: &Browser, bob: &Browser, team: &str, see: &impl AsyncFn(&Browser, &str)) {
    bob.click(&format!("[data-channel='{team}']")).await;
    bob.click("#share-screen").await;
    bob.wait_visible("[data-action=stop-share]").await;
    see(bob, "own share").await;
    alice.click("[data-action=watch]").await;
    alice.wait_until("document.querySelector('#watched-screen').videoWidth > 0").await;
    see(alice, "viewed share").await;
    alice.click("#stop-watching").await;
}

/// The page of the relay. The call remains.
async fn see_relay(server: &Server, alice: &Browser, bob: &Browser, team: &str, see: &impl AsyncFn(&Browser, &str)) {
    alice.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    alice.wait_visible("#places").await;
    see(alice, "relay").await;
    bob.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    alice.click(&format!("[data-channel='{team}'] [data-action=call]")).await;
    bob.click(&format!("[data-channel='{team}'] [data-action=join]")).await;
    bob.click("#send").await;
    alice.wait_until("document.querySelector('[data-player=bob] video')?.videoWidth > 0").await;
    see(alice, "relay, call").await;
}

/// The sections of the page for admins, while a call lasts, and its dialogs.
async fn see_admin_page(server: &Server, carol: &Browser, see: &impl AsyncFn(&Browser, &str)) {
    carol.client.goto(&format!("{}/admin", server.url)).await.unwrap();
    carol.wait_visible("#admin-only").await;
    see(carol, "admin, refused").await;
    server.execute("INSERT INTO set_role (username, role) VALUES ('carol', 'admin')");
    carol.client.goto(&server.url).await.unwrap();
    carol.wait_visible("#open-admin").await;
    see(carol, "lobby of an admin").await;
    // A card that rings would cover the buttons.
    carol.click("[data-action=decline]").await;
    carol.click("#new-channel").await;
    carol.wait_visible("#new-channel-dialog[open]").await;
    see(carol, "new channel").await;
    carol.click("#new-channel-dialog [data-answer=done]").await;
    carol.click("#open-admin").await;
    carol.wait_visible("#admin-calls li").await;
    see(carol, "admin, calls").await;
    for (section, shown) in [
        ("people", "[data-edit=bob]"),
        ("channels", "[data-edit='private:1']"),
        ("settings", "[data-setting=ice_servers]"),
        ("history", "#admin-history li"),
        ("violations", "#check-again:enabled"),
    ] {
        carol.click(&format!("[data-section={section}]")).await;
        carol.wait_visible(shown).await;
        see(carol, &format!("admin, {section}")).await;
    }
    carol.click("[data-section=people]").await;
    carol.click("#add-person").await;
    see(carol, "admin, new person").await;
    carol.click("#add-person-dialog [data-answer=done]").await;
    carol.click("[data-edit=bob]").await;
    carol.wait_visible("#person-sessions li").await;
    see(carol, "admin, person").await;
    carol.click("#remove-person").await;
    carol.wait_visible("#confirm").await;
    see(carol, "admin, confirmation").await;
    carol.click("[data-answer=cancel]").await;
    carol.click("#person [data-answer=done]").await;
    carol.click("[data-section=channels]").await;
    carol.click("[data-edit='private:1']").await;
    carol.wait_visible("#channel-members li").await;
    see(carol, "admin, channel").await;
    carol.click("#channel [data-answer=done]").await;
}

/// The longest display names, one of them without a place to break it.
fn set_long_names(server: &Server) {
    for (name, text) in [("bob", "Wolfeschlegelsteinhausenbergerdorff".repeat(3)), ("carol", "Carol of the ".repeat(8))]
    {
        let longest: String = text.chars().take(100).collect();
        set_display_name(server, name, longest.trim());
    }
}

pub fn set_display_name(server: &Server, name: &str, display_name: &str) {
    let update = "UPDATE users SET display_name = ?2 WHERE username = ?1";
    server.sql().execute(update, [name, display_name]).unwrap();
}

/// An answered, a declined and a missed call of alice and bob, and a call of the channel.
pub async fn create_history(server: &Server, team: &str) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let answered = bob.call("dm:alice:bob").await;
    alice.post(&format!("/calls/{answered}/accept")).await;
    bob.post(&format!("/calls/{answered}/end")).await;
    let declined = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{declined}/reject")).await;
    let meeting = carol.call(team).await;
    for browser in [&alice, &bob] {
        browser.post(&format!("/calls/{meeting}/accept")).await;
    }
    carol.post(&format!("/calls/{meeting}/end")).await;
    alice.call("dm:alice:bob").await;
    server.age_invitations(700.0);
    server.eventually("SELECT NOT EXISTS (SELECT 1 FROM live_calls)", std::time::Duration::from_secs(10)).await;
}
