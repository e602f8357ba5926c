//! A step of the wall clock: each column with a time moves with it, or is a time of the calendar.

use std::collections::BTreeSet;

use crate::new_file;

/// The columns that do not move, and why.
const CALENDAR: &[(&str, &str, &str)] = &[
    ("call_signals", "ts", "shown to the recipient; no rule measures it"),
    ("calls", "ended_ts", "only a finished call has one: history"),
    ("clean_stop", "stopped_ts", "compared with a time of the file system"),
    ("clock", "booted_ts", "describes the wall clock itself"),
    ("clock", "pinned_ts", "the present"),
    ("cluster", "applied_ts", "the present of the newest group"),
    ("ended_tokens", "expires_ts", "a token expires at a date"),
    ("event_gaps", "ts", "shown to admins"),
    ("issuers", "created_ts", "shown to admins"),
    ("links", "created_ts", "shown to members"),
    ("links", "expires_ts", "a link expires at a date"),
    ("private_channel_members", "joined_ts", "member since"),
    ("private_channels", "created_ts", "shown to admins"),
    ("push_subscriptions", "created_ts", "shown to admins"),
    ("removed_subjects", "removed_ts", "compared with the date in a token"),
    ("screenshares", "ended_ts", "only an ended share has one: history"),
    ("service_tokens", "created_ts", "shown to admins"),
    ("service_tokens", "expires_ts", "a token expires at a date"),
    ("sessions", "created_ts", "shown to admins"),
    ("sessions", "expires_ts", "a session expires at a date"),
    ("command_log", "ts", "shown to admins"),
    ("users", "created_ts", "shown to admins"),
    ("users", "token_ts", "compared with the date in a token"),
    ("webhooks", "created_ts", "shown to admins"),
    ("webhooks", "disabled_ts", "shown to admins"),
    ("users", "quiet_until", "a person does not want to be disturbed until a date"),
];

/// A new column with a time must be added to the trigger or to the list.
#[test]
fn every_time_moves_with_the_clock_or_is_of_the_calendar() {
    let (_folder, _, connection) = new_file();
    let mut statement = connection
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND (c.name = 'ts' OR c.name GLOB '*_ts' OR c.name GLOB '*_until')",
        )
        .unwrap();
    let times: BTreeSet<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let trigger: String = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'clock_step_moves_elapsed_time'", [], |row| row.get(0))
        .unwrap();
    let mut moved = BTreeSet::new();
    for update in trigger.split("UPDATE ").skip(1) {
        let table = update.split_whitespace().next().unwrap();
        let words: Vec<&str> = update.split(';').next().unwrap().split_whitespace().collect();
        // Each assignment is `COLUMN = ROUND(COLUMN + NEW.step_seconds, ...`, within min() unless it is a deadline.
        for name in
            words.windows(3).filter(|three| three[1] == "=" && three[2].contains("round(")).map(|three| three[0])
        {
            moved.insert((table.to_owned(), name.to_owned()));
        }
    }
    let calendar: BTreeSet<_> = CALENDAR.iter().map(|(table, name, _)| ((*table).into(), (*name).into())).collect();
    let both: Vec<_> = moved.intersection(&calendar).collect();
    assert!(both.is_empty(), "these move and are in the list of the calendar: {both:?}");
    let listed = &moved | &calendar;
    let forgotten: Vec<_> = times.difference(&listed).collect();
    assert!(
        forgotten.is_empty(),
        "clock_step_moves_elapsed_time does not move these, nor are they listed: {forgotten:?}"
    );
    let obsolete: Vec<_> = listed.difference(&times).collect();
    assert!(obsolete.is_empty(), "there are no such columns: {obsolete:?}");
}
