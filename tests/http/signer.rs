//! Tokens of a host application, signed by another library than the server's.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Person, Server};

/// The secret of the issuer `chat`.
pub const SECRET: &str = "a secret of at least 32 bytes, 01";

/// A process that signs.
pub struct Signer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The key pairs: `rsa`, `ec`, `ed` and others, each with `pem`, `private` and `jwk`.
    pub keys: Value,
}

impl Signer {
    pub fn start() -> Self {
        // Debian's packages are for its own Python.
        let mut child = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/signer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut signer = Self { child, input, output, keys: Value::Null };
        signer.keys = serde_json::from_str(&signer.line()).unwrap();
        signer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "tests/http/signer.py needs python3-jwt and python3-cryptography");
        line.trim_end().to_owned()
    }

    /// A token with this algorithm, key and header.
    pub fn sign_with(&mut self, alg: &str, key: Option<&str>, headers: &Value, claims: &Value) -> String {
        let order = json!({ "alg": alg, "key": key, "headers": headers, "claims": claims });
        writeln!(self.input, "{order}").unwrap();
        self.line()
    }

    /// A token of the issuer `chat`, with HS256.
    pub fn sign(&mut self, claims: &Value) -> String {
        self.sign_with("HS256", Some(SECRET), &json!({}), claims)
    }

    /// The public key of a pair, in PEM.
    pub fn pem(&self, name: &str) -> String {
        self.keys[name]["pem"].as_str().unwrap().to_owned()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "a host application has its own clock")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// Claims of a user of the issuer `chat`, valid for five minutes, with `more` of them. A claim that is null is left out.
pub fn claims(sub: &str, more: &Value) -> Value {
    let mut claims = json!({ "iss": "chat", "sub": sub, "iat": now(), "exp": now() + 300 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

impl Server {
    /// Adds an issuer.
    pub fn add_issuer(&self, name: &str, algorithm: &str, key: &str) {
        self.sql()
            .execute("INSERT INTO add_issuer (name, algorithm, key) VALUES (?1, ?2, ?3)", [name, algorithm, key])
            .unwrap();
    }

    /// Who sends this token.
    pub fn bearer(&self, token: String) -> Person {
        Person::with_client(String::new(), token, self.url.clone(), reqwest::Client::new())
    }
}
