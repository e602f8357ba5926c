//! The search, level by level.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use minimost_calls::database::{Database, open_connection};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::actions::{
    Action, BEGIN, GONE_AFTER, PEOPLE, PRESENCE_TIMEOUT, RINGING_TIMEOUT, Refusal, STRANGER, step_clock,
};
use crate::content::Content;
use crate::routes::{Route, check_reads, check_uploads};
use crate::views::check_views;

/// A channel in which the people act.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// A direct-message channel of two; the third can be a guest.
    DirectMessage,
    /// A private channel of three.
    PrivateChannel,
    /// A private channel of three with an active call, which still rings for the third.
    ActiveCall,
}

impl Scenario {
    pub const ALL: [Self; 3] = [Self::DirectMessage, Self::PrivateChannel, Self::ActiveCall];

    fn channel(self) -> &'static str {
        match self {
            Self::DirectMessage => "dm:ann:bob",
            Self::PrivateChannel | Self::ActiveCall => "private:1",
        }
    }

    /// The longest sequences of a short round.
    fn depth(self) -> usize {
        match self {
            Self::DirectMessage => 4,
            Self::PrivateChannel | Self::ActiveCall => 3,
        }
    }

    /// The actions before the first state.
    fn beginning(self) -> Vec<Action> {
        match self {
            Self::DirectMessage | Self::PrivateChannel => vec![],
            Self::ActiveCall => vec![Action::Request(Route::Initiate, 0, 0), Action::Request(Route::Accept, 1, 1)],
        }
    }
}

/// What a search found.
pub struct Report {
    scenario: Scenario,
    /// New states of each level.
    levels: Vec<usize>,
    tried: usize,
    refusals: BTreeMap<String, usize>,
    seconds: f64,
}

impl Report {
    pub fn states(&self) -> usize {
        self.levels.iter().sum()
    }

    pub fn print(&self) {
        let Self { scenario, levels, tried, refusals, seconds } = self;
        println!("{scenario:?}: {levels:?} states a level, {tried} actions tried, {seconds:.1} s");
        println!("  refused: {refusals:?}");
    }
}

/// A file with the people and the channel, in a transaction that is never committed.
struct World {
    sql: Connection,
    scenario: Scenario,
    content: Content,
    statuses: HashMap<String, i64>,
    _folder: TempDir,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("presence.db");
        Database::open_for_server(&path).unwrap().close();
        let sql = open_connection(&path).unwrap();
        sql.set_prepared_statement_cache_capacity(512);
        let users: String = PEOPLE
            .iter()
            .chain([&STRANGER])
            .map(|name| format!("INSERT INTO users (username, password_hash, created_ts) VALUES ('{name}', 'x', 0);"))
            .collect();
        let members: String =
            PEOPLE.iter().map(|name| format!("INSERT INTO private_channel_members VALUES (1, '{name}', 0);")).collect();
        // The search sweeps when it wants to, to see what the views show before. A changed schema is committed: SQLite
        // would read it again after each undone step.
        sql.execute_batch(&format!(
            "BEGIN;
             DROP TRIGGER listed_rule_stays;
             DROP TRIGGER pinning_the_clock_sweeps;
             DELETE FROM rules WHERE name IN ('listed_rule_stays', 'pinning_the_clock_sweeps');
             UPDATE clock SET pinned_ts = {BEGIN};
             UPDATE settings SET value = CASE name WHEN 'ringing_timeout' THEN {RINGING_TIMEOUT}
               WHEN 'presence_timeout' THEN {PRESENCE_TIMEOUT} WHEN 'gone_after' THEN {GONE_AFTER}
               WHEN 'call_people_max' THEN 2 WHEN 'live_shares_per_person' THEN 1 ELSE value END;
             {users}
             INSERT INTO private_channels (name, created_ts) VALUES ('three', 0);
             {members}
             COMMIT; BEGIN"
        ))
        .unwrap();
        let statuses = {
            let mut prepared = sql.prepare("SELECT code, status FROM refusals").unwrap();
            prepared.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
        };
        Self { content: Content::new(&sql), sql, scenario, statuses, _folder: folder }
    }

    fn status(&self, code: &str) -> Option<i64> {
        self.statuses.get(code).copied()
    }

    /// Runs `within` in a savepoint, and undoes it.
    fn undoing<T>(&self, within: impl FnOnce() -> T) -> T {
        self.sql.prepare_cached("SAVEPOINT state").unwrap().execute([]).unwrap();
        let result = within();
        self.sql.prepare_cached("ROLLBACK TO state").unwrap().execute([]).unwrap();
        self.sql.prepare_cached("RELEASE state").unwrap().execute([]).unwrap();
        result
    }

    /// Checks a refusal: it has a status, and the route has this status.
    fn check_refusal(&self, action: Action, code: &str) -> Result<(), String> {
        let status = self.status(code).ok_or_else(|| format!("{action:?} failed: {code}"))?;
        match action {
            Action::Request(route, ..) if !route.statuses().contains(&status) => {
                Err(format!("{action:?} was refused with {code} ({status}), not with one of {:?}", route.statuses()))
            }
            Action::Wait(_) | Action::Pause | Action::Restart => Err(format!("{action:?} was refused: {code}")),
            _ => Ok(()),
        }
    }

    /// Checks a new state.
    fn check(&self) -> Result<(), String> {
        let mut violations = self.sql.prepare_cached("SELECT violation FROM integrity_violations").unwrap();
        let violations: Vec<String> =
            violations.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        if !violations.is_empty() {
            return Err(format!("integrity_violations: {violations:?}"));
        }
        check_reads(&self.sql, self.scenario.channel(), |code| self.status(code))?;
        let channel = self.scenario.channel();
        check_uploads(&self.sql, channel, |route, person| {
            self.undoing(|| route.run(&self.sql, channel, person, person))
        })?;
        check_views(&self.sql)?;
        let content = self.content.hash(&self.sql);
        for seconds in [3600, -3600] {
            let stepped = self.undoing(|| {
                step_clock(&self.sql, seconds);
                self.content.hash(&self.sql)
            });
            if stepped != content {
                return Err(format!("a step of the clock by {seconds} s changes more than the times"));
            }
        }
        Ok(())
    }
}

/// Searches all sequences of a short round, and those that have up to `more` actions more.
pub fn search(scenario: Scenario, more: usize) -> Report {
    let begun = Instant::now();
    let world = World::new(scenario);
    let all = Action::all();
    let mut report = Report { scenario, levels: vec![], tried: 0, refusals: BTreeMap::new(), seconds: 0.0 };
    let mut seen = HashSet::from([world.content.hash(&world.sql)]);
    let mut frontier = vec![scenario.beginning()];
    for _ in 0..scenario.depth() + more {
        let mut next = Vec::new();
        for path in &frontier {
            world.undoing(|| {
                for action in path {
                    let repeated = action.run(&world.sql, scenario.channel());
                    assert!(repeated.is_ok(), "{path:?} was possible before");
                }
                for action in &all {
                    report.tried += 1;
                    let new = world.undoing(|| try_action(&world, *action, &mut seen, &mut report));
                    let sequence = || [path.as_slice(), &[*action]].concat();
                    match new {
                        Ok(true) => next.push(sequence()),
                        Ok(false) => {}
                        Err(why) => panic!("{scenario:?}, after {:?}:\n{why}", sequence()),
                    }
                }
            });
        }
        report.levels.push(next.len());
        frontier = next;
    }
    report.seconds = begun.elapsed().as_secs_f64();
    report
}

/// Tries an action. Returns whether it leads to a state that no sequence has led to.
fn try_action(world: &World, action: Action, seen: &mut HashSet<u64>, report: &mut Report) -> Result<bool, String> {
    match action.run(&world.sql, world.scenario.channel()) {
        Ok(()) => {}
        Err(Refusal::Absent) => return Ok(false),
        Err(Refusal::Code(code)) => {
            world.check_refusal(action, &code)?;
            *report.refusals.entry(code).or_default() += 1;
            return Ok(false);
        }
    }
    if !seen.insert(world.content.hash(&world.sql)) {
        return Ok(false);
    }
    world.check()?;
    Ok(true)
}
