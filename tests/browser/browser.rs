//! A browser with one person in it.

use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::support::Server;
use crate::views::Look;

/// Nothing on a page takes longer, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// What arrived on all connections that are open, in sum; the size is the largest picture's.
const ARRIVED: &str = "
    const done = arguments[0];
    const sum = { connections: 0, audio: 0, loudness: 0, video: 0, frames: 0, width: 0 };
    (async () => {
        for (const one of window.connections.filter(({ connectionState }) => connectionState === 'connected')) {
            sum.connections += 1;
            for (const report of (await one.getStats()).values()) {
                if (report.type === 'inbound-rtp') {
                    sum[report.kind] += report.bytesReceived;
                    sum.loudness += report.totalAudioEnergy ?? 0;
                    sum.frames += report.framesDecoded ?? 0;
                    sum.width = Math.max(sum.width, report.frameWidth ?? 0);
                }
            }
        }
    })().then(() => done(sum), (error) => done({ error: String(error) }));";

/// What should arrive.
#[derive(Clone, Copy, Debug)]
pub enum Media {
    Sound,
    Picture,
    Both,
}

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub connections: u64,
    pub audio: u64,
    /// The energy of the sound, in thousandths: what is loud makes it grow, and silence does not.
    pub loudness: u64,
    pub video: u64,
    pub frames: u64,
    pub width: u64,
}

/// One person's browser.
pub struct Browser {
    pub name: String,
    pub client: Client,
    /// Where the driver takes commands for it.
    driver: String,
}

impl Browser {
    pub fn new(name: &str, client: Client, driver: String) -> Self {
        Self { name: name.to_owned(), client, driver }
    }

    /// Asks the driver for what is not in WebDriver.
    async fn ask_driver(&self, path: &str, body: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/{path}", self.driver)).json(&body);
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{}: {answer}", self.name);
        answer["value"].take()
    }

    /// A command of the DevTools protocol.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.ask_driver("goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await
    }

    /// What a page has complained of since the last look: of its content security policy, of an error that nobody caught, or
    /// of a signal that it could not use. What the server refuses is told by the page, and no complaint.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.ask_driver("se/log", json!({ "type": "browser" })).await;
        let complaint = |entry: &&Value| {
            let source = entry["source"].as_str().unwrap();
            match entry["level"].as_str().unwrap() {
                "SEVERE" => source != "network",
                "WARNING" => source == "console-api",
                _ => false,
            }
        };
        log.as_array().unwrap().iter().filter(complaint).map(|entry| entry["message"].to_string()).collect()
    }

    pub async fn assert_faultless(&self) {
        assert_eq!(self.complaints().await, Vec::<String>::new(), "{}", self.name);
    }

    /// Signs in as the person whose browser it is, and opens `path`.
    pub async fn enter(&self, server: &Server, path: &str) {
        self.enter_as(server, &server.url, path).await;
    }

    /// Signs in at another address of the server.
    pub async fn enter_as(&self, server: &Server, url: &str, path: &str) {
        let token = server.person(&self.name).token;
        let cookie = json!({
            "name": "session", "value": token, "url": url, "httpOnly": true, "sameSite": "Strict",
            "secure": url.starts_with("https:"),
        });
        assert_eq!(self.command("Network.setCookie", cookie).await["success"], json!(true));
        self.client.goto(&format!("{url}{path}")).await.unwrap();
    }

    /// Takes another size and another scheme of colours.
    pub async fn look(&self, Look { width, height, scheme }: Look) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", size).await;
        // Without movement, so that nothing is seen halfway.
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What a script returns.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{}: {script}: {error}", self.name))
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A page that is being loaded has no script to run.
            let value = self.client.execute(&format!("return Boolean({expression})"), vec![]).await;
            if matches!(value, Ok(Value::Bool(true))) {
                return;
            }
            if Instant::now() > deadline {
                let text = self.script("return document.body.innerText").await;
                panic!("{}: not within {PATIENCE:?}: {expression}\n{text}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until something is seen.
    pub async fn sees(&self, selector: &str) {
        let quoted = Value::from(selector);
        self.until(&format!("[...document.querySelectorAll({quoted})].some((one) => one.checkVisibility())")).await;
    }

    /// Waits until nothing of the kind is there.
    pub async fn misses(&self, selector: &str) {
        self.until(&format!("!document.querySelector({})", Value::from(selector))).await;
    }

    /// Waits until something says this, in part.
    pub async fn reads(&self, selector: &str, text: &str) {
        let (selector, text) = (Value::from(selector), Value::from(text));
        self.until(&format!("document.querySelector({selector})?.textContent.includes({text})")).await;
    }

    /// Waits until something can be clicked, and clicks it like a mouse.
    pub async fn click(&self, selector: &str) {
        let quoted = Value::from(selector);
        self.until(&format!(
            "document.querySelector({quoted})?.checkVisibility() && !document.querySelector({quoted}).disabled"
        ))
        .await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The page may draw between the look and the click.
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

    pub async fn write(&self, selector: &str, text: &str) {
        self.sees(selector).await;
        self.client.find(Locator::Css(selector)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// Opens the conversation with somebody, and calls.
    pub async fn call(&self, person: &str, button: &str) {
        self.click(&format!("[data-person={person}]")).await;
        self.click(button).await;
    }

    /// What has arrived so far.
    pub async fn arrived(&self) -> Arrived {
        let sum = self.client.execute_async(ARRIVED, vec![]).await.unwrap();
        let of = |name: &str| sum[name].as_u64().unwrap_or_else(|| panic!("{sum}"));
        Arrived {
            connections: of("connections"),
            audio: of("audio"),
            loudness: (sum["loudness"].as_f64().unwrap() * 1000.0) as u64,
            video: of("video"),
            frames: of("frames"),
            width: of("width"),
        }
    }

    /// Waits until something arrives, by way of so many connections.
    pub async fn receives(&self, connections: u64, media: Media) -> Arrived {
        self.receives_where(connections, media, |_| true).await
    }

    /// The same, of which something more is true.
    pub async fn receives_where(&self, connections: u64, media: Media, and: impl Fn(Arrived) -> bool) -> Arrived {
        let deadline = Instant::now() + PATIENCE;
        let mut first: Option<Arrived> = None;
        loop {
            let now = self.arrived().await;
            match first {
                // Of other connections, another sum.
                Some(first) if first.connections == now.connections && first.audio <= now.audio => {
                    let sound = now.audio > first.audio + 500;
                    let picture = now.frames > first.frames + 5 && now.video > first.video && now.width >= 160;
                    let arrives = match media {
                        Media::Sound => sound,
                        Media::Picture => picture,
                        Media::Both => sound && picture,
                    };
                    if now.connections == connections && arrives && and(now) {
                        return now;
                    }
                }
                _ => first = Some(now),
            }
            assert!(Instant::now() < deadline, "{}: {connections} expected, first {first:?}, now {now:?}", self.name);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until nothing of a kind arrives any more: for a second, as if it were, it would come many times.
    pub async fn receives_no_more(&self, what: impl Fn(Arrived) -> u64) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = what(self.arrived().await);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = what(self.arrived().await);
            if now <= before {
                return;
            }
            assert!(Instant::now() < deadline, "{}: it still arrives, {before} and {now}", self.name);
            before = now;
        }
    }
}
