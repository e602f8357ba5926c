//! Every code that a rule can refuse with means something to a client, and is proven by a fixture.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn every_code_has_a_fixture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let fixtures: String = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let expected: BTreeSet<&str> = fixtures
        .lines()
        .filter_map(|line| line.strip_prefix("statement error "))
        .map(|pattern| pattern.trim_start_matches('^').trim_end_matches('$'))
        .map(|pattern| pattern.strip_prefix("CHECK constraint failed: ").unwrap_or(pattern))
        .collect();
    let missing: Vec<String> =
        codes_in_the_schema().into_iter().filter(|code| !expected.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "no fixture is refused with {missing:?}");
}

/// What is a rule is a trigger with a reason above it, in the file that it comes from.
#[test]
fn every_trigger_has_its_reason_above_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut triggers = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("CREATE TRIGGER ")) {
            triggers += 1;
            // An action's reason stands above its view.
            let above = lines[..number].iter().rev().find(|line| !line.is_empty()).unwrap();
            assert!(above.starts_with("--") || above.ends_with("WHERE 0;"), "{line}");
        }
    }
    assert!(triggers > 50, "{triggers}");
}
