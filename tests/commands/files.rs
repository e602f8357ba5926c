//! The database file: who may read it, which commands create it, and what a path means.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{PROGRAM, Server};
use crate::tools::{Process, fails, failure, program, run, succeeds, texts};

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The program, run by a shell with a umask.
fn with_umask(umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", PROGRAM]).args(arguments);
    command
}

#[test]
fn every_file_is_its_owners_alone_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let folder = TempDir::new().unwrap();
        let db = folder.path().join("presence.db");
        let path = db.to_str().unwrap();
        assert!(run(&mut with_umask(umask, &["--db", path, "user", "add", "alice"]), "rabbit hole\n").status.success());
        assert_eq!((names(folder.path()), mode(&db)), (vec!["presence.db".to_owned()], 0o600), "umask {umask}");
        fs::remove_file(&db).unwrap();

        let serve = ["--db", path, "serve", "--listen", "127.0.0.1:0", "--tls-self-signed"];
        let _server = Process::start(&mut with_umask(umask, &serve), "minimost-calls serves");
        let files = names(folder.path());
        for name in ["presence.db", "presence.db-wal", "presence.db-shm", "presence.db-authority.pem"] {
            assert!(files.contains(&name.to_owned()), "{files:?}");
        }
        for name in files {
            assert_eq!(mode(&folder.path().join(&name)), 0o600, "{name} with umask {umask}");
        }
    }
}

#[test]
fn the_demos_files_are_its_owners_alone() {
    let folder = TempDir::new().unwrap();
    let mut demo = with_umask("000", &["demo", "--listen", "127.0.0.1:0"]);
    let _demo = Process::start(demo.env("TMPDIR", folder.path()), "sqlite3");
    let demo = folder.path().join(&names(folder.path())[0]);
    assert_eq!(mode(&demo), 0o700);
    for name in names(&demo) {
        assert_eq!(mode(&demo.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn an_older_file_that_others_can_read_gets_one_warning() {
    let folder = TempDir::new().unwrap();
    let db = folder.path().join("presence.db");
    succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
    for (permissions, warnings) in [(0o644, 1), (0o640, 1), (0o600, 0)] {
        // A killed server leaves its log.
        for name in names(folder.path()).iter().filter(|name| name.starts_with("presence.db")) {
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(permissions)).unwrap();
        }
        let log = folder.path().join("log");
        let mut serve = program(&db);
        serve.args(["serve", "--listen", "127.0.0.1:0"]).stderr(fs::File::create(&log).unwrap());
        drop(Process::start(&mut serve, "minimost-calls serves"));
        let log = fs::read_to_string(&log).unwrap();
        assert_eq!(log.matches("is open to other users").count(), warnings, "{permissions:o}: {log}");
        assert!(warnings == 0 || log.contains(&format!("(mode {permissions:o})")), "{log}");
    }
}

#[test]
fn only_commands_that_add_create_a_file() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("typo.db");
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let commands: [&[&str]; 7] = [
        &["user", "list"],
        &["user", "passwd", "alice"],
        &["user", "remove", "alice"],
        &["token", "alice"],
        &["channel", "list"],
        &["channel", "join", "1", "alice"],
        &["channel", "leave", "1", "alice"],
    ];
    for arguments in commands {
        let line = fails(&missing, arguments, "rabbit hole\n");
        assert_eq!(line, format!("error: {}: there is no such file", missing.display()), "{arguments:?}");
        let line = fails(&empty, arguments, "rabbit hole\n");
        assert_eq!(line, format!("error: {}: an empty file, not a database; left unchanged", empty.display()));
        assert_eq!(names(folder.path()), ["empty.db"], "{arguments:?}");
        assert_eq!(fs::read(&empty).unwrap(), b"");
    }
    // Nor do those that add, if a rule refuses what they add.
    for (arguments, expected) in [
        (&["user", "add", "a b"][..], "a b: A user name"),
        (&["channel", "add", "Team", "--member", "alice"], "There is no such user."),
    ] {
        let line = fails(&missing, arguments, "rabbit hole\n");
        assert!(line.contains(expected), "{line}");
        assert_eq!(names(folder.path()), ["empty.db"], "{arguments:?}");
    }
    succeeds(&missing, &["user", "add", "alice"], "rabbit hole\n");
    assert_eq!(succeeds(&missing, &["channel", "add", "Team", "--member", "alice"], ""), "private:1\n");
    succeeds(&empty, &["user", "add", "alice"], "rabbit hole\n");
    assert_eq!(names(folder.path()), ["empty.db", "typo.db"]);
}

#[test]
fn a_path_is_always_a_plain_path() {
    let folder = TempDir::new().unwrap();
    let here = |db: &str, arguments: &[&str]| {
        let mut command = program(Path::new(db));
        run(command.args(arguments).current_dir(folder.path()), "rabbit hole\n")
    };
    let odd = ["file:x.db", ":memory:", "file:y.db?mode=memory", "two words.db", " ", "%41.db", "a;b'c\".db", "-wal"];
    for db in odd {
        let option = format!("--db={db}");
        let mut add = Command::new(PROGRAM);
        add.args([&option, "user", "add", "alice"]).current_dir(folder.path());
        let output = run(&mut add, "rabbit hole\n");
        assert!(output.status.success(), "{db}: {}", texts(&output).1);
        assert!(fs::read(folder.path().join(db)).unwrap().starts_with(b"SQLite format 3\0"), "{db}");
    }
    let mut expected = odd.map(str::to_owned);
    expected.sort();
    assert_eq!(names(folder.path()), expected);
    let (list, _) = texts(&here("file:x.db", &["user", "list"]));
    assert!(list.starts_with("alice\t"), "{list}");

    let line = failure(&here("", &["user", "add", "alice"]));
    assert!(line.contains("a value is required for '--db <FILE>'"), "{line}");
    let variable = |value: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["user", "add", "alice"]).current_dir(folder.path()).env("MINIMOST_DB", value);
        failure(&run(&mut command, "rabbit hole\n"))
    };
    assert_eq!(variable(""), "error: : the path of the database file is empty");
    for (db, expected) in [(".", "a directory, not a file"), ("/dev/null", "a device, pipe or socket, not a file")] {
        for arguments in [&["user", "list"][..], &["user", "add", "alice"], &["serve", "--listen", "127.0.0.1:0"]] {
            let line = failure(&here(db, arguments));
            assert_eq!(line, format!("error: {db}: {expected}"), "{arguments:?}");
        }
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert_eq!(names(folder.path()), expected);
}

/// The program as a user that may not write what root made; `None` if this test is not run by root.
fn as_nobody(db: &Path, arguments: &[&str]) -> Option<Command> {
    let root = nix::unistd::Uid::effective().is_root();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", PROGRAM, "--db"]).arg(db).args(arguments);
    root.then_some(command)
}

#[test]
fn files_that_cannot_be_read_or_written_are_one_plain_line() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let db = folder.path().join("presence.db");
    succeeds(&db, &["user", "add", "alice"], "rabbit hole\n");
    // The program itself must be reachable for the other user.
    let reachable = as_nobody(&db, &["--version"]).is_some_and(|mut command| run(&mut command, "").status.success());
    if !reachable {
        eprintln!("SKIPPED: this user cannot run the program as another one");
        return;
    }
    for (permissions, expected) in [
        (0o600, "Permission denied"),
        (0o644, "Permission denied"),
        // The folder has no room for a log of another user.
        (0o666, "this user"),
    ] {
        fs::set_permissions(&db, fs::Permissions::from_mode(permissions)).unwrap();
        let before = fs::read(&db).unwrap();
        for arguments in [&["user", "list"][..], &["user", "add", "bob"], &["serve", "--listen", "127.0.0.1:0"]] {
            let line = failure(&run(&mut as_nobody(&db, arguments).unwrap(), "rabbit hole\n"));
            assert!(line.starts_with(&format!("error: {}: ", db.display())), "{line}");
            let is_plain = line.contains(expected) || line.contains("Permission denied");
            assert!(is_plain && !line.contains("Error code"), "{permissions:o}: {line}");
        }
        assert_eq!(fs::read(&db).unwrap(), before);
        assert_eq!(names(folder.path()), ["presence.db"]);
    }
}

/// Other paths of a server's file: a second server is refused on each.
#[tokio::test]
async fn one_server_runs_on_a_file_by_all_its_names_and_on_its_path() {
    let server = Server::start();
    server.person("alice");
    let elsewhere = TempDir::new().unwrap();
    let link = elsewhere.path().join("link.db");
    let link_to_link = elsewhere.path().join("again.db");
    symlink(server.db(), &link).unwrap();
    symlink("link.db", &link_to_link).unwrap();
    let hard = server.folder.path().join("hard.db");
    fs::hard_link(server.db(), &hard).unwrap();
    for db in [&link, &link_to_link, &hard, &server.db()] {
        let line = fails(db, &["serve", "--listen", "127.0.0.1:0"], "");
        assert_eq!(line, format!("error: {}: another server is running on this file", db.display()));
    }
    // Commands work through symbolic links, which share the log. A hard link would have a log of its own.
    assert!(succeeds(&link_to_link, &["user", "list"], "").contains("alice"));
    let line = fails(&hard, &["user", "list"], "");
    assert!(line.ends_with("a server is running on this file under another name, a hard link"), "{line}");
    fs::remove_file(&hard).unwrap();
    let (folder, status) = server.stop(Signal::SIGTERM);
    assert_eq!((status.code(), names(folder.path())), (Some(0), vec!["presence.db".to_owned()]));

    // A symbolic link may point to a file that does not exist yet.
    let target = folder.path().join("new.db");
    let dangling = elsewhere.path().join("new.db");
    symlink(&target, &dangling).unwrap();
    succeeds(&dangling, &["user", "add", "alice"], "rabbit hole\n");
    assert!(succeeds(&target, &["user", "list"], "").contains("alice"));
}

#[test]
fn a_lock_of_a_killed_server_is_free() {
    let (folder, _) = Server::start().stop(Signal::SIGKILL);
    assert!(names(folder.path()).contains(&".presence.db.lock".to_owned()));
    let (folder, status) = Server::start_in(folder, &[]).stop(Signal::SIGTERM);
    assert_eq!((status.code(), names(folder.path())), (Some(0), vec!["presence.db".to_owned()]));
}

/// A pipe as database file must not block a command.
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let pipe: PathBuf = folder.path().join("pipe.db");
    assert!(Command::new("mkfifo").arg(&pipe).stdin(Stdio::null()).status().unwrap().success());
    assert!(fails(&pipe, &["user", "list"], "").ends_with("a device, pipe or socket, not a file"));
}
