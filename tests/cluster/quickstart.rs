//! The cluster that README and its page start, by the shell.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cluster::{address, new_network};
use crate::lock_machine;
use crate::support::PROGRAM;

/// The first block marked `bash` of a page.
fn block(page: &str) -> &str {
    page.split("```bash\n").nth(1).unwrap().split("```").next().unwrap()
}

#[tokio::test]
async fn the_quick_start_survives_the_loss_of_a_member() {
    let _machine = lock_machine().await;
    let commands = block(include_str!("../../README.md"));
    assert_eq!(commands, block(include_str!("../../src/docs/cluster.md")), "both pages show the same commands");
    assert_eq!(commands.lines().count(), 5);
    let folder = TempDir::new().unwrap();
    // An address of loopback of its own, so that the ports are free.
    let commands = commands.replace("127.0.0.1", &address(new_network(), 1));
    let script = format!("set -e\n{commands}\nminimost-calls --db n3.db user list\nkill %2 %3\nwait || true");
    let programs = std::path::Path::new(PROGRAM).parent().unwrap();
    let mut shell = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(&folder)
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"rabbit hole\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains(":7101\tleader\t") && out.contains(":7103\tvoter\t"), "{out}");
    assert_eq!(out.matches("{\"status\":\"ok\"}").count(), 2, "{out}{err}");
    assert!(out.contains("alice\talice\tmember"), "{out}");
}
