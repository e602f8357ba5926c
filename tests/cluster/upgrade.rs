//! Members of two versions beside each other, and the schema that follows the last of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::cluster::{Cluster, wait_for};
use crate::ledger::{self, Clients};
use crate::support::PROGRAM;
use crate::{TIMEOUT, lock_machine};

/// A comment in the rule `listed_rule_is_fixed`, and that of the other version.
const COMMENT: &str = "-- As listed_rule_stays.\n";
const OTHER_COMMENT: &str = "-- As listed_rule_stays!\n";

/// Whether the rules of a member's file are those of the other version.
const IS_OTHER: &str = "SELECT definition LIKE '%listed_rule_stays!%' FROM rules WHERE name = 'listed_rule_is_fixed'";

/// A program with another text of a rule, as another version has: the rules are in the program's file as they are.
fn other_version(folder: &TempDir) -> std::path::PathBuf {
    let program = fs::read(PROGRAM).unwrap();
    let found: Vec<usize> = program
        .windows(COMMENT.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == COMMENT.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "the program holds its rules");
    let mut other = program;
    for at in found {
        other[at..at + COMMENT.len()].copy_from_slice(OTHER_COMMENT.as_bytes());
    }
    let path = folder.path().join("other-version");
    fs::write(&path, other).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_changes_when_the_last_member_has_the_other_version() {
    let _machine = lock_machine().await;
    let folder = TempDir::new().unwrap();
    let other = other_version(&folder);
    let upgraded: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
    let launcher = {
        let upgraded = Arc::clone(&upgraded);
        Box::new(move |node: u64| {
            Command::new(if upgraded.lock().unwrap().contains(&node) { other.as_os_str() } else { PROGRAM.as_ref() })
        })
    };
    let mut people = Vec::new();
    let mut cluster = Cluster::start_with(3, launcher, |server| people = ledger::prepare(server));
    let clients = Clients::start(&cluster, &people).await;
    // The leader last, so that the members are led by both versions.
    let leader = cluster.leader();
    let order: Vec<u64> = [1, 2, 3].into_iter().filter(|node| *node != leader).chain([leader]).collect();
    for node in order {
        for member in [1, 2, 3] {
            assert!(!cluster.value::<bool>(member, IS_OTHER), "a member of the first version is there");
        }
        assert!(cluster.stop(node, Signal::SIGTERM).success());
        upgraded.lock().unwrap().insert(node);
        cluster.restart(node);
        clients.wait_for_more(50);
    }
    for member in [1, 2, 3] {
        wait_for(TIMEOUT, "the schema of the other version", || cluster.value::<bool>(member, IS_OTHER).then_some(()));
    }
    clients.wait_for_more(50);
    let ledger = clients.stop().await;
    ledger.check(&cluster);
    cluster.wait_until_equal();
    // A program of the first version refuses nothing: the number of the rules is the same. Its check names the rule.
    let check = cluster.try_run(1, &["check"], "");
    let problems = String::from_utf8_lossy(&check.stdout);
    assert_eq!(problems.lines().count(), 1, "{problems}");
    assert!(problems.contains("listed_rule_is_fixed"), "{problems}");
    // A table of the new schema is guarded, too: each has its three guards.
    let unguarded = "SELECT count(*) FROM sqlite_schema AS t WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' \
                     AND t.name NOT IN ('clock', 'refinery_schema_history') \
                     AND 3 <> (SELECT count(*) FROM sqlite_schema AS g WHERE g.type = 'trigger' AND g.tbl_name = t.name \
                               AND g.name LIKE 'member!_refuses!_%' ESCAPE '!')";
    assert_eq!(cluster.value::<i64>(1, unguarded), 0);
}
