//! The language of comments, documentation and commits: plain words, and short commit subjects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::documents::in_repository;
use crate::tools::texts;

/// Words and phrases that readers stumble over. Each has a plain counterpart: "whoever listens" is a subscriber, "anew" is again,
/// and what "goes on" continues.
const UNPLAIN: [&str; 53] = [
    "a look",
    "all the same",
    "anew",
    "as it stands",
    "as they are",
    "as they stand",
    "at the most",
    "by itself",
    "by themselves",
    "by way of",
    "for ever",
    "go on",
    "goes along",
    "goes on",
    "going on",
    "has it that",
    "hear of",
    "heard",
    "hears",
    "here and there",
    "in passing",
    "in peace",
    "in vain",
    "is none",
    "lets go",
    "let go",
    "made anew",
    "makes way",
    "make way",
    "nobody's",
    "nor do",
    "nor does",
    "of her own",
    "of his own",
    "of its own",
    "of their own",
    "other than that",
    "ought",
    "somebody",
    "somebody else's",
    "tell of",
    "tells",
    "the other's",
    "the same for",
    "there is none",
    "to be told",
    "told",
    "what there is",
    "whatever",
    "whoever",
    "whom",
    "whomever",
    "without a word",
];

/// The limit of listed words in a thousand, of comments and documents together. Documents alone have none.
const UNPLAIN_PER_THOUSAND: f64 = 2.0;

/// How many files a failure names.
const WORST_FILES: usize = 20;

/// The longest subject of a commit.
const SUBJECT_MAX: usize = 72;

/// The commit before the first whose subject is checked.
const UNCHECKED: &str = "5726dca";

/// Adds the files below a folder.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            files.push(path);
        } else if !path.ends_with("node_modules") {
            files_below(&path, files);
        }
    }
}

/// The prose of a file: the text of a Markdown document without its code, and the comments of everything else.
fn prose(path: &Path, text: &str) -> Option<String> {
    let comments = |mark: &str| {
        let inside = format!(" {mark} ");
        let of_line = |line: &str| match line.trim_start().strip_prefix(mark) {
            Some(comment) => Some(comment.to_owned()),
            None => line.split_once(&inside).map(|(_, comment)| comment.to_owned()),
        };
        text.lines().filter_map(of_line).collect::<Vec<_>>().join("\n")
    };
    let name = path.file_name()?.to_str()?;
    Some(match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => comments("//"),
        Some("sql") => comments("--"),
        Some("slt" | "part" | "toml") => comments("#"),
        // `/** … */` and its lines ` * …`, and `//`.
        Some("js" | "css") => {
            let starred = |line: &str| {
                let line = line.trim_start();
                let starred = line.strip_prefix("/*").or(line.strip_prefix("* "));
                starred.map(str::to_owned)
            };
            comments("//") + "\n" + &text.lines().filter_map(starred).collect::<Vec<_>>().join("\n")
        }
        Some("md") => {
            // Every second piece is a block.
            text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
        }
        _ if name == "run" => comments("#"),
        _ => return None,
    })
}

/// The words of a text, in lower case. Markup and punctuation separate them; an apostrophe does not.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'' && letter != '_');
    words.map(|word| word.trim_matches('\'').to_lowercase()).filter(|word| !word.is_empty()).collect()
}

/// Counts the listed words and phrases. Where two begin at the same word, only the longer counts.
fn unplain(words: &[String]) -> BTreeMap<&'static str, usize> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    while at < words.len() {
        let starting = UNPLAIN.iter().filter(|phrase| {
            let mut rest = words[at..].iter();
            phrase.split(' ').all(|word| rest.next().is_some_and(|next| next == word))
        });
        let longest = starting.max_by_key(|phrase| phrase.len());
        if let Some(phrase) = longest {
            *found.entry(*phrase).or_default() += 1;
        }
        at += longest.map_or(1, |phrase| phrase.split(' ').count());
    }
    found
}

#[test]
fn comments_and_documents_are_plain() {
    let mut files: Vec<_> =
        [".ci/run", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Cargo.toml"].map(in_repository).into();
    for folder in ["src", "sql", "tests", "fixtures"] {
        files_below(&in_repository(folder), &mut files);
    }
    let (mut all, mut all_unplain, mut in_documents) = (0, 0, 0);
    let mut report = Vec::new();
    for path in files {
        // The snapshot of the schema repeats the comments of sql/.
        if path.ends_with("fixtures/schema.sql") || path.ends_with("tests/commands/language.rs") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Some(prose) = prose(&path, &text) else { continue };
        let words = words(&prose);
        let found = unplain(&words);
        let count: usize = found.values().sum();
        all += words.len();
        all_unplain += count;
        if path.extension().is_some_and(|extension| extension == "md") {
            in_documents += count;
        }
        if count > 0 {
            let path = path.strip_prefix(in_repository("")).unwrap().display().to_string();
            let listed: Vec<_> = found.iter().map(|(phrase, count)| format!("{phrase} {count}")).collect();
            report.push((count, format!("{count:3} in {:5} words: {path}: {}", words.len(), listed.join(", "))));
        }
    }
    report.sort_by(|one, other| other.cmp(one));
    let is_document = |line: &str| line.contains(".md: ");
    let documents: Vec<_> = report.iter().map(|(_, line)| line.as_str()).filter(|line| is_document(line)).collect();
    let worst: Vec<_> = report.iter().map(|(_, line)| line.as_str()).take(WORST_FILES).collect();
    let (count, total) = (f64::from(u32::try_from(all_unplain).unwrap()), f64::from(u32::try_from(all).unwrap()));
    let rate = count * 1000.0 / total;
    assert!(all > 10_000, "only {all} words were found");
    assert!(
        rate <= UNPLAIN_PER_THOUSAND,
        "{all_unplain} of {all} words are on the list, {rate:.1} in 1,000. The worst files:\n{}",
        worst.join("\n")
    );
    assert_eq!(in_documents, 0, "documents have listed words:\n{}", documents.join("\n"));
}

#[test]
fn prose_is_found_and_phrases_are_counted() {
    let prose = |name: &str, text: &str| prose(Path::new(name), text).unwrap();
    assert_eq!(
        words(&prose("x.rs", "/// Told.\nlet told = \"told\"; // anew\nlet url = \"http://whom\";")),
        ["told", "anew"]
    );
    assert_eq!(words(&prose("x.sql", "-- One.\nSELECT told; -- two\n")), ["one", "two"]);
    assert_eq!(words(&prose("x.js", "/** One\n * two */\ncode(); // three\n")), ["three", "one", "two"]);
    assert_eq!(words(&prose("x.md", "One\n\n```sh\ntold\n```\n\ntwo\n\n```sh\ntold\n```\n")), ["one", "two"]);
    let count = |text: &str| unplain(&words(text)).values().sum::<usize>();
    assert_eq!(count("Whoever is told of it goes on by itself."), 4);
    assert_eq!(count("A subscriber continues. Going home, he heads on."), 0);
    assert_eq!(count("made anew"), 1);
}

/// The standard output of a git command in the repository. `None` without git, or outside a repository.
fn git(arguments: &[&str]) -> Option<String> {
    if !in_repository(".git").exists() {
        return None;
    }
    // CI may run as another user than the one who cloned.
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*"]).args(arguments).current_dir(in_repository(""));
    let output = command.output().ok()?;
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{command:?}: {err}");
    Some(out)
}

/// Also of merges, which `git log` does not leave out.
#[test]
fn commit_subjects_are_short() {
    let Some(shallow) = git(&["rev-parse", "--is-shallow-repository"]) else {
        return println!("skipped: there is no git, or no repository");
    };
    if shallow.trim() == "true" {
        return println!("skipped: the history is cut off");
    }
    let log = git(&["log", "--format=%h %s", &format!("{UNCHECKED}..HEAD")]).unwrap();
    let is_long = |line: &&str| line.split_once(' ').is_some_and(|(_, subject)| subject.chars().count() > SUBJECT_MAX);
    let long: Vec<_> = log.lines().filter(is_long).collect();
    assert!(long.is_empty(), "longer than {SUBJECT_MAX} characters:\n{}", long.join("\n"));
}
