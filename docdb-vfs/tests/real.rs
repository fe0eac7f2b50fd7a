//! What only the real disk has: modes, symbolic links, other processes.

use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use docdb_vfs::{OpenMode, RealVfs, Vfs};

#[test]
fn nobody_else_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = RealVfs::new();
    let (file, sub) = (dir.path().join("f"), dir.path().join("d"));
    drop(vfs.open(&file, OpenMode::CreateNew).unwrap());
    vfs.create_dir(&sub).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&sub), 0o700);
}

#[test]
fn a_lock_is_the_same_through_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = RealVfs::new();
    let (target, link) = (dir.path().join("d"), dir.path().join("link"));
    vfs.create_dir(&target).unwrap();
    symlink(&target, &link).unwrap();
    let lock = vfs.lock_dir(&link).unwrap();
    assert_eq!(
        vfs.lock_dir(&target).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(lock);
    vfs.lock_dir(&target).unwrap();
}

/// Names the directory that a child process of the next test locks before it is killed.
const LOCK_IN_CHILD: &str = "DOCDB_VFS_TEST_LOCK_IN_CHILD";

#[test]
fn a_lock_ends_with_its_process_and_does_not_pass_to_children() {
    let vfs = RealVfs::new();
    if let Some(dir) = std::env::var_os(LOCK_IN_CHILD) {
        let lock = vfs.lock_dir(Path::new(&dir)).unwrap();
        std::mem::forget(lock);
        // A process that outlives this one, and would keep the lock if it had inherited it.
        let sleeper = Command::new("sleep").arg("30").spawn().unwrap();
        std::fs::write(Path::new(&dir).join("sleeper"), sleeper.id().to_string()).unwrap();
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "a_lock_ends_with_its_process_and_does_not_pass_to_children";
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(LOCK_IN_CHILD, dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the child aborts");
    let sleeper = std::fs::read_to_string(dir.path().join("sleeper")).unwrap();
    let locked = vfs.lock_dir(dir.path());
    let killed = Command::new("kill").arg(&sleeper).status().unwrap();
    assert!(killed.success(), "the sleeper was still there");
    locked.unwrap();
}
