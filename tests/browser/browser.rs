//! One person's browser.

use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::bidi::Bidi;
use crate::support::Server;
use crate::views::Viewport;

/// Longer than anything on a page takes, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Sums what all open connections have received; `width` is the largest video's.
const MEDIA_STATS: &str = "
    const done = arguments[0];
    const sum = { connections: 0, audio: 0, energy: 0, video: 0, frames: 0, width: 0 };
    (async () => {
        for (const connection of window.connections.filter(({ connectionState }) => connectionState === 'connected')) {
            sum.connections += 1;
            for (const report of (await connection.getStats()).values()) {
                if (report.type === 'inbound-rtp') {
                    sum[report.kind] += report.bytesReceived;
                    sum.energy += report.totalAudioEnergy ?? 0;
                    sum.frames += report.framesDecoded ?? 0;
                    sum.width = Math.max(sum.width, report.frameWidth ?? 0);
                }
            }
        }
        sum.energy = Math.floor(sum.energy * 1000);
    })().then(() => done(sum), (error) => done({ error: String(error) }));";

/// What a test expects to receive.
#[derive(Clone, Copy, Debug)]
pub enum Media {
    Audio,
    Video,
    Both,
}

/// What all open connections have received.
#[derive(Clone, Copy, Debug)]
pub struct MediaStats {
    pub connections: u64,
    pub audio: u64,
    /// Audio energy in thousandths. It grows with loud sound and not with silence.
    pub energy: u64,
    pub video: u64,
    pub frames: u64,
    pub width: u64,
}

/// How a browser takes commands that are not part of WebDriver.
pub enum Commands {
    /// The session's URL at chromedriver.
    Chromium(String),
    Firefox(Box<Bidi>),
}

/// One person's browser.
pub struct Browser {
    pub name: String,
    pub client: Client,
    commands: Commands,
}

impl Browser {
    pub fn new(name: &str, client: Client, commands: Commands) -> Self {
        Self { name: name.to_owned(), client, commands }
    }

    /// A chromedriver command that is not part of WebDriver.
    async fn driver_command(&self, path: &str, body: Value) -> Value {
        let Commands::Chromium(session_url) = &self.commands else { panic!("{}: Firefox has no {path}", self.name) };
        let request = reqwest::Client::new().post(format!("{session_url}/{path}")).json(&body);
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{}: {answer}", self.name);
        answer["value"].take()
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, name: &str, parameters: Value) -> Value {
        self.driver_command("goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await
    }

    /// What the page has logged since the last call: content security policy violations, uncaught errors and unusable signals.
    /// Refusals by the server are left out, because the page handles them.
    pub async fn console_errors(&self) -> Vec<String> {
        if let Commands::Firefox(bidi) = &self.commands {
            // Firefox itself reports that WebRTC finds no path, for which the page has a line of its own.
            let is_error = |entry: &Value| {
                (entry["level"] == "error" || entry["level"] == "warn")
                    && !entry["text"].as_str().is_some_and(|text| text.starts_with("WebRTC: ICE failed"))
            };
            let entries = bidi.log_entries().await.into_iter().map(|mut event| event["params"].take());
            return entries.filter(is_error).map(|entry| entry.to_string()).collect();
        }
        let log = self.driver_command("se/log", json!({ "type": "browser" })).await;
        let is_error = |entry: &&Value| {
            let source = entry["source"].as_str().unwrap();
            match entry["level"].as_str().unwrap() {
                "SEVERE" => source != "network",
                "WARNING" => source == "console-api",
                _ => false,
            }
        };
        log.as_array().unwrap().iter().filter(is_error).map(|entry| entry["message"].to_string()).collect()
    }

    pub async fn assert_no_console_errors(&self) {
        assert_eq!(self.console_errors().await, Vec::<String>::new(), "{}", self.name);
    }

    /// Signs this browser's person in, and opens `path`.
    pub async fn sign_in(&self, server: &Server, path: &str) {
        self.sign_in_at(server, &server.url, path).await;
    }

    /// The same at another address of the server.
    pub async fn sign_in_at(&self, server: &Server, url: &str, path: &str) {
        let token = server.person(&self.name).token;
        let is_secure = url.starts_with("https:");
        if let Commands::Firefox(bidi) = &self.commands {
            let cookie = json!({
                "name": "session", "value": { "type": "string", "value": token }, "domain": "127.0.0.1",
                "httpOnly": true, "sameSite": "strict", "secure": is_secure,
            });
            bidi.command("storage.setCookie", json!({ "cookie": cookie })).await;
        } else {
            let cookie = json!({
                "name": "session", "value": token, "url": url, "httpOnly": true, "sameSite": "Strict",
                "secure": is_secure,
            });
            assert_eq!(self.devtools("Network.setCookie", cookie).await["success"], json!(true));
        }
        self.client.goto(&format!("{url}{path}")).await.unwrap();
    }

    /// Sets the size and the colour scheme.
    pub async fn set_viewport(&self, Viewport { width, height, scheme }: Viewport) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        // Without animations, so that a screenshot shows the final state.
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Runs a script and returns its result.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{}: {script}: {error}", self.name))
    }

    /// Waits until an expression is true.
    pub async fn wait_until(&self, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // A loading page cannot run scripts.
            let value = self.client.execute(&format!("return Boolean({expression})"), vec![]).await;
            if matches!(value, Ok(Value::Bool(true))) {
                return;
            }
            if Instant::now() > deadline {
                let text = self.script("return document.body.innerText").await;
                let errors = self.console_errors().await;
                panic!("{}: timed out: {expression}\n{text}\n{errors:#?}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an element is visible.
    pub async fn wait_visible(&self, selector: &str) {
        let quoted = Value::from(selector);
        self.wait_until(&format!(
            "[...document.querySelectorAll({quoted})].some((element) => element.checkVisibility())"
        ))
        .await;
    }

    /// Waits until no element matches.
    pub async fn wait_absent(&self, selector: &str) {
        self.wait_until(&format!("!document.querySelector({})", Value::from(selector))).await;
    }

    /// Waits until an element contains a text.
    pub async fn wait_text(&self, selector: &str, text: &str) {
        let (selector, text) = (Value::from(selector), Value::from(text));
        self.wait_until(&format!("document.querySelector({selector})?.textContent.includes({text})")).await;
    }

    /// Waits until an element is visible and enabled, and clicks it with the mouse.
    pub async fn click(&self, selector: &str) {
        let quoted = Value::from(selector);
        self.wait_until(&format!(
            "document.querySelector({quoted})?.checkVisibility() && !document.querySelector({quoted}).disabled"
        ))
        .await;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // The page may re-render between the check and the click.
            let clicked = match self.client.find(Locator::Css(selector)).await {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            match clicked {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < deadline, "{}: {selector}: {error}", self.name),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses a button of the page's `<minimost-call>` as soon as it is there and enabled.
    pub async fn press_in_element(&self, action: &str) {
        let button =
            format!("document.querySelector('minimost-call').shadowRoot?.querySelector('[data-action={action}]')");
        self.wait_until(&format!("{button}?.checkVisibility() && !{button}.disabled")).await;
        self.script(&format!("{button}.click()")).await;
    }

    /// Waits until the part with a role of the page's `<minimost-call>` has this text.
    pub async fn wait_in_element(&self, role: &str, text: &str) {
        let part = format!("document.querySelector('minimost-call').shadowRoot?.querySelector('[role={role}]')");
        self.wait_until(&format!("{part}?.textContent === {}", Value::from(text))).await;
    }

    /// Presses keys, which the element with the focus gets.
    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Presses Tab until the element has the focus. Fails if that takes `most` times.
    pub async fn tab_to(&self, most: usize, selector: &str) {
        let has_focus = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..most {
            if self.script(&has_focus).await == json!(true) {
                return;
            }
            self.press("\u{E004}").await;
        }
        panic!("Tab does not reach {selector}");
    }

    pub async fn type_into(&self, selector: &str, text: &str) {
        self.wait_visible(selector).await;
        self.client.find(Locator::Css(selector)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// Opens the conversation with a person, and calls.
    pub async fn call(&self, person: &str, button: &str) {
        self.click(&format!("[data-person={person}]")).await;
        self.click(button).await;
    }

    /// What has been received so far.
    pub async fn media_stats(&self) -> MediaStats {
        let sum = self.client.execute_async(MEDIA_STATS, vec![]).await.unwrap();
        let of = |name: &str| sum[name].as_u64().unwrap_or_else(|| panic!("{sum}"));
        MediaStats {
            connections: of("connections"),
            audio: of("audio"),
            energy: of("energy"),
            video: of("video"),
            frames: of("frames"),
            width: of("width"),
        }
    }

    /// Waits until media arrives over this number of connections.
    pub async fn wait_media(&self, connections: u64, media: Media) -> MediaStats {
        self.wait_media_where(connections, media, |_| true).await
    }

    /// The same, with a further condition.
    pub async fn wait_media_where(
        &self,
        connections: u64,
        media: Media,
        condition: impl Fn(MediaStats) -> bool,
    ) -> MediaStats {
        let deadline = Instant::now() + TIMEOUT;
        let mut first: Option<MediaStats> = None;
        loop {
            let now = self.media_stats().await;
            match first {
                // After a change of connections the sums start again.
                Some(first) if first.connections == now.connections && first.audio <= now.audio => {
                    let audio = now.audio > first.audio + 500;
                    let video = now.frames > first.frames + 5 && now.video > first.video && now.width >= 160;
                    let arrives = match media {
                        Media::Audio => audio,
                        Media::Video => video,
                        Media::Both => audio && video,
                    };
                    if now.connections == connections && arrives && condition(now) {
                        return now;
                    }
                }
                _ => first = Some(now),
            }
            assert!(
                Instant::now() < deadline,
                "{}: expected {media:?} over {connections} connections, first {first:?}, now {now:?}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a counter stands still for a second, in which media would have arrived many times.
    pub async fn wait_media_stops(&self, counter: impl Fn(MediaStats) -> u64) {
        let deadline = Instant::now() + TIMEOUT;
        let mut before = counter(self.media_stats().await);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = counter(self.media_stats().await);
            if now <= before {
                return;
            }
            assert!(Instant::now() < deadline, "{}: media still arrives, {before} and {now}", self.name);
            before = now;
        }
    }
}
