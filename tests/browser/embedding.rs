//! The client library and its element in a page of another site, which calls a person on the ordinary page.
//!
//! `localhost` and 127.0.0.1 are different sites for a browser.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::axe::Axe;
use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::{Server, eventually};

/// A web server that knows nothing of calls but a person's token.
struct Host {
    origin: String,
    pages: Arc<Mutex<HashMap<&'static str, String>>>,
}

impl Host {
    /// Starts it, and lets its pages use `server`.
    fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let pages = Arc::<Mutex<HashMap<&'static str, String>>>::default();
        let all = pages.clone();
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
                let line = lines.next().unwrap_or_default();
                lines.find(String::is_empty);
                let page = line.split(' ').nth(1).and_then(|path| all.lock().unwrap().get(path).cloned());
                let (status, body) = page.map_or(("404 Not Found", String::new()), |page| ("200 OK", page));
                let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close");
                // A browser closes connections that it does not need.
                drop(write!(client, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            }
        });
        let origins = json!([origin]).to_string();
        server.sql().execute("UPDATE settings SET value = ?1 WHERE name = 'allowed_origins'", [origins]).unwrap();
        Self { origin, pages }
    }

    fn serve(&self, path: &'static str, body: &str) {
        self.pages.lock().unwrap().insert(path, body.to_owned());
    }

    /// A browser of `name` with a page of this host. The host has a token of theirs.
    async fn visited_by(&self, driver: &Driver, server: &Server, name: &str, body: &str) -> Browser {
        self.serve("/calls-token", &server.person(name).token);
        let head = "<meta charset=\"utf-8\"><title>Chat</title><link rel=\"icon\" href=\"data:,\">";
        let page = body.replace("https://calls.example.org", &server.url);
        self.serve(
            "/",
            &format!("<!doctype html><html lang=\"en\"><head>{head}</head><body><main>{page}</main></body></html>"),
        );
        let browser = driver.browser(name).await;
        browser.client.goto(&self.origin).await.unwrap();
        browser
    }
}

/// The example of the documentation.
fn example(containing: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/protocol.md");
    let page = fs::read_to_string(page).unwrap();
    let mut blocks = page.split("```html\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(containing)).expect("an example").to_owned()
}

/// A call of alice at another site with bob. `click` presses a button of hers.
async fn they_talk(server: &Server, alice: &Browser, bob: &Browser, click: impl AsyncFn(&str)) {
    // He calls her.
    bob.call("alice", "#call-video").await;
    click("answer").await;
    for browser in [alice, bob] {
        browser.wait_media(1, Media::Audio).await;
    }
    bob.click("#leave").await;
    alice.wait_until("window.connections.every(({ connectionState }) => connectionState === 'closed')").await;
    assert_eq!(server.value::<String>("SELECT outcome FROM call_history"), "answered");
    bob.click("#call-close").await;
    // She calls him, and he declines.
    click("call").await;
    bob.click("[data-action=decline]").await;
    eventually(Duration::from_secs(20), "the calls", 2_i64, || server.value("SELECT count(*) FROM call_history")).await;
    // She calls again.
    click("call").await;
    bob.click("[data-action=answer-video]").await;
    bob.wait_media(1, Media::Audio).await;
    alice.wait_media(1, Media::Both).await;
}

/// Kills the server during the call, and starts it again: the call continues, and events arrive.
async fn call_survives_a_restart(server: Server, alice: &Browser, bob: &Browser) -> Server {
    let address = server.url.trim_start_matches("http://").to_owned();
    let (folder, _) = server.stop(Signal::SIGKILL);
    bob.wait_visible("[data-call-offline]").await;
    let server = Server::start_on(&address, folder, &[]);
    let returned = "SELECT count(*) FROM call_participants WHERE state = 'accepted' AND leaves_ts IS NULL";
    eventually(Duration::from_secs(20), "the people who have returned", 2_i64, || server.value(returned)).await;
    alice.wait_until("window.streams.filter(({ isOpen }) => isOpen).length === 1").await;
    alice.wait_media(1, Media::Both).await;
    bob.wait_media(1, Media::Audio).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls WHERE state = 'active'"), 1);
    server
}

fn start() -> Server {
    let server = Server::start();
    server.execute("UPDATE settings SET value = 60 WHERE name = 'restart_grace'");
    server
}

#[tokio::test]
async fn a_page_of_another_site_calls_with_the_library() {
    let (driver, server) = (Driver::start().await, start());
    let host = Host::start(&server);
    let alice = host.visited_by(&driver, &server, "alice", &example("minimost-calls.js")).await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    let click = async |name: &str| alice.click(&format!("#{name}")).await;
    they_talk(&server, &alice, &bob, click).await;
    alice
        .wait_until("document.querySelector('#video').videoWidth > 0 || !document.querySelector('#video').paused")
        .await;
    let server = call_survives_a_restart(server, &alice, &bob).await;
    bob.click("#leave").await;
    bob.click("#call-close").await;
    bob.click("#call-video").await;
    alice.wait_visible("#answer").await;
    bob.click("#leave").await;
    alice.wait_until("document.querySelector('#answer').hidden").await;
    server.assert_integrity();
    driver.finish([&alice, &bob]).await;
}

/// A site that the setting does not name gets nothing.
#[tokio::test]
async fn a_page_of_a_site_that_is_not_allowed_does_not_connect() {
    let (driver, server) = (Driver::start().await, Server::start());
    let host = Host::start(&server);
    server.execute("UPDATE settings SET value = '[\"https://chat.example.org\"]' WHERE name = 'allowed_origins'");
    let page = "<p id=\"state\"></p>
        <script type=\"module\">
          import { connect } from \"https://calls.example.org/client/v1/minimost-calls.js\";
          const calls = connect({ server: \"https://calls.example.org\", token: async () => (await fetch(\"/calls-token\")).text() });
          calls.on(\"error\", (error) => document.querySelector(\"#state\").append(`${calls.state} ${error.name};`));
        </script>";
    let alice = host.visited_by(&driver, &server, "alice", page).await;
    alice.wait_text("#state", "reconnecting").await;
    assert_eq!(alice.script("return window.streams.length").await, json!(0));
    driver.finish([]).await;
}

/// The events that the element has dispatched.
async fn dispatched(browser: &Browser) -> Value {
    browser.script("return window.dispatched").await
}

/// Lays the element out in a box, and returns what is wider than its box.
async fn overflowing(browser: &Browser, width: u32, scheme: &str) -> Value {
    let script = format!(
        "const element = document.querySelector('minimost-call');
         element.parentElement.style.width = '{width}px';
         document.documentElement.style.colorScheme = '{scheme}';
         const isTooWide = (one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1;
         const isCut = (one) => getComputedStyle(one).overflowX === 'hidden';
         return [element, ...element.shadowRoot.querySelectorAll(':not(svg)')]
             .filter((one) => one.checkVisibility() && isTooWide(one) && (one === element || !isCut(one)))
             .map((one) => one.cloneNode().outerHTML);"
    );
    browser.script(&script).await
}

/// Checks the present view of the element in narrow and wide boxes, light and dark.
async fn assert_accessible(axe: &Axe, browser: &Browser, view: &str) {
    for (width, scheme) in [(280, "light"), (280, "dark"), (900, "dark"), (900, "light")] {
        assert_eq!(overflowing(browser, width, scheme).await, json!([]), "{view}, {width}, {scheme}");
        let faults = axe.faults(browser).await;
        assert!(faults.is_empty(), "{view}, {width}, {scheme}: {faults:#?}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_calls_with_the_element() {
    let (driver, server) = (Driver::start().await, start());
    server.execute("UPDATE settings SET value = 600 WHERE name = 'ringing_timeout'");
    let source = driver.browser("axe").await;
    let axe = Axe::from(&source).await;
    let host = Host::start(&server);
    let record = "<script>
          window.dispatched = [];
          for (const name of ['incoming', 'call-started', 'call-ended']) {
            addEventListener(name, () => window.dispatched.push(name));
          }
        </script>";
    let page = format!("{record}<h1>Chat</h1><div>{}</div>", example("<minimost-call"));
    let alice = host.visited_by(&driver, &server, "alice", &page).await;
    let bob = driver.signed_in_at(&server, "bob", "/").await;
    alice.wait_until("document.querySelector('minimost-call').calls?.state === 'open'").await;
    assert_accessible(&axe, &alice, "idle").await;

    let click = async |action: &str| {
        if action == "answer" {
            alice.wait_in_element("status", "bob is calling.").await;
            assert_accessible(&axe, &alice, "ringing").await;
        }
        alice.press_in_element(action).await;
    };
    they_talk(&server, &alice, &bob, click).await;
    let mine = "document.querySelector('minimost-call')";
    alice.wait_until(&format!("{mine}.shadowRoot.querySelector('[data-tile=bob] video').videoWidth > 0")).await;
    assert_accessible(&axe, &alice, "call").await;
    alice.press_in_element("camera").await;
    bob.wait_media(1, Media::Both).await;
    alice.press_in_element("mute").await;
    bob.wait_until("document.querySelector('[data-tile=alice] .tile-muted').checkVisibility()").await;
    alice.press_in_element("share").await;
    bob.wait_until("document.querySelector('[data-kind=screen] video')?.videoWidth > 0").await;
    alice.press_in_element("share").await;
    bob.wait_absent("[data-kind=screen]").await;

    let server = call_survives_a_restart(server, &alice, &bob).await;
    // An element that is moved keeps its call.
    alice.script(&format!("document.querySelector('main').append({mine}.parentElement)")).await;
    alice.wait_media(1, Media::Both).await;
    alice.press_in_element("leave").await;
    bob.wait_visible("#call-ended-reason").await;
    bob.click("#call-close").await;
    bob.click("#call-voice").await;
    alice.press_in_element("decline").await;
    bob.wait_visible("#call-ended-reason").await;
    let (ring, call) = ("incoming", ["call-started", "call-ended"].as_slice());
    assert_eq!(dispatched(&alice).await, json!([&[ring], call, call, call, &[ring]].concat()));
    // One that is removed closes its connection.
    alice.script(&format!("{mine}.remove()")).await;
    alice.wait_until("window.streams.every(({ isOpen }) => !isOpen)").await;
    server.assert_integrity();
    driver.finish([&source, &alice, &bob]).await;
}
