//! Notifications: those of the open page, and those that a push brings while it is closed.
//!
//! The push service of a browser's vendor is out of reach here. The tests of `http` prove what the server sends there, and
//! Chromium's debugger hands the same message to the service worker. Nobody can click a notification of a browser without a
//! window, so the tests call the listener, for which browsers do not let the worker open or focus a window.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::driver::Driver;
use crate::support::Server;
use crate::worker::Worker;

const SOON: Duration = Duration::from_secs(20);

/// What the worker shows.
const SHOWN: &str = "registration.getNotifications().then((all) => all.map(({ title, body, silent, actions }) => \
                     [title, body, silent, actions.map(({ action }) => action).join()]))";

/// A browser with permission for notifications, in which the page of a person is open, and its service worker.
async fn permitted(driver: &Driver, server: &Server, name: &str) -> (Browser, Worker) {
    let browser = driver.browser_with_debugger(name).await;
    let permissions = json!({ "origin": server.url, "permissions": ["notifications"] });
    browser.devtools("Browser.grantPermissions", permissions).await;
    browser.devtools("ServiceWorker.enable", json!({})).await;
    browser.sign_in(server, "/").await;
    browser.wait_visible("[data-view=lobby]").await;
    let worker = driver.worker(&browser).await;
    (browser, worker)
}

async fn finish(driver: Driver, browser: &Browser, worker: Worker) {
    browser.assert_no_console_errors().await;
    worker.close_browser().await;
    driver.finish([]).await;
}

/// Another page of the same origin: the page of calls is closed. Its window is there for a while after that.
async fn close_page(browser: &Browser, server: &Server, worker: &mut Worker) {
    browser.client.goto(&format!("{}/docs/", server.url)).await.unwrap();
    let pages = "clients.matchAll({ type: 'window', includeUncontrolled: true }).then((all) => \
                 all.filter(({ url }) => !url.endsWith('/docs/')).length)";
    worker.wait_for(pages, json!(0)).await;
}

/// What the browser makes of a push for its first registration.
async fn push(browser: &Browser, server: &Server, message: Value) {
    let push = json!({ "origin": format!("{}/", server.url), "registrationId": "0", "data": message.to_string() });
    browser.devtools("ServiceWorker.deliverPushMessage", push).await;
}

fn message(kind: &str, call: &str) -> Value {
    json!({ "kind": kind, "call_id": call, "caller": "Alice Liddell", "title": null })
}

/// Calls the listener for a click on the notification that is shown.
fn click(action: &str) -> String {
    format!(
        "registration.getNotifications().then(([notification]) => {{ dispatchEvent(new NotificationEvent(\
         'notificationclick', {{ notification, action: '{action}' }})); return true; }})"
    )
}

#[tokio::test]
async fn a_push_rings_while_the_page_is_closed() {
    let (driver, server) = (Driver::start().await, Server::start());
    let alice = server.person("alice");
    let (bob, mut worker) = permitted(&driver, &server, "bob").await;
    close_page(&bob, &server, &mut worker).await;

    let call = alice.call("dm:alice:bob").await;
    push(&bob, &server, message("ring", &call)).await;
    let ring = json!([["Alice Liddell is calling", "", false, "answer,decline"]]);
    worker.wait_for(SHOWN, ring.clone()).await;
    worker.evaluate(&click("decline")).await;
    worker.wait_for(SHOWN, json!([])).await;
    server.eventually(&format!("SELECT state = 'rejected' FROM calls WHERE call_id = '{call}'"), SOON).await;
    let by = format!(
        "SELECT state || missed_ts IS NULL FROM call_participants WHERE call_id = '{call}' AND username = 'bob'"
    );
    assert_eq!(server.value::<i64>(&by), 1, "declined, not missed");

    // The page opens on the call.
    let call = alice.call("dm:alice:bob").await;
    push(&bob, &server, message("ring", &call)).await;
    worker.wait_for(SHOWN, ring.clone()).await;
    worker.evaluate("clients.openWindow = (address) => { self.opened = address; }").await;
    worker.evaluate(&click("answer")).await;
    worker.wait_for("self.opened", json!(format!("{}/?answer={call}", server.url))).await;
    worker.wait_for(SHOWN, json!([])).await;
    bob.client.goto(&format!("{}/?answer={call}", server.url)).await.unwrap();
    server.eventually(&format!("SELECT state = 'active' FROM calls WHERE call_id = '{call}'"), SOON).await;
    assert_eq!(bob.script("return location.search").await, json!(""), "a reload does not answer again");
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    bob.click("#call-close").await;

    // A person who looks at the page needs no notification.
    push(&bob, &server, message("ring", "seen")).await;
    close_page(&bob, &server, &mut worker).await;
    push(&bob, &server, message("ring", "first")).await;
    worker.wait_for(SHOWN, ring.clone()).await;
    // How the ring ends takes its place.
    push(&bob, &server, message("answered", "first")).await;
    worker.wait_for(SHOWN, json!([["Answered on another device", "Alice Liddell", true, ""]])).await;
    push(&bob, &server, message("missed", "first")).await;
    worker.wait_for(SHOWN, json!([["Missed call from Alice Liddell", "", false, ""]])).await;
    worker.evaluate("delete self.opened").await;
    worker.evaluate(&click("")).await;
    worker.wait_for("self.opened", json!(format!("{}/#history", server.url))).await;
    finish(driver, &bob, worker).await;
}

#[tokio::test]
async fn the_worker_shows_what_rings_while_the_page_is_in_the_background() {
    let (driver, server) = (Driver::start().await, Server::start());
    let alice = server.person("alice");
    let (bob, mut worker) = permitted(&driver, &server, "bob").await;
    let page = bob.client.window().await.unwrap();
    let tab = bob.client.new_window(true).await.unwrap().handle;
    bob.client.switch_to_window(tab).await.unwrap();

    let call = alice.call("dm:alice:bob").await;
    let ring = json!([["alice is calling", "alice", false, "answer,decline"]]);
    worker.wait_for(SHOWN, ring.clone()).await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    worker.wait_for(SHOWN, json!([])).await;

    // The page that is open answers.
    let call = alice.call("dm:alice:bob").await;
    worker.wait_for(SHOWN, ring).await;
    worker.evaluate("WindowClient.prototype.focus = async () => { self.focused = true; }").await;
    worker.evaluate(&click("answer")).await;
    worker.wait_for("self.focused", json!(true)).await;
    server.eventually(&format!("SELECT state = 'active' FROM calls WHERE call_id = '{call}'"), SOON).await;
    bob.client.switch_to_window(page).await.unwrap();
    bob.wait_visible("[data-view=call]").await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    finish(driver, &bob, worker).await;
}

/// Without the vendor's service `subscribe` fails, so the test takes its place.
const SUBSCRIBE: &str = "
    let subscription = null;
    const keys = { p256dh: 'BP' + 'a'.repeat(85), auth: 'a'.repeat(22) };
    PushManager.prototype.getSubscription = async () => subscription;
    PushManager.prototype.subscribe = async ({ applicationServerKey }) => (subscription = {
        options: { applicationServerKey },
        toJSON: () => ({ endpoint: 'https://push.example.org/1', expirationTime: null, keys }),
        unsubscribe: async () => { subscription = null; return true; },
    });";

const SUBSCRIBED: &str = "SELECT count(*) = 1 FROM push_subscriptions WHERE username = 'bob'";
const NOT_SUBSCRIBED: &str = "SELECT count(*) = 0 FROM push_subscriptions";

#[tokio::test]
async fn a_person_turns_notifications_on_and_off() {
    let (driver, server) = (Driver::start().await, Server::start());
    let (bob, worker) = permitted(&driver, &server, "bob").await;
    let open = async || {
        bob.click("#open-account").await;
        bob.wait_visible("#push-status:not(:empty)").await;
    };
    let close = async || bob.click("#account [data-answer=done]").await;
    open().await;
    bob.wait_text("#push-status", "an administrator has not turned it on").await;
    assert_eq!(bob.script("return document.querySelector('#push-toggle').disabled").await, json!(true));
    close().await;
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1)");

    bob.script(SUBSCRIBE).await;
    open().await;
    bob.wait_text("#push-status", "Off in this browser.").await;
    bob.click("#push-toggle").await;
    bob.wait_text("#push-status", "On in this browser.").await;
    server.eventually(SUBSCRIBED, SOON).await;
    bob.click("#push-toggle").await;
    bob.wait_text("#push-status", "Off in this browser.").await;
    server.eventually(NOT_SUBSCRIBED, SOON).await;

    // The page subscribes again with a new session, and not for the next person.
    bob.click("#push-toggle").await;
    server.eventually(SUBSCRIBED, SOON).await;
    close().await;
    bob.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": SUBSCRIBE })).await;
    server.execute("DELETE FROM sessions WHERE username = 'bob'");
    server.eventually(NOT_SUBSCRIBED, SOON).await;
    bob.wait_visible("#sign-in").await;
    bob.sign_in(&server, "/").await;
    server.eventually(SUBSCRIBED, SOON).await;
    bob.click("#open-account").await;
    bob.click("#sign-out").await;
    bob.wait_visible("#sign-in").await;
    server.eventually(NOT_SUBSCRIBED, SOON).await;
    bob.sign_in(&server, "/").await;
    open().await;
    bob.wait_text("#push-status", "Off in this browser.").await;
    finish(driver, &bob, worker).await;
}
