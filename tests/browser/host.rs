//! The example of a host application, `tests/host/`: its users call each other on its page.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;

/// The secret with which the application signs tokens.
const TOKEN_SECRET: &str = "a secret of the chat and of the server of calls";

/// The application's back end.
struct Host {
    url: String,
    process: Child,
}

impl Host {
    /// Starts it with tokens that are valid for so many seconds, and lets it use `server`, which tells it of calls.
    fn start(server: &Server, token_seconds: u32) -> Self {
        let add = ["issuer", "add", "chat", "--algorithm", "HS256", "--key", "-", "--clock-skew", "0s"];
        server.run(&add, TOKEN_SECRET);
        // The secret is known before the process starts, so the port is, too.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let webhook = format!("http://localhost:{port}/webhooks");
        let kinds = ["--kind", "call.started", "--kind", "call.accepted", "--kind", "call.ended"];
        let printed = server.run(&[&["webhook", "add", "chat", &webhook, "--allow-private"], &kinds[..]].concat(), "");
        let secret = printed.split_whitespace().find(|word| word.starts_with("whsec_")).expect("a secret");
        let mut process = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/server.js"))
            .env("CALLS", &server.url)
            .env("TOKEN_SECRET", TOKEN_SECRET)
            .env("TOKEN_SECONDS", token_seconds.to_string())
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run installs nodejs");
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let origins = json!([url]).to_string();
        server.sql().execute("UPDATE settings SET value = ?1 WHERE name = 'allowed_origins'", [origins]).unwrap();
        Self { url, process }
    }

    /// Waits until the back end has learned of this many events, and returns them in the order of their arrival.
    async fn events(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = reqwest::get(format!("{}/call-events", self.url)).await.unwrap();
            let events: Vec<Value> = answer.json().await.unwrap();
            if events.len() >= count {
                return events;
            }
            assert!(Instant::now() < deadline, "{events:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A browser in which a user of the application has logged in.
    async fn visited_by(&self, driver: &Driver, user: &str) -> Browser {
        let browser = driver.browser(user).await;
        browser.client.goto(&format!("{}/login?user={user}", self.url)).await.unwrap();
        browser.wait_until(&format!("{ELEMENT}.calls?.state === 'open'")).await;
        // What the connection does from now on.
        let record = format!("window.states = []; {ELEMENT}.calls.on('state', (state) => window.states.push(state))");
        browser.script(&record).await;
        browser
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const ELEMENT: &str = "document.querySelector('minimost-call')";

#[tokio::test]
async fn users_of_a_host_application_call_each_other_on_its_page() {
    let (driver, server) = (Driver::start().await, Server::start());
    let host = Host::start(&server, 8);
    let [ada, grace] = [host.visited_by(&driver, "ada").await, host.visited_by(&driver, "grace").await];
    ada.press_in_element("call").await;
    grace.wait_in_element("status", "Ada Lovelace is calling.").await;
    grace.press_in_element("answer-video").await;
    ada.wait_media(1, Media::Both).await;
    grace.wait_media(1, Media::Audio).await;
    assert_eq!(server.value::<String>("SELECT channel FROM calls WHERE state = 'active'"), "private:1");

    // The call outlives several tokens.
    for browser in [&ada, &grace] {
        let streams = browser.script("return window.streams.length").await.as_u64().unwrap();
        browser.wait_until(&format!("window.streams.length >= {streams} + 3")).await;
        assert_eq!(browser.script("return window.streams.filter(({ isOpen }) => isOpen).length").await, json!(1));
        assert_eq!(browser.script("return window.states").await, json!([]), "the connection was never lost");
    }
    ada.wait_media(1, Media::Both).await;
    grace.wait_media(1, Media::Audio).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM events WHERE kind IN ('left', 'ended')"), 0);

    grace.press_in_element("leave").await;
    for browser in [&ada, &grace] {
        browser.wait_text("#history", "Ada Lovelace called: answered").await;
    }
    let forged = reqwest::Client::new().post(format!("{}/webhooks", host.url)).body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 401, "only signed events count");
    let events = host.events(3).await;
    let call: String = server.value("SELECT call_id FROM calls");
    let learned: Vec<Value> = events
        .iter()
        .map(|event| json!([event["type"], event["data"]["call_id"], event["data"]["display_name"]]))
        .collect();
    let started = json!(["call.started", call, "Ada Lovelace"]);
    let accepted = json!(["call.accepted", call, "Grace Hopper"]);
    assert_eq!(learned[..2], [started, accepted]);
    assert_eq!([&events[2]["type"], &events[2]["data"]["call_id"]], [&json!("call.ended"), &json!(call)]);
    assert_eq!(events.len(), 3);
    server.assert_integrity();
    driver.finish([&ada, &grace]).await;
}

#[tokio::test]
async fn somebody_who_is_not_logged_in_at_the_host_application_cannot_call() {
    let (driver, server) = (Driver::start().await, Server::start());
    let host = Host::start(&server, 300);
    let stranger = driver.browser("stranger").await;
    stranger.client.goto(&host.url).await.unwrap();
    stranger.wait_in_element("status", "Not signed in.").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM users"), 0);
    driver.finish([&stranger]).await;
}
