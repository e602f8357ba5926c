//! The members of a cluster as processes: start, kill, freeze, restart, and the comparison of their files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::TIMEOUT;
use crate::support::{PROGRAM, Person, Server, connect, wait};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Where members listen, and for clients.
pub const MEMBER_PORT: u16 = 7100;
const HTTP_PORT: u16 = 6760;

/// Polls `probe` until it returns something. Fails after `limit`, with `what` was waited for.
pub fn wait_for<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {limit:?}");
        thread::sleep(INTERVAL);
    }
}

/// The first two numbers after 127 of the addresses of a cluster. Each member has an address of loopback of its own, so
/// that no other socket takes its ports while it is down, as one on 127.0.0.1 might.
pub fn new_network() -> [u8; 2] {
    loop {
        let network = [fastrand::u8(1..=254), fastrand::u8(..)];
        let probe = TcpListener::bind((address(network, 1).as_str(), MEMBER_PORT));
        if probe.is_ok() {
            return network;
        }
    }
}

pub fn address([first, second]: [u8; 2], node: u64) -> String {
    format!("127.{first}.{second}.{node}")
}

/// The name of a member, of which no resolver knows.
pub fn host(node: u64) -> String {
    format!("node{node}.test")
}

/// How a member's process is made. The arguments of the program are added.
pub type Launcher = Box<dyn Fn(u64) -> Command + Send + Sync>;

/// A member's process.
struct Running {
    child: Child,
    /// The lines of standard output.
    lines: Mutex<Receiver<String>>,
    /// It has printed its address.
    serves: AtomicBool,
}

/// The members of a cluster. Those that run are killed on drop.
pub struct Cluster {
    pub folder: TempDir,
    network: [u8; 2],
    running: BTreeMap<u64, Running>,
    launcher: Launcher,
    client: reqwest::Client,
    /// Members name each other, and each finds the others' addresses in its own file of hosts.
    has_names: bool,
}

impl Cluster {
    /// Starts a cluster of `count` members whose first file is prepared by `prepare`, as that of a single server.
    pub fn start(count: u64, prepare: impl FnOnce(&Server)) -> Self {
        Self::start_with(count, Box::new(|_| Command::new(PROGRAM)), prepare)
    }

    /// As [`Cluster::start`], with members that `launcher` makes.
    pub fn start_with(count: u64, launcher: Launcher, prepare: impl FnOnce(&Server)) -> Self {
        let mut cluster = Self::new(count, launcher, prepare);
        for node in 1..=count {
            cluster.spawn(node);
        }
        cluster.wait_until_all_serve();
        cluster.wait_for_voters(count);
        cluster
    }

    /// The files of a cluster. No member runs yet.
    pub fn new(count: u64, launcher: Launcher, prepare: impl FnOnce(&Server)) -> Self {
        Self::of(new_network(), false, count, launcher, prepare)
    }

    /// As [`Cluster::start_with`], with members that find each other by the names of [`host`].
    pub fn start_with_names(network: [u8; 2], count: u64, launcher: Launcher, prepare: impl FnOnce(&Server)) -> Self {
        let mut cluster = Self::of(network, true, count, launcher, prepare);
        let nodes: Vec<u64> = (1..=count).collect();
        cluster.restart_all(&nodes);
        cluster.wait_for_voters(count);
        cluster
    }

    fn of(network: [u8; 2], has_names: bool, count: u64, launcher: Launcher, prepare: impl FnOnce(&Server)) -> Self {
        let folder = TempDir::new().unwrap();
        let (running, client) = (BTreeMap::new(), reqwest::Client::new());
        let cluster = Self { folder, network, running, launcher, client, has_names };
        let mut init = Command::new(PROGRAM);
        init.args(["cluster", "init", "--into"]).arg(cluster.folder.path().join("team.pem"));
        for node in 1..=count {
            init.arg("--node").arg(format!("{node}={}", cluster.member_address(node)));
        }
        assert!(init.status().unwrap().success());
        for node in 1..=count {
            cluster.make_folder(node);
        }
        let server = Server::start();
        prepare(&server);
        let (folder, _) = server.stop(Signal::SIGTERM);
        fs::copy(folder.path().join("presence.db"), cluster.db(1)).unwrap();
        cluster
    }

    /// The folder of a new member, and its copy of the cluster's file.
    pub fn make_folder(&self, node: u64) {
        fs::create_dir(self.folder_of(node)).unwrap();
        fs::copy(self.folder.path().join("team.pem"), self.cluster_file(node)).unwrap();
    }

    /// The folder of a member's database.
    pub fn folder_of(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("n{node}"))
    }

    /// A member's copy of the cluster's file.
    pub fn cluster_file(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("team{node}.pem"))
    }

    /// A member's database.
    pub fn db(&self, node: u64) -> PathBuf {
        self.folder_of(node).join("presence.db")
    }

    /// A file beside a member's database.
    pub fn beside(&self, node: u64, suffix: &str) -> PathBuf {
        let mut path = self.db(node).into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Removes the files of a member, database and log among them, whose names `is_lost` selects.
    pub fn lose(&self, node: u64, is_lost: impl Fn(&str) -> bool) {
        for file in fs::read_dir(self.folder_of(node)).unwrap() {
            let file = file.unwrap();
            // A copy that was under way is in a folder, which is of no use to anybody.
            if file.file_type().unwrap().is_file() && is_lost(file.file_name().to_str().unwrap()) {
                fs::remove_file(file.path()).unwrap();
            }
        }
    }

    /// The copies of files that are on their way beside a member's database.
    pub fn copies(&self, node: u64) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder_of(node)).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".presence.db-copy-")).collect()
    }

    /// What a member has written to standard error since the cluster began.
    pub fn log(&self, node: u64) -> String {
        fs::read_to_string(self.folder.path().join(format!("log{node}"))).unwrap_or_default()
    }

    /// Where the others reach a member.
    pub fn member_address(&self, node: u64) -> String {
        let host = if self.has_names { host(node) } else { address(self.network, node) };
        format!("{host}:{MEMBER_PORT}")
    }

    /// Where clients reach a member.
    pub fn url(&self, node: u64) -> String {
        format!("http://{}:{HTTP_PORT}", address(self.network, node))
    }

    /// The numbers of the members that run.
    pub fn nodes(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    /// The process of a member.
    pub fn process(&self, node: u64) -> Pid {
        Pid::from_raw(self.running[&node].child.id().try_into().unwrap())
    }

    /// Starts a member's process, and does not wait until it serves.
    pub fn spawn(&mut self, node: u64) {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join(format!("log{node}"))).unwrap();
        let mut child = (self.launcher)(node)
            .arg("--db")
            .arg(self.db(node))
            .args(["serve", "--node", &node.to_string(), "--cluster"])
            .arg(self.cluster_file(node))
            .args(["--listen", &format!("{}:{HTTP_PORT}", address(self.network, node))])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        // It ends with the process.
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let replaced =
            self.running.insert(node, Running { child, lines: Mutex::new(lines), serves: AtomicBool::new(false) });
        assert!(replaced.is_none(), "member {node} runs already");
    }

    /// Waits until a member that was spawned serves clients.
    pub fn wait_until_serving(&self, node: u64) {
        let Running { lines, serves, .. } = &self.running[&node];
        let lines = lines.lock().unwrap();
        let deadline = Instant::now() + TIMEOUT;
        while !serves.load(Relaxed) {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => serves.store(line.starts_with("minimost-calls serves"), Relaxed),
                Err(RecvTimeoutError::Timeout) => panic!("member {node} does not serve: {}", self.log(node)),
                Err(RecvTimeoutError::Disconnected) => panic!("member {node} has ended: {}", self.log(node)),
            }
        }
    }

    /// Waits until all members that were spawned serve clients.
    pub fn wait_until_all_serve(&self) {
        for node in self.nodes() {
            self.wait_until_serving(node);
        }
    }

    /// Starts members, and waits until they serve.
    pub fn restart_all(&mut self, nodes: &[u64]) {
        for node in nodes {
            self.spawn(*node);
        }
        self.wait_until_all_serve();
    }

    /// Starts a member, and waits until it serves.
    pub fn restart(&mut self, node: u64) {
        self.spawn(node);
        self.wait_until_serving(node);
    }

    /// Kills a member.
    pub fn kill(&mut self, node: u64) {
        self.stop(node, Signal::SIGKILL);
    }

    /// Sends a member a signal, and waits for its end.
    pub fn stop(&mut self, node: u64, signal: Signal) -> ExitStatus {
        self.signal(node, signal);
        self.wait_for_end(node)
    }

    /// Waits for a member that ends without being asked to.
    pub fn wait_for_end(&mut self, node: u64) -> ExitStatus {
        let mut running = self.running.remove(&node).unwrap();
        wait(&mut running.child, TIMEOUT)
    }

    fn signal(&self, node: u64, signal: Signal) {
        kill(self.process(node), signal).unwrap();
    }

    /// Stops a member without its end.
    pub fn freeze(&self, node: u64) {
        self.signal(node, Signal::SIGSTOP);
    }

    /// Lets a frozen member continue.
    pub fn thaw(&self, node: u64) {
        self.signal(node, Signal::SIGCONT);
    }

    /// Runs a command on a member's file, with a line on standard input.
    pub fn try_run(&self, node: u64, arguments: &[&str], line: &str) -> Output {
        let mut child = self.start_command(node, arguments);
        // It fails if the command ends without reading it.
        let _ = writeln!(child.stdin.take().unwrap(), "{line}");
        child.wait_with_output().unwrap()
    }

    /// Starts a command on a member's file.
    pub fn start_command(&self, node: u64, arguments: &[&str]) -> Child {
        let mut command = Command::new(PROGRAM);
        command.arg("--db").arg(self.db(node)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// As [`Cluster::try_run`], of a command that must succeed. Returns what it printed.
    pub fn run(&self, node: u64, arguments: &[&str]) -> String {
        let output = self.try_run(node, arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs SQL through the log, by a member.
    pub fn sql(&self, node: u64, statement: &str) -> String {
        self.run(node, &["sql", statement])
    }

    /// The members as one of them sees them. None if it does not answer.
    pub fn status(&self, node: u64) -> Option<Vec<Value>> {
        let output = self.try_run(node, &["cluster", "status", "--json"], "");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The leader, as a member sees it.
    pub fn leader_seen_by(&self, node: u64) -> Option<u64> {
        let status = self.status(node)?;
        status.iter().find(|member| member["role"] == "leader")?["node"].as_u64()
    }

    /// Waits until one of the running members leads, as it says itself.
    pub fn leader(&self) -> u64 {
        wait_for(TIMEOUT, "leader", || self.nodes().into_iter().find(|node| self.leader_seen_by(*node) == Some(*node)))
    }

    /// A running member that does not lead.
    pub fn follower(&self) -> u64 {
        let leader = self.leader();
        self.nodes().into_iter().find(|node| *node != leader).unwrap()
    }

    /// Waits until the leader says that `count` members vote, and no other machine is a member.
    pub fn wait_for_voters(&self, count: u64) {
        wait_for(TIMEOUT, "number of voters", || {
            let status = self.status(self.leader())?;
            let voters = status.iter().filter(|member| member["role"] == "voter" || member["role"] == "leader");
            (voters.count() as u64 == count && status.len() as u64 == count).then_some(())
        });
    }

    /// Waits until no running member but `left` lists `left` any more.
    pub fn wait_for_left(&self, left: u64) {
        wait_for(TIMEOUT, "departure", || {
            let others = self.nodes().into_iter().filter(|node| *node != left);
            let lists = |node| {
                let status = self.status(node)?;
                Some(status.iter().any(|member| member["node"].as_u64() == Some(left)))
            };
            others.map(lists).all(|lists| lists == Some(false)).then_some(())
        });
    }

    /// The status of a member's `/healthz`. None if it does not answer.
    pub async fn health(&self, node: u64) -> Option<u16> {
        let asked = self.client.get(format!("{}/healthz", self.url(node))).timeout(TIMEOUT).send().await;
        asked.ok().map(|response| response.status().as_u16())
    }

    /// Waits until clients may come to a member again, or may not any more.
    pub async fn wait_for_health(&self, node: u64, is_healthy: bool) {
        let deadline = Instant::now() + TIMEOUT;
        while (self.health(node).await == Some(200)) != is_healthy {
            assert!(Instant::now() < deadline, "member {node} should be healthy: {is_healthy}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// A connection to a member's file, as another program opens it.
    pub fn connect(&self, node: u64) -> Connection {
        connect(&self.db(node))
    }

    /// The value of a query on a member's file.
    pub fn value<T: rusqlite::types::FromSql>(&self, node: u64, query: &str) -> T {
        self.connect(node).query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// A person as a client of a member.
    pub fn at(&self, node: u64, login: &Login) -> Person {
        Person::with_client(login.name.clone(), login.token.clone(), self.url(node), self.client.clone())
    }

    /// Waits until the files of the running members are equal, and fails unless each obeys all rules.
    pub fn assert_equal(&self) {
        self.wait_until_equal();
        for node in self.nodes() {
            let sql = self.connect(node);
            let mut statement = sql.prepare("SELECT violation FROM integrity_violations").unwrap();
            let violations = statement.query_map([], |row| row.get(0)).unwrap();
            let violations: Vec<String> = violations.collect::<Result<_, _>>().unwrap();
            assert_eq!(violations, Vec::<String>::new(), "member {node}");
        }
    }

    /// Waits until the files of the running members are equal.
    pub fn wait_until_equal(&self) {
        let nodes = self.nodes();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let dumps: Vec<String> = nodes.iter().map(|node| dump(&self.db(*node))).collect();
            if dumps.iter().all(|dump| *dump == dumps[0]) {
                break;
            }
            if Instant::now() > deadline {
                let differing = nodes.iter().zip(&dumps).find(|(_, dump)| **dump != dumps[0]);
                let (node, other) = differing.unwrap();
                panic!("members {} and {node} differ: {}", nodes[0], difference(&dumps[0], other));
            }
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (node, mut running) in std::mem::take(&mut self.running) {
            let _ = running.child.kill();
            let _ = running.child.wait();
            if thread::panicking() {
                let log = self.log(node);
                let lines: Vec<&str> = log.lines().filter(|line| !line.contains("openraft::")).collect();
                eprintln!("the log of member {node}:\n{}", lines.join("\n"));
            }
        }
    }
}

/// Name and token of a person, who may be a client of any member.
#[derive(Clone, Debug)]
pub struct Login {
    pub name: String,
    pub token: String,
}

impl Login {
    /// Adds a user and a session to the file of a single server, which becomes a cluster's.
    pub fn prepare(server: &Server, name: &str) -> Self {
        let person = server.person(name);
        server.execute("UPDATE sessions SET expires_ts = 1e11");
        Self { name: person.name, token: person.token }
    }
}

/// The content of a member's file, all tables and rows, as Debian's `sqlite3` prints it. The file of a member that was taken
/// in is a copy of another's pages, so the order is the same, too.
pub fn dump(path: &Path) -> String {
    let output = Command::new("sqlite3")
        .args(["-batch", "-readonly", "-cmd", ".timeout 10000"])
        .arg(path)
        .arg(".dump")
        .output()
        .expect("Debian's sqlite3 is there");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first lines in which two texts differ.
fn difference(one: &str, other: &str) -> String {
    let mut differing = String::new();
    let lines = one.lines().zip(other.lines()).filter(|(one, other)| one != other);
    for (one, other) in lines.take(5) {
        let _ = write!(differing, "\n  {one}\n  {other}");
    }
    if differing.is_empty() {
        let _ = write!(differing, "{} and {} lines", one.lines().count(), other.lines().count());
    }
    differing
}
