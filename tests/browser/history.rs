//! The history, missed calls, and the check for console errors.

use fantoccini::Locator;
use serde_json::json;

use crate::driver::Driver;
use crate::support::{Server, imported};

#[tokio::test]
async fn missed_call_is_counted_until_the_history_shows_it() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob] = driver.signed_in(&server, ["alice", "bob"]).await;
    let device = driver.signed_in_at(&server, "bob", "/").await;
    alice.call("bob", "#call-voice").await;
    bob.wait_visible("[data-action=answer]").await;
    server.age_invitations(60.0);
    alice.wait_text("#call-ended-reason", "No answer").await;
    alice.click("#call-close").await;
    for browser in [&bob, &device] {
        browser.wait_until("document.querySelector('[data-missed]').textContent === '1'").await;
        browser.wait_until("document.title === '(1) Calls'").await;
        browser.wait_until("document.querySelector('link[rel=icon]').href.endsWith('/web/icon-badge.svg')").await;
    }
    bob.click("#open-history").await;
    bob.wait_text("[data-history=all] [data-outcome=missed].missed", "Missed").await;
    bob.wait_until("!document.querySelector('[data-missed]').checkVisibility()").await;
    bob.wait_until("document.title === 'Calls'").await;
    bob.wait_until("document.querySelector('link[rel=icon]').href.endsWith('/web/icon.svg')").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM missed_calls WHERE NOT seen"), 0);

    alice.click("#open-history").await;
    alice.wait_text("[data-history=all] [data-outcome=missed]", "No answer").await;
    alice.wait_absent("[data-history=all] .missed").await;
    driver.finish([&alice, &bob, &device]).await;
}

#[tokio::test]
async fn older_calls_load_page_by_page() {
    let (driver, server) = (Driver::start().await, Server::start());
    // bob may decline every call.
    server.execute("UPDATE settings SET value = 0 WHERE name = 'refusal_pause'");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for _ in 0..25 {
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/reject")).await.0, 200);
    }
    let browser = driver.signed_in_at(&server, "alice", "/#history").await;
    let rows = "document.querySelectorAll('[data-outcome=declined]').length";
    browser.wait_until(&format!("{rows} === 20")).await;
    browser.click("[data-action=older]").await;
    browser.wait_until(&format!("{rows} === 25")).await;
    browser.wait_until("!document.querySelector('[data-action=older]').checkVisibility()").await;
    let distinct =
        "return new Set([...document.querySelectorAll('[data-outcome]')].map(({ dataset }) => dataset.call)).size";
    assert_eq!(browser.script(distinct).await, json!(25));
    driver.finish([&browser]).await;
}

#[tokio::test]
async fn history_says_who_took_part_and_is_filtered() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let team = server.private_channel(&["alice", "bob", "carol"]);
    let meeting = alice.call(&team).await;
    bob.post(&format!("/calls/{meeting}/accept")).await;
    carol.post(&format!("/calls/{meeting}/reject")).await;
    alice.post(&format!("/calls/{meeting}/end")).await;
    for caller in [&bob, &carol] {
        let call = caller.call(&format!("dm:alice:{}", caller.name)).await;
        caller.post(&format!("/calls/{call}/end")).await;
    }
    let browser = driver.signed_in_at(&server, "alice", "/#history").await;
    let rows = async |outcomes: &str| {
        let found = "[...document.querySelectorAll('[data-outcome]')].map(({ dataset }) => dataset.outcome).join()";
        browser.wait_until(&format!("{found} === '{outcomes}'")).await;
    };
    rows("missed,missed,answered").await;
    let details = "[data-outcome=answered] details";
    assert_eq!(
        browser.script(&format!("return document.querySelector('{details} ul').checkVisibility()")).await,
        json!(false)
    );
    browser.click(&format!("{details} summary")).await;
    for person in ["alice, 0:0", "bob, 0:0", "carol, declined"] {
        browser.wait_text(details, person).await;
    }

    let choose = async |filter: &str, value: &str| {
        browser.client.find(Locator::Css(filter)).await.unwrap().select_by_value(value).await.unwrap();
    };
    choose("#filter-person", "bob").await;
    rows("missed,answered").await;
    choose("#filter-outcome", "missed").await;
    rows("missed").await;
    browser.wait_text("[data-outcome] a", "bob").await;
    choose("#filter-outcome", "cancelled").await;
    rows("").await;
    browser.wait_text("#pane .empty", "No such calls.").await;
    // The filter stays while the page is open.
    browser.click("[data-person=carol]").await;
    browser.wait_visible("#call-voice").await;
    browser.click("#open-history").await;
    browser.wait_text("#pane .empty", "No such calls.").await;
    choose("#filter-outcome", "").await;
    rows("missed,answered").await;
    driver.finish([&browser]).await;
}

/// Files of the original MiniMost were imported.
#[tokio::test]
async fn imported_people_sign_in_and_see_their_calls() {
    let (driver, server) = (Driver::start().await, Server::start_in(imported("0.0.2"), &[]));
    let browser = driver.browser("alice").await;
    browser.client.goto(&format!("{}/#history", server.url)).await.unwrap();
    browser.type_into("#username", "alice").await;
    browser.type_into("#password", "Rabbit-hole-number-1").await;
    browser.click("#sign-in").await;
    browser.wait_until("document.querySelectorAll('[data-history=all] [data-outcome]').length === 11").await;
    let outcomes =
        "return [...document.querySelectorAll('[data-outcome]')].map(({ dataset }) => dataset.outcome).join()";
    assert_eq!(
        browser.script(outcomes).await,
        "answered,answered,answered,missed,answered,answered,answered,cancelled,missed,declined,answered"
    );
    browser.wait_text("[data-history=all] li:last-child p", "4:31").await;
    // Calls that were missed months ago are not news.
    browser.wait_until("!document.querySelector('[data-missed]').checkVisibility()").await;
    driver.finish([&browser]).await;
}

/// Every test relies on this check in `Driver::finish`.
#[tokio::test]
async fn policy_violations_and_errors_are_noticed() {
    let (driver, server) = (Driver::start().await, Server::start());
    let browser = driver.browser("alice").await;
    browser.client.goto(&server.url).await.unwrap();
    browser.wait_visible("#sign-in").await;
    browser.assert_no_console_errors().await;
    for (script, expected) in [
        (
            "const it = document.createElement('style'); it.append('p { color: red }'); document.head.append(it)",
            "Content Security Policy",
        ),
        ("const it = new Image(); it.src = 'http://127.0.0.1:9/x.png'", "Content Security Policy"),
        ("setTimeout(() => { document.body.innerHTML = '<p>' })", "TrustedHTML"),
        ("setTimeout(() => { throw new Error('uncaught') })", "uncaught"),
        ("Promise.reject(new Error('unhandled'))", "unhandled"),
        ("console.error('logged')", "logged"),
    ] {
        browser.script(script).await;
        let mut errors = browser.console_errors().await;
        while errors.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            errors = browser.console_errors().await;
        }
        assert!(errors.iter().any(|error| error.contains(expected)), "{script}: {errors:?}");
    }
    driver.finish([&browser]).await;
}
