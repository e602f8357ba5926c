//! HTTPS: given and self-signed certificates, their replacement, and clients that do not speak TLS.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Certificate, Client};
use tempfile::TempDir;

use crate::support::{PROGRAM, Server, wait};

/// The server's handshake timeout, and room for a busy machine.
const HANDSHAKE_MAX: Duration = Duration::from_secs(25);

/// A client that trusts one CA and reuses no connection, so that each request makes a TLS handshake.
fn client(ca: &str) -> Client {
    Client::builder()
        .add_root_certificate(Certificate::from_pem(ca.as_bytes()).unwrap())
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

fn ca_of(server: &Server) -> String {
    fs::read_to_string(server.folder.path().join("presence.db-authority.pem")).unwrap()
}

/// A self-signed certificate for 127.0.0.1 and its key.
fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A TCP connection to the server, without TLS.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.trim_start_matches("https://")).unwrap();
    stream.set_read_timeout(Some(HANDSHAKE_MAX)).unwrap();
    stream
}

fn response_to(server: &Server, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.to_lowercase()
}

#[tokio::test]
async fn clients_that_trust_the_ca_are_served() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let trusting = client(&ca_of(&server));
    let health = trusting.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert!(!health.headers().contains_key("strict-transport-security"));
    let (other, _) = certificate();
    assert!(client(&other).get(format!("{}/healthz", server.url)).send().await.is_err());

    for path in ["/ca.crt", "/authority.crt"] {
        let downloaded = trusting.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(downloaded.headers()["content-type"], "application/x-x509-ca-cert");
        let downloaded = downloaded.text().await.unwrap();
        assert!(!downloaded.contains("PRIVATE"), "the download has no key");
        let health = client(&downloaded).get(format!("{}/healthz", server.url)).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
}

#[tokio::test]
async fn the_ca_survives_a_restart_and_only_the_owner_reads_it() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let names = ["presence.db-authority.pem", "presence.db-tls.pem"];
    let texts = |folder: &Path| names.map(|name| fs::read_to_string(folder.join(name)).unwrap());
    for name in names {
        assert_eq!(mode(&server.folder.path().join(name)), 0o600, "{name}");
    }
    let before = texts(server.folder.path());
    let (folder, _) = server.stop(Signal::SIGTERM);
    let again = Server::start_in(folder, &["--tls-self-signed"]);
    assert_eq!(texts(again.folder.path()), before);

    // A certificate of another CA is replaced. Our CA stays.
    let (folder, _) = again.stop(Signal::SIGTERM);
    let (foreign, key) = certificate();
    fs::write(folder.path().join(names[1]), foreign + &key).unwrap();
    let again = Server::start_in(folder, &["--tls-self-signed"]);
    let after = texts(again.folder.path());
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    let health = client(&before[0]).get(format!("{}/healthz", again.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn a_changed_certificate_is_loaded_and_a_bad_one_is_not() {
    let folder = TempDir::new().unwrap();
    let (certificate_path, key_path) = (folder.path().join("a.crt"), folder.path().join("a.key"));
    let (first, first_key) = certificate();
    fs::write(&certificate_path, &first).unwrap();
    fs::write(&key_path, &first_key).unwrap();
    let arguments = ["--tls-cert", certificate_path.to_str().unwrap(), "--tls-key", key_path.to_str().unwrap()];
    let server = Server::start_in(TempDir::new().unwrap(), &arguments);
    let health = format!("{}/healthz", server.url);
    let response = client(&first).get(&health).send().await.unwrap();
    assert_eq!(response.headers()["strict-transport-security"], "max-age=15552000");

    // First a file that is not a certificate, then a certificate that does not match the key, then its key.
    let (second, second_key) = certificate();
    fs::write(&certificate_path, "no certificate").unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        // A new client each time: one that resumes a TLS session gets no certificate.
        assert_eq!(client(&first).get(&health).send().await.unwrap().status(), 200, "the previous one stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fs::write(&certificate_path, &second).unwrap();
    fs::write(&key_path, &second_key).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while client(&second).get(&health).send().await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not loaded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(client(&first).get(&health).send().await.is_err(), "the previous one is gone");
}

#[tokio::test]
async fn cookies_are_secure_over_tls() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    server.run(&["user", "add", "alice"], "rabbit hole");
    let response = client(&ca_of(&server))
        .post(format!("{}/login", server.url))
        .body(r#"{"username":"alice","password":"rabbit hole"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|one| one == attribute), "{cookie}");
    }
}

#[tokio::test]
async fn plain_http_is_redirected_to_https() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    for (host, address) in [
        ("localhost:6767", "localhost:6767"),
        // The default port of http, and that of https.
        ("localhost", "localhost:80"),
        ("localhost:80", "localhost:80"),
        ("localhost:443", "localhost"),
        ("LOCALHOST.:6767", "localhost:6767"),
        ("127.0.0.1:6767", "127.0.0.1:6767"),
        ("[::1]:6767", "[::1]:6767"),
        ("[0:0:0:0:0:0:0:1]:6767", "[::1]:6767"),
    ] {
        for method in ["GET", "HEAD"] {
            let response = response_to(&server, &format!("{method} /relay?x=1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(response.starts_with("http/1.1 307 "), "{response}");
            assert!(response.contains(&format!("\r\nlocation: https://{address}/relay?x=1\r\n")), "{host}: {response}");
        }
    }
    for (request, code) in [
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "https_needed"),
        // The certificate is not for these: a client may send any name.
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "https_needed"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "https_needed"),
        ("GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", "https_needed"),
        ("GET / HTTP/1.1\r\nHost: 203.0.113.7:6767\r\n\r\n", "https_needed"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::7]\r\n\r\n", "https_needed"),
        ("GET / HTTP/1.0\r\n\r\n", "https_needed"),
        ("GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: not/a host\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "bad_host"),
        ("GET / HTTP/1.1\r\n\r\n", "bad_host"),
        ("CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", "bad_target"),
    ] {
        let response = response_to(&server, request);
        assert!(response.starts_with("http/1.") && response.contains(" 400 "), "{request}: {response}");
        assert!(response.contains(&format!(r#""code":"{code}""#)), "{request}: {response}");
        assert!(!response.contains("location:"), "{request}: {response}");
    }
}

#[tokio::test]
async fn a_stalled_handshake_times_out_and_blocks_nobody() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let mut silent: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    // The head of a TLS record without its body.
    silent.iter_mut().step_by(2).for_each(|stream| stream.write_all(&[22, 3, 1, 2, 0]).unwrap());
    let begun = Instant::now();
    let health = client(&ca_of(&server)).get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for mut stream in silent {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert!(begun.elapsed() < HANDSHAKE_MAX, "{:?}", begun.elapsed());
}

#[test]
fn a_stopping_server_does_not_wait_for_handshakes() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let _silent = connect(&server);
    let begun = Instant::now();
    let (_folder, status) = server.stop(Signal::SIGTERM);
    assert!(status.success());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn an_unusable_certificate_at_start_is_a_one_line_error() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ((first, first_key), (_, other_key)) = (certificate(), certificate());
    fs::write(path("good.crt"), first).unwrap();
    fs::write(path("good.key"), first_key).unwrap();
    fs::write(path("other.key"), other_key).unwrap();
    fs::write(path("empty"), "").unwrap();
    for (certificate, key) in [
        ("none", "good.key"),
        ("good.crt", "none"),
        ("good.crt", "other.key"),
        ("empty", "good.key"),
        ("good.crt", "empty"),
    ] {
        let output = Command::new(PROGRAM)
            .args(["--db", &path("presence.db"), "serve", "--listen", "127.0.0.1:0"])
            .args(["--tls-cert", &path(certificate), "--tls-key", &path(key)])
            .output()
            .unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{certificate} {key}");
        assert!(line.starts_with("error: ") && line.lines().count() == 1, "{line}");
        assert!(output.stdout.is_empty());
    }
}

/// What `serve` writes to standard error and to standard output until it serves.
fn output_of_serve(arguments: &[&str]) -> (String, String) {
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("--db")
        .arg(folder.path().join("presence.db"))
        .args(["serve", "--listen"])
        .args(arguments)
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("minimost-calls serves") && lines.read_line(&mut printed).unwrap() > 0 {}
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait(&mut child, Duration::from_secs(20));
    lines.read_to_string(&mut printed).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (errors, printed)
}

#[test]
fn plain_http_beyond_loopback_prints_a_warning() {
    let (warning, _) = output_of_serve(&["0.0.0.0:0"]);
    assert!(warning.starts_with("warning: ") && warning.lines().count() == 1, "{warning}");
    for word in ["microphone", "camera", "screen", "--tls-self-signed"] {
        assert!(warning.contains(word), "{warning}");
    }
    for quiet in [&["127.0.0.1:0"][..], &["0.0.0.0:0", "--behind-proxy"], &["0.0.0.0:0", "--tls-self-signed"]] {
        let (warning, printed) = output_of_serve(quiet);
        assert_eq!(warning, "", "{quiet:?}");
        let is_self_signed = quiet.contains(&"--tls-self-signed");
        assert_eq!(printed.contains("SHA-256 fingerprint of the CA: "), is_self_signed, "{printed}");
    }
}
