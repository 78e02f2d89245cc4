//! Paths on the command line that lead to something else than they ought to.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// What the program complains of; it exits with 1.
fn complaint(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    let ran = command.args(arguments).arg(path).output().expect("it runs");
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0), "{arguments:?}");
    String::from_utf8(ran.stderr).expect("UTF-8").replace(&path.display().to_string(), "PATH")
}

#[test]
fn a_ledger_that_is_no_file_is_called_what_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (socket, pipe) = (dir.path().join("socket"), dir.path().join("pipe"));
    let _listener = UnixListener::bind(&socket).expect("it is free");
    mkfifo(&pipe, Mode::S_IRWXU).expect("it is free");
    for (path, kind) in
        [(dir.path(), "a directory"), (&socket, "a socket"), (&pipe, "a pipe"), (Path::new("/dev/null"), "a device")]
    {
        let told = complaint(&["outages", "--ledger"], path);
        assert_eq!(told, format!("pingtest: PATH is {kind}, and the ledger is a file\n"));
    }
}

#[test]
fn a_control_socket_that_is_none_is_called_what_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("it is free");
    for (path, kind) in [(dir.path(), "a directory"), (&file, "a file")] {
        for arguments in [&["status", "--socket"][..], &["status", "--watch", "--socket"], &["pause", "x", "--socket"]]
        {
            let told = complaint(arguments, path);
            assert_eq!(told, format!("pingtest: PATH is {kind}, and the daemon listens on a socket\n"));
        }
    }
}

#[test]
fn a_path_that_leads_nowhere_is_told_of_as_such() {
    let path = Path::new("/nonexistent/path");
    for arguments in [["outages", "--ledger"], ["status", "--socket"]] {
        let told = complaint(&arguments, path);
        assert!(told.contains("PATH") && !told.contains("PATH is "), "{told}");
    }
}
