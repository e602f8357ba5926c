//! The example of a host application, `tests/host/`: its users call each other on its page.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

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
    /// Starts it with tokens that are valid for so many seconds, and lets it use `server`.
    fn start(server: &Server, token_seconds: u32) -> Self {
        let add = ["issuer", "add", "chat", "--algorithm", "HS256", "--key", "-", "--clock-skew", "0s"];
        server.run(&add, TOKEN_SECRET);
        let mut process = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/server.js"))
            .env("CALLS", &server.url)
            .env("TOKEN_SECRET", TOKEN_SECRET)
            .env("TOKEN_SECONDS", token_seconds.to_string())
            .env("PORT", "0")
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
