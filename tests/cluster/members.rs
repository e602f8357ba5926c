//! Who is a member: machines that lose their files, join, leave, and strangers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::cluster::{Cluster, Login, wait_for};
use crate::support::{PROGRAM, Person, Server};
use crate::{TIMEOUT, lock_machine};

/// SQLite waits for another program's lock for a tenth of a second. A member tries again as long as it has to.
const LONGER_THAN_SQLITE_WAITS: Duration = Duration::from_secs(1);

/// Three members, and the sessions of alice and bob.
fn cluster() -> (Cluster, Vec<Login>) {
    let mut people = Vec::new();
    let cluster = Cluster::start(3, |server| {
        server.lift_limits();
        people.extend(["alice", "bob"].map(|name| Login::prepare(server, name)));
    });
    (cluster, people)
}

/// A call that rings and is rejected, by one member.
async fn call(cluster: &Cluster, people: &[Login], node: u64) {
    let [alice, bob] = [0, 1].map(|person: usize| cluster.at(node, &people[person]));
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/reject")).await.0, 200);
}

/// Starts a member that ends with status 1, and returns the last line of its log.
fn refused(cluster: &mut Cluster, node: u64) -> String {
    cluster.spawn(node);
    let status = cluster.wait_for_end(node);
    let log = cluster.log(node);
    assert_eq!(status.code(), Some(1), "{log}");
    log.lines().last().unwrap().to_owned()
}

/// A member without its files has forgotten what it promised the others, so it is taken in only as a new one. Neither may
/// the first one found another cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_files_is_refused_until_it_is_replaced() {
    let _machine = lock_machine().await;
    let (mut cluster, people) = cluster();
    for (node, lost) in [(3, ""), (1, ""), (2, "presence.db-raft"), (3, "presence.db")] {
        cluster.kill(node);
        // Of the two files one, its write-ahead log included, or all.
        cluster.lose(node, |name| {
            name.starts_with(lost) && (lost != "presence.db" || !name.starts_with("presence.db-raft"))
        });
        let other = cluster.follower();
        call(&cluster, &people, other).await;
        let sentence = refused(&mut cluster, node);
        assert!(sentence.starts_with("error: ") && sentence.contains(&format!("cluster replace {node}")), "{sentence}");
        call(&cluster, &people, other).await;

        cluster.run(other, &["cluster", "replace", &node.to_string()]);
        cluster.lose(node, |_| true);
        cluster.restart(node);
        cluster.wait_for_voters(3);
        call(&cluster, &people, node).await;
        cluster.assert_equal();
    }
    // Its vote counts: the others can go away, one at a time.
    for away in [1, 2] {
        cluster.kill(away);
        let other = cluster.follower();
        call(&cluster, &people, other).await;
        cluster.restart(away);
    }
    cluster.assert_equal();
}

/// Adds a line to a member's copy of the cluster's file.
fn list(cluster: &Cluster, node: u64, added: u64) {
    let file = cluster.cluster_file(node);
    let text = fs::read_to_string(&file).unwrap();
    let line = format!("node {added} {}\n-----BEGIN", cluster.member_address(added));
    fs::write(file, text.replacen("-----BEGIN", &line, 1)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_member_joins_and_leaves() {
    let _machine = lock_machine().await;
    let (mut cluster, people) = cluster();
    cluster.make_folder(4);
    let sentence = refused(&mut cluster, 4);
    assert!(sentence.contains("no line for node 4"), "{sentence}");
    list(&cluster, 4, 4);
    let member = format!("4={}", cluster.member_address(4));
    let sentence = refused(&mut cluster, 4);
    assert!(sentence.contains(&format!("cluster add {member}")), "{sentence}");

    cluster.run(2, &["cluster", "add", &member]);
    for taken in [&member, &format!("5={}", cluster.member_address(4)), &format!("4={}", cluster.member_address(5))] {
        assert_eq!(cluster.try_run(1, &["cluster", "add", taken], "").status.code(), Some(1), "{taken}");
    }
    // A shell locks its file before a copy comes. The copy waits.
    for node in 1..=3 {
        cluster.freeze(node);
    }
    cluster.spawn(4);
    wait_for(TIMEOUT, "wait for the others", || cluster.log(4).contains("waiting for the other").then_some(()));
    let shell = cluster.connect(4);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    for node in 1..=3 {
        cluster.thaw(node);
    }
    wait_for(TIMEOUT, "copy that is opened", || {
        cluster.copies(4).iter().any(|folder| folder.join("presence.db-shm").exists()).then_some(())
    });
    tokio::time::sleep(LONGER_THAN_SQLITE_WAITS).await;
    shell.execute_batch("ROLLBACK").unwrap();
    cluster.wait_until_serving(4);
    cluster.wait_for_voters(4);
    call(&cluster, &people, 4).await;
    cluster.assert_equal();

    for leaves in [4, cluster.leader()] {
        let other = cluster.nodes().into_iter().find(|node| *node != leaves).unwrap();
        cluster.run(other, &["cluster", "remove", &leaves.to_string()]);
        cluster.wait_for_left(leaves);
        cluster.wait_for_health(leaves, false).await;
        assert_eq!(cluster.stop(leaves, Signal::SIGTERM).code(), Some(0));
        call(&cluster, &people, other).await;
        cluster.assert_equal();
        let output = cluster.try_run(other, &["cluster", "remove", &leaves.to_string()], "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    assert_eq!(cluster.nodes().len(), 2);
}

/// Runs `openssl`, and fails unless it succeeds.
fn openssl(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new("openssl").current_dir(folder).args(arguments).output().expect("Debian's openssl is there");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Makes a certificate `NAME.pem` with the key `key.pem`, signed by the authority of this file.
fn certificate(folder: &Path, name: &str, authority: &str) {
    fs::write(
        folder.join("extensions"),
        "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:member.minimost-calls.internal\n",
    )
    .unwrap();
    openssl(folder, &["req", "-new", "-key", "key.pem", "-subj", "/CN=a member", "-out", "request"]);
    let certificate = format!("{name}.pem");
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "request",
            "-CA",
            authority,
            "-CAkey",
            authority,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            &certificate,
        ],
    );
}

/// What a member answers to the first message of another over TLS, with the certificate of this name.
fn greet(cluster: &Cluster, folder: &Path, certificate: Option<&str>) -> Output {
    let mut client = Command::new("openssl");
    client.current_dir(folder).args(["s_client", "-tls1_3", "-quiet", "-connect", &cluster.member_address(1)]);
    if let Some(name) = certificate {
        client.args(["-key", "key.pem", "-cert", &format!("{name}.pem")]);
    }
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The member closes a connection without a certificate before it reads this.
    let _ = child.stdin.as_mut().unwrap().write_all(&HELLO);
    let mut answered = [0; 4];
    let stdout = child.stdout.as_mut().unwrap();
    // Until the length of the member's own greeting, or the end.
    let length = stdout.read(&mut answered).unwrap();
    let _ = child.kill();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = answered[..length].to_vec();
    output
}

/// The greeting of member 9, which is in no cluster yet: a length, and the number of the protocol, no name, and 9.
const HELLO: [u8; 7] = [0, 0, 0, 3, 1, 0, 9];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_nothing() {
    let _machine = lock_machine().await;
    let (cluster, people) = cluster();
    let before = cluster.status(1).unwrap();

    let mut plain = TcpStream::connect(cluster.member_address(1)).unwrap();
    plain.set_read_timeout(Some(TIMEOUT)).unwrap();
    plain.write_all(&HELLO).unwrap();
    let mut answered = Vec::new();
    // The member resets the connection if it has not read all.
    let _ = plain.read_to_end(&mut answered);
    let is_alert = answered.first() == Some(&21) && answered.len() == 7;
    assert!(answered.is_empty() || is_alert, "a member answers without TLS: {answered:?}");

    // One that sends nothing is not waited for.
    let mut silent = TcpStream::connect(cluster.member_address(1)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);

    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    openssl(folder, &["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "key.pem"]);
    let other = Command::new(PROGRAM)
        .args(["cluster", "init", "--node", "1=127.0.0.1:7100", "--into"])
        .arg(folder.join("other-team.pem"))
        .status();
    assert!(other.unwrap().success());
    certificate(folder, "stranger", "other-team.pem");
    let team = cluster.cluster_file(1);
    certificate(folder, "member", team.to_str().unwrap());
    openssl(folder, &["req", "-x509", "-key", "key.pem", "-subj", "/CN=nobody", "-out", "self-signed.pem"]);
    for certificate in [None, Some("stranger"), Some("self-signed")] {
        let answered = greet(&cluster, folder, certificate);
        assert!(answered.stdout.is_empty(), "{certificate:?} is answered: {answered:?}");
        let stderr = String::from_utf8_lossy(&answered.stderr).to_lowercase();
        assert!(stderr.contains("alert"), "{certificate:?}: {stderr}");
    }
    assert_eq!(greet(&cluster, folder, Some("member")).stdout.len(), 4, "a member is greeted");

    assert_eq!(cluster.status(1).unwrap(), before);
    call(&cluster, &people, 1).await;
    cluster.assert_equal();
}

/// The output of a server that must not start on this file.
fn serve_alone(path: &Path) -> Output {
    let mut serve = Command::new(PROGRAM);
    serve.arg("--db").arg(path).args(["serve", "--listen", "127.0.0.1:0"]);
    serve.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_file_is_no_single_servers_until_it_leaves() {
    let _machine = lock_machine().await;
    let (mut cluster, people) = cluster();
    call(&cluster, &people, 2).await;
    let running = cluster.try_run(2, &["cluster", "leave"], "");
    assert_eq!(running.status.code(), Some(1), "{running:?}");
    for node in cluster.nodes() {
        assert_eq!(cluster.stop(node, Signal::SIGTERM).code(), Some(0));
    }
    let refused = serve_alone(&cluster.db(2));
    let sentence = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(sentence.contains("cluster leave") && sentence.lines().count() == 1, "{sentence}");
    let command = cluster.try_run(2, &["setting", "set", "ringing_timeout", "31"], "");
    assert_eq!(command.status.code(), Some(1), "a command does not write to a member that is stopped: {command:?}");

    cluster.run(2, &["cluster", "leave"]);
    let left: Vec<_> = fs::read_dir(cluster.folder_of(2)).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("raft")), "{left:?}");
    let folder = TempDir::new().unwrap();
    fs::copy(cluster.db(2), folder.path().join("presence.db")).unwrap();
    let server = Server::start_in(folder, &[]);
    server.assert_integrity();
    server.execute("UPDATE settings SET value = 31 WHERE name = 'ringing_timeout'");
    let alice = Person::with_client(
        people[0].name.clone(),
        people[0].token.clone(),
        server.url.clone(),
        reqwest::Client::new(),
    );
    alice.call("dm:alice:bob").await;
    assert_eq!(alice.read("/calls/history").await.as_array().map(Vec::len), Some(1));
}
