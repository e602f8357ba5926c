//! The drivers, and the browsers of one test, which end with them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};
use procfs::ticks_per_second;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::bidi::Bidi;
use crate::browser::{Browser, Commands};
use crate::support::Server;
use crate::worker::Worker;

/// Two cores carry the browsers of one test, so tests run one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// How long the browsers' processes may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Keeps each connection of a page, to read its statistics, and each event stream.
const KEEP_CONNECTIONS: &str = "
    window.connections = [];
    window.streams = [];
    const send = window.fetch;
    window.fetch = async (url, options) => {
        const response = await send(url, options);
        if (new URL(url, location).pathname.endsWith('/events')) {
            const stream = { url, isOpen: true };
            window.streams.push(stream);
            options.signal.addEventListener('abort', () => (stream.isOpen = false));
        }
        return response;
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...given) { super(...given); window.connections.push(this); }
    };";

/// A fake camera and microphone. Ten frames a second prove as much as thirty, for a third of the work.
const FAKE_DEVICES: &str = "--use-fake-device-for-media-stream=fps=10";

/// Grants every permission.
const GRANT_PERMISSIONS: &str = "--use-fake-ui-for-media-stream";

/// Fake devices without questions, sound without a click, and candidates with the addresses of this machine.
const FIREFOX_PREFERENCES: [(&str, Preference); 9] = [
    ("media.navigator.streams.fake", Preference::Bool(true)),
    ("media.navigator.permission.disabled", Preference::Bool(true)),
    ("media.autoplay.default", Preference::Number(0)),
    ("media.peerconnection.ice.loopback", Preference::Bool(true)),
    ("media.peerconnection.ice.obfuscate_host_addresses", Preference::Bool(false)),
    // OpenH264 is a download.
    ("media.gmp-manager.updateEnabled", Preference::Bool(false)),
    ("app.update.disabledForTesting", Preference::Bool(true)),
    ("network.captive-portal-service.enabled", Preference::Bool(false)),
    ("network.connectivity-service.enabled", Preference::Bool(false)),
];

#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Preference {
    Bool(bool),
    Number(u32),
}

/// geckodriver does not end its browser if it is killed; the kernel does.
const FIREFOX_SCRIPT: &str = "#!/bin/sh\nexec setpriv --pdeathsig KILL firefox-esr \"$@\"\n";

/// Violations of the content security policy are in Firefox's console alone.
const LOG_VIOLATIONS: &str = "
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        console.error('content security policy:', violatedDirective, blockedURI));";

/// The driver of Chromium, those of Firefox, and their browsers.
pub struct Driver {
    process: Child,
    /// Each geckodriver has one browser.
    geckodrivers: Mutex<Vec<Child>>,
    url: String,
    folder: TempDir,
    browsers: AtomicUsize,
    finished: bool,
    /// The browsers check certificates, and every name is 127.0.0.1.
    checks_certificates: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Driver {
    /// A name of 127.0.0.1 that browsers do not know as localhost, so that plain HTTP to it is insecure.
    pub const INSECURE_HOST: &str = "calls.test";

    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// A driver whose browsers trust this CA, check certificates, and reach this machine by every name.
    pub async fn start_trusting(ca: &str) -> Self {
        Self::start_with(Some(ca)).await
    }

    async fn start_with(trusted_ca: Option<&str>) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let folder = TempDir::new().unwrap();
        if let Some(ca) = trusted_ca {
            trust(ca, folder.path());
        }
        let mut command = driver_command("chromedriver", folder.path());
        command.arg("--port=0").envs(trusted_ca.map(|_| ("HOME", folder.path())));
        let (process, url) = spawn(&mut command, "started successfully on port");
        Self {
            process,
            geckodrivers: Mutex::default(),
            url,
            folder,
            browsers: AtomicUsize::new(0),
            finished: false,
            checks_certificates: trusted_ca.is_some(),
            _turn: turn,
        }
    }

    /// Adds people and signs each one in, in a separate browser.
    pub async fn signed_in<const N: usize>(&self, server: &Server, names: [&str; N]) -> [Browser; N] {
        for name in names {
            server.person(name);
        }
        let mut browsers = Vec::new();
        for name in names {
            browsers.push(self.signed_in_at(server, name, "/").await);
        }
        browsers.try_into().unwrap_or_else(|_| unreachable!("one browser each"))
    }

    /// A new browser in which a person is signed in, at `path`.
    pub async fn signed_in_at(&self, server: &Server, name: &str, path: &str) -> Browser {
        let browser = self.browser(name).await;
        browser.sign_in(server, path).await;
        browser
    }

    /// A new browser.
    pub async fn browser(&self, name: &str) -> Browser {
        self.launch(name, &[FAKE_DEVICES, GRANT_PERMISSIONS], json!({})).await
    }

    /// A new browser that blocks microphones and cameras.
    pub async fn browser_without_devices(&self, name: &str) -> Browser {
        let settings = json!({ "media_stream_mic": 2, "media_stream_camera": 2 });
        self.launch(name, &[FAKE_DEVICES], json!({ "profile.default_content_setting_values": settings })).await
    }

    /// A new browser whose service workers `worker` reaches. End it with [`Worker::close_browser`].
    pub async fn browser_with_debugger(&self, name: &str) -> Browser {
        let more = [FAKE_DEVICES, GRANT_PERMISSIONS, "--remote-debugging-port=0"];
        self.launch(name, &more, json!({})).await
    }

    /// The service worker of a browser with a debugger.
    pub async fn worker(&self, browser: &Browser) -> Worker {
        let prefix = format!("{}-", browser.name);
        let folders = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        let data = folders.into_iter().find(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix));
        Worker::attach(&data.unwrap().path()).await
    }

    /// A new browser in which WebRTC has no path, as behind a strict firewall.
    pub async fn browser_without_webrtc(&self, name: &str) -> Browser {
        let policy = json!({ "webrtc.ip_handling_policy": "disable_non_proxied_udp" });
        self.launch(name, &[FAKE_DEVICES, GRANT_PERMISSIONS], policy).await
    }

    async fn launch(&self, name: &str, more: &[&str], preferences: Value) -> Browser {
        let number = self.browsers.fetch_add(1, Ordering::Relaxed);
        let data = format!("--user-data-dir={}", self.folder.path().join(format!("{name}-{number}")).display());
        let host = if self.checks_certificates { "*" } else { Self::INSECURE_HOST };
        let names = format!("--host-resolver-rules=MAP {host} 127.0.0.1");
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
            // The driver holds the other end of this pipe; a browser exits when the pipe closes.
            "--remote-debugging-pipe",
            &data,
            &names,
        ];
        arguments.extend(more);
        let capabilities = json!({
            "acceptInsecureCerts": !self.checks_certificates,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments, "prefs": preferences },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&self.url).await.expect("a browser");
        let session = client.session_id().await.unwrap().unwrap();
        let browser = Browser::new(name, client, Commands::Chromium(format!("{}/session/{session}", self.url)));
        keep_connections(&browser).await;
        browser
    }

    /// A new Firefox in which a person is signed in, at `path`.
    pub async fn firefox_signed_in_at(&self, server: &Server, name: &str, path: &str) -> Browser {
        let browser = self.firefox(name).await;
        browser.sign_in(server, path).await;
        browser
    }

    /// A new Firefox, with a fake camera and microphone.
    pub async fn firefox(&self, name: &str) -> Browser {
        self.launch_firefox(name, None).await
    }

    /// A new Firefox in which WebRTC has no path: it may use TURN servers alone, and there are none.
    pub async fn firefox_without_webrtc(&self, name: &str) -> Browser {
        self.launch_firefox(name, Some("media.peerconnection.ice.relay_only")).await
    }

    /// A new Firefox with one more preference that is true.
    async fn launch_firefox(&self, name: &str, more: Option<&str>) -> Browser {
        let number = self.browsers.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(format!("{name}-{number}"));
        fs::create_dir(&folder).unwrap();
        let script = folder.join("firefox");
        fs::write(&script, FIREFOX_SCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        // tests/run builds it, since Debian has no package.
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/geckodriver");
        let program = if Path::new(built).exists() { built } else { "geckodriver" };
        let mut command = driver_command(program, self.folder.path());
        command.args(["--port=0", "--websocket-port=0", "--profile-root"]).arg(&folder).env("HOME", &folder);
        let (process, url) = spawn(&mut command, "Listening on");
        self.geckodrivers.lock().await.push(process);
        let mut preferences = BTreeMap::from(FIREFOX_PREFERENCES);
        preferences.extend(more.map(|name| (name, Preference::Bool(true))));
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "webSocketUrl": true,
            "moz:firefoxOptions": {
                "binary": script,
                "args": ["-headless", "--width=1000", "--height=800"],
                "prefs": preferences,
            },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&url).await.expect("a browser");
        let socket = client.capabilities().unwrap()["webSocketUrl"].as_str().unwrap().to_owned();
        let bidi = Bidi::connect(&socket).await;
        bidi.command("session.subscribe", json!({ "events": ["log.entryAdded"] })).await;
        for script in [KEEP_CONNECTIONS, LOG_VIOLATIONS] {
            let function = format!("() => {{ {script} }}");
            bidi.command("script.addPreloadScript", json!({ "functionDeclaration": function })).await;
        }
        Browser::new(name, client, Commands::Firefox(Box::new(bidi)))
    }

    /// Kills the processes of a person's browsers, as a crash would.
    pub fn kill_browser(&self, browser: &Browser) {
        let data = self.folder.path().join(format!("{}-", browser.name));
        let argument = format!("--user-data-dir={}", data.display());
        let has_data = |process: &Process| {
            process.cmdline().is_ok_and(|arguments| arguments.iter().any(|one| one.contains(&argument)))
        };
        let mut processes = Vec::new();
        self.find_processes(&mut processes);
        let own: Vec<&Process> = processes.iter().filter(|process| has_data(process)).collect();
        assert!(!own.is_empty(), "no process has {argument}");
        for process in own {
            let _ = kill(Pid::from_raw(process.pid()), Signal::SIGKILL);
        }
    }

    /// The CPU time of all browsers and drivers so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let mut processes = vec![Process::new(self.process.id().try_into().unwrap()).unwrap()];
        self.find_processes(&mut processes);
        let stats = processes.iter().filter_map(|process| process.stat().ok());
        stats.map(|stat| stat.utime + stat.stime).sum::<u64>() as f64 / ticks_per_second() as f64
    }

    /// Ends a test: checks that no page has logged an error.
    pub async fn finish<const N: usize>(mut self, browsers: [&Browser; N]) {
        for browser in browsers {
            browser.assert_no_console_errors().await;
        }
        self.finished = true;
    }

    /// Adds every process of this driver to `known`: its descendants, and reparented ones by their environment.
    fn find_processes(&self, known: &mut Vec<Process>) {
        let folder = self.folder.path().as_os_str();
        let has_folder =
            |process: &Process| process.environ().is_ok_and(|all| all.values().any(|value| value == folder));
        let mut others: Vec<Process> = all_processes().unwrap().filter_map(Result::ok).collect();
        loop {
            let family: Vec<i32> = known.iter().map(Process::pid).collect();
            let (found, rest): (Vec<Process>, _) = others.into_iter().partition(|process| {
                let child = process.stat().is_ok_and(|stat| family.contains(&stat.ppid));
                !family.contains(&process.pid()) && (child || has_folder(process))
            });
            if found.is_empty() {
                return;
            }
            known.extend(found);
            others = rest;
        }
    }
}

/// A driver, which ends with this thread: if the test is killed, the kernel ends the driver. A browser ends with its
/// driver.
fn driver_command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts a driver, whose line that contains `announcement` ends with its port.
fn spawn(command: &mut Command, announcement: &str) -> (Child, String) {
    let mut driver = command.spawn().expect("setpriv of util-linux");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains(announcement));
    let line = line.unwrap_or_else(|| panic!("tests/run installs what is missing: {command:?}"));
    let port: u16 = line.trim_end_matches('.').rsplit([' ', ':']).next().unwrap().parse().unwrap();
    // Drains the output: a full pipe would block the driver.
    std::thread::spawn(move || lines.for_each(drop));
    (driver, format!("http://127.0.0.1:{port}"))
}

/// Keeps the connections of the pages in the present window of a browser.
pub async fn keep_connections(browser: &Browser) {
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": KEEP_CONNECTIONS })).await;
}

/// Adds a CA to the trusted ones of Chromium in the home directory `home`.
fn trust(ca: &str, home: &Path) {
    let (database, file) = (home.join(".pki/nssdb"), home.join("ca.crt"));
    fs::create_dir_all(&database).unwrap();
    fs::write(&file, ca).unwrap();
    let database = format!("sql:{}", database.display());
    for arguments in
        [&["-N", "--empty-password"][..], &["-A", "-n", "minimost-calls", "-t", "C,,", "-i", file.to_str().unwrap()]]
    {
        let done = Command::new("certutil").args(["-d", &database]).args(arguments).status();
        assert!(done.expect("tests/run installs libnss3-tools").success(), "{arguments:?}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut geckodrivers = mem::take(self.geckodrivers.get_mut());
        let drivers = geckodrivers.iter().chain([&self.process]).map(Child::id);
        let mut processes: Vec<Process> = drivers.map(|id| Process::new(id.try_into().unwrap()).unwrap()).collect();
        self.find_processes(&mut processes);
        for driver in geckodrivers.iter_mut().chain([&mut self.process]) {
            let _ = driver.kill();
            let _ = driver.wait();
        }
        let deadline = Instant::now() + EXIT_TIMEOUT;
        let remaining = loop {
            // An exiting browser may still start processes.
            self.find_processes(&mut processes);
            // `is_alive` compares start times, so a reused id does not count.
            let alive: Vec<i32> = processes.iter().filter(|process| process.is_alive()).map(Process::pid).collect();
            if alive.is_empty() || Instant::now() > deadline {
                break alive;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        for id in &remaining {
            let _ = kill(Pid::from_raw(*id), Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            assert_eq!(remaining, [0; 0], "browser processes that outlived their driver");
            assert!(self.finished, "call Driver::finish at the end of a test");
        }
    }
}
