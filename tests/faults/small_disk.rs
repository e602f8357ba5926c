//! A small file system in memory, in a separate mount namespace.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skipped;

/// Set in the process that runs in the namespace.
const IN_NAMESPACE: &str = "FAULTS_TEST_IN_A_NAMESPACE";

/// Whether this process is in a mount namespace of its own. If not, runs this test again in one, or reports that the system
/// allows none.
pub fn is_in_namespace(test: &str) -> bool {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return true;
    }
    if !runs_in_a_namespace(test) {
        skipped("this user may neither mount file systems nor create user namespaces");
    }
    false
}

/// Runs this test again in a mount namespace. False if the system allows none.
fn runs_in_a_namespace(test: &str) -> bool {
    // Root needs no user namespace and may have none. Other users need one.
    let namespaces = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let probe = "mount -t tmpfs -o size=64k none /mnt";
    let may_mount = |options: &&&[&str]| {
        let mounted = Command::new("unshare").args(**options).args(["sh", "-c", probe]).output();
        mounted.is_ok_and(|output| output.status.success())
    };
    let Some(options) = namespaces.iter().find(may_mount) else { return false };
    let status = Command::new("unshare")
        .args(*options)
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(IN_NAMESPACE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the test failed in its namespace");
    true
}

/// A file system that is unmounted on drop.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `size` bytes on this folder.
    pub fn mount(folder: &Path, size: u64) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder);
        assert!(mount.status().unwrap().success());
        Self(folder.to_owned())
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills it except for `free` bytes.
    pub fn fill(&self, free: u64) {
        let mut filler = fs::File::options().create(true).append(true).open(self.0.join("filler")).unwrap();
        while filler.write(&[0; 4096]).is_ok_and(|count| count > 0) {}
        filler.set_len(filler.metadata().unwrap().len() - free).unwrap();
    }

    /// Frees what was filled.
    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
