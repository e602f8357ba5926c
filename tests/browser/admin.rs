//! The page for admins.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::driver::Driver;
use crate::support::{Server, assert_refused};

/// A browser of alice, who is an admin, at the page.
async fn admin(driver: &Driver, server: &Server) -> Browser {
    server.person("alice");
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    let alice = driver.signed_in_at(server, "alice", "/").await;
    alice.click("#open-admin").await;
    alice.wait_visible("[data-view=admin]").await;
    alice
}

/// Opens a section of the page.
async fn open(browser: &Browser, section: &str) {
    browser.click(&format!("[data-section={section}]")).await;
    browser.wait_visible(&format!("[data-section={section}][aria-current=page]")).await;
}

/// Replaces the text of a field.
async fn fill(browser: &Browser, selector: &str, text: &str) {
    browser.wait_visible(selector).await;
    browser.script(&format!("document.querySelector({}).value = ''", Value::from(selector))).await;
    browser.type_into(selector, text).await;
}

/// Chooses an option of a select element.
async fn choose(browser: &Browser, selector: &str, value: &str) {
    browser.wait_visible(selector).await;
    browser.script(&format!("document.querySelector({}).value = {}", Value::from(selector), Value::from(value))).await;
}

#[tokio::test]
async fn admin_page_refuses_members_and_asks_strangers_to_sign_in() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.run(&["user", "add", "alice", "--admin"], "rabbit hole");
    let bob = driver.browser("bob").await;
    bob.client.goto(&format!("{}/admin", server.url)).await.unwrap();
    bob.type_into("#username", "alice").await;
    bob.type_into("#password", "rabbit hole").await;
    bob.click("#sign-in").await;
    bob.wait_text("#section h2", "Live calls").await;

    bob.sign_in(&server, "/").await;
    bob.wait_visible("#open-account").await;
    bob.wait_until("!document.querySelector('#open-admin').checkVisibility()").await;
    bob.client.goto(&format!("{}/admin", server.url)).await.unwrap();
    bob.wait_text("#admin-only", "This page is for admins only.").await;
    bob.wait_absent("[data-section]").await;
    driver.finish([&bob]).await;
}

#[tokio::test]
async fn admin_adds_changes_and_removes_a_person() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.person("bob");
    let alice = admin(&driver, &server).await;
    open(&alice, "people").await;
    alice.wait_visible("[data-edit=bob]").await;
    alice.click("#add-person").await;
    alice.type_into("#new-username", "bob").await;
    alice.type_into("#new-person-password", "rabbit hole").await;
    alice.click("#new-person button").await;
    alice.wait_until("document.querySelector('#new-person [role=alert]').textContent.length > 5").await;
    fill(&alice, "#new-username", "dave").await;
    alice.type_into("#new-display-name", "David").await;
    alice.click("#new-person button").await;
    alice.wait_absent("dialog").await;
    alice.wait_visible("[data-edit=dave]").await;

    alice.type_into("#admin-people-search", "DAVI").await;
    alice.wait_absent("[data-edit=bob]").await;
    alice.wait_text("#admin-people strong", "David").await;

    let dave = server.person("dave");
    alice.click("[data-edit=dave]").await;
    fill(&alice, "#display-name", "David Example").await;
    alice.click("#rename-person button").await;
    alice.wait_text("#rename-person [role=status]", "Display name saved.").await;
    choose(&alice, "#role", "admin").await;
    alice.click("#person-role button").await;
    alice.wait_text("#person-role [role=status]", "Role saved.").await;
    let person = "SELECT display_name || ', ' || role FROM users WHERE username = 'dave'";
    assert_eq!(server.value::<String>(person), "David Example, admin");
    alice.click("#person-sessions [data-end]").await;
    alice.wait_absent("#person-sessions [data-end]").await;
    assert_refused(&dave.get("/me").await, 401, "unauthorized");
    alice.type_into("#person-password", "short").await;
    alice.click("#set-password button").await;
    alice.wait_text("#set-password [role=alert]", "A password has 8 to 1024 characters.").await;
    fill(&alice, "#person-password", "looking glass").await;
    alice.click("#set-password button").await;
    alice.wait_text("#set-password [role=status]", "Password set.").await;
    alice.click("#person [data-answer=done]").await;
    alice.wait_text("#admin-people strong", "David Example").await;
    alice.wait_text("#admin-people p", "dave · admin · 0 sessions").await;

    let stranger = driver.browser("stranger").await;
    stranger.client.goto(&server.url).await.unwrap();
    stranger.type_into("#username", "dave").await;
    stranger.type_into("#password", "looking glass").await;
    stranger.click("#sign-in").await;
    stranger.wait_visible("#open-admin").await;

    alice.click("[data-edit=dave]").await;
    alice.click("#remove-person").await;
    alice.click("[data-answer=cancel]").await;
    alice.wait_absent("#confirm").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM users WHERE username = 'dave'"), 1);
    alice.click("#remove-person").await;
    alice.click("[data-answer=confirm]").await;
    alice.wait_absent("[data-edit=dave]").await;
    stranger.wait_text("#sign-in-error", "You have been signed out.").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM users WHERE username = 'dave'"), 0);
    server.assert_integrity();
    driver.finish([&alice, &stranger]).await;
}

#[tokio::test]
async fn admin_manages_channels_and_their_members() {
    let (driver, server) = (Driver::start().await, Server::start());
    let [bob, _carol] = ["bob", "carol"].map(|name| server.person(name));
    let alice = admin(&driver, &server).await;
    open(&alice, "channels").await;
    alice.click("#add-channel").await;
    alice.type_into("#new-title", "Tea party").await;
    alice.type_into("#new-members", "alice, nobody").await;
    alice.click("#new-channel button").await;
    alice.wait_text("#new-channel [role=alert]", "no such user").await;
    fill(&alice, "#new-members", "alice, bob").await;
    alice.click("#new-channel button").await;
    alice.wait_text("#admin-channels p", "2 members · alice, bob").await;

    alice.click("[data-edit]").await;
    fill(&alice, "#new-channel-title", "Croquet").await;
    alice.click("#rename-channel button").await;
    alice.wait_text("#rename-channel [role=status]", "Title saved.").await;
    alice.type_into("#new-member", "carol").await;
    alice.click("#join-channel button").await;
    alice.wait_visible("#channel-members [data-member=carol]").await;
    alice.click("[data-remove=bob]").await;
    alice.wait_absent("[data-member=bob]").await;
    assert_eq!(bob.read("/me").await["channels"], json!([]));
    alice.click("#channel [data-answer=done]").await;
    alice.client.refresh().await.unwrap();
    alice.wait_text("#admin-channels strong", "Croquet").await;
    alice.wait_text("#admin-channels p", "2 members · alice, carol").await;

    alice.click("[data-edit]").await;
    alice.click("#remove-channel").await;
    alice.click("[data-answer=confirm]").await;
    alice.wait_text("#section [role=status]", "There are no private channels.").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM private_channels"), 0);
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn admin_ends_a_call_and_finds_it_in_the_history() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.execute("UPDATE settings SET value = 600 WHERE name IN ('ringing_timeout', 'presence_timeout')");
    let [bob, carol] = ["bob", "carol"].map(|name| server.person(name));
    let alice = admin(&driver, &server).await;
    alice.wait_text("#section [role=status]", "There are no live calls.").await;
    // The list follows the calls.
    let call = bob.call("dm:bob:carol").await;
    alice.wait_text("#admin-calls li", "ringing: carol").await;
    carol.post(&format!("/calls/{call}/accept")).await;
    alice.wait_text("#admin-calls li", "on the call: bob, carol").await;
    alice.click(&format!("[data-end='{call}']")).await;
    alice.click("[data-answer=confirm]").await;
    alice.wait_absent("[data-end]").await;
    let state = bob.read(&format!("/calls/{call}/state")).await;
    assert_eq!(state["ended_reason"], "admin");
    let declined = bob.call("dm:alice:bob").await;
    assert_eq!(server.person("alice").post(&format!("/calls/{declined}/reject")).await.0, 200);

    open(&alice, "history").await;
    let shows = async |outcomes: &[&str]| {
        let shown = "[...document.querySelectorAll('#admin-history li')].map(({ dataset }) => dataset.outcome).join()";
        alice.wait_until(&format!("{shown} === {}", Value::from(outcomes.join(",")))).await;
    };
    shows(&["declined", "answered"]).await;
    alice.wait_text(&format!("#admin-history [data-call='{call}']"), "answered (admin)").await;
    alice.type_into("#history-person", "carol").await;
    alice.click("#history-filter button").await;
    shows(&["answered"]).await;
    fill(&alice, "#history-person", "bob").await;
    choose(&alice, "#history-outcome", "declined").await;
    alice.click("#history-filter button").await;
    shows(&["declined"]).await;
    alice.type_into("#history-channel", "dm:carol:bob").await;
    alice.click("#history-filter button").await;
    alice.wait_text("#section section > [role=status]", "No calls found.").await;

    open(&alice, "violations").await;
    alice.wait_text("#violations-message", "Nothing is wrong.").await;
    server.execute("DROP VIEW live_calls");
    alice.click("#check-again").await;
    alice.wait_text("#admin-violations", "the view live_calls is missing").await;
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn older_finished_calls_load_page_by_page() {
    let (driver, server) = (Driver::start().await, Server::start());
    server.lift_limits();
    let bob = server.person("bob");
    let alice = admin(&driver, &server).await;
    for _ in 0..53 {
        let call = bob.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/end")).await.0, 200);
    }
    open(&alice, "history").await;
    let rows = "document.querySelectorAll('#admin-history li').length";
    alice.wait_until(&format!("{rows} === 50")).await;
    alice.click("#history-more").await;
    alice.wait_until(&format!("{rows} === 53")).await;
    alice.wait_until("!document.querySelector('#history-more').checkVisibility()").await;
    driver.finish([&alice]).await;
}

#[tokio::test]
async fn admin_sets_and_resets_settings() {
    let (driver, server) = (Driver::start().await, Server::start());
    let alice = admin(&driver, &server).await;
    open(&alice, "settings").await;
    let set = async |name: &str, value: &str| {
        fill(&alice, &format!("#setting-{name}"), value).await;
        alice.click(&format!("[data-set={name}]")).await;
    };
    let row = "[data-setting=ringing_timeout]";
    alice.wait_text(row, "0.1 to 3600 seconds · default 30 · now 30").await;
    alice.wait_text(row, "an unanswered invitation stops ringing after this long").await;
    set("ringing_timeout", "45").await;
    alice.wait_text(row, "Saved.").await;
    alice.wait_text("[data-value=ringing_timeout]", "45").await;
    let value = "SELECT value FROM settings WHERE name = 'ringing_timeout'";
    assert_eq!(server.value::<i64>(value), 45);

    let refusal = format!("{row} [role=alert]");
    set("ringing_timeout", "soon").await;
    alice.wait_text(&refusal, "number").await;
    set("ringing_timeout", "4000").await;
    alice.wait_text(&refusal, "range").await;
    set("presence_interval", "50").await;
    alice
        .wait_until("document.querySelector('[data-setting=presence_interval] [role=alert]').textContent !== ''")
        .await;
    assert_eq!(server.value::<i64>(value), 45);
    alice.click("[data-reset=ringing_timeout]").await;
    alice.wait_text(row, "The default is in force.").await;
    alice.wait_until("document.querySelector('#setting-ringing_timeout').value === '30'").await;
    assert_eq!(server.value::<i64>(value), 30);

    let servers = r#"[{"urls": "stun:stun.example.org:3478"}]"#;
    set("ice_servers", servers).await;
    alice.wait_text("[data-value=ice_servers]", servers).await;
    assert_eq!(server.value::<String>("SELECT value FROM settings WHERE name = 'ice_servers'"), servers);
    driver.finish([&alice]).await;
}
