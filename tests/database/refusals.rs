//! Every code that a rule can refuse with means something to a client, and is proven by a fixture.

use std::collections::BTreeSet;

use crate::new_file;

/// The texts between `before` and `after` in `text`.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// RAISE codes and names of CHECK constraints, as they stand in the schema of a file.
fn codes_in_the_schema() -> BTreeSet<String> {
    let (_folder, _, connection) = new_file();
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
    let texts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut codes = BTreeSet::new();
    for text in &texts {
        codes.extend(between(text, "RAISE(ABORT, '", '\'').into_iter().map(str::to_owned));
        // `CONSTRAINT name CHECK (...)`, and no CHECK without a name.
        for constraint in between(text, "CONSTRAINT ", '(') {
            let (name, kind) = constraint.split_once(' ').unwrap();
            assert_eq!(kind.trim(), "CHECK", "{constraint}");
            codes.insert(name.to_owned());
        }
        assert_eq!(text.matches("CHECK (").count(), text.matches("CONSTRAINT ").count(), "{text}");
        assert_eq!(text.matches("RAISE(").count(), text.matches("RAISE(ABORT, '").count(), "{text}");
    }
    codes
}

#[test]
fn every_code_has_a_status_and_a_sentence_and_no_other_has() {
    let (_folder, _, connection) = new_file();
    let mut statement = connection.prepare("SELECT code, sentence FROM refusals").unwrap();
    let known: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    for (code, sentence) in &known {
        assert!(sentence.ends_with('.') && sentence.len() > 10, "{code}: {sentence}");
    }
    let known: BTreeSet<String> = known.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes_in_the_schema(), known);
}

/// SQLite stores a comment inside CREATE, so `.schema` shows an admin the reason of each rule.
#[test]
fn every_trigger_and_view_has_its_reason_inside() {
    let (_folder, _, connection) = new_file();
    let mut statement =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view')").unwrap();
    let rules = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let without: Vec<String> = rules
        .map(Result::unwrap)
        .filter(|(_, sql)| !sql.lines().nth(1).unwrap_or_default().starts_with("--"))
        .map(|(name, _)| name)
        .collect();
    assert!(without.is_empty(), "the second line of CREATE has the reason; without one: {without:#?}");
}
