//! Control groups of a machine's own: two machines in the same ones would take each other's processes for theirs.

use std::fs;
use std::path::{Path, PathBuf};

/// One group in each hierarchy that systemd tracks processes by. They are removed by order.
pub(crate) struct Groups(Vec<PathBuf>);

impl Groups {
    /// New groups of this name below those that this process is in.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let membership = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("cgroup: {error}"))?;
        let groups: Vec<_> = membership.lines().filter_map(|line| Some(above(line)?.join(name))).collect();
        for group in &groups {
            fs::create_dir(group).map_err(|error| format!("{}: {error}", group.display()))?;
        }
        Ok(Self(groups))
    }

    /// Their directories.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Removes them and all below, once no process is in them any more.
    pub(crate) fn remove(&self) {
        self.0.iter().for_each(|group| remove(group));
    }
}

/// The directory of a line of `/proc/self/cgroup` (cgroups(7)), if it is of a hierarchy of systemd's.
fn above(line: &str) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let mounts: &[&str] = match controllers {
        "" => &["/sys/fs/cgroup/unified", "/sys/fs/cgroup"],
        "name=systemd" => &["/sys/fs/cgroup/systemd"],
        _ => return None,
    };
    let mount = mounts.iter().find(|mount| Path::new(mount).join("cgroup.procs").exists())?;
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}

fn remove(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| remove(&path));
    // One that somebody is in stays, and is empty otherwise.
    let _ = fs::remove_dir(group);
}
