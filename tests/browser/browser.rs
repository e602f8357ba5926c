//! A browser with one person in it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::Server;

/// Nothing on a page takes longer, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// Two cores carry the browsers of one test.
static TURN: Mutex<()> = Mutex::const_new(());

/// Keeps each connection that a page makes, to ask it for its statistics.
const KEEP_CONNECTIONS: &str = "
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) { super(...given); window.connections.push(this); }
    };";

/// What arrived on all connections that are open, in sum; the size is the largest picture's.
const ARRIVED: &str = "
    const done = arguments[0];
    const sum = { connections: 0, audio: 0, video: 0, frames: 0, width: 0 };
    (async () => {
        for (const one of window.connections.filter(({ connectionState }) => connectionState === 'connected')) {
            sum.connections += 1;
            for (const report of (await one.getStats()).values()) {
                if (report.type === 'inbound-rtp') {
                    sum[report.kind] += report.bytesReceived;
                    sum.frames += report.framesDecoded ?? 0;
                    sum.width = Math.max(sum.width, report.frameWidth ?? 0);
                }
            }
        }
    })().then(() => done(sum), (error) => done({ error: String(error) }));";

/// The driver and its browsers; they end with it.
pub struct Stage {
    driver: Child,
    url: String,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub async fn open() -> Self {
        let turn = TURN.lock().await;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/run installs chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("started successfully on port")).unwrap();
        let port: u16 = line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        // What it says later is not wanted, but a pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { driver, url: format!("http://127.0.0.1:{port}"), folder: TempDir::new().unwrap(), _turn: turn }
    }

    /// A browser of its own in which somebody is signed in, at `path`.
    pub async fn person(&self, server: &Server, name: &str, path: &str) -> Browser {
        let token = server.person(name).token;
        let browser = self.browser(name).await;
        browser.client.goto(&format!("{}/healthz", server.url)).await.unwrap();
        browser.script(&format!("document.cookie = 'session={token}; path=/'")).await;
        browser.client.goto(&format!("{}{path}", server.url)).await.unwrap();
        browser
    }

    /// A browser of its own.
    pub async fn browser(&self, name: &str) -> Browser {
        let data = self.folder.path().join(format!("{name}-{}", rand_name()));
        let options = json!({ "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            "--auto-accept-this-tab-capture", "--autoplay-policy=no-user-gesture-required",
            "--disable-features=WebRtcHideLocalIpsWithMdns", "--window-size=1000,800",
            format!("--user-data-dir={}", data.display()),
        ] } });
        let Value::Object(options) = options else { unreachable!("it is an object") };
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(options).connect(&self.url).await.expect("a browser");
        let id = client.session_id().await.unwrap().unwrap();
        let answer = reqwest::Client::new()
            .post(format!("{}/session/{id}/goog/cdp/execute", self.url))
            .json(&json!({ "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": { "source": KEEP_CONNECTIONS } }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Browser { name: name.to_owned(), client }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Its browsers end with it.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn rand_name() -> String {
    minimost_calls::tokens::new_token().unwrap()[..8].to_owned()
}

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub connections: u64,
    pub audio: u64,
    pub video: u64,
    pub frames: u64,
    pub width: u64,
}

/// One person's browser.
pub struct Browser {
    pub name: String,
    pub client: Client,
}

impl Browser {
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
            video: of("video"),
            frames: of("frames"),
            width: of("width"),
        }
    }

    /// Waits until sound arrives on so many connections, and pictures too if they should.
    pub async fn receives(&self, connections: u64, with_video: bool) -> Arrived {
        let deadline = Instant::now() + PATIENCE;
        let mut first: Option<Arrived> = None;
        loop {
            let now = self.arrived().await;
            match first {
                // Of another number of connections, another sum.
                Some(first) if first.connections == now.connections && now.connections == connections => {
                    let sound = now.audio > first.audio + 500;
                    let pictures = now.frames > first.frames + 5 && now.video > first.video && now.width >= 160;
                    if sound && (pictures || !with_video) {
                        return now;
                    }
                }
                _ => first = Some(now),
            }
            assert!(Instant::now() < deadline, "{}: {connections} expected, first {first:?}, now {now:?}", self.name);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
