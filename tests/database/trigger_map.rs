//! `fixtures/triggers.md`: what each statement runs, generated from a loaded database.

use std::collections::BTreeMap;
use std::fmt::Write;

use minimost_calls::database::RULES;

use crate::new_file;
use crate::schema::assert_snapshot;

const HEAD: &str = "\
# What each statement runs

A test generates this page from a new database (`UPDATE_SCHEMA=1 cargo test --test database`). Triggers are in the order in
which SQLite runs them: BEFORE, INSTEAD OF, AFTER, and among those of one event the latest created first. SQLite does not
promise the latter, so no rule relies on it. `then` names the statements of a trigger's body that run further triggers.
";

struct Trigger {
    name: String,
    timing: String,
    event: String,
    target: String,
    then: Vec<String>,
}

/// Reads `CREATE TRIGGER name -- comments TIMING EVENT ON target WHEN ... BEGIN body END`.
fn parse(name: &str, sql: &str) -> Trigger {
    let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let heading = code[1];
    let timing = ["BEFORE", "INSTEAD OF", "AFTER"].into_iter().find(|timing| heading.starts_with(timing)).unwrap();
    let (event, target) = heading[timing.len()..].trim().split_once(" ON ").unwrap();
    let body = code.iter().skip_while(|line| **line != "BEGIN").skip(1);
    let mut then = Vec::new();
    for line in body.map(|line| line.trim_start()) {
        let mut words = line.split([' ', '(']);
        let statement = match (words.next(), words.next(), words.next()) {
            (Some("INSERT"), Some("INTO"), Some(table)) => format!("INSERT {table}"),
            (Some("DELETE"), Some("FROM"), Some(table)) => format!("DELETE {table}"),
            (Some("UPDATE"), Some(table), _) => format!("UPDATE {table}"),
            _ => continue,
        };
        if !then.contains(&statement) {
            then.push(statement);
        }
    }
    Trigger {
        name: name.to_owned(),
        timing: timing.to_owned(),
        event: event.to_owned(),
        target: target.trim().to_owned(),
        then,
    }
}

#[test]
fn the_map_of_triggers_is_current() {
    let (_folder, _, connection) = new_file();
    let mut statement =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid DESC").unwrap();
    let triggers: Vec<Trigger> = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .unwrap()
        .map(|row| row.map(|(name, sql)| parse(&name, &sql)).unwrap())
        .collect();
    let file_of = |name: &str| {
        let created = format!("CREATE TRIGGER {name}\n");
        RULES.iter().find(|(_, sql)| sql.contains(&created)).unwrap().0
    };
    let mut map: BTreeMap<String, Vec<&Trigger>> = BTreeMap::new();
    for trigger in &triggers {
        let verb = trigger.event.split(' ').next().unwrap();
        map.entry(format!("{verb} {}", trigger.target)).or_default().push(trigger);
    }
    let has_triggers: Vec<String> = map.keys().cloned().collect();
    let mut page = HEAD.to_owned();
    let mut by_target: Vec<(&String, &mut Vec<&Trigger>)> = map.iter_mut().collect();
    by_target.sort_by_key(|(statement, _)| {
        let (verb, target) = statement.split_once(' ').unwrap();
        (target.to_owned(), verb.to_owned())
    });
    for (statement, triggers) in by_target {
        // A stable sort keeps the latest created first.
        triggers.sort_by_key(|trigger| {
            ["BEFORE", "INSTEAD OF", "AFTER"].iter().position(|timing| *timing == trigger.timing)
        });
        writeln!(page, "\n## {statement}\n").unwrap();
        for (place, trigger) in triggers.iter().enumerate() {
            let then: Vec<String> = trigger
                .then
                .iter()
                .filter(|next| has_triggers.contains(next))
                .map(|next| format!("`{next}`"))
                .collect();
            let then = if then.is_empty() { String::new() } else { format!(", then {}", then.join(", ")) };
            let columns =
                trigger.event.split_once(" OF ").map(|(_, columns)| format!(" of {columns}")).unwrap_or_default();
            writeln!(
                page,
                "{}. {}{columns}: `{}` ({}.sql){then}",
                place + 1,
                trigger.timing,
                trigger.name,
                file_of(&trigger.name)
            )
            .unwrap();
        }
    }
    assert_snapshot("fixtures/triggers.md", &page);
}
