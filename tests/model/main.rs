//! The server against a model of its contract. proptest generates sequences of actions of several people and an admin,
//! over HTTP and SQL in turns; after each action, the model predicts the outcome and the replies to all queries.
//!
//! The short rounds repeat the same sequences. The long round has new ones each time: `cargo slow thousands_of_sequences`.
//! `MODEL_SEQUENCES` sets their number, and `MODEL_SEED` a printed seed to repeat.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod calls;
mod compare;
mod limits;
mod model;
mod operations;
mod queries;
mod shares;
mod steps;
mod strategies;
mod transports;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use minimost_calls::database::{Database, open_connection};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::model::Limits;
use crate::steps::{Action, Step};
use crate::strategies::sequence;
use crate::support::three_members::Recording;
use crate::transports::Http;
use crate::world::World;

/// How often each action was done and refused.
#[derive(Default)]
struct Report {
    sequences: usize,
    steps: usize,
    actions: BTreeMap<String, (usize, usize)>,
}

impl Report {
    fn count(&mut self, action: &Action, done: Option<bool>) {
        self.steps += 1;
        let (successes, refusals) = self.actions.entry(action.name()).or_default();
        match done {
            Some(true) => *successes += 1,
            Some(false) => *refusals += 1,
            None => {}
        }
    }

    /// The sum of two reports.
    fn merged_with(mut self, other: Self) -> Self {
        self.sequences += other.sequences;
        self.steps += other.steps;
        for (action, (done, refused)) in other.actions {
            let own = self.actions.entry(action).or_default();
            (own.0, own.1) = (own.0 + done, own.1 + refused);
        }
        self
    }

    fn print(&self, what: &str) {
        println!("{what}: {} sequences, {} steps", self.sequences, self.steps);
        for (action, (done, refused)) in &self.actions {
            println!("  {action:20} {done:7} done {refused:7} refused");
        }
    }

    /// Fails unless each action was done and refused at least once.
    fn assert_complete(&self) {
        let names: BTreeSet<String> = Action::names().collect();
        assert!(self.actions.keys().all(|action| names.contains(action)), "{names:?} lacks some of {:?}", self.actions);
        for action in names {
            let (done, refused) = self.actions.get(&action).copied().unwrap_or_default();
            assert!(done > 0 || Action::NEVER_DONE.contains(&action.as_str()), "{action} was never done");
            let always =
                Action::NEVER_REFUSED.contains(&action.as_str()) || Action::OPEN_TO_ALL.contains(&action.as_str());
            assert!(refused > 0 || always, "{action} was never refused");
        }
        let removed: usize =
            Action::OPEN_TO_ALL.iter().filter_map(|action| self.actions.get(*action)).map(|it| it.1).sum();
        assert!(removed > 0, "no removed user was refused {:?}", Action::OPEN_TO_ALL);
    }
}

/// A number from an environment variable.
fn env_number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Runs `sequences` sequences made from `seed`; proptest shrinks the one that fails.
fn run(
    sequences: u32,
    seed: u64,
    what: &str,
    run_sequence: impl Fn(usize, &[Step], &mut Report) -> Result<(), String>,
) -> Report {
    println!("{what}: MODEL_SEED={seed}");
    let begun = Instant::now();
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: sequences,
        max_shrink_iters: 2000,
        max_shrink_time: 120_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seeds));
    let report = RefCell::new(Report::default());
    let outcome = runner.run(&sequence(1..=60), |steps| {
        let mut report = report.borrow_mut();
        report.sequences += 1;
        let number = report.sequences;
        run_sequence(number, &steps, &mut report).map_err(TestCaseError::fail)
    });
    let report = report.into_inner();
    report.print(&format!("{what}, in {:.1} s", begun.elapsed().as_secs_f64()));
    match outcome {
        Ok(()) => report,
        Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => panic!("seed {seed}: {}", reason.message()),
    }
}

/// Runs the steps; a failure contains them as a fixture.
fn run_steps(world: &mut World<'_>, steps: &[Step], report: &mut Report) -> Result<(), String> {
    for (place, step) in steps.iter().enumerate() {
        let done = world.run_step(*step).map_err(|why| {
            let steps: Vec<String> = steps[..=place].iter().map(|step| format!("{step:?}")).collect();
            format!("after\n{}\n{why}\n\n{}", steps.join("\n"), world.as_fixture())
        })?;
        report.count(&step.action, done);
    }
    Ok(())
}

/// Writes the settings of a round. Returns the statements.
fn apply_settings(sql: &Connection, limits: &Limits) -> Vec<String> {
    // Media rows cannot be moved into the past, so over HTTP they never expire: 3600 is the highest value.
    let media = limits.media_buffer_seconds.min(3600.0);
    let settings = format!(
        "UPDATE settings SET value = {1} WHERE name = 'presence_timeout';
         UPDATE settings SET value = {3} WHERE name = 'gone_after';
         UPDATE settings SET value = CASE name
           WHEN 'ringing_timeout' THEN {0} WHEN 'presence_interval' THEN {2} WHEN 'media_buffer_seconds' THEN {media} WHEN 'media_buffer_max_bytes' THEN {4}
           WHEN 'media_chunk_max_bytes' THEN {5} WHEN 'signals_per_call_max' THEN {6} WHEN 'signal_max_bytes' THEN {7}
           WHEN 'call_max_seconds' THEN {8} WHEN 'restart_grace' THEN {9} WHEN 'call_people_max' THEN {10}
           WHEN 'live_calls_per_person' THEN {11} WHEN 'live_shares_per_person' THEN {12} WHEN 'rings_per_pair' THEN {13}
           WHEN 'rings_per_person' THEN {14} WHEN 'refusal_pause' THEN {15} WHEN 'media_per_person_max_bytes' THEN {16}
           WHEN 'end_for_everyone' THEN {17}
           WHEN 'busy_policy' THEN '{18}' ELSE value END",
        limits.ringing_timeout,
        limits.presence_timeout,
        limits.presence_interval,
        limits.gone_after,
        limits.media_buffer_max_bytes,
        limits.media_chunk_max_bytes,
        limits.signals_per_call_max,
        limits.signal_max_bytes,
        limits.call_max_seconds,
        limits.restart_grace,
        limits.call_people_max,
        limits.live_calls_per_person,
        limits.live_shares_per_person,
        limits.rings_per_pair,
        limits.rings_per_person,
        limits.refusal_pause,
        limits.media_per_person_max_bytes,
        u8::from(limits.end_for_everyone),
        if limits.busy_policy { "busy" } else { "ring" }
    );
    sql.execute_batch(&settings).unwrap();
    settings.split(';').map(str::to_owned).collect()
}

/// Runs sequences over SQL at a pinned clock, and compares times to the millisecond.
fn run_over_sql(sequences: u32, seed: u64) -> Report {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("presence.db");
    Database::open(&path).unwrap().close();
    let sql = open_connection(&path).unwrap();
    run(sequences, seed, "by SQL at a pinned clock", |number, steps, report| {
        // Steps are whole seconds, so no two limits fall on one instant.
        let limits = Limits {
            ringing_timeout: 30.0,
            presence_timeout: 60.5,
            presence_interval: 5.0,
            gone_after: 12.0,
            media_buffer_seconds: 30.25,
            media_buffer_max_bytes: 64,
            media_chunk_max_bytes: 32,
            signals_per_call_max: 3,
            signal_max_bytes: 256,
            end_for_everyone: !number.is_multiple_of(3),
            call_max_seconds: 400.125,
            restart_grace: if number.is_multiple_of(2) { 20.25 } else { 0.0 },
            call_people_max: 3,
            live_calls_per_person: 2,
            live_shares_per_person: 2,
            rings_per_pair: 4,
            rings_per_person: 8,
            refusal_pause: 20.0,
            media_per_person_max_bytes: 90,
            busy_policy: number % 8 < 3,
        };
        sql.execute_batch("BEGIN").unwrap();
        let mut recording = Recording::default();
        for setting in apply_settings(&sql, &limits) {
            recording.add(&sql, &setting, None);
        }
        let mut world = World::new(number, &sql, None, limits, recording);
        let outcome = run_steps(&mut world, steps, report).and_then(|()| {
            // Of each statement's triggers, each member's file makes a program of its own, which takes long.
            let is_repeated = number.is_multiple_of(5);
            let recording = std::mem::take(&mut world.recording);
            let repeated = if is_repeated { recording.repeat(&sql) } else { Ok(()) };
            repeated.map_err(|why| format!("on members: {why}\n\n{}", world.as_fixture()))
        });
        drop(world);
        sql.execute_batch("ROLLBACK").unwrap();
        outcome
    })
}

/// Runs sequences over HTTP and SQL, on a server with the machine's clock.
fn run_over_http_and_sql(sequences: u32, seed: u64) -> Report {
    let http = RefCell::new(Http::start());
    let path = http.borrow().server().db();
    let sql = open_connection(&path).unwrap();
    // Each limit is at least five minutes from any sum of waits, so a slow machine does not reach one early.
    let limits = || Limits {
        ringing_timeout: 3000.0,
        presence_timeout: 7400.0,
        presence_interval: 1000.0,
        gone_after: 2300.0,
        media_buffer_seconds: f64::INFINITY,
        media_buffer_max_bytes: 64,
        media_chunk_max_bytes: 32,
        signals_per_call_max: 3,
        signal_max_bytes: 256,
        end_for_everyone: true,
        call_max_seconds: 0.0,
        restart_grace: 0.0,
        call_people_max: 3,
        live_calls_per_person: 2,
        live_shares_per_person: 2,
        // The machine's minute is not moved by rows in the past.
        rings_per_pair: 0,
        rings_per_person: 0,
        refusal_pause: 0.0,
        media_per_person_max_bytes: 90,
        busy_policy: false,
    };
    apply_settings(&sql, &limits());
    run(sequences, seed, "over HTTP and by SQL", |number, steps, report| {
        let mut http = http.borrow_mut();
        let mut world = World::new(number, &sql, Some(&mut http), limits(), Recording::default());
        run_steps(&mut world, steps, report)?;
        world.clear();
        Ok(())
    })
}

#[test]
fn sql_sequences_match_the_model() {
    run_over_sql(120, 1);
}

#[test]
fn http_and_sql_sequences_match_the_model() {
    run_over_http_and_sql(30, 2);
}

#[test]
#[ignore = "takes minutes, with new sequences each time"]
fn thousands_of_sequences_match_the_model() {
    #[expect(clippy::disallowed_methods, reason = "a seed")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (seed, sequences) = (env_number("MODEL_SEED").unwrap_or(now), env_number("MODEL_SEQUENCES").unwrap_or(2000));
    let sequences = u32::try_from(sequences).unwrap();
    let report = std::thread::scope(|scope| {
        let both = scope.spawn(|| run_over_http_and_sql(sequences / 5, seed));
        let sql = run_over_sql(sequences - sequences / 5, seed);
        both.join().unwrap().merged_with(sql)
    });
    report.print("together");
    report.assert_complete();
}
