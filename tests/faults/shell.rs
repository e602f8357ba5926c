//! An admin's open shell: Debian's sqlite3 on the file.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::TIMEOUT;
use crate::support::wait;

/// A shell that runs until it is dropped.
pub struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    pub fn open(file: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            // It waits for a write that is under way, instead of giving up at once.
            .args(["-batch", "-bail", "-init", "/dev/null", "-cmd", ".timeout 5000"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Debian's sqlite3 is there");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Runs SQL and returns when it is done.
    pub fn run(&mut self, sql: &str) {
        // The shell buffers its own output; a program that it runs does not.
        writeln!(self.input.as_mut().unwrap(), ".output /dev/null\n{sql};\n.system echo done").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n", "{sql}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.input.take();
        wait(&mut self.child, TIMEOUT);
    }
}
