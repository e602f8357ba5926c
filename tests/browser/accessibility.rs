//! Accessibility: axe-core on every view, and a call by keyboard.

use std::cell::RefCell;

use serde_json::json;

use crate::axe::Axe;
use crate::browser::Media;
use crate::driver::Driver;
use crate::support::Server;
use crate::views::{self, VIEWPORTS};

/// The elements whose content is wider than they are, except where it is cut with an ellipsis, and fields, which scroll.
const OVERFLOWING: &str = "
    const isTooWide = (element) => element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
    const isCut = (element) => element !== document.documentElement && getComputedStyle(element).overflowX === 'hidden';
    return [document.documentElement, ...document.querySelectorAll('body :not(svg, input)')]
        .filter((element) => element.checkVisibility() && isTooWide(element) && !isCut(element))
        .map((element) => element.cloneNode().outerHTML);";

#[tokio::test]
async fn axe_core_finds_no_serious_fault_and_nothing_overflows() {
    let driver = Driver::start().await;
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    driver.finish([&source]).await;
    let faults = RefCell::new(Vec::new());
    views::tour(&VIEWPORTS, async |browser, view, viewport| {
        let overflows = browser.script(OVERFLOWING).await;
        if overflows != json!([]) {
            faults.borrow_mut().push(format!("{view}, {viewport:?}: wider than the window: {overflows}"));
        }
        let found = axe.faults(browser).await;
        faults.borrow_mut().extend(found.into_iter().map(|fault| format!("{view}, {viewport:?}: {fault:#}")));
    })
    .await;
    let faults = faults.take();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn call_works_with_the_keyboard_alone() {
    let (driver, server) = (Driver::start().await, Server::start());
    let stranger = driver.browser("stranger").await;
    stranger.client.goto(&server.url).await.unwrap();
    stranger.wait_visible("#sign-in").await;
    stranger.tab_to(60, "#sign-in").await;

    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    alice.wait_visible("[data-person=bob]").await;
    alice.tab_to(60, "[data-person=bob]").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    alice.tab_to(60, "#call-voice").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.wait_visible("[data-action=answer]").await;
    bob.tab_to(60, "[data-action=answer]").await;
    bob.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    alice.wait_media(1, Media::Audio).await;
    alice.tab_to(60, "#leave").await;
    alice.client.active_element().await.unwrap().send_keys("\u{E007}").await.unwrap();
    bob.wait_visible("#call-ended-reason").await;
    driver.finish([&stranger, &alice, &bob]).await;
}
