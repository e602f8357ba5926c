//! The actions: what three people request, what an admin does in a shell, and what time does.

use minimost_calls::statements::{self, Statement};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::routes::Route;

/// The three people, and one who has nothing to do with them.
pub const PEOPLE: [&str; 3] = ["ann", "bob", "cat"];
pub const STRANGER: &str = "dan";

/// The limits of the search, in seconds, as the settings have them.
pub const RINGING_TIMEOUT: u32 = 30;
pub const PRESENCE_TIMEOUT: u32 = 61;
pub const GONE_AFTER: u32 = 12;

/// The time of the first state.
pub const BEGIN: f64 = 1_000_000.0;

/// One step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A request of a person, on another where the route has one.
    Request(Route, usize, usize),
    /// SQL of an admin, about a person where it has one.
    Shell(Shell, usize),
    /// The clock goes on by so many seconds, and the server sweeps.
    Wait(u32),
    /// The server could not work for some time.
    Pause,
    /// The server starts.
    Restart,
}

/// What an admin does in a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    EndCall,
    InsertCall,
    AcceptFor,
    DeleteParticipant,
    LeaveChannel,
    JoinChannel,
    RemoveUser,
    AddUser,
}

/// Why an action had no effect.
pub enum Refusal {
    /// A rule or CHECK refused it.
    Code(String),
    /// There is nothing that it could be about.
    Absent,
}

impl Action {
    /// All actions that the search tries in each state.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Wait(GONE_AFTER), Self::Wait(RINGING_TIMEOUT)];
        all.extend([Self::Wait(PRESENCE_TIMEOUT), Self::Pause, Self::Restart]);
        all.extend([Self::Shell(Shell::EndCall, 0), Self::Shell(Shell::InsertCall, 0)]);
        for person in 0..PEOPLE.len() {
            for shell in [
                Shell::AcceptFor,
                Shell::DeleteParticipant,
                Shell::LeaveChannel,
                Shell::JoinChannel,
                Shell::RemoveUser,
                Shell::AddUser,
            ] {
                all.push(Self::Shell(shell, person));
            }
            for route in Route::WRITES {
                if route.has_target() {
                    let others = (0..PEOPLE.len()).filter(|other| *other != person);
                    all.extend(others.map(|other| Self::Request(route, person, other)));
                } else {
                    all.push(Self::Request(route, person, person));
                }
            }
        }
        all
    }

    /// Carries out the action.
    pub fn run(self, sql: &Connection, channel: &str) -> Result<(), Refusal> {
        match self {
            Self::Request(route, actor, target) => {
                route.run(sql, channel, PEOPLE[actor], PEOPLE[target]).map_err(Refusal::Code)?;
            }
            Self::Shell(shell, person) => shell.run(sql, channel, PEOPLE[person])?,
            Self::Wait(seconds) => {
                advance(sql, seconds);
                sweep(sql);
            }
            Self::Pause => execute(sql, "INSERT INTO clock_pause DEFAULT VALUES", &[])
                .map(drop)
                .map_err(|error| Refusal::Code(code(&error)))?,
            Self::Restart => run(sql, &statements::START_SERVER, &[]).map(drop).map_err(Refusal::Code)?,
        }
        Ok(())
    }
}

impl Shell {
    fn run(self, sql: &Connection, channel: &str, person: &str) -> Result<(), Refusal> {
        let text = match self {
            Self::EndCall => "UPDATE calls SET state = 'ended' WHERE channel = ?1 AND is_live",
            Self::InsertCall => {
                "INSERT INTO calls (call_id, channel, initiator, state, started_ts)
                 SELECT 'call' || (SELECT count(*) FROM calls), ?1, 'ann', 'ringing', ts FROM now"
            }
            Self::AcceptFor => {
                "UPDATE call_participants SET state = 'accepted' WHERE username = ?2 AND state <> 'accepted'
                 AND call_id = (SELECT call_id FROM calls WHERE channel = ?1 AND is_live)"
            }
            Self::DeleteParticipant => {
                "DELETE FROM call_participants WHERE username = ?2
                 AND call_id = (SELECT call_id FROM calls WHERE channel = ?1 AND is_live)"
            }
            Self::LeaveChannel => "DELETE FROM private_channel_members WHERE username = ?2 AND channel = ?1",
            Self::JoinChannel => {
                "INSERT INTO private_channel_members (channel_id, username, joined_ts)
                 SELECT id, ?2, ts FROM private_channels, now WHERE 'private:' || id = ?1"
            }
            Self::RemoveUser => "DELETE FROM users WHERE username = ?2",
            Self::AddUser => "INSERT INTO users (username, password_hash, created_ts) SELECT ?2, 'x', ts FROM now",
        };
        match execute(sql, text, &[text_value(channel), text_value(person)]) {
            Ok(0) => Err(Refusal::Absent),
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::Code(code(&error))),
        }
    }
}

/// Moves the clock. The file of the search has no trigger that sweeps at once, so that views are seen before a sweep.
pub fn advance(sql: &Connection, seconds: u32) {
    sql.prepare_cached("UPDATE clock SET pinned_ts = pinned_ts + ?1").unwrap().execute([seconds]).unwrap();
}

/// The wall clock is set to another time.
pub fn step_clock(sql: &Connection, seconds: i32) {
    sql.prepare_cached("INSERT INTO clock_step (seconds) VALUES (?1)").unwrap().execute([seconds]).unwrap();
}

/// What pinning the clock does on a server.
pub fn sweep(sql: &Connection) {
    sql.prepare_cached("INSERT INTO do_sweep (unused) SELECT NULL FROM sweep_due WHERE is_due")
        .unwrap()
        .execute([])
        .unwrap_or_else(|error| panic!("a sweep was refused: {error}"));
}

/// A text parameter.
pub fn text_value(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Runs a statement of the program. Parameters that are not given are NULL. Returns the rows' first column.
pub fn run(sql: &Connection, statement: &Statement, parameters: &[Value]) -> Result<Vec<Value>, String> {
    let run = || {
        let mut prepared = sql.prepare_cached(statement.sql())?;
        bind(&mut prepared, parameters)?;
        let mut rows = prepared.raw_query();
        let mut first = Vec::new();
        while let Some(row) = rows.next()? {
            first.push(row.get(0)?);
        }
        rusqlite::Result::Ok(first)
    };
    run().map_err(|error| code(&error))
}

/// Runs SQL of a shell. Returns the number of rows that it changed itself.
fn execute(sql: &Connection, text: &str, parameters: &[Value]) -> rusqlite::Result<usize> {
    let mut prepared = sql.prepare_cached(text)?;
    bind(&mut prepared, parameters)?;
    prepared.raw_execute()
}

fn bind(prepared: &mut rusqlite::Statement<'_>, parameters: &[Value]) -> rusqlite::Result<()> {
    for number in 1..=prepared.parameter_count() {
        prepared.raw_bind_parameter(number, parameters.get(number - 1).unwrap_or(&Value::Null))?;
    }
    Ok(())
}

/// The code of a refusal: the text of RAISE, or the name of the CHECK.
fn code(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.rsplit(": ").next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}
