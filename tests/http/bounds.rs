//! The size of lists, and what one person or one address may hold of the server: streams, connections, memory, and time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::raw::{Raw, head};
use crate::scenes::Scene;
use crate::support::{EventStream, Person, Server, answer, assert_refused, eventually};

const MIB: usize = 1 << 20;

/// The `Retry-After` and the code of a refusal with 429.
async fn too_many(person: &Person, path: &str) -> String {
    let response = person.getting(path).send().await.unwrap();
    assert_eq!(response.status(), 429, "{path}");
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = response.json().await.unwrap();
    body["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_has_so_many_streams() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let alices_phone = server.person("alice");
    server.execute("UPDATE settings SET value = 3 WHERE name = 'streams_per_person'");
    let mut streams = Vec::new();
    for person in [&alice, &alice, &alices_phone] {
        streams.push(EventStream::open_with_snapshot(person).await.0);
    }
    // The limit is that of the person, over all sessions, and long polls count.
    for path in ["/events", "/events?after=0", "/calls/incoming?wait=5"] {
        assert_eq!(too_many(&alice, path).await, "too_many_streams");
        assert_eq!(too_many(&alices_phone, path).await, "too_many_streams");
    }
    assert_eq!(alice.get("/calls/incoming").await.0, 200, "a poll that does not wait is no stream");
    EventStream::open_with_snapshot(&bob).await;

    // A change of the setting holds at once.
    server.execute("UPDATE settings SET value = 4 WHERE name = 'streams_per_person'");
    streams.push(EventStream::open_with_snapshot(&alice).await.0);
    assert_eq!(too_many(&alice, "/events").await, "too_many_streams");
    // A closed stream makes room.
    drop(streams.pop());
    let deadline = Instant::now() + Duration::from_secs(10);
    while alice.getting("/events").send().await.unwrap().status() == 429 {
        assert!(Instant::now() < deadline, "a closed stream is still counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.execute("UPDATE settings SET value = 0 WHERE name = 'streams_per_person'");
    for _ in 0..10 {
        streams.push(EventStream::open_with_snapshot(&alice).await.0);
    }
}

#[tokio::test]
async fn waiting_requests_count_as_streams() {
    let server = Server::start();
    let alice = server.person("alice");
    server.execute("UPDATE settings SET value = 2 WHERE name = 'streams_per_person'");
    let wait = || answer(alice.getting("/calls/incoming?wait=3"));
    let (first, second, third) = tokio::join!(wait(), wait(), wait());
    let answers = [first, second, third];
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
    assert_eq!(refused.len(), 1, "{answers:?}");
    assert_refused(refused[0], 429, "too_many_streams");
}

/// Connects from another address of the loopback network.
fn connect_from(address: [u8; 4], server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    let server: SocketAddr = server.url.rsplit('/').next().unwrap().parse().unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

/// Sends a request. Returns whether the server answers it; a refused connection is closed without an answer.
fn is_served(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut answer = [0; 15];
    match stream.read_exact(&mut answer) {
        Ok(()) => &answer == b"HTTP/1.1 200 OK",
        Err(_) => false,
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let server = Server::start();
    server.execute("UPDATE settings SET value = 5 WHERE name = 'connections_per_address'");
    let mut open: Vec<TcpStream> = (0..5).map(|_| connect_from([127, 0, 0, 3], &server)).collect();
    assert!(open.iter_mut().all(is_served));
    assert!(!is_served(&mut connect_from([127, 0, 0, 3], &server)), "a sixth connection");
    assert!(is_served(&mut connect_from([127, 0, 0, 4], &server)), "another address");
    server.execute("UPDATE settings SET value = 6 WHERE name = 'connections_per_address'");
    open.push(connect_from([127, 0, 0, 3], &server));
    assert!(is_served(&mut open[5]), "a change of the setting holds at once");
    drop(open.pop());
    eventually(Duration::from_secs(10), "a closed connection makes room", true, || {
        is_served(&mut connect_from([127, 0, 0, 3], &server))
    })
    .await;
    server.execute("UPDATE settings SET value = 0 WHERE name = 'connections_per_address'");
    let mut more: Vec<TcpStream> = (0..20).map(|_| connect_from([127, 0, 0, 3], &server)).collect();
    assert!(more.iter_mut().all(is_served));
}

#[tokio::test]
async fn connections_of_a_proxy_are_not_counted() {
    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    server.execute("UPDATE settings SET value = 1 WHERE name = 'connections_per_address'");
    let mut open: Vec<TcpStream> = (0..5).map(|_| connect_from([127, 0, 0, 1], &server)).collect();
    assert!(open.iter_mut().all(is_served));
}

/// Uses a connection after it was idle for `idle`. Then it sends a head a byte at a time, and returns when the server
/// closes the connection.
fn close_of_a_slow_head(server: &Server, idle: Duration) -> Duration {
    let mut raw = Raw::connect(server);
    raw.send("GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(raw.response().unwrap().status, 404);
    std::thread::sleep(idle);
    raw.send("GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(raw.response().expect("an idle connection stays open").status, 404);
    let begun = Instant::now();
    let mut writer = raw.try_clone();
    let trickle = std::thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    assert!(raw.response().is_none());
    let closed = begun.elapsed();
    trickle.join().unwrap();
    closed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_stays_and_a_slow_head_does_not() {
    let server = Server::start();
    let closed =
        tokio::task::spawn_blocking(move || close_of_a_slow_head(&server, Duration::from_secs(12))).await.unwrap();
    assert!((9..20).contains(&closed.as_secs()), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and a half"]
async fn an_idle_connection_stays_for_75_seconds() {
    let server = Server::start();
    tokio::task::spawn_blocking(move || close_of_a_slow_head(&server, Duration::from_secs(76))).await.unwrap();
}

/// Reads a list page by page until it is empty. Returns the ids of its items, and the number of pages.
async fn read_pages(person: &Person, path: &str, items: &str, id: &str) -> (Vec<i64>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    loop {
        let after = ids.last().copied().unwrap_or(-1);
        let separator = if path.contains('?') { '&' } else { '?' };
        let response = person.getting(&format!("{path}{separator}after={after}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        let page: Value = serde_json::from_str(&text).unwrap();
        let page = if items.is_empty() { &page } else { &page[items] };
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return (ids, pages);
        }
        assert!(page.len() == 1 || text.len() < MIB + 1000, "{} items in {} bytes", page.len(), text.len());
        ids.extend(page.iter().map(|item| item[id].as_i64().unwrap()));
        pages += 1;
    }
}

#[tokio::test]
async fn signals_come_in_lists_of_a_mebibyte() {
    let scene = Scene::active().await;
    scene.server.execute("UPDATE settings SET value = highest WHERE name = 'signals_per_call_max_bytes'");
    for _ in 0..40 {
        let signal = json!({ "to": "bob", "type": "offer", "payload": "x".repeat(60_000) });
        assert_eq!(scene.alice.post_json(&scene.path("signal"), signal).await.0, 200);
    }
    let (ids, pages) = read_pages(&scene.bob, &scene.path("signals"), "", "id").await;
    assert_eq!((ids.len(), pages), (40, 3));
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn media_comes_in_lists_of_a_mebibyte() {
    let scene = Scene::active().await;
    let (status, share) = scene.alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    assert_eq!(status, 200);
    let share = format!("/screenshare/{}/media", share["share_id"].as_str().unwrap());
    for (upload, read) in [(scene.path("media"), scene.path("media?sender=alice")), (share.clone(), share)] {
        // The init segment always comes, and does not count.
        let init = format!("{upload}?init=1&mime=video/webm");
        assert_eq!(scene.alice.post_bytes(&init, vec![1; 100_000]).await.0, 200);
        // In base64, two chunks of 300 000 bytes fit, and one of a mebibyte does not.
        for size in [300_000, 300_000, 300_000, MIB, 300_000] {
            assert_eq!(scene.alice.post_bytes(&upload, vec![2; size]).await.0, 200);
        }
        let (mut after, mut pages) = (-1, Vec::new());
        loop {
            let separator = if read.contains('?') { '&' } else { '?' };
            let page = scene.bob.read(&format!("{read}{separator}after={after}")).await;
            assert_eq!(page["init"].as_str().unwrap().len(), 100_000_usize.div_ceil(3) * 4);
            let chunks = page["chunks"].as_array().unwrap();
            let Some(last) = chunks.last() else { break };
            after = last["seq"].as_i64().unwrap();
            pages.push(chunks.len());
        }
        assert_eq!(pages, [2, 1, 1, 1]);
    }
}

#[tokio::test]
async fn missed_calls_continue_before_the_last_one() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for _ in 0..5 {
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    }
    let ids = |calls: &Value| -> Vec<String> {
        calls.as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = bob.read("/calls/missed").await;
    let all_ids = ids(&all);
    assert_eq!(all_ids.len(), 5);
    assert_eq!(ids(&bob.read(&format!("/calls/missed?before={}", all_ids[1])).await), all_ids[2..]);
    let time = all[1]["missed_ts"].as_f64().unwrap();
    assert_eq!(ids(&bob.read(&format!("/calls/missed?before={time}")).await), all_ids[2..]);
    assert_eq!(bob.read(&format!("/calls/missed?before={}", all_ids[4])).await, json!([]));
    for before in ["", "none", "NaN", "inf"] {
        let refused = bob.get(&format!("/calls/missed?before={before}")).await;
        assert_refused(&refused, 400, "bad_cursor");
    }
}

/// A connection that reads little: the rest stays with the server.
fn unread_request(server: &Server, person: &Person, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: SocketAddr = server.url.rsplit('/').next().unwrap().parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{}\r\n", head(person, &format!("GET {path}"))).as_bytes()).unwrap();
    stream
}

/// The status of a response, whose body stays unread.
fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_so_much_unread() {
    let scene = Scene::active().await;
    let init = scene.path("media?init=1&mime=video/webm");
    assert_eq!(scene.alice.post_bytes(&init, vec![1; 4 * MIB]).await.0, 200);
    let media = scene.path("media?sender=alice");
    // Each answer has 5.4 MiB, so two fit into 16 MiB.
    let mut unread: Vec<TcpStream> = (0..12).map(|_| unread_request(&scene.server, &scene.bob, &media)).collect();
    let statuses: Vec<String> = unread.iter_mut().map(status).collect();
    assert_eq!(statuses.iter().filter(|status| *status == "200").count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "429").count(), 10, "{statuses:?}");
    assert_eq!(too_many(&scene.bob, &media).await, "too_much_unread");
    assert_eq!(scene.alice.get(&media).await.0, 200, "another person");
    assert_eq!(scene.bob.get("/calls/incoming").await.0, 200, "a small answer");
    // A change of the setting holds at once.
    scene.server.execute("UPDATE settings SET value = 0 WHERE name = 'unread_bytes_per_person'");
    assert_eq!(scene.bob.get(&media).await.0, 200);
    scene.server.execute("UPDATE settings SET value = 16777216 WHERE name = 'unread_bytes_per_person'");
    drop(unread);
    let deadline = Instant::now() + Duration::from_secs(10);
    while scene.bob.get(&media).await.0 == 429 {
        assert!(Instant::now() < deadline, "closed connections are still counted");
    }
}

/// A connection with the head of an upload, without its body.
fn begin_upload(server: &Server, person: &Person, path: &str, size: usize) -> Raw {
    let mut raw = Raw::connect(server);
    raw.send(format!("{}Content-Length: {size}\r\n\r\n", head(person, &format!("POST {path}"))));
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_would_be_refused_is_not_collected() {
    let scene = Scene::active().await;
    let ended = scene.bob.call("dm:bob:carol").await;
    assert_eq!(scene.bob.post(&format!("/calls/{ended}/end")).await.0, 200);
    let (_, share) = scene.alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    let share = share["share_id"].as_str().unwrap();
    for (person, path, status, code) in [
        (&scene.bob, "/calls/none/media".to_owned(), 404, "call_not_found"),
        (&scene.carol, scene.path("media"), 403, "not_a_participant"),
        (&scene.carol, format!("/calls/{ended}/media"), 409, "call_finished"),
        (&scene.bob, "/screenshare/none/media".to_owned(), 404, "share_not_found"),
        (&scene.bob, format!("/screenshare/{share}/media"), 403, "not_the_sharer"),
    ] {
        // The body never comes, and the answer does not wait for it.
        let begun = Instant::now();
        let answer = begin_upload(&scene.server, person, &path, 4 * MIB).response().unwrap();
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains(code), "{path}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{path}: the server waited for the body");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_uploads_so_much_at_a_time() {
    let scene = Scene::active().await;
    let media = scene.path("media");
    // The server asks for a body when it has counted it.
    let expect = |size: usize| {
        let head = head(&scene.alice, &format!("POST {media}"));
        let mut raw = Raw::connect(&scene.server);
        raw.send(format!("{head}Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n"));
        raw
    };
    let mut uploads: Vec<Raw> = (0..4).map(|_| expect(4 * MIB)).collect();
    assert!(uploads.iter_mut().all(|raw| raw.response().unwrap().status == 100));
    let refused = scene.alice.post_bytes(&media, vec![7; 5000]).await;
    assert_refused(&refused, 429, "too_much_uploading");
    let signal = |size: usize| json!({ "to": "bob", "type": "offer", "payload": "x".repeat(size) });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal(5000)).await.0, 429);
    assert_eq!(scene.alice.post_json(&scene.path("signal"), signal(3000)).await.0, 200, "small bodies do not count");
    assert_eq!(scene.bob.post_bytes(&media, vec![7; 4 * MIB]).await.0, 200, "another person");
    let mut finished = uploads.remove(0);
    assert_eq!(finished.send(vec![7; 4 * MIB]).response().unwrap().status, 200);
    assert_eq!(scene.alice.post_bytes(&media, vec![7; 5000]).await.0, 200);
}

#[tokio::test]
async fn missed_events_come_in_pages() {
    let scene = Scene::active().await;
    scene.server.execute("UPDATE settings SET value = highest WHERE name = 'signals_per_call_max_bytes'");
    let cursor: i64 = scene.server.value("SELECT max(id) FROM events");
    for number in 0..250 {
        let payload = if number < 20 { "x".repeat(60_000) } else { String::new() };
        let signal = json!({ "to": "bob", "type": "offer", "payload": [number, payload] });
        assert_eq!(scene.alice.post_json(&scene.path("signal"), signal).await.0, 200);
    }
    let mut stream = EventStream::open(&scene.bob, Some(cursor)).await;
    for number in 0..250 {
        assert_eq!(stream.expect("signal").await.data["payload"][0], number);
    }
    let live = json!({ "to": "bob", "type": "offer", "payload": ["live"] });
    assert_eq!(scene.alice.post_json(&scene.path("signal"), live).await.0, 200);
    assert_eq!(stream.expect("signal").await.data["payload"][0], "live");
}
