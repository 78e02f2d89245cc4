//! The package as `packaging/build` makes it, and the next version of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A package of Debian's kind.
pub(crate) struct Package {
    path: PathBuf,
    /// Where it was made, if it was made here.
    _dir: Option<TempDir>,
}

impl Package {
    /// The one of this version that was built.
    pub(crate) fn built() -> Self {
        // Not where cargo builds to: Cargo.toml names the place.
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages");
        let start = concat!("pingtest_", env!("CARGO_PKG_VERSION"), "-1_");
        let is_it = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(start) && name.ends_with(".deb")
        };
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let packages: Vec<_> = entries.filter(is_it).collect();
        let [path] = &packages[..] else {
            panic!("one package is wanted in {}, there are {packages:?}: packaging/build makes it", dir.display())
        };
        Self { path: path.clone(), _dir: None }
    }

    /// The same with a higher version, and nothing else changed.
    pub(crate) fn next(&self) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = dir.path().join("files");
        done(Command::new("dpkg-deb").arg("--raw-extract").arg(&self.path).arg(&files));
        let control = files.join("DEBIAN/control");
        let text = fs::read_to_string(&control).expect("a package has one");
        let next =
            |line: &str| if line.starts_with("Version: ") { format!("{line}+next\n") } else { format!("{line}\n") };
        fs::write(&control, text.lines().map(next).collect::<String>()).expect("the directory is ours");
        let path = dir.path().join("next.deb");
        done(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&files).arg(&path));
        Self { path, _dir: Some(dir) }
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A field of its control file, deb-control(5).
    pub(crate) fn field(&self, name: &str) -> String {
        done(Command::new("dpkg-deb").arg("--field").arg(&self.path).arg(name)).trim().to_owned()
    }
}

/// Where cargo builds to; the program is a level below.
pub(crate) fn target_directory() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_pingtest"));
    program.ancestors().nth(2).expect("it is in a directory of its profile").to_owned()
}

fn done(command: &mut Command) -> String {
    let output = command.output().expect("dpkg is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
