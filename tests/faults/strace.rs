//! A disk that fails, by way of strace(1): what it is told to make fail is answered by it and never reaches the kernel.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use crate::support::{Server, wait};
use crate::{PATIENCE, skipped};

/// The calls by which SQLite writes and syncs.
pub const WRITE: &str = "write,pwrite64";
pub const SYNC: &str = "fsync,fdatasync";

/// A disk that fails until this is dropped.
pub struct Broken {
    strace: Child,
    log: NamedTempFile,
}

impl Broken {
    /// Makes system calls of a server on one file do something else, each of `faults` being calls and what becomes of them, as in
    /// strace's `-e inject=CALLS:WHAT`; nothing, for calls that are only to be written down. `None` where the system lets nobody trace.
    pub fn on(server: &Server, file: &Path, faults: &[(&str, &str)]) -> Option<Self> {
        let calls: Vec<&str> = faults.iter().map(|(calls, _)| *calls).collect();
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &server.process().to_string(), "-P"]).arg(file).arg("-o").arg(log.path());
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for (calls, what) in faults.iter().filter(|(_, what)| !what.is_empty()) {
            command.args(["-e", &format!("inject={calls}:{what}")]);
        }
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("Debian's strace is there");
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = said.find(|line| !line.contains("Requested path")).unwrap_or_default();
        if first.contains(" attached") {
            // It says more as threads come and go, and must not wait for somebody to read it.
            std::thread::spawn(move || said.for_each(drop));
            return Some(Self { strace, log });
        }
        wait(&mut strace, PATIENCE);
        assert!(first.contains("not permitted"), "strace said {first:?}");
        skipped(&format!("no disk can be made to fail here: {first}"));
        None
    }

    /// Ends the faults, and answers which calls there were, a line each, as strace writes them down.
    pub fn mend(mut self) -> Vec<String> {
        self.let_go();
        fs::read_to_string(self.log.path()).unwrap().lines().map(str::to_owned).collect()
    }

    fn let_go(&mut self) {
        if self.strace.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.strace.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
            wait(&mut self.strace, PATIENCE);
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.let_go();
    }
}
