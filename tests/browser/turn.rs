//! A call through Debian's coturn, with the credentials of `GET /calls/ice`.

use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::browser::{Browser, Media};
use crate::driver::Driver;
use crate::support::Server;

const SECRET: &str = "north of the wall";

/// Sends nothing but through a TURN server.
const RELAY_ONLY: &str = "
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) { super({ ...configuration, iceTransportPolicy: 'relay' }); }
    };";

/// The kinds of the candidates that carry media.
const USED_CANDIDATES: &str = "
    const done = arguments[0];
    (async () => {
        const kinds = [];
        for (const connection of window.connections) {
            const reports = await connection.getStats();
            for (const pair of reports.values()) {
                if (pair.type === 'candidate-pair' && pair.nominated && pair.bytesReceived > 0) {
                    kinds.push(reports.get(pair.localCandidateId).candidateType);
                }
            }
        }
        return kinds;
    })().then(done);";

/// A TURN server on loopback, which ends when it is dropped.
pub struct Coturn {
    process: Child,
    pub port: u16,
    _folder: TempDir,
}

impl Coturn {
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    pub fn start_on(port: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls"])
            .args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--allow-loopback-peers"])
            .args(["--listening-port", &port.to_string(), "--realm", "calls.test"])
            .args(["--use-auth-secret", "--static-auth-secret", SECRET])
            .args(["--pidfile", &file("pid"), "--userdb", &file("users"), "--log-file", &file("log"), "--simple-log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "coturn ended; tests/run installs it");
            assert!(begun.elapsed() < Duration::from_secs(20), "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, _folder: folder }
    }

    /// Sends messages through the TURN server, from one allocation to another.
    fn relay(&self, username: &str, password: &str) -> ExitStatus {
        Command::new("timeout")
            .args(["20", "turnutils_uclient", "-y", "-n", "3", "-u", username, "-w", password])
            .args(["-p", &self.port.to_string(), "127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port for coturn, which takes none of the system's choice.
pub fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server whose TURN server has this port.
pub fn server_with(port: u16) -> Server {
    let server = Server::start();
    let urls = json!([format!("turn:127.0.0.1:{port}")]).to_string();
    server.run(&["setting", "set", "turn_urls", &urls], "");
    server.run(&["setting", "set", "turn_secret", "-"], SECRET);
    server
}

/// The browsers of alice and bob, who reach each other through the TURN server alone.
pub async fn relay_only(driver: &Driver, server: &Server) -> [Browser; 2] {
    server.person("bob");
    let mut browsers = Vec::new();
    for name in ["alice", "bob"] {
        let browser = driver.browser(name).await;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": RELAY_ONLY })).await;
        browser.sign_in(server, "/").await;
        browsers.push(browser);
    }
    browsers.try_into().unwrap_or_else(|_| unreachable!("one browser each"))
}

#[tokio::test]
async fn coturn_takes_the_credential_of_a_person_and_no_other() {
    let coturn = Coturn::start();
    let server = server_with(coturn.port);
    let ice = server.person("alice").read("/calls/ice").await;
    let text = |name: &str| ice["ice_servers"][0][name].as_str().unwrap().to_owned();
    let (username, password) = (text("username"), text("credential"));
    assert!(coturn.relay(&username, &password).success());
    let later = username.replace(":alice", "0:alice");
    for (username, password) in
        [(&later, &password), (&username.replace("alice", "bob"), &password), (&username, &later)]
    {
        assert!(!coturn.relay(username, password).success(), "{username} {password}");
    }
}

#[tokio::test]
async fn two_people_hold_a_call_through_the_turn_server_alone() {
    let coturn = Coturn::start();
    let (driver, server) = (Driver::start().await, server_with(coturn.port));
    let [alice, bob] = &relay_only(&driver, &server).await;
    alice.call("bob", "#call-video").await;
    bob.click("[data-action=answer-video]").await;
    for browser in [alice, bob] {
        browser.wait_media(1, Media::Both).await;
        let kinds = browser.client.execute_async(USED_CANDIDATES, vec![]).await.unwrap();
        assert_eq!(kinds, json!(["relay"]));
    }
    alice.click("#leave").await;
    bob.wait_visible("#call-ended-reason").await;
    driver.finish([alice, bob]).await;
}
