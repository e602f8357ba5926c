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

use crate::support::certificates::{ca_file, sign};
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
    let trusting = client(&ca_file(&server));
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

/// Standard output and standard error of a program, and whether it succeeded.
fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn the_ca_signs_for_this_machine_and_private_networks_alone() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let ca = server.folder.path().join("presence.db-authority.pem");
    let ca = ca.to_str().unwrap();
    let (_, text) = run("openssl", &["x509", "-in", ca, "-noout", "-ext", "nameConstraints"]);
    assert!(text.contains("Name Constraints: critical") && text.contains("DNS:local\n"), "{text}");
    assert!(!text.contains("Excluded"), "{text}");

    // The server's own certificate.
    let own = server.folder.path().join("presence.db-tls.pem");
    let own = own.to_str().unwrap();
    for name in [&["-verify_ip", "127.0.0.1"], &["-verify_ip", "::1"], &["-verify_hostname", "localhost"]] {
        let (valid, text) = run("openssl", &[&["verify", "-x509_strict", "-CAfile", ca], &name[..], &[own]].concat());
        assert!(valid, "{name:?}: {text}");
    }

    // Others that its key has signed.
    let machine = gethostname::gethostname().to_string_lossy().to_lowercase();
    let folder = TempDir::new().unwrap();
    for (names, is_valid) in [
        (&["localhost"][..], true),
        (&[&machine], true),
        (&["calls.local", "a.b.local"], true),
        (&["10.1.2.3", "172.31.255.255", "192.168.7.7", "127.9.9.9", "169.254.1.1"], true),
        (&["::1", "fd00::1", "fc00::1", "fe80::1"], true),
        (&["example.com"], false),
        (&["local.example.com"], false),
        (&["notlocal"], false),
        (&["localhost.example.com"], false),
        (&["*.com"], false),
        (&["localhost", "example.com"], false),
        (&["8.8.8.8"], false),
        (&["172.32.0.1"], false),
        (&["11.0.0.1"], false),
        (&["2001:db8::7"], false),
        (&["::2"], false),
        (&["::ffff:8.8.8.8"], false),
    ] {
        let [_, certificate, ..] = sign(&ca_file(&server), names, folder.path());
        let (valid, text) = run("openssl", &["verify", "-CAfile", ca, &certificate]);
        assert_eq!(valid, is_valid, "{names:?}: {text}");
        assert!(valid || text.contains("permitted subtree violation"), "{names:?}: {text}");
    }
}

#[tokio::test]
async fn clients_refuse_what_the_ca_may_not_sign() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let ca = ca_file(&server);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ca.crt"), &ca).unwrap();
    let ca_path = folder.path().join("ca.crt").display().to_string();
    for (name, is_taken) in [("calls.local", true), ("example.com", false)] {
        let options = sign(&ca, &[name], folder.path());
        let other = Server::start_in(TempDir::new().unwrap(), &options.each_ref().map(String::as_str));
        let url = format!("{}/healthz", other.url.replace("127.0.0.1", name));
        let address = other.url.trim_start_matches("https://").parse().unwrap();
        let rustls = Client::builder()
            .add_root_certificate(Certificate::from_pem(ca.as_bytes()).unwrap())
            .resolve(name, address)
            .build()
            .unwrap();
        let response = rustls.get(&url).send().await;
        assert_eq!(response.is_ok(), is_taken, "{name}: {response:?}");
        let resolve = format!("{name}:{}:127.0.0.1", address.port());
        let (is_ok, text) = run("curl", &["-sS", "--noproxy", "*", "--cacert", &ca_path, "--resolve", &resolve, &url]);
        assert_eq!(is_ok, is_taken, "{name}: {text}");
        assert!(is_ok || text.contains("curl: (60)"), "{name}: {text}");
    }
}

/// A CA with these permitted names and addresses, and its key. Without any, it may sign for everything.
fn ca_that_permits(names: &[&str]) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let permitted_subtrees = names.iter().map(|name| match name.parse() {
        Ok(network) => rcgen::GeneralSubtree::IpAddress(network),
        Err(()) => rcgen::GeneralSubtree::DnsName((*name).to_owned()),
    });
    params.name_constraints = (!names.is_empty()).then(|| rcgen::NameConstraints {
        permitted_subtrees: permitted_subtrees.collect(),
        excluded_subtrees: Vec::new(),
    });
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

/// The lines of the log of a server that has a CA's file, and the file afterwards. The server's certificate must be valid
/// for 127.0.0.1 then.
async fn start_with_ca(ca: &str) -> (String, String) {
    let folder = TempDir::new().unwrap();
    let (path, log) = (folder.path().join("presence.db-authority.pem"), folder.path().join("log"));
    fs::write(&path, ca).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2> \"$LOG\"", PROGRAM]).env("LOG", &log);
    let server = Server::start_as(shell, "127.0.0.1:0", folder, &["--tls-self-signed"]);
    let ca = ca_file(&server);
    let health = client(&ca).get(format!("{}/healthz", server.url)).send().await;
    assert!(health.is_ok(), "{health:?}");
    let log = fs::read_to_string(log).unwrap();
    (log.lines().filter(|line| line.contains(" WARN ")).map(|line| format!("{line}\n")).collect(), ca)
}

#[tokio::test]
async fn an_unsuitable_ca_is_replaced() {
    for (permitted, reason) in [
        (&[][..], "the old one could sign for any site"),
        (&["another-machine", "local", "127.0.0.0/8"], "the name of this machine has changed"),
    ] {
        let old = ca_that_permits(permitted);
        let (warning, new) = start_with_ca(&old).await;
        assert_ne!(new, old);
        assert!(warning.contains(reason) && warning.lines().count() == 1, "{warning}");
    }
}

#[tokio::test]
async fn the_certificate_leaves_out_what_the_ca_may_not_sign() {
    let machine = gethostname::gethostname().to_string_lossy().to_lowercase();
    let old = ca_that_permits(&[&machine, "127.0.0.0/8"]);
    let (warning, new) = start_with_ca(&old).await;
    assert_eq!(new, old, "the CA stays");
    for name in ["::1", "localhost"].iter().filter(|name| **name != machine) {
        assert!(warning.contains(&format!("\"{name}\"")) && warning.lines().count() == 1, "{warning}");
    }
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
    let response = client(&ca_file(&server))
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
async fn plain_http_is_redirected_to_the_names_of_a_given_certificate() {
    let folder = TempDir::new().unwrap();
    let names = ["*.calls.test", "calls.test", "203.0.113.7", "127.0.0.1"];
    let options = sign(&ca_that_permits(&[]), &names, folder.path());
    let server = Server::start_in(TempDir::new().unwrap(), &options.each_ref().map(String::as_str));
    for (host, address) in [
        ("calls.test:6767", Some("calls.test:6767")),
        ("www.calls.test:443", Some("www.calls.test")),
        ("WWW.Calls.Test.:443", Some("www.calls.test")),
        ("203.0.113.7:6767", Some("203.0.113.7:6767")),
        // A wildcard is for one label (RFC 6125, section 6.4.3).
        ("a.b.calls.test", None),
        ("*.calls.test", None),
        ("xcalls.test", None),
        ("localhost", None),
        ("203.0.113.8", None),
    ] {
        let response = response_to(&server, &format!("GET /?x=1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let location = address.map(|address| format!("\r\nlocation: https://{address}/?x=1\r\n"));
        match location {
            Some(location) => assert!(response.contains(&location), "{host}: {response}"),
            None => assert!(response.starts_with("http/1.1 400 "), "{host}: {response}"),
        }
        assert!(response.contains("\r\nx-content-type-options: nosniff\r\n"), "{response}");
    }
}

#[tokio::test]
async fn a_stalled_handshake_times_out_and_blocks_nobody() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    let mut silent: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    // The head of a TLS record without its body.
    silent.iter_mut().step_by(2).for_each(|stream| stream.write_all(&[22, 3, 1, 2, 0]).unwrap());
    let begun = Instant::now();
    let health = client(&ca_file(&server)).get(format!("{}/healthz", server.url)).send().await.unwrap();
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
