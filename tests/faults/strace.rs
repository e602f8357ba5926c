//! A failing disk: strace(1) injects errors into system calls, which then never reach the kernel.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use crate::support::{Server, wait};
use crate::{TIMEOUT, skipped};

/// The system calls by which SQLite writes and syncs.
pub const WRITE: &str = "write,pwrite64";
pub const SYNC: &str = "fsync,fdatasync";

/// A fault that lasts until this is dropped.
pub struct Broken {
    strace: Child,
    _log: NamedTempFile,
}

impl Broken {
    /// Injects faults into a server's system calls on one file. Each of `faults` is `(CALLS, WHAT)` as in strace's
    /// `-e inject=CALLS:WHAT`. `None` where the system allows no tracing.
    pub fn on(server: &Server, file: &Path, faults: &[(&str, &str)]) -> Option<Self> {
        let calls: Vec<&str> = faults.iter().map(|(calls, _)| *calls).collect();
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &server.process().to_string(), "-P"]).arg(file).arg("-o").arg(log.path());
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for (calls, what) in faults {
            command.args(["-e", &format!("inject={calls}:{what}")]);
        }
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("Debian's strace is there");
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = said.find(|line| !line.contains("Requested path")).unwrap_or_default();
        if first.contains(" attached") {
            // It prints more as threads start and end, and would block on a full pipe.
            std::thread::spawn(move || said.for_each(drop));
            return Some(Self { strace, _log: log });
        }
        wait(&mut strace, TIMEOUT);
        assert!(first.contains("not permitted"), "strace said {first:?}");
        skipped(&format!("no disk can be made to fail here: {first}"));
        None
    }

    fn end(&mut self) {
        if self.strace.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.strace.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
            wait(&mut self.strace, TIMEOUT);
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.end();
    }
}
