//! The receiver of the documentation, with the package `standardwebhooks`, verifies what the server signs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use crate::SOON;
use crate::receiver::kept;
use crate::support::{Server, eventually};

/// The folder of the npm packages, which `tests/web/run` installs.
fn packages() -> PathBuf {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    if !web.join("node_modules/standardwebhooks").exists() {
        let status = Command::new("npm").args(["ci", "--no-fund", "--no-audit"]).current_dir(&web).status().unwrap();
        assert!(status.success(), "npm ci");
    }
    web.join("node_modules")
}

/// The receiver's program, as the page shows it.
fn program() -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/webhooks.md")).unwrap();
    page.split("```js\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_receiver_of_the_documentation_verifies_each_event() {
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let secret = server.run(&["webhook", "add", "docs", &format!("http://127.0.0.1:{port}/"), "--allow-private"], "");

    let folder = tempfile::TempDir::new().unwrap();
    std::os::unix::fs::symlink(packages(), folder.path().join("node_modules")).unwrap();
    let file = folder.path().join("receiver.mjs");
    fs::write(&file, program() + "server.on(\"listening\", () => console.log(\"listening\"));\n").unwrap();
    let start = |secret: &str| {
        let mut child = Command::new("node")
            .arg(&file)
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "listening");
        std::thread::spawn(move || output.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (Node(child), lines)
    };

    // With another secret it takes nothing.
    let (node, lines) = start("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let call = alice.call("dm:alice:bob").await;
    server.eventually("SELECT max(last_status) IS 400 FROM webhook_deliveries", SOON).await;
    assert!(lines.try_recv().is_err());
    drop(node);

    let (_node, lines) = start(secret.trim());
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    assert_eq!(bob.post(&format!("/calls/{call}/end")).await.0, 200);
    server.run(&["webhook", "retry", "docs"], "");
    for line in ["call.started", "call.accepted", "call.ended"] {
        let printed = lines.recv_timeout(SOON).unwrap();
        assert!(printed.starts_with(&format!("{line} {call}")), "{printed}");
    }
    eventually(SOON, "rows", 0, || kept(&server)).await;
}
