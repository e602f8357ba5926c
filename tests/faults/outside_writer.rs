//! Another program holds the file's write lock for longer than a write may wait.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::active_call::{ActiveCall, Numbers, measure_reads, unique};
use crate::lock_machine;
use crate::shell::Shell;
use crate::support::Server;

/// How long the lock is held.
const HELD: Duration = Duration::from_secs(10);
const CLIENTS: usize = 12;

/// The writes of a client that retries.
#[derive(Default)]
struct Writes {
    done: Vec<u64>,
    /// The time to each 503.
    refused: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_lock_refuses_writes_at_their_deadline_and_leaves_readers_alone() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let state = call.path("state");
    let unloaded = measure_reads(&call.bob, &state, Duration::from_secs(2)).await;

    let mut admin = Shell::open(&call.server.db());
    admin.run("BEGIN IMMEDIATE; UPDATE settings SET value = value WHERE name = 'ringing_timeout'");
    let begun = Instant::now();
    let numbers = Numbers::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (sender, numbers) = (call.sender(), numbers.clone());
        clients.spawn(async move {
            let mut writes = Writes::default();
            // Retries each write until it is done; continues after the lock is released.
            while begun.elapsed() < HELD || writes.done.len() < 5 {
                let number = numbers.next();
                loop {
                    let sent = Instant::now();
                    let answer = sender.send(number).await.unwrap();
                    if answer.status == 200 {
                        break writes.done.push(number);
                    }
                    assert_eq!((answer.status, answer.code.as_str()), (503, "database_busy"), "{answer:?}");
                    writes.refused.push(sent.elapsed());
                    tokio::time::sleep(Duration::from_secs(answer.retry_after.expect("a Retry-After"))).await;
                }
            }
            writes
        });
    }
    let held = measure_reads(&call.bob, &state, HELD - begun.elapsed()).await;
    let stored_during_the_lock = call.stored_numbers();
    admin.run("COMMIT");
    drop(admin);

    let mut done = Vec::new();
    let mut refused = Vec::new();
    for writes in clients.join_all().await {
        done.extend(writes.done);
        refused.extend(writes.refused);
    }
    let (shortest, longest) = (refused.iter().min().unwrap(), refused.iter().max().unwrap());
    println!(
        "the lock was held for {HELD:?}: {} writes refused with 503 after {shortest:.2?} to {longest:.2?}, and {} done once",
        refused.len(),
        done.len()
    );
    println!("reads before: {}; during that: {}", unloaded.summary(), held.summary());
    assert_eq!(stored_during_the_lock, Vec::<u64>::new());
    assert!(refused.len() >= CLIENTS);
    assert!(*shortest >= Duration::from_millis(4900) && *longest < Duration::from_millis(9000));
    assert_eq!(unique(call.stored_numbers()), unique(done));
    assert!(held.percentile(99.0) < f64::max(300.0, 5.0 * unloaded.percentile(99.0)));
    call.server.assert_integrity();
}
