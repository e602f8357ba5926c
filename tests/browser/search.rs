//! The search over people and channels, by keyboard.

use serde_json::json;

use crate::browser::Browser;
use crate::driver::Driver;
use crate::support::Server;
use crate::views::set_display_name;

const DOWN: &str = "\u{E015}";
const UP: &str = "\u{E013}";
const END: &str = "\u{E010}";
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const CONTROL_K: &str = "\u{E009}k\u{E000}";

/// What the list shows, by title, in order.
const TITLES: &str = "[...document.querySelectorAll('#directory .entry strong')]
    .filter((title) => title.checkVisibility()).map(({ textContent }) => textContent)";

async fn wait_titles(browser: &Browser, titles: &[&str]) {
    browser.wait_until(&format!("JSON.stringify({TITLES}) === JSON.stringify({})", json!(titles))).await;
}

async fn wait_focus(browser: &Browser, selector: &str) {
    browser.wait_until(&format!("document.activeElement.matches({})", json!(selector))).await;
}

#[tokio::test]
async fn a_directory_of_two_hundred_is_one_keystroke_away() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.people(200);
    for (name, display_name) in [("jose", "José Muñoz"), ("lukasz", "Łukasz Nowak"), ("zoe", "Zoë O'Hara")] {
        server.person(name);
        set_display_name(&server, name, display_name);
    }
    let alice = driver.browser("alice").await;
    server.person("alice");
    let team = server.private_channel(&["alice", "jose"]);
    server.execute(&format!("UPDATE private_channels SET name = 'Größte Runde' WHERE 'private:' || id = '{team}'"));
    alice.sign_in(&server, "/").await;
    alice.wait_visible("[data-person=jose]").await;

    // All of them are one stop of the Tab key.
    let stops = "return [...document.querySelectorAll('#directory a')].filter(({ tabIndex }) => tabIndex >= 0).length";
    assert_eq!(alice.script(stops).await, json!(1));
    assert_eq!(alice.script(&format!("return {TITLES}.length")).await, json!(204));

    // Case and accents do not matter, and a user name finds its person.
    alice.press("/").await;
    wait_focus(&alice, "#search").await;
    for (query, found) in [
        ("MUNOZ", &["José Muñoz"][..]),
        ("jose mu", &["José Muñoz"]),
        ("lukas", &["Łukasz Nowak"]),
        ("zoe", &["Zoë O'Hara"]),
        ("grosste", &["Größte Runde"]),
        (
            "person19",
            &[
                "person19",
                "person190",
                "person191",
                "person192",
                "person193",
                "person194",
                "person195",
                "person196",
                "person197",
                "person198",
                "person199",
            ],
        ),
        ("nobody at all", &[]),
    ] {
        alice.press(ESCAPE).await;
        alice.press(query).await;
        wait_titles(&alice, found).await;
    }
    alice.wait_text("#search-outcome", "Nothing found").await;

    // The arrow keys move, typing continues the search, and Enter opens.
    alice.press(ESCAPE).await;
    alice.press("person19").await;
    alice.press(DOWN).await;
    wait_focus(&alice, "[data-person=person19]").await;
    for (key, person) in [(DOWN, "person190"), (END, "person199"), (UP, "person198")] {
        alice.press(key).await;
        wait_focus(&alice, &format!("[data-person={person}]")).await;
    }
    alice.press("7").await;
    wait_focus(&alice, "#search").await;
    wait_titles(&alice, &["person197"]).await;
    alice.press(ENTER).await;
    alice.wait_text("[data-title]", "person197").await;
    wait_focus(&alice, "#pane").await;
    alice.wait_until("document.querySelector('#search').value === ''").await;

    // Ctrl+K searches from anywhere but a dialog.
    alice.click("#open-devices").await;
    alice.wait_visible("#devices[open]").await;
    alice.press(CONTROL_K).await;
    assert_eq!(alice.script("return document.activeElement.id === 'search'").await, json!(false));
    alice.click("#devices [data-answer=done]").await;
    alice.press(CONTROL_K).await;
    wait_focus(&alice, "#search").await;
    alice.press("runde").await;
    wait_titles(&alice, &["Größte Runde"]).await;
    alice.press(ENTER).await;
    alice.wait_text("[data-title]", "Größte Runde").await;
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn recent_conversations_come_first() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [alice, carol] = ["alice", "carol"].map(|name| server.person(name));
    for name in ["bob", "dave"] {
        server.person(name);
    }
    for other in ["dave", "carol"] {
        let channel = format!("dm:alice:{other}");
        let call = alice.call(&channel).await;
        alice.post(&format!("/calls/{call}/end")).await;
    }
    let browser = driver.signed_in_at(&server, "alice", "/").await;
    wait_titles(&browser, &["carol", "dave", "bob"]).await;
    let call = alice.call("dm:alice:dave").await;
    alice.post(&format!("/calls/{call}/end")).await;
    wait_titles(&browser, &["dave", "carol", "bob"]).await;
    // A call in progress is above them.
    carol.call("dm:alice:carol").await;
    wait_titles(&browser, &["carol", "dave", "bob"]).await;
    browser.press("/").await;
    browser.press("a").await;
    wait_titles(&browser, &["carol", "dave"]).await;
    driver.finish([&browser]).await;
}
