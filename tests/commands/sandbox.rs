//! A folder in which the commands of the documentation run: system paths lead into it, and commands that need root, systemd
//! or a long build are stand-ins that log their arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::documents::in_repository;
use crate::support::PROGRAM;
use crate::tools::{Process, run, texts};

/// Paths of the system that the sandbox has a copy of.
const SYSTEM_PATHS: [&str; 3] = ["/etc/systemd/", "/usr/local/", "/var/lib/"];

/// Scripts of the repository that take too long to run here.
const SCRIPTS: [&str; 2] = ["tests/run", ".ci/run"];

const SUDO: &str = r#"while [[ $1 == -* ]]; do [[ $1 == -u ]] && shift; shift; done
[[ " $* " == *" user add "* ]] && exec "$@" <<< 'a password'
exec "$@""#;

const CARGO: &str =
    r#"if [[ $1 == build ]]; then mkdir -p target/release && ln -sf "$PROGRAM" target/release/minimost-calls; fi"#;

/// systemd creates the state directory when it starts the unit.
const SYSTEMCTL: &str = r#"mkdir -p "$SANDBOX/var/lib/minimost-calls""#;

pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self { folder: TempDir::new().unwrap() };
        for folder in ["bin", "checkout", "etc/systemd/system", "usr/local/bin", "var/lib"] {
            fs::create_dir_all(sandbox.path(folder)).unwrap();
        }
        std::os::unix::fs::symlink(PROGRAM, sandbox.path("bin/minimost-calls")).unwrap();
        sandbox.stand_in("bin/sudo", SUDO);
        for (name, script) in
            [("cargo", CARGO), ("systemctl", SYSTEMCTL), ("useradd", ""), ("userdel", ""), ("journalctl", "")]
        {
            sandbox.stand_in(&format!("bin/{name}"), &format!("echo \"{name} $*\" >> \"$SANDBOX/log\"\n{script}"));
        }
        for script in SCRIPTS {
            let mode = fs::metadata(in_repository(script)).unwrap().permissions().mode();
            assert!(mode & 0o100 != 0, "{script} cannot be run");
            sandbox.stand_in(&format!("checkout/{script}"), &format!("echo {script} >> \"$SANDBOX/log\""));
        }
        sandbox
    }

    fn stand_in(&self, path: &str, script: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A path below the sandbox's root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A shell in the checkout. Every path of the system in the script becomes one of the sandbox.
    pub fn bash(&self, script: &str) -> Command {
        let root = self.folder.path().display().to_string();
        let script =
            SYSTEM_PATHS.iter().fold(script.to_owned(), |script, path| script.replace(path, &format!("{root}{path}")));
        let script = script.replace("/tmp/tour", &format!("{root}/tour"));
        let mut command = Command::new("bash");
        command
            .args(["-u", "-c", &script])
            .current_dir(self.path("checkout"))
            .env("PATH", format!("{root}/bin:{}", std::env::var("PATH").unwrap()))
            .env("HOME", &root)
            .env("SANDBOX", &root)
            .env("PROGRAM", PROGRAM)
            .env_remove("MINIMOST_DB");
        command
    }

    /// Runs a script, of which every command has to succeed.
    pub fn succeeds(&self, script: &str) -> String {
        let output: Output = run(&mut self.bash(&format!("set -e\n{script}")), "");
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{script}\n{out}\n{err}");
        out
    }

    /// Starts the server of a block `minimost-calls serve …` on a free port, and returns it with the lines that it printed.
    pub fn serve(&self, script: &str) -> (Process, Vec<String>) {
        let (command, address) = script.split_once("--listen ").unwrap_or((script, ""));
        let rest = address.split_once(' ').map_or("", |(_, rest)| rest);
        let script = format!("exec {command} --listen 127.0.0.1:0 {rest}");
        let (server, lines, _) = Process::start(&mut self.bash(&script), "minimost-calls serves");
        (server, lines)
    }

    /// Runs a `console` block, and compares the output of each command, standard error included, with the block's.
    pub fn assert_session(&self, block: &str) {
        let mut steps: Vec<(&str, String)> = Vec::new();
        for line in block.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command, String::new())),
                (None, Some((_, output))) => output.extend([line, "\n"]),
                (None, None) => panic!("output before the first command: {block}"),
            }
        }
        let script: String = steps.iter().map(|(command, _)| format!("{command}\necho '=== step'\n")).collect();
        let output = run(&mut self.bash(&format!("exec 2>&1\n{script}")), "");
        let (out, _) = texts(&output);
        let printed: Vec<_> = out.split("=== step\n").collect();
        for ((command, expected), printed) in steps.iter().zip(printed) {
            assert_eq!(printed, expected, "$ {command}");
        }
    }

    /// The commands that stand-ins logged.
    pub fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Fails unless every cargo command in the log names a target, an alias or a fixture that exists.
    pub fn assert_cargo_commands_exist(&self) {
        let manifest = fs::read_to_string(in_repository("Cargo.toml")).unwrap();
        let aliases = fs::read_to_string(in_repository(".cargo/config.toml")).unwrap();
        for line in self.log().iter().filter(|line| line.starts_with("cargo ")) {
            let words: Vec<_> = line.split(' ').collect();
            let built_in = ["bench", "build", "clippy", "doc", "fmt", "run", "test"].contains(&words[1]);
            assert!(built_in || aliases.contains(&format!("\n{} = ", words[1])), "{line}");
            if let Some(at) = words.iter().position(|word| matches!(*word, "--test" | "--bench")) {
                assert!(manifest.contains(&format!("\nname = \"{}\"", words[at + 1])), "{line}");
            }
            if let ["cargo", "fixture", name] = words[..] {
                assert!(in_repository(&format!("fixtures/{name}.slt")).exists(), "{line}");
            }
            if let ["cargo", "slow", name] = words[..] {
                assert!(long_rounds().iter().any(|round| round.contains(name)), "{line}");
            }
        }
    }
}

/// The names of the tests that only `cargo slow` runs.
fn long_rounds() -> Vec<String> {
    let mut names = Vec::new();
    for subject in fs::read_dir(in_repository("tests")).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&subject).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            for test in text.split("\n#[ignore").skip(1) {
                names.extend(test.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).map(str::to_owned));
            }
        }
    }
    names
}
