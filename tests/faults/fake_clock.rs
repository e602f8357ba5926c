//! A wall clock that a test sets, by Debian's libfaketime.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::PROGRAM;

/// Programs read the offset again after one to two seconds. If they read it at each look at the clock, libfaketime gives
/// some threads the machine's time instead: 27 of 240,000 times in a program with six.
const CACHED: Duration = Duration::from_millis(2100);

/// The clock of the programs that run under it, as an offset to the machine's.
pub struct FakeClock {
    _folder: TempDir,
    offset: PathBuf,
    log: PathBuf,
}

impl FakeClock {
    /// It shows the machine's time at first.
    pub fn new() -> Self {
        Self::showing("+0")
    }

    /// It shows this offset at first. No program reads it yet.
    pub fn showing(offset_to_machine: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (offset, log) = (folder.path().join("offset"), folder.path().join("log"));
        let clock = Self { _folder: folder, offset, log };
        clock.write(offset_to_machine);
        clock
    }

    /// Sets the clock, as in `+120`, `-3600` or `+10y`, at one instant within [`CACHED`].
    pub fn set(&self, offset: &str) {
        self.write(offset);
        std::thread::sleep(CACHED);
    }

    fn write(&self, offset: &str) {
        let new = self.offset.with_extension("new");
        fs::write(&new, offset).unwrap();
        fs::rename(&new, &self.offset).unwrap();
    }

    /// The program under this clock, with its log in a file. Its arguments are still missing.
    pub fn program(&self) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>> \"$LOG\"", PROGRAM])
            .env("LOG", &self.log)
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }

    /// How many lines of the log have this text.
    pub fn logged(&self, text: &str) -> usize {
        fs::read_to_string(&self.log).unwrap().lines().filter(|line| line.contains(text)).count()
    }
}

/// libfaketime of Debian, in the folder of the machine's architecture.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .expect("Debian's package libfaketime")
}
