//! Turns `src/statements.sql` into the items of `src/statements.rs`, so that a misspelt name is a compile error.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const SOURCE: &str = "src/statements.sql";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let text = fs::read_to_string(SOURCE).expect("the statements are readable");
    let mut items = String::new();
    let mut names = Vec::new();
    for statement in text.split("\n-- name: ").skip(1) {
        let (name, statement) = statement.split_once('\n').expect("a statement follows its name");
        let is_comment = |line: &&str| line.starts_with("--");
        for comment in statement.lines().take_while(is_comment) {
            writeln!(items, "#[doc = {:?}]", &comment[2..]).expect("a String takes any text");
        }
        let sql: Vec<&str> = statement.lines().skip_while(is_comment).take_while(|line| !line.is_empty()).collect();
        let sql = sql.join("\n");
        let sql =
            sql.strip_suffix(';').unwrap_or_else(|| panic!("{name} does not end with a semicolon and an empty line"));
        writeln!(items, "pub static {name}: Statement = Statement {{ name: {name:?}, sql: {sql:?} }};")
            .expect("a String takes any text");
        names.push(format!("&{name}"));
    }
    writeln!(
        items,
        "/// All statements, in the order of the file.\npub static ALL: &[&Statement] = &[{}];",
        names.join(", ")
    )
    .expect("a String takes any text");
    let directory = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&directory).join("statements.rs"), items).expect("the build directory is writable");
}
