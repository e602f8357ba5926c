//! Runs the program and Debian's `sqlite3` as a person at a prompt does.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::PROGRAM;

/// Far longer than any command takes; only a server that should have failed to start reaches it.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The program with the file `db`.
pub fn program(db: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--db").arg(db).env_remove("MINIMOST_DB").env_remove("RUST_LOG");
    command
}

/// Runs a command to its end with `input` on its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let process = Pid::from_raw(child.id().try_into().unwrap());
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    end.recv_timeout(RUN_MAX).map_or_else(
        |_| {
            let _ = kill(process, Signal::SIGKILL);
            panic!("{command:?} did not end within {RUN_MAX:?}")
        },
        |output| output.unwrap(),
    )
}

/// Runs the program, which must succeed and print nothing on standard error, and returns its standard output.
pub fn succeeds(db: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(program(db).args(arguments), input);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{arguments:?}: {err}");
    assert_eq!(err, "", "{arguments:?}");
    out
}

/// Runs the program, which must fail with one line on standard error and print nothing else, and returns the line.
pub fn fails(db: &Path, arguments: &[&str], input: &str) -> String {
    failure(&run(program(db).args(arguments), input))
}

/// The one line on standard error of a program that failed without a panic.
pub fn failure(output: &Output) -> String {
    let (out, err) = texts(output);
    assert!(output.status.code().is_some_and(|code| code != 0 && code != 101), "{:?}: {out}{err}", output.status);
    assert_eq!(out, "", "a failure prints nothing: {err}");
    assert!(err.ends_with('\n') && err.lines().count() == 1, "not one line: {err:?}");
    assert!(!err.contains("panicked"), "{err}");
    err.trim_end().to_owned()
}

/// Standard output and standard error.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Debian's `sqlite3` on a file, without settings but with a busy timeout.
pub fn sqlite3(db: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-init", "/dev/null", "-cmd", ".timeout 10000"]).arg(db);
    command
}

/// The output of `sqlite3` for these statements or dot-commands.
pub fn shell(db: &Path, statements: &[&str]) -> String {
    let output = run(sqlite3(db).args(statements), "");
    let (out, err) = texts(&output);
    assert!(output.status.success() && err.is_empty(), "{statements:?}: {err}");
    out
}

/// The message of `sqlite3` about a statement that the database refuses.
pub fn shell_refused(db: &Path, statement: &str) -> String {
    let output = run(sqlite3(db).arg(statement), "");
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{statement} succeeded: {out}");
    err.trim_end().to_owned()
}

/// A process that is killed on drop.
pub struct Process(pub Child);

impl Process {
    /// Starts a command and reads its standard output up to the line that contains `until`.
    pub fn start(command: &mut Command, until: &str) -> (Self, Vec<String>, BufReader<std::process::ChildStdout>) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let process = Self(child);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                output.read_line(&mut line).unwrap() > 0,
                "{command:?} ended before it printed {until:?}: {lines:?}"
            );
            lines.push(line.trim_end().to_owned());
            if line.contains(until) {
                return (process, lines, output);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
