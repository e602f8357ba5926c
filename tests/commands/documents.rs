//! The Markdown documents, their fenced blocks and their tables.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The names of the files in a folder of the repository that have this extension.
pub fn names_in(folder: &str, extension: &str) -> Vec<String> {
    let paths = fs::read_dir(in_repository(folder)).unwrap().map(|entry| entry.unwrap().path());
    let with_extension = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    with_extension.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// A Markdown document.
pub struct Document {
    /// Its path in the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    /// What follows the opening fence, such as `sh`.
    pub info: String,
    pub text: String,
}

impl Document {
    /// The document at a path in the repository.
    pub fn at(path: &str) -> Self {
        let text = fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// README, CONTRIBUTING, CHANGELOG and the pages of `src/docs/`.
    pub fn all() -> Vec<Self> {
        let pages = names_in("src/docs", "md").into_iter().map(|name| format!("src/docs/{name}"));
        let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned);
        pages.chain(others).map(|path| Self::at(&path)).collect()
    }

    /// All fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(info) = line.strip_prefix("```") {
                let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push(Block { info: info.to_owned(), text: block.join("\n") });
            }
        }
        blocks
    }

    /// The texts of the blocks with this info string.
    pub fn blocks_of(&self, info: &str) -> Vec<String> {
        let blocks = self.blocks().into_iter().filter(|block| block.info == info);
        blocks.map(|block| block.text).collect()
    }

    /// The cells of the table with this head.
    pub fn table(&self, head: &str) -> Vec<Vec<String>> {
        let mut lines = self.text.lines().skip_while(|line| *line != head);
        assert!(lines.next().is_some(), "{} has no table {head}", self.path);
        let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
        let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        rows.map(cells).collect()
    }
}

/// The text between the first two back quotes of a cell.
pub fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no code in {cell:?}"))
}

/// The id that a forge gives a heading: lower case, spaces as hyphens, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Links to files and headings of the repository. tests/http/docs.rs follows the links at /docs/.
#[test]
fn every_link_leads_somewhere() {
    for document in Document::all() {
        let folder = in_repository(&document.path).parent().unwrap().to_owned();
        let targets = document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { in_repository(&document.path) } else { folder.join(file) };
            assert!(path.exists(), "{}: no file {target}", document.path);
            if !part.is_empty() {
                let linked = fs::read_to_string(path).unwrap();
                let mut headings = linked.lines().filter_map(|line| line.strip_prefix('#'));
                let found = headings.any(|heading| anchor(heading.trim_start_matches(['#', ' '])) == part);
                assert!(found, "{}: no heading {target}", document.path);
            }
        }
    }
}

/// Every block is run by a test, is configuration, or is an example in another language.
#[test]
fn every_block_is_of_a_known_kind() {
    // Of `bash`: tests/cluster/quickstart.rs.
    const TESTED: [&str; 6] = ["bash", "sh", "console", "slt", "python", "html"];
    const EXAMPLES: [&str; 6] = ["json", "js", "nginx", "text", "sql", "yaml"];
    for document in Document::all() {
        for Block { info, text } in document.blocks() {
            let known = TESTED.contains(&&*info) || EXAMPLES.contains(&&*info);
            assert!(known, "{}: a block of kind {info:?}", document.path);
            let command = ["cargo ", "minimost-calls ", "sqlite3 ", "curl ", "sudo ", "tests/run", ".ci/run"];
            let is_command = |line: &str| command.iter().any(|word| line.starts_with(word));
            assert!(info != "text" || !text.lines().any(is_command), "{}: not run by a test: {text}", document.path);
        }
    }
}
