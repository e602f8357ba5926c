//! A request with a token of a host application, beside one with a session's token: `cargo bench --bench issuers`.
//!
//! The first use of a token verifies its signature and commits a session. A later use is the look-up of a session, as with a
//! token of a login. The tokens are signed by ring.

#[path = "client.rs"]
mod client;
#[path = "measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use clap::Parser;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use ring::{hmac, pkcs8};
use serde_json::{Value, json};

use crate::client::{Connection, get};
use crate::measure::Durations;
use crate::support::Server;

#[derive(Parser)]
struct Options {
    /// Number of requests of each row
    #[arg(long, default_value_t = 4000)]
    requests: usize,
    /// Number of connections beside a single one
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const SECRET: &str = "a secret of at least 32 bytes, 01";

/// Signs the bytes of a header and claims.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A signer of each algorithm, and its public key in PEM, or its secret.
fn signers() -> [(&'static str, String, Sign); 3] {
    let random = SystemRandom::new();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).unwrap();
    let ed25519: pkcs8::Document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
    // The bytes before the key in a SubjectPublicKeyInfo of these kinds (RFC 5480, RFC 8410).
    let pem = |head: &[u8], key: &[u8]| {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode_to_string([head, key].concat())
        )
    };
    let p256_head =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let ed25519_head = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    [
        ("HS256", SECRET.to_owned(), Box::new(move |message| hmac::sign(&secret, message).as_ref().to_vec())),
        (
            "ES256",
            pem(p256_head, p256.public_key().as_ref()),
            Box::new(move |message| p256.sign(&random, message).unwrap().as_ref().to_vec()),
        ),
        (
            "EdDSA",
            pem(ed25519_head, ed25519.public_key().as_ref()),
            Box::new(move |message| ed25519.sign(message).as_ref().to_vec()),
        ),
    ]
}

/// Tokens of different people, each in ten channels.
#[expect(clippy::disallowed_methods, reason = "a host application has its own clock")]
fn tokens(algorithm: &str, sign: &Sign, count: usize) -> Vec<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let encoded = |part: Value| URL_SAFE_NO_PAD.encode_to_string(part.to_string());
    let channels: Vec<Value> =
        (0..10).map(|number| json!({ "id": format!("C{number}"), "title": "General" })).collect();
    (0..count)
        .map(|number| {
            let claims = json!({
                "iss": algorithm, "sub": format!("{algorithm}|{}", number % 100), "name": "Zoe Zander", "channels": channels,
                "iat": now, "exp": now + 3600, "jti": number,
            });
            let message = format!("{}.{}", encoded(json!({ "typ": "JWT", "alg": algorithm })), encoded(claims));
            let signature = URL_SAFE_NO_PAD.encode_to_string(sign(message.as_bytes()));
            format!("{message}.{signature}")
        })
        .collect()
}

/// Sends a request with each token, over so many connections, and prints a row.
async fn measure(name: &str, server: &Server, tokens: &[String], connections: usize) {
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let begun = Instant::now();
    let clients = tokens.chunks(tokens.len().div_ceil(connections)).map(|tokens| {
        let requests: Vec<Vec<u8>> = tokens.iter().map(|token| get("/calls/incoming", token)).collect();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut durations = Vec::new();
            for request in requests {
                let begun = Instant::now();
                connection.request(&request).await;
                durations.push(begun.elapsed());
            }
            durations
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut durations = Durations::new();
    for client in clients {
        client.await.unwrap().into_iter().for_each(|duration| durations.add(duration));
    }
    let rate = tokens.len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "| {name} | {connections} | {rate:.0} | {:.2} | {:.2} |",
        durations.percentile(50.0),
        durations.percentile(99.0)
    );
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let server = Server::start();
    server.lift_limits();
    server.execute("UPDATE settings SET value = 0 WHERE name = 'sessions_per_person'");
    println!("| GET /calls/incoming with | connections | requests/s | p50 ms | p99 ms |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let session = vec![server.person("alice").token; options.requests];
    for connections in [1, options.connections] {
        measure("a session's token", &server, &session, connections).await;
    }
    for (algorithm, key, sign) in signers() {
        let add = "INSERT INTO add_issuer (name, algorithm, key) VALUES (?1, ?1, ?2)";
        server.sql().execute(add, [algorithm, &key]).unwrap();
        let tokens = tokens(algorithm, &sign, options.requests * 2);
        for (connections, tokens) in [1, options.connections].into_iter().zip(tokens.chunks(options.requests)) {
            measure(&format!("{algorithm}, first use"), &server, tokens, connections).await;
            measure(&format!("{algorithm}, later use"), &server, tokens, connections).await;
        }
    }
    server.assert_integrity();
}
