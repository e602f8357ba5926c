//! A recording of a process's system calls with every byte, made by `strace`.
//!
//! `strace` needs no change of the program, unlike a VFS, and has files and sockets in one log. Causally related lines are in
//! order, because `strace` stops a thread until its line is written.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The system calls that change files, sync them, or send responses.
const CALLS: &str = "trace=open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendfile,\
    copy_file_range,fsync,fdatasync,sync_file_range,msync,sync,syncfs,truncate,ftruncate,fallocate,link,linkat,symlink,\
    symlinkat,unlink,unlinkat,rename,renameat,renameat2,accept4,exit_group";

/// A command that executes the program whose path is appended, and logs to `log`.
pub fn strace(log: &Path) -> Command {
    let mut command = Command::new("strace");
    // With -D the started process is the program itself, and strace is a detached grandchild.
    command.args(["-D", "-f", "-y", "-xx", "--seccomp-bpf", "-s", "16777216", "-e", CALLS, "-o"]);
    command.arg(log);
    command
}

/// Panics if processes cannot be traced here: a skipped test would prove nothing.
pub fn assert_can_trace() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let output = strace(&log).arg("true").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("the test needs strace, which tests/run installs: {error}"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !log.exists() || !tail(&log, 4096).contains("+++ exited with 0 +++") {
        assert!(
            output.status.success() && Instant::now() < deadline,
            "strace may not trace processes here; in a container it needs the capability SYS_PTRACE: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the log of process `id` is complete.
pub fn wait_for_end(log: &Path, id: i32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_end = |line: &str| {
        let last = line.strip_prefix(&id.to_string()).map(str::trim_start);
        last.is_some_and(|last| last.starts_with("+++ exited") || last.starts_with("+++ killed"))
    };
    loop {
        let tail = tail(log, 4096);
        if tail.ends_with('\n') && tail.lines().any(is_end) {
            return;
        }
        assert!(Instant::now() < deadline, "{} has no end: {tail}", log.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The last bytes of a file.
fn tail(path: &Path, count: u64) -> String {
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length.saturating_sub(count))).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A recorded system call, or the start or end of a process.
pub enum SystemCall {
    /// A run of the program begins.
    Started,
    /// A file of the folder was opened, and created if missing.
    Opened {
        name: String,
    },
    Removed {
        name: String,
    },
    Written {
        name: String,
        offset: usize,
        data: Vec<u8>,
    },
    Resized {
        name: String,
        size: usize,
    },
    Synced {
        name: String,
    },
    FolderSynced,
    /// A line on standard output.
    Printed,
    /// A response with status 200 to the client with this port.
    Acknowledged {
        port: u16,
    },
    /// The program ended with this status.
    Exited(i32),
}

/// The start and the end of a call, by its index in `calls`. The call takes effect between the two.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Begin(usize),
    End(usize),
}

/// The changes that one or more runs of the program made to the files of one folder.
pub struct Recording {
    folder: PathBuf,
    pub calls: Vec<SystemCall>,
    pub steps: Vec<Step>,
}

impl Recording {
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.canonicalize().unwrap(), calls: Vec::new(), steps: Vec::new() }
    }

    /// Adds the log of another run.
    pub fn add(&mut self, log: &Path) {
        let text = fs::read(log).unwrap();
        self.add_at_once(SystemCall::Started);
        let mut begun: HashMap<&str, (String, Option<usize>)> = HashMap::new();
        let mut ports: HashMap<String, u16> = HashMap::new();
        for line in std::str::from_utf8(&text).unwrap().lines() {
            let (thread, line) = line.split_once(' ').unwrap();
            let line = line.trim_start();
            if line.starts_with("+++") || line.starts_with("---") {
                continue;
            }
            if let Some(start) = line.strip_suffix(" <unfinished ...>") {
                let call = self.parse(start, &ports);
                let number = call.map(|call| self.begin(call));
                begun.insert(thread, (start.to_owned(), number));
                continue;
            }
            let (whole, number) = match line.strip_prefix("<... ") {
                Some(rest) => {
                    let (start, number) = begun.remove(thread).unwrap();
                    (start + rest.split_once(" resumed>").unwrap().1, number)
                }
                None => (line.to_owned(), None),
            };
            let result = whole.rsplit_once(" = ").unwrap().1;
            if whole.starts_with("accept4(") && result.as_bytes()[0].is_ascii_digit() {
                let port = between(&whole, "htons(", ")").parse().unwrap();
                ports.insert(whole[whole.rfind(" = ").unwrap() + 3..].to_owned(), port);
                continue;
            }
            let Some(number) = number.or_else(|| self.parse(&whole, &ports).map(|call| self.begin(call))) else {
                continue;
            };
            if result.starts_with('?') {
                continue; // the process was killed meanwhile
            }
            self.assert_succeeded(number, result, &whole);
            self.steps.push(Step::End(number));
        }
    }

    fn begin(&mut self, call: SystemCall) -> usize {
        self.calls.push(call);
        self.steps.push(Step::Begin(self.calls.len() - 1));
        self.calls.len() - 1
    }

    fn add_at_once(&mut self, call: SystemCall) {
        let number = self.begin(call);
        self.steps.push(Step::End(number));
    }

    /// Panics on a failed or partial call, which the replay does not support.
    fn assert_succeeded(&self, number: usize, result: &str, whole: &str) {
        let succeeded = match &self.calls[number] {
            SystemCall::Written { data, .. } => result == data.len().to_string(),
            SystemCall::Opened { .. } => result.as_bytes()[0].is_ascii_digit(),
            SystemCall::Resized { .. }
            | SystemCall::Synced { .. }
            | SystemCall::FolderSynced
            | SystemCall::Removed { .. } => result == "0",
            SystemCall::Started | SystemCall::Printed | SystemCall::Acknowledged { .. } | SystemCall::Exited(_) => true,
        };
        assert!(succeeded, "{}", &whole[..whole.len().min(300)]);
    }

    /// Parses a line with a call's arguments. `None` if the replay does not need the call.
    fn parse(&self, line: &str, ports: &HashMap<String, u16>) -> Option<SystemCall> {
        let (call, arguments) = line.split_once('(')?;
        let data = |line: &str| unescaped(quoted(line).unwrap_or_default());
        match call {
            "exit_group" => {
                // There is no `)` yet if another thread ends meanwhile.
                let status = arguments.split(')').next().unwrap();
                return Some(SystemCall::Exited(status.parse().unwrap()));
            }
            "accept4" => return None,
            "unlink" => {
                let path = PathBuf::from(String::from_utf8(data(arguments)).unwrap());
                let name = self.name_of(&path)?;
                return Some(SystemCall::Removed { name });
            }
            "openat" => {
                let path = PathBuf::from(String::from_utf8(data(arguments)).unwrap());
                let name = self.name_of(&path)?;
                assert!(!arguments.contains("O_TRUNC"), "{line}");
                return arguments.contains("O_CREAT").then_some(SystemCall::Opened { name });
            }
            _ => {}
        }
        // The first argument of the other calls is an open file: 12</path>.
        let file = &arguments[..=arguments.find(['>', ')', ','])?];
        let Some(path) = file.split_once('<').map(|(_, path)| unescaped(path.trim_end_matches('>'))) else {
            panic!("a call that the replay does not support: {}", &line[..line.len().min(300)]);
        };
        let path = PathBuf::from(String::from_utf8(path).unwrap());
        let rest = &arguments[file.len()..];
        if let Some(port) = ports.get(&arguments[..file.len()]) {
            return data(rest).starts_with(b"HTTP/1.1 200 ").then_some(SystemCall::Acknowledged { port: *port });
        }
        if path == self.folder {
            assert_eq!(call, "fsync", "{line}");
            return Some(SystemCall::FolderSynced);
        }
        if call == "write" && file.starts_with("1<") {
            return Some(SystemCall::Printed);
        }
        let name = self.name_of(&path)?;
        if rest.starts_with("(deleted)") {
            return None;
        }
        let rest = rest.rsplit_once(") = ").map_or(rest, |(rest, _)| rest);
        let last = || rest.trim_end_matches(')').rsplit(", ").next().unwrap().parse().unwrap();
        Some(match call {
            "pwrite64" => SystemCall::Written { name, offset: last(), data: data(rest) },
            "ftruncate" => SystemCall::Resized { name, size: last() },
            "fsync" | "fdatasync" => SystemCall::Synced { name },
            _ => panic!("a call that the replay does not support: {}", &line[..line.len().min(300)]),
        })
    }

    /// The name of a file of the folder.
    fn name_of(&self, path: &Path) -> Option<String> {
        (path.parent() == Some(&self.folder)).then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    /// Moves each response to before the last sync of a file.
    pub fn respond_before_syncs_of(&mut self, name: &str) {
        let mut steps: Vec<Step> = Vec::new();
        let mut sync = 0;
        for step in &self.steps {
            let (Step::Begin(call) | Step::End(call)) = *step;
            match (&self.calls[call], step) {
                (SystemCall::Acknowledged { .. }, _) => {
                    steps.insert(sync, *step);
                    sync += 1;
                    continue;
                }
                (SystemCall::Synced { name: synced }, Step::Begin(_)) if synced == name => sync = steps.len(),
                _ => {}
            }
            steps.push(*step);
        }
        self.steps = steps;
    }

    /// The positions in `steps` at which the wanted calls start.
    pub fn positions_of(&self, wanted: impl Fn(&SystemCall) -> bool) -> Vec<usize> {
        let steps = self.steps.iter().enumerate();
        let found = steps.filter(|(_, step)| matches!(step, Step::Begin(call) if wanted(&self.calls[*call])));
        found.map(|(position, _)| position).collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

/// The first quoted string, without its quotes.
fn quoted(text: &str) -> Option<&str> {
    let begin = text.find('"')? + 1;
    let end = text[begin..].find('"')? + begin;
    assert!(!text[end..].starts_with("\"..."), "strace has cut a string short");
    Some(&text[begin..end])
}

/// The bytes of `\x41\x42`.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => panic!("no hexadecimal digit: {byte}"),
    };
    let chunks = text.as_bytes().chunks_exact(4);
    assert!(chunks.remainder().is_empty());
    chunks.map(|chunk| digit(chunk[2]) << 4 | digit(chunk[3])).collect()
}
