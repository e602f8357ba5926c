//! Guests: a link, waiting, the call, and its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::axe::Axe;
use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::{Server, eventually};

/// The address of a new link, from the dialog.
async fn link_of(browser: &Browser) -> String {
    browser.wait_visible("#link-dialog").await;
    browser.wait_text("#link-dialog p", "The link works for a day").await;
    let Value::String(address) = browser.script("return document.querySelector('#guest-link').value").await else {
        panic!("the dialog has no link")
    };
    browser.click("#link-dialog [data-answer=done]").await;
    address
}

async fn open(guest: &Browser, link: &str, name: &str) {
    // In a tab with the page, only the fragment changes, and the page reloads itself. The driver's `goto` would miss that.
    guest.script(&format!("location.assign({})", json!(link))).await;
    guest.type_into("#guest-name", name).await;
    guest.click("#join").await;
}

#[tokio::test]
async fn a_guest_joins_by_a_link_and_is_gone_with_the_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.click("[data-person=bob]").await;
    alice.click("#copy-link").await;
    let link = link_of(&alice).await;
    assert!(link.starts_with(&format!("{}/#join/", server.url)), "{link}");

    // Nobody is on a call yet.
    let gwen = driver.browser("gwen").await;
    gwen.client.goto(&link).await.unwrap();
    gwen.wait_visible("#guest-name").await;
    let faults = axe.faults(&gwen).await;
    assert!(faults.is_empty(), "{faults:#?}");
    gwen.type_into("#guest-name", "Gwen").await;
    gwen.click("#join").await;
    gwen.wait_text("#join-status", "The call has not begun yet.").await;

    alice.click("#call-video").await;
    bob.click("[data-action=answer-video]").await;
    gwen.wait_text("#join-status", "Waiting for somebody on the call to let you in.").await;
    // A reload waits on.
    gwen.client.refresh().await.unwrap();
    gwen.wait_text("#join-status", "Waiting for somebody on the call to let you in.").await;
    for browser in [&alice, &bob] {
        browser.wait_text("[data-waiting] [role=status]", "Gwen wants to join.").await;
    }
    let faults = axe.faults(&bob).await;
    assert!(faults.is_empty(), "{faults:#?}");
    bob.click("[data-guest=Gwen] [data-action=admit]").await;
    gwen.wait_visible("#call").await;
    gwen.click("#camera").await;
    for browser in [&alice, &bob, &gwen] {
        browser.wait_media(2, Media::Both).await;
    }
    alice.wait_absent("[data-guest]").await;
    alice.wait_text("#call", "Gwen (guest)").await;
    gwen.click("#people-button").await;
    gwen.wait_absent("[data-invite], #copy-call-link, #end-for-all").await;
    gwen.click("#people-dialog [data-answer=done]").await;

    // Below the call is nothing, so Back asks whether to leave it.
    gwen.wait_until("!document.querySelector('#resize-call').checkVisibility()").await;
    gwen.client.back().await.unwrap();
    gwen.click("#leave-dialog [data-answer=stay]").await;
    gwen.wait_visible("#call").await;

    // A reload returns to the call.
    gwen.client.refresh().await.unwrap();
    for browser in [&alice, &bob, &gwen] {
        browser.wait_media(2, Media::Both).await;
    }

    // Hugo is turned away, in a browser where carol is signed in, and stays signed in.
    let carol = driver.signed_in_at(&server, "carol", "/").await;
    carol.wait_visible("[data-view=lobby]").await;
    alice.click("#people-button").await;
    alice.click("#copy-call-link").await;
    let other_link = link_of(&alice).await;
    assert_ne!(link, other_link);
    alice.click("#people-dialog [data-answer=done]").await;
    open(&carol, &other_link, "Hugo").await;
    alice.click("[data-guest=Hugo] [data-action=dismiss]").await;
    carol.wait_text("#join-status", "You were not let in, or the call has ended.").await;
    carol.client.goto(&format!("{}/", server.url)).await.unwrap();
    carol.client.refresh().await.unwrap();
    carol.wait_text("#me", "carol").await;

    alice.click("#people-button").await;
    alice.click("#end-for-all").await;
    gwen.wait_text("#call-ended-reason", "The call has ended.").await;
    gwen.wait_absent("#call-again").await;
    gwen.click("#call-close").await;
    gwen.wait_text("#join-status", "The call has ended.").await;
    let guests = "SELECT count(*) FROM users WHERE guest_of IS NOT NULL";
    eventually(Duration::from_secs(10), "the guests", 0_i64, || server.value(guests)).await;
    let open = "return window.connections.filter((one) => one.connectionState !== 'closed').length";
    assert_eq!(gwen.script(open).await, json!(0));
    server.assert_integrity();
    driver.finish([&source, &alice, &bob, &gwen, &carol]).await;
}

#[tokio::test]
async fn a_link_that_is_none_says_so() {
    let (driver, server) = (Driver::start().await, Server::start());
    let guest = driver.browser("guest").await;
    guest.client.goto(&server.url).await.unwrap();
    guest.wait_visible("#sign-in").await;
    open(&guest, &format!("{}/#join/none", server.url), "Gwen").await;
    guest.wait_text("#join-error", "link").await;
    guest.wait_visible("#guest-name").await;
    driver.finish([&guest]).await;
}
