//! A push service, and the browser behind it: `push_service.py`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, Person, Server, eventually};

/// The timeout for what should happen at once, or after a pause of a second.
const SOON: Duration = Duration::from_secs(20);

/// Listens on loopback until it is dropped.
pub struct PushService {
    child: Child,
    /// The address, and the keys of the browser.
    browser: Value,
    received: Arc<Mutex<Vec<Value>>>,
    folder: TempDir,
}

impl PushService {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (certificate_path, key_path) = (folder.path().join("push.crt"), folder.path().join("push.key"));
        fs::write(&certificate_path, certificate.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        // Debian's packages are for its own Python.
        let mut child = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/push_service.py"))
            .args([&certificate_path, &key_path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().expect("tests/http/push_service.py needs python3-jwt and python3-cryptography");
        let received = Arc::<Mutex<Vec<Value>>>::default();
        let store = Arc::clone(&received);
        std::thread::spawn(move || {
            lines.for_each(|line| store.lock().unwrap().push(serde_json::from_str(&line).unwrap()));
        });
        Self { child, browser: serde_json::from_str(&first).unwrap(), received, folder }
    }

    /// A server that trusts this service's certificate, with web push turned on.
    pub fn server(&self) -> Server {
        let mut program = Command::new(PROGRAM);
        program.env("SSL_CERT_FILE", self.folder.path().join("push.crt"));
        let server = Server::start_as(program, "127.0.0.1:0", TempDir::new().unwrap(), &[]);
        server.execute(
            "INSERT INTO set_setting (name, value) \
             VALUES ('web_push', 1), ('web_push_allow_private', 1), ('web_push_contact', 'mailto:admin@example.org')",
        );
        server
    }

    /// Subscribes a browser of a person. The service answers with `statuses`, in turn.
    pub async fn subscribe(&self, person: &Person, statuses: &str, name: &str) -> String {
        let key = person.read("/push").await["public_key"].clone();
        assert!(key.is_string(), "{key}");
        let endpoint = format!("{}/{statuses}/{name}", self.browser["url"].as_str().unwrap());
        let keys = json!({ "p256dh": self.browser["p256dh"], "auth": self.browser["auth"] });
        let body = json!({ "endpoint": endpoint, "expirationTime": null, "keys": keys });
        let (status, added) = person.post_json("/push/subscriptions", body).await;
        assert_eq!(status, 200, "{added}");
        added["id"].as_str().unwrap().to_owned()
    }

    /// The requests for a browser, all of which were encrypted and signed correctly.
    pub fn received(&self, name: &str) -> Vec<Value> {
        let received = self.received.lock().unwrap();
        let of_browser = |request: &&Value| request["path"].as_str().unwrap().ends_with(&format!("/{name}"));
        let requests: Vec<Value> = received.iter().filter(of_browser).cloned().collect();
        assert!(requests.iter().all(|request| request["error"].is_null()), "{requests:?}");
        requests
    }

    /// Waits until messages of these kinds, and no others, have come for a browser.
    pub async fn expect(&self, name: &str, kinds: &[&str]) -> Vec<Value> {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let got = || self.received(name).iter().map(|it| it["message"]["kind"].as_str().unwrap().to_owned()).collect();
        eventually(SOON, name, kinds, got).await;
        self.received(name)
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
