//! Turns `src/statements.sql` into the items of `src/statements.rs`, so that a misspelt name is a compile error, and
//! `src/openapi.yaml` into the description of the API and its page.
//!
//! A build script reports an error by panicking: cargo prints the message and stops the build.

#[path = "build/openapi.rs"]
mod openapi;
#[path = "build/reference.rs"]
mod reference;

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const SOURCE: &str = "src/statements.sql";

/// The description of the API.
const DESCRIPTION: &str = "src/openapi.yaml";

fn main() {
    write_statements();
    write_description();
}

/// Writes a file of the build's own folder.
fn write_out(name: &str, contents: &str) {
    let directory = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let path = Path::new(&directory).join(name);
    fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn write_description() {
    println!("cargo::rerun-if-changed={DESCRIPTION}");
    let yaml = fs::read_to_string(DESCRIPTION).unwrap_or_else(|error| panic!("{DESCRIPTION}: {error}"));
    let description = openapi::Description::parse(&yaml);
    println!("cargo::rustc-env=API_VERSION={}", description.api_version());
    write_out("openapi.json", &description.json());
    write_out("routes.md", &reference::routes(&description));
    write_out("refusals.md", &reference::lists(&description));
    write_out("codes.md", &reference::codes(&description));
    write_out("schemas.md", &reference::schemas(&description));
}

fn write_statements() {
    println!("cargo::rerun-if-changed={SOURCE}");
    // refinery's macro does not tell cargo about a new file.
    println!("cargo::rerun-if-changed=sql/migrations");
    let text = fs::read_to_string(SOURCE).unwrap_or_else(|error| panic!("{SOURCE}: {error}"));
    let statements: Vec<Statement> = text.split("\n-- name: ").skip(1).map(Statement::parse).collect();
    let mut items: String = statements.iter().map(Statement::item).collect();
    let names: Vec<String> = statements.iter().map(|statement| format!("&{}", statement.name)).collect();
    write!(
        items,
        "/// All statements, in the order of the file.\npub static ALL: &[&Statement] = &[{}];",
        names.join(", ")
    )
    .expect("writing to a String never fails");
    write_out("statements.rs", &items);
}

/// A statement of the file.
struct Statement<'a> {
    name: &'a str,
    comment: Vec<&'a str>,
    sql: String,
    /// It writes, and the line `-- unsynced` does not stand below the name.
    needs_sync: bool,
}

impl<'a> Statement<'a> {
    /// Parses the text from a name to the next one: comment lines, the SQL text, and perhaps the heading of a group.
    /// The compiler refuses an invalid name and a name that is used twice.
    fn parse(text: &'a str) -> Self {
        let mut lines = text.lines().peekable();
        let name = lines.next().unwrap_or_default();
        let is_unsynced = lines.next_if_eq(&"-- unsynced").is_some();
        let mut comment = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("--")) {
            comment.push(&line[2..]);
        }
        assert!(!comment.is_empty(), "{SOURCE}: {name} has no comment");
        let mut sql = String::new();
        while !sql.ends_with(';') {
            let line = lines.next().unwrap_or_default();
            assert!(!line.is_empty(), "{SOURCE}: {name} has an empty line inside, or no semicolon at its end");
            assert!(!line.contains("--"), "{SOURCE}: {name} has a comment inside");
            if !sql.is_empty() {
                sql.push('\n');
            }
            sql.push_str(line);
        }
        sql.pop();
        for line in lines {
            assert!(line.is_empty() || line.starts_with("-- ===="), "{SOURCE}: {name} has text after its end: {line}");
        }
        let writes = !sql.starts_with("SELECT");
        assert!(writes || !is_unsynced, "{SOURCE}: {name} writes nothing");
        Self { name, comment, sql, needs_sync: writes && !is_unsynced }
    }

    /// The item, in Rust.
    fn item(&self) -> String {
        let Self { name, comment, sql, needs_sync } = self;
        let docs: String = comment.iter().map(|line| format!("#[doc = {line:?}]\n")).collect();
        format!(
            "{docs}pub static {name}: Statement = Statement {{ name: {name:?}, sql: {sql:?}, needs_sync: {needs_sync} }};\n"
        )
    }
}
