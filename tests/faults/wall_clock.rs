//! The wall clock is set while the server runs, with libfaketime, and the server is stopped for a while. Rings, presence,
//! login pauses and durations follow the time that has passed.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::fake_clock::FakeClock;
use crate::shell::Shell;
use crate::support::{Person, Server, answer, eventually};
use crate::{TIMEOUT, lock_machine};

/// The lines of the log about a step and a pause.
const STEP: &str = "the wall clock was set; the times";
const PAUSE: &str = "the server was unable to work";

fn serve(clock: &FakeClock, folder: TempDir) -> Server {
    Server::start_as(clock.program(), "127.0.0.1:0", folder, &[])
}

/// A user whose session no clock of a test ends.
fn person(server: &Server, name: &str) -> Person {
    let person = server.person(name);
    server.execute("UPDATE sessions SET expires_ts = 1e11");
    person
}

/// An active call of alice and bob with their streams.
struct Call {
    alice: Person,
    bob: Person,
    id: String,
    streams: Vec<Response>,
    answered: Instant,
}

impl Call {
    async fn start(server: &Server) -> Self {
        let (alice, bob) = (person(server, "alice"), person(server, "bob"));
        let id = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{id}/accept")).await.0, 200);
        let answered = Instant::now();
        let mut streams = Vec::new();
        for person in [&alice, &bob] {
            streams.push(person.request(Method::GET, &format!("/events?call={id}")).send().await.unwrap());
        }
        Self { alice, bob, id, streams, answered }
    }

    /// Reads the state as a stranger to presence does: in the file.
    fn state(&self, server: &Server) -> (String, i64) {
        let sql = server.sql();
        let query = "SELECT state, (SELECT count(*) FROM call_participants AS p WHERE p.call_id = c.call_id \
                     AND p.state = 'accepted') FROM calls AS c WHERE call_id = ?1";
        sql.query_row(query, [&self.id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// Fails if anybody leaves the call within `duration`.
    async fn assert_stays(&self, server: &Server, duration: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < duration {
            assert_eq!(self.state(server), ("active".to_owned(), 2), "after {:?}", begun.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the call. Fails unless its duration is the time that has passed.
    async fn end(self) {
        assert_eq!(self.bob.post(&format!("/calls/{}/end", self.id)).await.0, 200);
        let passed = self.answered.elapsed().as_secs_f64();
        let history = self.alice.read("/calls/history").await;
        let duration = duration_in(&history);
        assert!((duration - passed).abs() < 2.0, "{passed} seconds have passed: {history}");
        drop(self.streams);
    }
}

/// The duration of the newest finished call.
fn duration_in(history: &Value) -> f64 {
    let calls = if history.is_array() { history } else { &history["calls"] };
    calls[0]["duration"].as_f64().unwrap_or_else(|| panic!("no duration: {history}"))
}

/// A wrong password for erin: the status, and the seconds of Retry-After.
async fn wrong_login(erin: &Person) -> (u16, Option<u64>) {
    let guess = json!({ "username": "erin", "password": "a wrong password" });
    let response = erin.posting_json("/login", guess).send().await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    (response.status().as_u16(), retry_after)
}

/// Reads what rings for dave until nothing does. Returns when the last answer with the ring was requested, and when the
/// first one without it arrived, after `begun`. A 503 is no answer.
async fn ring_end(dave: Person, begun: Instant) -> (Duration, Duration) {
    let mut ringing = Duration::ZERO;
    loop {
        let asked = begun.elapsed();
        assert!(asked < TIMEOUT, "it rings for longer than {asked:?}");
        match answer(dave.getting("/calls/incoming")).await {
            (200, calls) if calls == json!([]) => return (ringing, begun.elapsed()),
            (200, _) => ringing = asked,
            (503, body) => assert_eq!(body["code"], "clock_set"),
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_the_clock_ends_nothing_early_and_keeps_nothing_late() {
    const RING: f64 = 3.0;
    const WINDOW: u64 = 4;
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    server.execute(&format!(
        "UPDATE settings SET value = 1 WHERE name = 'presence_interval';
         UPDATE settings SET value = 2 WHERE name = 'gone_after';
         UPDATE settings SET value = 4 WHERE name = 'presence_timeout';
         UPDATE settings SET value = {RING} WHERE name = 'ringing_timeout';
         UPDATE settings SET value = {WINDOW} WHERE name IN ('login_window', 'login_pause');
         UPDATE settings SET value = 1 WHERE name = 'login_attempts_per_name'"
    ));
    let (carol, dave, erin) = (person(&server, "carol"), person(&server, "dave"), person(&server, "erin"));
    let call = Call::start(&server).await;
    for (steps, offset) in ["+120", "-3480", "+10y", "-10y"].into_iter().enumerate() {
        let begun = Instant::now();
        carol.call("dm:carol:dave").await;
        let rings = Instant::now();
        assert_eq!(wrong_login(&erin).await.0, 401);
        let failed = Instant::now();
        let readers: Vec<_> = (0..4).map(|_| tokio::spawn(ring_end(dave.clone(), begun))).collect();
        sleep(Duration::from_millis(300)).await;
        clock.set(offset);

        let (status, retry_after) = wrong_login(&erin).await;
        assert_eq!(status, 429, "{offset}");
        assert!((1..=WINDOW).contains(&retry_after.unwrap()), "{offset}: {retry_after:?}");
        for reader in readers {
            let (last, first_without) = reader.await.unwrap();
            // It rings for three seconds of real time.
            assert!(first_without.as_secs_f64() >= RING - 0.05, "{offset}: no ring after {first_without:?}");
            let late = (begun + last).saturating_duration_since(rings);
            assert!(late.as_secs_f64() < RING + 2.0, "{offset}: it rings after {late:?}");
        }
        server.eventually("SELECT count(*) = 0 FROM calls WHERE state = 'ringing'", Duration::from_secs(2)).await;
        let pause = Duration::from_secs(WINDOW) + Duration::from_millis(100);
        sleep(pause.saturating_sub(failed.elapsed())).await;
        assert_eq!(wrong_login(&erin).await.0, 401, "{offset}");
        call.assert_stays(&server, Duration::from_secs(5)).await;
        server.execute("DELETE FROM login_attempts");
        assert_eq!(clock.logged(STEP), steps + 1, "{offset}");
    }
    let disordered =
        "SELECT count(*) FROM events AS e JOIN events AS next ON next.id = e.id + 1 WHERE next.ts < e.ts - 0.002";
    assert_eq!(server.value::<i64>(disordered), 0, "the log is in the order of time");
    call.end().await;
    server.assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_drifts_is_not_set() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    // Forty times faster than NTP adjusts a clock. In ten seconds it gains twice the tolerance.
    clock.set("+0 x1.02");
    let server = serve(&clock, TempDir::new().unwrap());
    let call = Call::start(&server).await;
    call.assert_stays(&server, Duration::from_secs(10)).await;
    assert_eq!(clock.logged(STEP), 0);
    call.end().await;
}

/// An absent person leaves after three seconds.
fn shorten_presence(server: &Server) {
    server.execute(
        "UPDATE settings SET value = 1 WHERE name = 'presence_interval';
         UPDATE settings SET value = 2 WHERE name = 'gone_after';
         UPDATE settings SET value = 3 WHERE name = 'presence_timeout';
         UPDATE settings SET value = 5 WHERE name = 'ringing_timeout'",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_ends_no_call_and_prolongs_no_ring() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    shorten_presence(&server);
    let (carol, dave) = (person(&server, "carol"), person(&server, "dave"));
    let call = Call::start(&server).await;
    carol.call("dm:carol:dave").await;
    kill(server.process(), Signal::SIGSTOP).unwrap();
    sleep(Duration::from_secs(6)).await;
    kill(server.process(), Signal::SIGCONT).unwrap();
    assert_eq!(dave.read("/calls/incoming").await, json!([]), "the time of the stop counts");
    call.assert_stays(&server, Duration::from_secs(5)).await;
    assert_eq!((clock.logged(STEP), clock.logged(PAUSE)), (0, 1));

    // The full time begins after the pause: a person without a connection still leaves.
    let Call { streams, id, .. } = call;
    drop(streams);
    server
        .eventually(&format!("SELECT state = 'ended' FROM calls WHERE call_id = '{id}'"), Duration::from_secs(8))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_holds_the_write_lock_ends_no_call() {
    let _machine = lock_machine().await;
    let server = Server::start();
    shorten_presence(&server);
    let call = Call::start(&server).await;
    let mut admin = Shell::open(&server.db());
    admin.run("BEGIN IMMEDIATE; UPDATE settings SET value = value WHERE name = 'ringing_timeout'");
    // Longer than presence_timeout and the deadline of writes.
    sleep(Duration::from_secs(8)).await;
    admin.run("COMMIT");
    call.assert_stays(&server, Duration::from_secs(5)).await;
    call.end().await;
}

/// The server cannot move the times in the file, so no answer shows a ring that has stopped by the new clock only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_refused_while_a_held_lock_delays_the_step() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    let (carol, dave) = (person(&server, "carol"), person(&server, "dave"));
    carol.call("dm:carol:dave").await;
    let mut admin = Shell::open(&server.db());
    admin.run("BEGIN IMMEDIATE; UPDATE settings SET value = value WHERE name = 'ringing_timeout'");
    clock.set("+120");
    for longest in [Duration::from_secs(4), Duration::from_millis(1500)] {
        let asked = Instant::now();
        let response = dave.getting("/calls/incoming").send().await.unwrap();
        assert!(asked.elapsed() < longest, "answered after {:?}", asked.elapsed());
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "clock_set");
    }
    admin.run("COMMIT");
    eventually(Duration::from_secs(5), "steps in the log", 1, || clock.logged(STEP)).await;
    let ringing = dave.read("/calls/incoming").await;
    assert_eq!(ringing.as_array().map(Vec::len), Some(1), "{ringing}");
}

/// The file says by which wall clock its times hold, so a start notices a step since the last server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_between_two_servers_is_noticed() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    let call = Call::start(&server).await;
    sleep(Duration::from_secs(1)).await;
    let (folder, _) = server.stop(Signal::SIGKILL);
    clock.set("-3600");
    let server = serve(&clock, folder);
    let passed = call.answered.elapsed().as_secs_f64();
    let history = server.moved(&call.alice).read("/calls/history").await;
    assert!(history.to_string().contains("\"reason\":\"restart\""), "{history}");
    let duration = duration_in(&history);
    assert!((duration - passed).abs() < 2.0, "{duration}, and {passed} seconds have passed");
    assert_eq!(clock.logged(STEP), 1);
    server.assert_integrity();
}

/// A command that runs after the clock was set, and before the server has noticed. Then the server notices nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_in_the_second_of_a_step_does_no_harm() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    let (carol, dave) = (person(&server, "carol"), person(&server, "dave"));
    // The last time is in the past of this process, which checks the file.
    for (offset, ended) in [("+10y", 1), ("-3600", 2)] {
        let call = Call::start(&server).await;
        carol.call("dm:carol:dave").await;
        sleep(Duration::from_secs(2)).await;
        kill(server.process(), Signal::SIGSTOP).unwrap();
        clock.set(offset);
        let passed = call.answered.elapsed().as_secs_f64();
        remove_user(&clock, &server.db(), "bob");
        kill(server.process(), Signal::SIGCONT).unwrap();

        let history = call.alice.read("/calls/history").await;
        let duration = duration_in(&history);
        assert!((duration - passed).abs() < 2.0, "{offset}: {passed} seconds had passed: {history}");
        let ringing = dave.read("/calls/incoming").await;
        assert_eq!(ringing.as_array().map(Vec::len), Some(1), "{offset}: {ringing}");
        let id = ringing[0]["call_id"].as_str().unwrap();
        let left: f64 = server.value(&format!(
            "SELECT max(ts) - (SELECT invited_ts FROM call_participants WHERE call_id = '{id}' \
                                   AND username = 'dave') FROM events"
        ));
        assert!((-0.1..10.0).contains(&left), "{offset}: invited {left} seconds before the newest event");
        assert_eq!(dave.post(&format!("/calls/{id}/reject")).await.0, 200);
        // The server has found the step of the command in the file.
        eventually(Duration::from_secs(5), "steps in the log", ended, || clock.logged(STEP)).await;
    }
    server.assert_integrity();
}

fn remove_user(clock: &FakeClock, db: &Path, name: &str) {
    let mut command = clock.program();
    command.arg("--db").arg(db).args(["user", "remove", name]).stdin(Stdio::null());
    assert!(command.status().unwrap().success());
}

/// A small computer without a battery: it starts in the seventies, and NTP sets its clock later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_before_the_newest_time_in_the_file_keeps_nothing_for_decades() {
    let _machine = lock_machine().await;
    let clock = FakeClock::new();
    let server = serve(&clock, TempDir::new().unwrap());
    server.execute(
        "UPDATE settings SET value = 3 WHERE name IN ('login_window', 'login_pause');
         UPDATE settings SET value = 1 WHERE name = 'login_attempts_per_name'",
    );
    let erin = person(&server, "erin");
    let call = Call::start(&server).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(wrong_login(&erin).await.0, 401);
    let (folder, _) = server.stop(Signal::SIGKILL);
    // Another boot than that in which the file was written.
    crate::support::connect(&folder.path().join("presence.db")).execute("UPDATE clock SET boot_id = 'x'", []).unwrap();

    clock.set("-50y");
    let server = serve(&clock, folder);
    let (alice, erin) = (server.moved(&call.alice), server.moved(&erin));
    let ended = alice.read("/calls/history").await.to_string();
    assert!(ended.contains("\"reason\":\"restart\""), "{ended}");
    let years = "SELECT (ended_ts - started_ts) BETWEEN 0 AND 60 AND ended_ts > 1.7e9 FROM calls";
    assert_eq!(server.value::<i64>(years), 1, "what was live ended at the newest time in the file");
    for offset in ["-50y", "+0"] {
        clock.set(offset);
        sleep(Duration::from_millis(3100)).await;
        assert_eq!(wrong_login(&erin).await.0, 401, "{offset}: the window of three seconds is over");
        assert_eq!(wrong_login(&erin).await.0, 429, "{offset}");
    }
    assert_eq!(clock.logged(STEP), 1);
    server.assert_integrity();
}
