//! What somebody needs who does not see the page, or has no mouse.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::axe::Axe;
use crate::browser::{Browser, Media};
use crate::stage::Stage;
use crate::support::Server;
use crate::views;

#[tokio::test]
async fn axe_core_finds_nothing_serious_in_any_view() {
    let stage = Stage::open().await;
    let tool = stage.browser("tool").await;
    let axe = Axe::from(&tool).await;
    stage.finish([&tool]).await;
    let faults = RefCell::new(Vec::new());
    views::tour(async |browser, what, look| {
        let found = axe.faults(browser).await;
        faults.borrow_mut().extend(found.into_iter().map(|one| format!("{what}, {look:?}: {one:#}")));
    })
    .await;
    let faults = faults.take();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where the focus goes with the key Tab, until it has been there.
async fn reaches(browser: &Browser, selector: &str) {
    for _ in 0..60 {
        let active = browser.client.active_element().await.unwrap();
        let here = format!("return document.activeElement.matches({})", Value::from(selector));
        if browser.script(&here).await == json!(true) {
            return;
        }
        active.send_keys("\u{E004}").await.unwrap();
    }
    panic!("the keyboard does not reach {selector}");
}

#[tokio::test]
async fn a_call_is_made_and_answered_with_the_keyboard_alone() {
    let (stage, server) = (Stage::open().await, Server::start());
    let stranger = stage.browser("stranger").await;
    stranger.client.goto(&server.url).await.unwrap();
    stranger.sees("#sign-in").await;
    reaches(&stranger, "#sign-in").await;

    let [alice, bob] = stage.people(&server, ["alice", "bob"]).await;
    alice.sees("[data-person=bob]").await;
    reaches(&alice, "[data-person=bob]").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    reaches(&alice, "#call-voice").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.sees("[data-action=answer]").await;
    reaches(&bob, "[data-action=answer]").await;
    bob.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    alice.receives(1, Media::Sound).await;
    reaches(&alice, "#leave").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.sees("#call-ended-reason").await;
    stage.finish([&stranger, &alice, &bob]).await;
}
