//! Chromium's driver and the browsers of one test, which end with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::browser::Browser;
use crate::support::Server;

/// Two cores carry the browsers of one test.
static TURN: Mutex<()> = Mutex::const_new(());

/// Processes that lose what they served end within moments.
const END_MAX: Duration = Duration::from_secs(20);

/// Keeps each connection that a page makes, to ask it for its statistics.
const KEEP_CONNECTIONS: &str = "
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) { super(...given); window.connections.push(this); }
    };";

/// Devices that are made up. Ten pictures a second prove as much as thirty, for a third of the work.
const DEVICES: &str = "--use-fake-device-for-media-stream=fps=10";

/// Yes to every question of the browser's.
const ALLOW: &str = "--use-fake-ui-for-media-stream";

/// The driver and its browsers.
pub struct Stage {
    driver: Child,
    url: String,
    folder: TempDir,
    browsers: AtomicUsize,
    finished: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// A name of 127.0.0.1 that browsers do not take for this machine's, so that plain HTTP to it is not secure.
    pub const INSECURE_NAME: &str = "calls.test";

    pub async fn open() -> Self {
        let turn = TURN.lock().await;
        let folder = TempDir::new().unwrap();
        // A browser ends when its driver does (see `browser`). So that both end also with tests that are killed, the kernel
        // ends the driver with the thread that started it.
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "chromedriver", "--port=0"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv of util-linux");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("started successfully on port"));
        let line = line.expect("tests/run installs chromium-driver");
        let port: u16 = line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        // What it says later is not wanted, but a pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://127.0.0.1:{port}");
        Self { driver, url, folder, browsers: AtomicUsize::new(0), finished: false, _turn: turn }
    }

    /// People who know each other, each signed in in a browser of their own.
    pub async fn people<const N: usize>(&self, server: &Server, names: [&str; N]) -> [Browser; N] {
        for name in names {
            server.person(name);
        }
        let mut browsers = Vec::new();
        for name in names {
            browsers.push(self.person(server, name, "/").await);
        }
        browsers.try_into().unwrap_or_else(|_| unreachable!("one each"))
    }

    /// A browser of its own in which somebody is signed in, at `path`.
    pub async fn person(&self, server: &Server, name: &str, path: &str) -> Browser {
        let browser = self.browser(name).await;
        browser.enter(server, path).await;
        browser
    }

    /// A browser of its own.
    pub async fn browser(&self, name: &str) -> Browser {
        self.start(name, &[DEVICES, ALLOW], json!({})).await
    }

    /// A browser whose owner lets no page use a microphone or a camera.
    pub async fn browser_without_devices(&self, name: &str) -> Browser {
        let settings = json!({ "media_stream_mic": 2, "media_stream_camera": 2 });
        self.start(name, &[DEVICES], json!({ "profile.default_content_setting_values": settings })).await
    }

    async fn start(&self, name: &str, more: &[&str], preferences: Value) -> Browser {
        let number = self.browsers.fetch_add(1, Ordering::Relaxed);
        let data = format!("--user-data-dir={}", self.folder.path().join(format!("{name}-{number}")).display());
        let names = format!("--host-resolver-rules=MAP {} 127.0.0.1", Self::INSECURE_NAME);
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--auto-accept-this-tab-capture",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
            "--window-size=1000,800",
            // The driver holds the other end of this pipe, and a browser without it goes away by itself.
            "--remote-debugging-pipe",
            &data,
            &names,
        ];
        arguments.extend(more);
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments, "prefs": preferences },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&self.url).await.expect("a browser");
        let session = client.session_id().await.unwrap().unwrap();
        let browser = Browser::new(name, client, format!("{}/session/{session}", self.url));
        browser.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": KEEP_CONNECTIONS })).await;
        browser
    }

    /// The end of a test: no page has complained, and no process is left.
    pub async fn finish<const N: usize>(mut self, browsers: [&Browser; N]) {
        for browser in browsers {
            browser.assert_faultless().await;
        }
        self.finished = true;
    }

    /// Adds to `known` every process that came from this stage: descendants of the driver's, and those that have left the
    /// family, by their environment.
    fn find_processes(&self, known: &mut Vec<Process>) {
        let mark = self.folder.path().as_os_str();
        let marked = |one: &Process| one.environ().is_ok_and(|all| all.values().any(|value| value == mark));
        let mut others: Vec<Process> = all_processes().unwrap().filter_map(Result::ok).collect();
        loop {
            let family: Vec<i32> = known.iter().map(Process::pid).collect();
            let (found, rest): (Vec<Process>, _) = others.into_iter().partition(|one| {
                let child = one.stat().is_ok_and(|stat| family.contains(&stat.ppid));
                !family.contains(&one.pid()) && (child || marked(one))
            });
            if found.is_empty() {
                return;
            }
            known.extend(found);
            others = rest;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut processes = vec![Process::new(self.driver.id().try_into().unwrap()).unwrap()];
        self.find_processes(&mut processes);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let deadline = Instant::now() + END_MAX;
        let stubborn = loop {
            // A browser that ends may still be starting something.
            self.find_processes(&mut processes);
            // `is_alive` tells by its start whether an id is still the same process.
            let left: Vec<i32> = processes.iter().filter(|one| one.is_alive()).map(Process::pid).collect();
            if left.is_empty() || Instant::now() > deadline {
                break left;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        for id in &stubborn {
            let _ = kill(Pid::from_raw(*id), Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            assert_eq!(stubborn, [0; 0], "processes of the browsers that did not end with their driver");
            assert!(self.finished, "a test ends with Stage::finish");
        }
    }
}
