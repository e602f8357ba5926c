//! The Markdown documents, their fenced blocks and their tables.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
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
        let pages = fs::read_dir(in_repository("src/docs")).unwrap();
        let paths = pages.map(|entry| entry.unwrap().path());
        let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        let pages = pages.map(|path| format!("src/docs/{}", path.file_name().unwrap().display()));
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

/// Every block is run by a test, is configuration, or is an example in another language.
#[test]
fn every_block_is_of_a_known_kind() {
    const TESTED: [&str; 3] = ["sh", "console", "slt"];
    const EXAMPLES: [&str; 5] = ["json", "js", "nginx", "text", "sql"];
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
