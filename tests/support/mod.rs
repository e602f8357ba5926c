//! Shared by the tests: a server process on a database file, users with sessions, and requests.
//!
//! No test sleeps until a timeout: it moves the rows into the past with SQL.

#![allow(dead_code, unused_imports, reason = "each binary uses a part of it")]

pub mod certificates;
mod events;
pub mod openapi;
pub mod three_members;

use std::fmt::{Debug, Write as _};
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

pub use events::{Event, EventStream};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_minimost-calls");

/// The hash of no password, for users who have a token: a real hash takes long.
pub const NO_PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A server process on a new database file. It stops on drop.
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

    /// Starts a server under a command that executes it, such as `strace -D` with the program as last argument.
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
        // With HTTPS, other lines come first.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.into_iter().find(|line| line.starts_with("minimost-calls serves")).unwrap_or_default();
        let url = line.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(
            url.starts_with("http://127.0.0.1:") || url.starts_with("https://127.0.0.1:"),
            "the server printed {line:?}"
        );
        Self { url, folder, child: Some(child) }
    }

    /// Starts a server on `presence.db` in `folder`, whose standard error is the file `log`.
    pub fn start_logging(folder: TempDir, log: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "log=$1; shift; exec \"$@\" 2> \"$log\"", "sh"]).arg(log).arg(PROGRAM);
        Self::start_as(shell, "127.0.0.1:0", folder, &[])
    }

    /// The database file.
    pub fn db(&self) -> PathBuf {
        self.folder.path().join("presence.db")
    }

    /// The process id of the server.
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().unwrap().id().try_into().unwrap())
    }

    /// Sends the server a signal, waits for its end, and returns its folder and exit status.
    pub fn stop(mut self, signal: Signal) -> (TempDir, std::process::ExitStatus) {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let status = wait(&mut child, Duration::from_secs(20));
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        (folder, status)
    }

    /// Waits for the server, which ends by itself, and returns its folder and exit status.
    pub fn wait_for_end(mut self) -> (TempDir, std::process::ExitStatus) {
        let status = wait(&mut self.child.take().unwrap(), Duration::from_secs(20));
        (std::mem::replace(&mut self.folder, TempDir::new().unwrap()), status)
    }

    /// A connection to the file, as another program opens it.
    pub fn sql(&self) -> Connection {
        connect(&self.db())
    }

    /// Lifts the limits on what one person or address may do: a test or benchmark has few people who do much.
    pub fn lift_limits(&self) {
        self.execute(
            "UPDATE settings SET value = 0 WHERE name IN ('connections_per_address', 'live_calls_per_person', \
             'live_shares_per_person', 'refusal_pause', 'rings_per_pair', 'rings_per_person', 'streams_per_person')",
        );
    }

    /// Adds a user, unless they exist, and a session.
    pub fn person(&self, name: &str) -> Person {
        let token = new_token().unwrap();
        add_person(&self.sql(), name, &token);
        Person { name: name.to_owned(), token, url: self.url.clone(), client: reqwest::Client::new() }
    }

    /// Adds users `person0` and so on, each with a session, in one commit. They share a client and its connections.
    pub fn people(&self, count: usize) -> Vec<Person> {
        let mut sql = self.sql();
        let transaction = sql.transaction().unwrap();
        let client = reqwest::Client::new();
        let people = (0..count)
            .map(|number| {
                let (name, token) = (format!("person{number}"), new_token().unwrap());
                add_person(&transaction, &name, &token);
                Person::with_client(name, token, self.url.clone(), client.clone())
            })
            .collect();
        transaction.commit().unwrap();
        people
    }

    /// The same session on this server, which was restarted on the file of another.
    pub fn moved(&self, person: &Person) -> Person {
        Person { url: self.url.clone(), ..person.clone() }
    }

    /// Adds a private channel with these users, and returns its name.
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

    /// A request that opens a link. Nobody is logged in.
    pub fn opening_link(&self, token: &str, name: &str) -> RequestBuilder {
        let body = serde_json::json!({ "link": token, "name": name });
        reqwest::Client::new().post(format!("{}/guest", self.url)).json(&body)
    }

    /// Opens a link. The guest has a session from then on.
    pub async fn guest(&self, token: &str, name: &str) -> Person {
        let (status, guest) = answer(self.opening_link(token, name)).await;
        assert_eq!(status, 200, "{guest}");
        let [name, token] = ["username", "token"].map(|member| guest[member].as_str().unwrap().to_owned());
        Person::with_client(name, token, self.url.clone(), reqwest::Client::new())
    }

    /// Moves ringing calls and pending invitations into the past by `seconds`.
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

    /// Runs SQL on the file, as an admin in a shell.
    pub fn execute(&self, sql: &str) {
        self.sql().execute_batch(sql).unwrap();
    }

    /// Runs a command on the server's file, with a line on standard input. Fails unless it succeeds.
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

    /// The rows of all tables that requests change, to compare.
    pub fn rows(&self) -> String {
        rows_of(&self.sql().transaction().unwrap())
    }

    /// Sends a request, and fails unless it is refused with this status and code and changes nothing.
    pub async fn assert_refuses(&self, request: RequestBuilder, status: u16, code: &str) -> Value {
        let before = self.rows();
        let refused = answer(request).await;
        assert_refused(&refused, status, code);
        assert_eq!(self.rows(), before, "{code}");
        refused.1
    }

    /// Polls a query until it returns 1. Fails after `limit`.
    pub async fn eventually(&self, query: &str, limit: Duration) {
        eventually(limit, query, 1_i64, || self.value(query)).await;
    }

    /// The value of a query.
    pub fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Fails if the file violates a rule.
    pub fn assert_integrity(&self) {
        let sql = self.sql();
        let mut statement = sql.prepare("SELECT violation FROM integrity_violations").unwrap();
        let violations: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(violations, Vec::<String>::new());
        assert_eq!(self.value::<String>("PRAGMA integrity_check"), "ok");
    }
}

/// Adds a user, unless they exist, and a session with this token.
fn add_person(sql: &Connection, name: &str, token: &str) {
    sql.prepare_cached(
        "INSERT INTO users (username, password_hash, created_ts) SELECT ?1, ?2, ts FROM now \
         WHERE NOT EXISTS (SELECT 1 FROM users WHERE username = ?1)",
    )
    .unwrap()
    .execute([name, NO_PASSWORD])
    .unwrap();
    sql.prepare_cached(
        "INSERT INTO sessions (token_hash, username, created_ts, expires_ts) SELECT ?1, ?2, ts, ts + 3600 FROM now",
    )
    .unwrap()
    .execute([&*token_hash(token), name])
    .unwrap();
}

/// The rows of all tables that requests change, as a transaction sees them.
pub fn rows_of(snapshot: &Connection) -> String {
    let mut dump = String::new();
    for table in [
        "users",
        "sessions",
        "private_channels",
        "private_channel_members",
        "service_tokens",
        "issuers",
        "ended_tokens",
        "removed_subjects",
        "settings",
        "calls",
        "call_participants",
        "call_signals",
        "call_media",
        "screenshares",
        "share_media",
        "idempotency_keys",
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

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM);
            wait(&mut child, Duration::from_secs(20));
        }
    }
}

/// A folder with a file into which an original of this version was imported.
pub fn imported(version: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let original = format!("{}/fixtures/original/{version}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(PROGRAM)
        .arg("--db")
        .arg(folder.path().join("presence.db"))
        .args(["import", "--presence", &format!("{original}/presence.db"), "--auth", &format!("{original}/auth.db")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    folder
}

/// Waits for the end of a process. After `limit` it kills the process and fails.
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

/// Polls `probe` until it returns `expected`. Fails after `limit`, with `what` was expected.
pub async fn eventually<T: PartialEq + Debug>(limit: Duration, what: &str, expected: T, mut probe: impl FnMut() -> T) {
    let deadline = Instant::now() + limit;
    loop {
        let found = probe();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{what} is {found:?}, not {expected:?}, after {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A connection to a file, as another program opens it: with a busy timeout, and no other settings.
pub fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// A user with a session.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub token: String,
    url: String,
    client: reqwest::Client,
}

impl Person {
    /// A user whose session is in the file. Users may share a client and its connections.
    pub fn with_client(name: String, token: String, url: String, client: reqwest::Client) -> Self {
        Self { name, token, url, client }
    }

    /// The same session, with another client.
    pub fn using(&self, client: &reqwest::Client) -> Self {
        Self { client: client.clone(), ..self.clone() }
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// A GET request.
    pub fn getting(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST request without a body.
    pub fn posting(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A POST request with JSON.
    #[expect(clippy::needless_pass_by_value, reason = "callers build the body in the call")]
    pub fn posting_json(&self, path: &str, body: Value) -> RequestBuilder {
        self.request(Method::POST, path).json(&body)
    }

    /// A POST request with bytes.
    pub fn posting_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/octet-stream").body(body.into())
    }

    /// Sends a GET request; returns status and JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.getting(path)).await
    }

    /// Sends a GET request that must succeed; returns the JSON.
    pub async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Sends a POST request without a body.
    pub async fn post(&self, path: &str) -> (u16, Value) {
        answer(self.posting(path)).await
    }

    /// Sends a POST request with JSON.
    pub async fn post_json(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.posting_json(path, body)).await
    }

    /// Sends a POST request with bytes.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
        answer(self.posting_bytes(path, body)).await
    }

    /// Calls a channel, and returns the call's id.
    pub async fn call(&self, channel: &str) -> String {
        let (status, body) = self.post_json("/calls/initiate", serde_json::json!({ "channel": channel })).await;
        assert_eq!(status, 200, "{body}");
        body["call_id"].as_str().unwrap().to_owned()
    }
}

/// Sends a request; each response of the API is JSON, and as its description has it.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(content_type.as_deref(), Some("application/json"), "status {status}");
    assert!(response.headers().contains_key("api-version"), "status {status}");
    let body = response.json().await.unwrap();
    openapi::assert_described(method.as_str(), &path, status, content_type.as_deref(), Some(&body));
    (status, body)
}

/// Fails unless a response is an error with this status and code, and a sentence.
pub fn assert_refused((status, body): &(u16, Value), expected_status: u16, code: &str) {
    assert_eq!((*status, body["code"].as_str()), (expected_status, Some(code)), "{body}");
    assert!(body["error"].as_str().is_some_and(|sentence| sentence.len() > 5), "{body}");
}
