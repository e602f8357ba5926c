//! Another program holds the file's write lock for longer than a write may wait.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::alone;
use crate::scenes::{Numbers, Talk, each_once, measure_reads};
use crate::shell::Shell;
use crate::support::Server;

const HELD: Duration = Duration::from_secs(10);
const CLIENTS: usize = 12;

/// What a client saw that retries until its write is done.
#[derive(Default)]
struct Seen {
    done: Vec<u64>,
    /// How long each 503 took.
    refused: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_lock_refuses_writes_at_their_deadline_and_leaves_readers_alone() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let state = talk.path("state");
    let unloaded = measure_reads(&talk.bob, &state, Duration::from_secs(2)).await;

    let mut admin = Shell::open(&talk.server.db());
    admin.run("BEGIN IMMEDIATE; UPDATE settings SET value = value WHERE name = 'ringing_timeout'");
    let begun = Instant::now();
    let numbers = Numbers::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (sender, numbers) = (talk.sender(), numbers.clone());
        clients.spawn(async move {
            let mut seen = Seen::default();
            // Retries each write until it is done; continues after the lock is released.
            while begun.elapsed() < HELD || seen.done.len() < 5 {
                let number = numbers.next();
                loop {
                    let sent = Instant::now();
                    let answer = sender.send(number).await.unwrap();
                    if answer.status == 200 {
                        break seen.done.push(number);
                    }
                    assert_eq!((answer.status, answer.code.as_str()), (503, "database_busy"), "{answer:?}");
                    seen.refused.push(sent.elapsed());
                    tokio::time::sleep(Duration::from_secs(answer.retry_after.expect("a Retry-After"))).await;
                }
            }
            seen
        });
    }
    let held = measure_reads(&talk.bob, &state, HELD - begun.elapsed()).await;
    let stored_meanwhile = talk.stored();
    admin.run("COMMIT");
    drop(admin);

    let mut done = Vec::new();
    let mut refused = Vec::new();
    for seen in clients.join_all().await {
        done.extend(seen.done);
        refused.extend(seen.refused);
    }
    let (shortest, longest) = (refused.iter().min().unwrap(), refused.iter().max().unwrap());
    println!(
        "the lock was held for {HELD:?}: {} writes refused with 503 after {shortest:.2?} to {longest:.2?}, and {} done once",
        refused.len(),
        done.len()
    );
    println!("reads before: {}; meanwhile: {}", unloaded.summary(), held.summary());
    assert_eq!(stored_meanwhile, Vec::<u64>::new());
    assert!(refused.len() >= CLIENTS);
    assert!(*shortest >= Duration::from_millis(4900) && *longest < Duration::from_millis(8000));
    assert_eq!(each_once(talk.stored()), each_once(done));
    assert!(held.percentile(99.0) < f64::max(100.0, 5.0 * unloaded.percentile(99.0)));
    talk.server.assert_integrity();
}
