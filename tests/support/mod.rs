//! What the tests share: a real server on a real file, people who are logged in, and requests.
//!
//! Time is never slept away: a test that needs it to be later moves the rows that matter into the past, with SQL.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use minimost_calls::tokens::{new_token, token_hash};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, RequestBuilder};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_minimost-calls");

/// A password hash that no password has, for people who log in with a token; hashing a real one takes long.
pub const NO_PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A server of its own for one test, on a file of its own, which ends with it.
pub struct Server {
    pub url: String,
    pub folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Starts a server on a new file.
    pub fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), &[])
    }

    /// Starts a server on `presence.db` in `folder`, with more arguments for `serve`.
    pub fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", folder, arguments)
    }

    /// Starts a server on `presence.db` in `folder`, at an address of 127.0.0.1.
    pub fn start_on(address: &str, folder: TempDir, arguments: &[&str]) -> Self {
        Self::start_as(Command::new(PROGRAM), address, folder, arguments)
    }

    /// The same by way of a command that becomes the program: `strace -D`, say, with the program as its last argument.
    pub fn start_as(mut program: Command, address: &str, folder: TempDir, arguments: &[&str]) -> Self {
        let mut child = program
            .arg("--db")
            .arg(folder.path().join("presence.db"))
            .args(["serve", "--listen", address])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        // With HTTPS it says more before that.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.into_iter().find(|line| line.starts_with("minimost-calls serves")).unwrap_or_default();
        let url = line.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(
            url.starts_with("http://127.0.0.1:") || url.starts_with("https://127.0.0.1:"),
            "the server said {line:?}"
        );
        Self { url, folder, child: Some(child) }
    }

    /// The database file.
    pub fn db(&self) -> PathBuf {
        self.folder.path().join("presence.db")
    }

    /// The id of the server's process.
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().unwrap().id().try_into().unwrap())
    }

    /// Ends the server with a signal, waits for it, and gives back its folder and its exit status.
    pub fn stop(mut self, signal: Signal) -> (TempDir, std::process::ExitStatus) {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let status = wait(&mut child, Duration::from_secs(20));
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        (folder, status)
    }

    /// A connection to the file, like another program's.
    pub fn sql(&self) -> Connection {
        connect(&self.db())
    }

    /// Adds a user and answers somebody who is logged in as them.
    pub fn person(&self, name: &str) -> Person {
        let token = new_token().unwrap();
        let sql = self.sql();
        sql.execute(
            "INSERT INTO users (username, password_hash, created_ts) SELECT ?1, ?2, ts FROM now \
             WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = ?1)",
            [name, NO_PASSWORD],
        )
        .unwrap();
        sql.execute(
            "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) SELECT ?1, ?2, ts, ts + 3600 FROM now",
            [&token_hash(&token), name],
        )
        .unwrap();
        Person { name: name.to_owned(), token, url: self.url.clone(), client: reqwest::Client::new() }
    }

    /// The same person, with the same token, at this server: after it was started anew on the file of another.
    pub fn moved(&self, person: &Person) -> Person {
        Person { url: self.url.clone(), ..person.clone() }
    }

    /// Adds a private channel with members, who exist, and answers its name.
    pub fn private_channel(&self, members: &[&str]) -> String {
        let sql = self.sql();
        sql.execute("INSERT INTO private_channels (name, created_ts) VALUES ('a channel', 0)", []).unwrap();
        let id = sql.last_insert_rowid();
        for member in members {
            sql.execute(
                "INSERT INTO private_channel_members (channel_id, username, joined_ts) VALUES (?1, ?2, 0)",
                rusqlite::params![id, member],
            )
            .unwrap();
        }
        format!("private:{id}")
    }

    /// Makes all that rings have rung for so many seconds longer.
    pub fn age_invitations(&self, seconds: f64) {
        self.sql()
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; \
                 UPDATE calls SET started_ts = started_ts - {seconds} WHERE state = 'ringing'; \
                 UPDATE call_participants SET invited_ts = invited_ts - {seconds} WHERE state = 'pending'; \
                 COMMIT;"
            ))
            .unwrap();
    }

    /// Runs SQL on the file, like an admin at a shell.
    pub fn execute(&self, sql: &str) {
        self.sql().execute_batch(sql).unwrap();
    }

    /// Runs the program on the file while the server runs, with a line of standard input; it has to succeed.
    pub fn run(&self, arguments: &[&str], line: &str) -> String {
        let mut child = Command::new(PROGRAM)
            .arg("--db")
            .arg(self.db())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything that people have in the file, to see whether it changed.
    pub fn rows(&self) -> String {
        let mut sql = self.sql();
        let snapshot = sql.transaction().unwrap();
        let mut dump = String::new();
        for table in [
            "users",
            "sessions",
            "private_channel_members",
            "calls",
            "call_participants",
            "call_signals",
            "call_media",
            "screenshares",
            "share_media",
        ] {
            let mut statement = snapshot.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<rusqlite::types::Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
                writeln!(dump, "{table} {values:?}").unwrap();
            }
        }
        dump
    }

    /// Sends a request that must be refused with this status and code, and must change nothing.
    pub async fn assert_refuses(&self, request: RequestBuilder, status: u16, code: &str) -> Value {
        let before = self.rows();
        let refused = answer(request).await;
        assert_refused(&refused, status, code);
        assert_eq!(self.rows(), before, "{code}");
        refused.1
    }

    /// Waits until a query answers 1, but not for long.
    pub async fn eventually(&self, query: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.value::<i64>(query) != 1 {
            assert!(Instant::now() < deadline, "not within {limit:?}: {query}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One value of the file.
    pub fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Fails if the file breaks a rule.
    pub fn assert_integrity(&self) {
        let sql = self.sql();
        let mut statement = sql.prepare("SELECT violation FROM integrity_violations").unwrap();
        let violations: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(violations, Vec::<String>::new());
        assert_eq!(self.value::<String>("PRAGMA integrity_check"), "ok");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM);
            wait(&mut child, Duration::from_secs(20));
        }
    }
}

/// Waits for a process that should end by itself; one that does not is killed and fails the test.
pub fn wait(child: &mut Child, limit: Duration) -> std::process::ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("process {} did not end within {limit:?}", child.id());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection to a file, like another program's: no settings but patience.
pub fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub token: String,
    url: String,
    client: reqwest::Client,
}

impl Person {
    /// Somebody whose token is in the file already; people may share a client and its pool of connections.
    pub fn with_client(name: String, token: String, url: String, client: reqwest::Client) -> Self {
        Self { name, token, url, client }
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// A GET to send.
    pub fn getting(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST to send, without a body.
    pub fn posting(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A POST to send, of JSON.
    pub fn posting_json(&self, path: &str, body: Value) -> RequestBuilder {
        self.request(Method::POST, path).json(&body)
    }

    /// A POST to send, of bytes.
    pub fn posting_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/octet-stream").body(body.into())
    }

    /// GET: the status and the JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.getting(path)).await
    }

    /// GET of what is there.
    pub async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// POST without a body.
    pub async fn post(&self, path: &str) -> (u16, Value) {
        answer(self.posting(path)).await
    }

    /// POST of JSON.
    pub async fn post_json(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.posting_json(path, body)).await
    }

    /// POST of bytes.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
        answer(self.posting_bytes(path, body)).await
    }

    /// Calls a channel and answers the call's id.
    pub async fn call(&self, channel: &str) -> String {
        let (status, body) = self.post_json("/calls/initiate", serde_json::json!({ "channel": channel })).await;
        assert_eq!(status, 200, "{body}");
        body["call_id"].as_str().unwrap().to_owned()
    }
}

/// Sends a request; every answer of the API is JSON.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(content_type.as_deref(), Some("application/json"), "status {status}");
    (status, response.json().await.unwrap())
}

/// Fails unless an answer is an error of the contract's form with this status and code.
pub fn assert_refused((status, body): &(u16, Value), expected_status: u16, code: &str) {
    assert_eq!((*status, body["code"].as_str()), (expected_status, Some(code)), "{body}");
    assert!(body["error"].as_str().is_some_and(|sentence| sentence.len() > 5), "{body}");
}
