//! Every view of the pages, one after the other.

use crate::browser::{Browser, Media};
use crate::stage::Stage;
use crate::support::Server;

/// How a view may look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

pub const LOOKS: [Look; 4] = [
    Look { width: 1280, height: 800, scheme: "light" },
    Look { width: 1280, height: 800, scheme: "dark" },
    Look { width: 390, height: 844, scheme: "dark" },
    Look { width: 390, height: 844, scheme: "light" },
];

/// Goes through every view in each look, with people who have a past, and has each seen.
pub async fn tour(see: impl AsyncFn(&Browser, &str, Look)) {
    let (stage, server) = (Stage::open().await, Server::start());
    // It should ring, and people should stay, for as long as somebody looks, however busy the machine is.
    server.execute(
        "UPDATE settings SET value = 600 WHERE name = 'ringing_timeout';
         UPDATE settings SET value = 3600 WHERE name IN ('presence_timeout', 'gone_after')",
    );
    let see = async |browser: &Browser, what: &str| {
        for look in LOOKS {
            browser.look(look).await;
            see(browser, what, look).await;
        }
        browser.look(LOOKS[0]).await;
    };
    let alice = stage.browser("alice").await;
    alice.client.goto(&server.url).await.unwrap();
    alice.sees("#sign-in").await;
    see(&alice, "sign-in").await;
    alice.write("#username", "alice").await;
    alice.write("#password", "wrong").await;
    alice.click("#sign-in").await;
    alice.until("document.querySelector('#sign-in-error').textContent !== ''").await;
    see(&alice, "sign-in refused").await;

    for name in ["alice", "bob", "carol", "dave"] {
        server.person(name);
    }
    let team = server.private_channel(&["alice", "bob", "carol"]);
    alice.enter(&server, "/").await;
    alice.sees("[data-person=bob]").await;
    see(&alice, "list, nothing chosen").await;
    alice.click("#open-history").await;
    alice.sees("[data-history]").await;
    see(&alice, "history, empty").await;
    past(&server, &team).await;
    let [bob, carol] = stage.people(&server, ["bob", "carol"]).await;
    bob.reads("[data-missed]", "1").await;
    see(&bob, "list, a missed call").await;
    bob.click("#open-history").await;
    bob.sees("[data-outcome]").await;
    see(&bob, "history").await;
    bob.click("#open-devices").await;
    bob.sees("#devices[open]").await;
    see(&bob, "devices").await;
    bob.click("[data-answer=done]").await;

    alice.click(&format!("[data-channel='{team}']")).await;
    alice.sees("#call-video").await;
    see(&alice, "conversation").await;
    alice.click("#call-video").await;
    bob.sees("[data-action=answer]").await;
    see(&bob, "ringing").await;
    alice.sees("[data-kind=asked]").await;
    see(&alice, "calling").await;
    bob.click("[data-action=answer-video]").await;
    carol.click("[data-action=answer]").await;
    for one in [&alice, &bob, &carol] {
        one.receives(2, Media::Both).await;
    }
    see(&alice, "call of three").await;
    alice.click("#people-button").await;
    alice.sees("#people-dialog[open]").await;
    see(&alice, "people").await;
    alice.click("#people-dialog [data-answer=done]").await;
    bob.click("#screen").await;
    alice.until("document.querySelector('[data-kind=screen] video')?.videoWidth > 0").await;
    see(&alice, "screen in a call").await;
    carol.click("#leave").await;
    alice.misses("[data-kind=peer][data-tile=carol]").await;
    bob.click("#screen").await;
    alice.misses("[data-kind=screen]").await;
    see(&alice, "call of two").await;
    bob.click("#leave").await;
    alice.sees("#call-ended-reason").await;
    see(&alice, "ended").await;
    for one in [&alice, &bob, &carol] {
        one.click("#call-close").await;
    }

    bob.click(&format!("[data-channel='{team}']")).await;
    bob.click("#share-screen").await;
    bob.sees("[data-action=stop-share]").await;
    see(&bob, "screen shown").await;
    alice.click("[data-action=watch]").await;
    alice.until("document.querySelector('#watched-screen').videoWidth > 0").await;
    see(&alice, "screen watched").await;
    alice.click("#stop-watching").await;

    alice.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    alice.sees("#places").await;
    see(&alice, "relay").await;
    bob.client.goto(&format!("{}/relay", server.url)).await.unwrap();
    alice.click(&format!("[data-channel='{team}'] [data-action=call]")).await;
    bob.click(&format!("[data-channel='{team}'] [data-action=join]")).await;
    bob.click("#send").await;
    alice.until("document.querySelector('[data-player=bob] video')?.videoWidth > 0").await;
    see(&alice, "relay, on a call").await;
    stage.finish([&alice, &bob, &carol]).await;
}

/// A call that was missed, one that was answered, one that was declined, and one of the channel's.
async fn past(server: &Server, team: &str) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let talk = bob.call("dm:alice:bob").await;
    alice.post(&format!("/calls/{talk}/accept")).await;
    bob.post(&format!("/calls/{talk}/end")).await;
    let declined = alice.call("dm:alice:bob").await;
    bob.post(&format!("/calls/{declined}/reject")).await;
    let meeting = carol.call(team).await;
    for one in [&alice, &bob] {
        one.post(&format!("/calls/{meeting}/accept")).await;
    }
    carol.post(&format!("/calls/{meeting}/end")).await;
    alice.call("dm:alice:bob").await;
    server.age_invitations(700.0);
    server.eventually("SELECT NOT EXISTS (SELECT 1 FROM live_calls)", std::time::Duration::from_secs(10)).await;
}
