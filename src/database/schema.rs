//! The schema of a database file: tables by versioned migrations, triggers and views by the rules in `sql/rules/`.
//!
//! A released migration never changes. A rule has one current definition, and [`upgrade`] re-creates all rules where
//! those in the file differ from the program's. SQLite runs the triggers of one event in the reverse order of their
//! creation, so the order is a part of the comparison.

use std::collections::BTreeSet;
#[cfg(feature = "cluster")]
use std::sync::LazyLock;

use refinery::{Migrate, Migration, Runner};
use refinery_core::traits::sync::{Query, Transaction as MigrationTransaction};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// The number of this program's rules. A file with a larger one is refused. It grows with each release that changes a
/// rule.
pub const RULES_NUMBER: i64 = 1;

/// The files of `sql/rules/` with their names, in the order of creation: a trigger comes after the view that it is on.
pub const RULES: &[(&str, &str)] = &[
    ("clock", include_str!("../../sql/rules/clock.sql")),
    ("settings", include_str!("../../sql/rules/settings.sql")),
    ("people", include_str!("../../sql/rules/people.sql")),
    ("service_tokens", include_str!("../../sql/rules/service_tokens.sql")),
    ("channels", include_str!("../../sql/rules/channels.sql")),
    ("events", include_str!("../../sql/rules/events.sql")),
    ("directory", include_str!("../../sql/rules/directory.sql")),
    ("calls", include_str!("../../sql/rules/calls.sql")),
    ("participants", include_str!("../../sql/rules/participants.sql")),
    ("links", include_str!("../../sql/rules/links.sql")),
    ("signals", include_str!("../../sql/rules/signals.sql")),
    ("screenshares", include_str!("../../sql/rules/screenshares.sql")),
    ("media", include_str!("../../sql/rules/media.sql")),
    ("limits", include_str!("../../sql/rules/limits.sql")),
    ("issuers", include_str!("../../sql/rules/issuers.sql")),
    ("presence", include_str!("../../sql/rules/presence.sql")),
    ("webhooks", include_str!("../../sql/rules/webhooks.sql")),
    ("web_push", include_str!("../../sql/rules/web_push.sql")),
    ("answers", include_str!("../../sql/rules/answers.sql")),
    ("idempotency", include_str!("../../sql/rules/idempotency.sql")),
    ("elapsed_time", include_str!("../../sql/rules/elapsed_time.sql")),
    ("sweep", include_str!("../../sql/rules/sweep.sql")),
    ("history", include_str!("../../sql/rules/history.sql")),
    ("cluster", include_str!("../../sql/rules/cluster.sql")),
    ("admin", include_str!("../../sql/rules/admin.sql")),
    ("metrics", include_str!("../../sql/rules/metrics.sql")),
    ("refusals", include_str!("../../sql/rules/refusals.sql")),
];

/// The migrations in `sql/migrations/`, to be applied in one transaction.
#[must_use]
pub fn migrations() -> Runner {
    embedded::migrations::runner().set_grouped(true)
}

/// Why the schema of a file cannot be used.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// A newer version of this program, or a development version, made the file.
    #[error("of another version of minimost-calls; left unchanged")]
    OtherVersion,
    /// SQLite cannot read or write the file.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A migration failed.
    #[error(transparent)]
    Migration(refinery::Error),
}

impl From<refinery::Error> for SchemaError {
    fn from(error: refinery::Error) -> Self {
        use refinery::error::Kind::{DivergentVersion, MissingVersion};
        match error.kind() {
            DivergentVersion(..) | MissingVersion(..) => Self::OtherVersion,
            _ => Self::Migration(error),
        }
    }
}

/// A trigger or view.
#[derive(PartialEq, Eq)]
struct Rule {
    kind: String,
    name: String,
    sql: String,
}

/// Whether all migrations are applied. Rules are not compared, and nothing is written.
pub(super) fn is_migrated(connection: &mut Connection) -> Result<bool, SchemaError> {
    let transaction = connection.transaction()?;
    if !has_table(&transaction, "refinery_schema_history")? || !has_table(&transaction, "rules")? {
        return Ok(false);
    }
    refuse_newer_rules(&transaction)?;
    Ok(pending_migrations(&transaction)?.is_empty())
}

/// Applies the migrations that the file lacks, and re-creates the rules where they differ, in one transaction.
///
/// The log names each rule that differs. Triggers of an admin on tables, and views of an admin, stay. Triggers of an
/// admin on our views go, because the views are dropped; the log names them.
///
/// # Errors
/// The file is of a newer version, or cannot be written. Then nothing has changed.
pub fn upgrade(connection: &mut Connection) -> Result<(), SchemaError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_new = !has_table(&transaction, "rules")?;
    if !is_new {
        refuse_newer_rules(&transaction)?;
    }
    let program = program_rules()?;
    let stored = stored_rules(&transaction)?;
    let names: BTreeSet<String> = program.iter().map(|rule| rule.name.clone()).collect();
    let recorded = if is_new { Vec::new() } else { recorded_rules(&transaction)? };
    let is_recorded = is_list_of(&recorded, &program);
    let names = &names | &recorded.into_iter().map(|rule| rule.name).collect();
    let (ours, foreign): (Vec<Rule>, Vec<Rule>) = stored.into_iter().partition(|rule| names.contains(&rule.name));
    if ours == program && is_recorded && pending_migrations(&transaction)?.is_empty() {
        return Ok(transaction.commit()?);
    }
    if !is_new {
        log_differences(&program, &ours);
    }
    drop_rules(&transaction, &ours, &foreign)?;
    migrations().run(&mut Within(&transaction))?;
    // Before the rules, which protect the list.
    transaction.execute("DELETE FROM rules", [])?;
    for rule in &program {
        transaction.execute(
            "INSERT INTO rules (name, type, number, definition) VALUES (?1, ?2, ?3, ?4)",
            (&rule.name, &rule.kind, RULES_NUMBER, &rule.sql),
        )?;
    }
    create_rules(&transaction)?;
    Ok(transaction.commit()?)
}

/// Runs `change` while the rules of an upgraded file are dropped, and creates them again.
///
/// # Errors
/// What went wrong. Then the caller has to roll the transaction back.
pub(super) fn without_rules(
    transaction: &Transaction<'_>,
    change: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let names: BTreeSet<String> = recorded_rules(transaction)?.into_iter().map(|rule| rule.name).collect();
    let (ours, foreign): (Vec<Rule>, Vec<Rule>) =
        stored_rules(transaction)?.into_iter().partition(|rule| names.contains(&rule.name));
    drop_rules(transaction, &ours, &foreign)?;
    change()?;
    create_rules(transaction)
}

fn create_rules(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    RULES.iter().try_for_each(|(_, sql)| transaction.execute_batch(sql))
}

/// The migrations by their numbers. The runner has them by the names of their files, V10 before V2.
fn in_order() -> Vec<Migration> {
    let mut migrations = migrations().get_migrations().clone();
    migrations.sort();
    migrations
}

/// The rules as SQLite stores them, read from a scratch database with this program's schema.
fn program_rules() -> Result<Vec<Rule>, SchemaError> {
    let scratch = Connection::open_in_memory()?;
    for migration in in_order() {
        scratch.execute_batch(migration.sql().unwrap_or_default())?;
    }
    for (_, sql) in RULES {
        scratch.execute_batch(sql)?;
    }
    Ok(stored_rules(&scratch)?)
}

/// All triggers and views of a file, in the order of their creation.
fn stored_rules(connection: &Connection) -> rusqlite::Result<Vec<Rule>> {
    let mut statement = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view') ORDER BY rowid")?;
    let rules = statement.query_map([], |row| Ok(Rule { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
    rules.collect()
}

/// What differs between the rules of the file and those of this program, their order included.
pub(super) fn differences(connection: &Connection) -> Result<Vec<String>, SchemaError> {
    let program = program_rules()?;
    let names: BTreeSet<&str> = program.iter().map(|rule| rule.name.as_str()).collect();
    let recorded = recorded_rules(connection)?;
    let is_ours = |rule: &Rule| names.contains(rule.name.as_str()) || recorded.iter().any(|own| own.name == rule.name);
    let stored: Vec<Rule> = stored_rules(connection)?.into_iter().filter(is_ours).collect();
    let mut differences: Vec<String> = Vec::new();
    for rule in &program {
        match stored.iter().find(|other| other.name == rule.name) {
            None => differences.push(format!("the {} {} is missing", rule.kind, rule.name)),
            Some(found) if found != rule => {
                differences.push(format!("the {} {} is not this program's", rule.kind, rule.name));
            }
            Some(_) => {}
        }
    }
    for rule in stored.iter().filter(|rule| !names.contains(rule.name.as_str())) {
        differences.push(format!("the {} {} is of another version", rule.kind, rule.name));
    }
    if differences.is_empty() && stored != program {
        differences.push("the triggers run in another order".to_owned());
    }
    Ok(differences)
}

fn log_differences(program: &[Rule], stored: &[Rule]) {
    let mut named = false;
    for rule in program {
        let found = stored.iter().find(|other| other.name == rule.name);
        if found != Some(rule) {
            let problem = if found.is_none() { "missing" } else { "different" };
            tracing::warn!(rule.name, problem, "a rule in the file is not the program's; all rules are re-created");
            named = true;
        }
    }
    for rule in stored.iter().filter(|rule| program.iter().all(|other| other.name != rule.name)) {
        tracing::warn!(rule.name, "the program no longer has a rule that is in the file; all rules are re-created");
        named = true;
    }
    if !named {
        tracing::info!("the order of the rules, or a table, is not the program's; all rules are re-created");
    }
}

fn drop_rules(transaction: &Transaction<'_>, ours: &[Rule], foreign: &[Rule]) -> rusqlite::Result<()> {
    let views: BTreeSet<&str> = ours.iter().filter(|rule| rule.kind == "view").map(|rule| rule.name.as_str()).collect();
    for trigger in foreign.iter().filter(|rule| rule.kind == "trigger") {
        let target: String = transaction.query_row(
            "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = ?1",
            [&trigger.name],
            |row| row.get(0),
        )?;
        if views.contains(target.as_str()) {
            tracing::warn!(trigger.name, view = target, "a trigger on a view of the program was dropped with the view");
        }
    }
    drops(ours).try_for_each(|drop| transaction.execute_batch(&drop))
}

/// The statements that drop rules.
fn drops(rules: &[Rule]) -> impl Iterator<Item = String> {
    // Triggers first: dropping a view drops its triggers, and they could not be dropped again.
    let of_kind = |kind| rules.iter().filter(move |rule| rule.kind == kind);
    let rules = of_kind("trigger").chain(of_kind("view"));
    rules.map(|rule| format!("DROP {} \"{}\"", rule.kind, rule.name.replace('"', "\"\"")))
}

/// The SQL by which the schema of a member's file, without its guards, becomes this program's; empty if it is. It travels in
/// the log, so that members of several versions get the same schema. `applied_on` is the time of the migrations (RFC 3339).
///
/// # Errors
/// The file is of a newer version, or cannot be read.
#[cfg(feature = "cluster")]
pub(super) fn upgrade_plan(connection: &Connection, applied_on: &str) -> Result<Vec<String>, SchemaError> {
    let transaction = connection.unchecked_transaction()?;
    refuse_newer_rules(&transaction)?;
    let program = program_rules()?;
    let recorded = recorded_rules(&transaction)?;
    let is_ours = |rule: &Rule| [&program, &recorded].iter().any(|list| list.iter().any(|own| own.name == rule.name));
    let ours: Vec<Rule> = stored_rules(&transaction)?.into_iter().filter(is_ours).collect();
    let pending = pending_migrations(&transaction)?;
    if ours == program && is_list_of(&recorded, &program) && pending.is_empty() {
        return Ok(Vec::new());
    }
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut plan: Vec<String> = drops(&ours).collect();
    for migration in pending {
        plan.push(migration.sql().unwrap_or_default().to_owned());
        plan.push(format!(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES ({}, {}, {}, '{}')",
            migration.version(),
            quote(migration.name()),
            quote(applied_on),
            migration.checksum()
        ));
    }
    plan.push("DELETE FROM rules".to_owned());
    plan.extend(program.iter().map(|rule| {
        format!(
            "INSERT INTO rules (name, type, number, definition) VALUES ({}, {}, {RULES_NUMBER}, {})",
            quote(&rule.name),
            quote(&rule.kind),
            quote(&rule.sql)
        )
    }));
    plan.extend(RULES.iter().map(|(_, sql)| (*sql).to_owned()));
    Ok(plan)
}

/// What tells this program's schema from that of another version.
#[cfg(feature = "cluster")]
pub(crate) fn fingerprint() -> &'static str {
    use sha2::{Digest, Sha256};
    static FINGERPRINT: LazyLock<String> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        for migration in in_order() {
            hash.update(migration.sql().unwrap_or_default());
        }
        for (_, sql) in RULES {
            hash.update(sql);
        }
        format!("{:x}", hash.finalize())
    });
    &FINGERPRINT
}

/// # Errors
/// The file is of a newer version.
pub(super) fn refuse_newer_rules(connection: &Connection) -> Result<(), SchemaError> {
    let number: Option<i64> = connection.query_row("SELECT max(number) FROM rules", [], |row| row.get(0))?;
    if number.is_some_and(|number| number > RULES_NUMBER) { Err(SchemaError::OtherVersion) } else { Ok(()) }
}

fn pending_migrations(transaction: &Transaction<'_>) -> Result<Vec<Migration>, SchemaError> {
    let known = migrations();
    let table = "refinery_schema_history";
    Ok(Within(transaction).get_unapplied_migrations(known.get_migrations(), true, true, table)?)
}

/// Whether there is a table `name`.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.query_row(sql, [name], |_| Ok(())).optional()?.is_some())
}

/// The rules in the table `rules`.
fn recorded_rules(connection: &Connection) -> rusqlite::Result<Vec<Rule>> {
    let mut statement = connection.prepare("SELECT type, name, definition FROM rules")?;
    let rules = statement.query_map([], |row| Ok(Rule { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
    rules.collect()
}

/// Whether both are the same rules, in any order.
fn is_list_of(recorded: &[Rule], program: &[Rule]) -> bool {
    recorded.len() == program.len() && program.iter().all(|rule| recorded.contains(rule))
}

/// Lets refinery work inside a transaction of ours. Its own implementation for a connection commits, and the rules have
/// to change together with the tables.
struct Within<'a>(&'a Transaction<'a>);

impl MigrationTransaction for Within<'_> {
    type Error = rusqlite::Error;

    fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, queries: T) -> rusqlite::Result<usize> {
        let mut count = 0;
        for query in queries {
            self.0.execute_batch(query)?;
            count += 1;
        }
        Ok(count)
    }
}

impl Query<Vec<Migration>> for Within<'_> {
    fn query(&mut self, query: &str) -> rusqlite::Result<Vec<Migration>> {
        let mut statement = self.0.prepare(query)?;
        let applied = statement.query_map([], |row| {
            let applied_on: String = row.get(2)?;
            let checksum: String = row.get(3)?;
            let (Ok(applied_on), Ok(checksum)) = (OffsetDateTime::parse(&applied_on, &Rfc3339), checksum.parse())
            else {
                return Err(rusqlite::Error::InvalidQuery);
            };
            Ok(Migration::applied(row.get(0)?, row.get(1)?, applied_on, checksum))
        })?;
        applied.collect()
    }
}

impl Migrate for Within<'_> {}
