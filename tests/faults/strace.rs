//! A failing disk: strace(1) injects errors into system calls, which the kernel then does not execute.

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

/// Faults that last until this is dropped.
pub struct InjectedFaults {
    strace: Child,
    _log: NamedTempFile,
}

impl InjectedFaults {
    /// Injects faults into a server's system calls on one file.
    #[allow(dead_code, reason = "the tests of a cluster name processes")]
    pub fn start(server: &Server, file: &Path, faults: &[(&str, &str)]) -> Option<Self> {
        Self::start_in(server.process(), file, faults)
    }

    /// Injects faults into a process's system calls on one file. Each of `faults` is `(CALLS, WHAT)` as in strace's
    /// `-e inject=CALLS:WHAT`. `None` if the system does not allow tracing.
    pub fn start_in(process: Pid, file: &Path, faults: &[(&str, &str)]) -> Option<Self> {
        let calls: Vec<&str> = faults.iter().map(|(calls, _)| *calls).collect();
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &process.to_string(), "-P"]).arg(file).arg("-o").arg(log.path());
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for (calls, what) in faults {
            command.args(["-e", &format!("inject={calls}:{what}")]);
        }
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("Debian's strace is there");
        let mut stderr = BufReader::new(strace.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = stderr.find(|line| !line.contains("Requested path")).unwrap_or_default();
        if first.contains(" attached") {
            // strace prints a line for each thread that starts or ends, and would block on a full pipe.
            std::thread::spawn(move || stderr.for_each(drop));
            return Some(Self { strace, _log: log });
        }
        wait(&mut strace, TIMEOUT);
        assert!(first.contains("not permitted"), "strace printed {first:?}");
        skipped(&format!("strace may not trace processes here: {first}"));
        None
    }

    fn end(&mut self) {
        if self.strace.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.strace.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
            wait(&mut self.strace, TIMEOUT);
        }
    }
}

impl Drop for InjectedFaults {
    fn drop(&mut self) {
        self.end();
    }
}
