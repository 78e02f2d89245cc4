//! Directories, file systems, descriptors, the control socket, and commands of hooks.

use super::super::facts::{
    Closed, Daemon, Directory, Facts, Fence, Foreign, Place, PlaceState, Role, Unit, Volume, VolumeKind,
};
use super::{Judged, bytes, engine, give, quoted, quoted_path, service, service_name};
use crate::counted::counted;

pub(super) fn log(facts: &Facts) -> Vec<Judged> {
    place(facts, Role::Log)
}

pub(super) fn ledger(facts: &Facts) -> Vec<Judged> {
    place(facts, Role::Ledger)
}

pub(super) fn diagnostics(facts: &Facts) -> Vec<Judged> {
    place(facts, Role::Diagnostics)
}

fn place(facts: &Facts, role: Role) -> Vec<Judged> {
    let Some(place) = facts.places.iter().find(|place| place.role == role) else { return Vec::new() };
    let unit = service(facts);
    if unit.is_some_and(|unit| unit.misplaced.iter().any(|misplaced| misplaced.path == place.dir)) {
        // The service does not come as far as this.
        return Vec::new();
    }
    if let Some((unit, fence)) = unit.and_then(|unit| Some((unit, unit.fence(&place.dir)?))) {
        return vec![fenced_off(facts, place, unit, &fence)];
    }
    match &place.state {
        PlaceState::Hangs => vec![
            unusable(role, format!("{} does not answer", place.dir.display()))
                .cure(format!("a network file system, most likely: findmnt --target {}", quoted_path(&place.dir))),
        ],
        PlaceState::NotADirectory => {
            vec![unusable(role, format!("{} is not a directory", place.dir.display())).cure(elsewhere(role))]
        }
        PlaceState::Missing { refused: None, above, .. } => {
            vec![Judged::ok(format!("{} is missing, and can be made in {}", place.dir.display(), above.display()))]
        }
        PlaceState::Missing { by_systemd: true, .. } => {
            vec![Judged::ok(format!("{} is missing, and systemd makes it for the service", place.dir.display()))]
        }
        PlaceState::Missing { above, refused: Some(error), .. } => {
            let found =
                format!("{} is missing and cannot be made in {}: {error}", place.dir.display(), above.display());
            vec![unusable(role, found).cure(made(facts, place))]
        }
        PlaceState::There(directory) => there(facts, place, directory),
    }
}

/// Makes the directory.
fn made(facts: &Facts, place: &Place) -> String {
    format!("install -d -o {} -m 750 {}", quoted(&facts.whom.user), quoted_path(&place.dir))
}

/// The service's sandbox forbids it, whatever the directory is.
fn fenced_off(facts: &Facts, place: &Place, unit: &Unit, fence: &Fence<'_>) -> Judged {
    let (dir, name) = (place.dir.display(), &unit.name);
    let (by, also) = match fence {
        Fence::NotOpened => ("ProtectSystem=strict".to_owned(), ""),
        Fence::Closed(Closed { by: "ProtectHome", .. }) => ("ProtectHome=".to_owned(), "ProtectHome=no, "),
        Fence::Closed(Closed { by, path, .. }) => {
            let found = format!("{dir} is outside of what {name} may write to ({by}={})", path.display());
            return unusable(place.role, found)
                .cure(format!("systemctl cat {name} shows which file sets {by}=: take it out"));
        }
    };
    let found = format!("{dir} is outside of what {name} may write to ({by})");
    // systemd does not start a service of which a path is missing.
    let first = match &place.state {
        PlaceState::Missing { .. } => format!("{}; then ", made(facts, place)),
        PlaceState::There(Directory { refused: Some(_), .. }) => format!("{}; then ", give(facts, &place.dir)),
        PlaceState::There(_) | PlaceState::Hangs | PlaceState::NotADirectory => String::new(),
    };
    let judged = unusable(place.role, found);
    let judged = match fence {
        // Whoever closes homes does not want a service in them, and they are closed to other users besides.
        Fence::Closed(_) => judged.cure(elsewhere(place.role)),
        Fence::NotOpened => judged,
    };
    let path =
        if place.dir.to_string_lossy().contains(char::is_whitespace) { format!("\"{dir}\"") } else { dir.to_string() };
    judged.cure(format!(
        "{first}systemctl edit {name}: [Service], {also}ReadWritePaths={path}; then systemctl restart {name}"
    ))
}

/// Nothing can be written there: who cannot do without does not start.
fn unusable(role: Role, found: String) -> Judged {
    match role {
        Role::Log | Role::Diagnostics => Judged::problem(found, "pingtest exits with code 78 at once."),
        Role::Ledger => Judged::warning(found, "pingtest runs without a ledger: what happens is not remembered."),
    }
}

fn elsewhere(role: Role) -> &'static str {
    match role {
        Role::Log => "name another in the configuration: log.dir",
        Role::Ledger => "name another in the configuration: ledger.path, or \"off\"",
        Role::Diagnostics => "name another in the configuration: diagnostics.file",
    }
}

fn there(facts: &Facts, place: &Place, directory: &Directory) -> Vec<Judged> {
    let (user, dir) = (&facts.whom.user, place.dir.display());
    if let Some(error) = &directory.refused {
        let owner = &directory.owner;
        let found = format!("{dir} cannot be written to by {user}: {error}; it belongs to {owner}");
        let judged = unusable(place.role, found);
        return vec![if error.contains("Read-only") {
            judged.cure(format!("findmnt --target {}", quoted_path(&place.dir))).cure(elsewhere(place.role))
        } else {
            judged.cure(give(facts, &place.dir)).cure(elsewhere(place.role))
        }];
    }
    let mut judged = Vec::new();
    judged.extend(directory.foreign.as_ref().map(|foreign| foreign_files(facts, place, foreign)));
    if directory.is_shut_to_adm {
        judged.push(
            Judged::note(
                format!("the group adm cannot read {dir}"),
                "The package opens it by an ACL, which is lost where the directory is made anew or changes hands. Files made meanwhile \
                 stay closed.",
            )
            .cure("systemd-tmpfiles --create pingtest.conf"),
        );
    }
    judged.extend(held(facts, place, directory));
    judged.extend(directory.volume.as_ref().into_iter().flat_map(|volume| space(facts, place, volume)));
    if judged.is_empty() {
        let free =
            directory.volume.as_ref().map_or_else(String::new, |volume| format!(", {} free", bytes(volume.free)));
        judged.push(Judged::ok(format!("{dir} can be written to{free}")));
    }
    judged
}

/// Files that somebody else left.
fn foreign_files(facts: &Facts, place: &Place, foreign: &Foreign) -> Judged {
    const LEFT: &str = "Left by a pingtest that ran as somebody else, most likely.";
    let (user, Foreign { count, first, is_vital }) = (&facts.whom.user, foreign);
    let found = format!("{} cannot be written to by {user}: {}", counted(*count, "file"), first.display());
    let judged = if *is_vital {
        unusable(place.role, found)
    } else {
        Judged::warning(
            found,
            "pingtest starts, and probes; but their lines wait, and are dropped and counted when too many do.",
        )
    };
    let judged = Judged { means: format!("{LEFT} {}", judged.means), ..judged };
    judged.cure(if *count == 1 {
        give(facts, first)
    } else {
        format!(
            "find {} -maxdepth 1 -type f ! -user {} -exec ls -l {{}} + shows them; of each that is pingtest's: {}",
            quoted_path(&place.dir),
            quoted(user),
            give(facts, first)
        )
    })
}

/// Another process writes there: the daemon that answers, or one in the way.
fn held(facts: &Facts, place: &Place, directory: &Directory) -> Option<Judged> {
    let holder = directory.held_by?;
    let running = facts.control.as_ref().and_then(|control| match &control.daemon {
        Daemon::Answers { pid, .. } => *pid,
        Daemon::Nobody | Daemon::Unclear(_) => None,
    });
    let found = format!("process {holder} writes to {}", place.dir.display());
    Some(if running == Some(holder) {
        Judged::note(found, "That is the running daemon. A second one with this configuration does not start.")
    } else {
        Judged::problem(
            found,
            "It is not the daemon of this configuration's control socket. pingtest exits with code 78 at once.",
        )
        .cure(format!("ps -fp {holder}"))
        .cure("give each a log.dir of its own")
    })
}

fn space(facts: &Facts, place: &Place, volume: &Volume) -> Vec<Judged> {
    let dir = place.dir.display();
    let mut judged = Vec::new();
    match volume.kind {
        Some(VolumeKind::Memory) => judged.push(
            Judged::warning(format!("{dir} is in memory (tmpfs)"), "What is written there is gone after a reboot.")
                .cure(elsewhere(place.role)),
        ),
        Some(VolumeKind::Network) if place.role == Role::Ledger => judged.push(
            Judged::warning(
                format!("{dir} is on another machine"),
                "SQLite's write-ahead log does not work over a network (sqlite.org/wal.html).",
            )
            .cure(elsewhere(place.role)),
        ),
        Some(VolumeKind::Network) => judged.push(Judged::note(
            format!("{dir} is on another machine"),
            "Lines wait while that does not answer, and are dropped and counted when too many do.",
        )),
        // Elsewhere it is a file system like others.
        Some(VolumeKind::Overlay) => judged.extend(engine(facts).map(|engine| {
            Judged::warning(format!("{dir} is in the container's own layer"), "It goes when the container is removed.")
                .cure(format!("{engine} run -v pingtest-{}:{} …", volume_name(place.role), quoted_path(&place.dir)))
        })),
        None => {}
    }
    if volume.free == 0 {
        judged.push(
            Judged::warning(
                format!("the disk of {dir} is full"),
                "pingtest runs, and says how many lines are missing.",
            )
            .cure(format!("df -h {}", quoted_path(&place.dir))),
        );
    } else if volume.inodes == Some(0) {
        judged.push(
            Judged::warning(format!("the disk of {dir} takes no more files"), "No file can be made or rotated.")
                .cure(format!("df -i {}", quoted_path(&place.dir))),
        );
    } else if let Some(budget) = volume.budget.filter(|budget| *budget > volume.free) {
        judged.push(
            Judged::warning(
                format!("{dir} has {} free, and log.max_total allows {} more", bytes(volume.free), bytes(budget)),
                "The disk may be full before old files are deleted.",
            )
            .cure("set log.max_total to what the disk has room for"),
        );
    }
    judged
}

fn volume_name(role: Role) -> &'static str {
    match role {
        Role::Log | Role::Diagnostics => "log",
        Role::Ledger => "lib",
    }
}

pub(super) fn descriptors(facts: &Facts) -> Vec<Judged> {
    let Some(descriptors) = facts.descriptors else { return Vec::new() };
    let (limit, files, wanted) = (descriptors.limit, descriptors.files, descriptors.wanted);
    if wanted <= files {
        let files = counted(wanted, "log file");
        return vec![Judged::ok(format!("{limit} allowed; {files} can be kept open"))];
    }
    vec![
        Judged::warning(
            format!("{limit} allowed: of {wanted} log files, {files} can be kept open at a time"),
            "The others are opened and closed again and again, which takes more of the processor. No line is lost for it.",
        )
        .cure(format!("systemctl edit {}: [Service], LimitNOFILE={}", service_name(facts), (wanted + (limit - files.min(limit))).next_power_of_two()))
        .cure("layout = \"combined\" in [log]: one file for all"),
    ]
}

pub(super) fn control(facts: &Facts) -> Vec<Judged> {
    let Some(control) = &facts.control else { return Vec::new() };
    let (socket, user) = (control.socket.display(), &facts.whom.user);
    let mut judged = Vec::new();
    if let Some(group) = &control.unknown_group {
        judged.push(
            Judged::warning(
                format!("there is no group {group:?}, which control.group names"),
                format!("Only root and {user} may use {socket}."),
            )
            .cure(format!("groupadd --system {}", quoted(group))),
        );
    }
    match &control.daemon {
        Daemon::Answers { version, pid } => {
            let process = pid.map_or_else(String::new, |pid| format!(" as process {pid}"));
            judged.push(Judged::note(
                format!("a daemon answers on {socket}: pingtest {version}{process}"),
                "It is running already; all this is about the next start.",
            ));
        }
        Daemon::Unclear(error) => judged.push(
            Judged::note(error.clone(), "A daemon may be running already.")
                .cure("pingtest status, as root or a member of its group"),
        ),
        Daemon::Nobody => {}
    }
    if let (Some(error), Daemon::Nobody) = (&control.refused, &control.daemon) {
        judged.push(
            Judged::warning(
                format!("{socket} cannot be made: {error}"),
                "pingtest runs, but status, pause and resume cannot reach it.",
            )
            .cure(format!(
                "in its unit: RuntimeDirectory=pingtest; or make the directory of {socket} and give it to {user}"
            )),
        );
    }
    if judged.is_empty() {
        judged.push(Judged::ok(format!("{socket} is free")));
    }
    judged
}

pub(super) fn hooks(facts: &Facts) -> Vec<Judged> {
    let refused = facts.hooks.iter().filter_map(|hook| Some((&hook.program, hook.refused.as_ref()?)));
    let mut judged: Vec<_> = refused
        .map(|(program, error)| {
            Judged::warning(format!("{program} cannot be run: {error}"), "Nobody is told by that hook.")
                .cure(format!("ls -l {program}; chmod a+x {program}", program = quoted(program)))
        })
        .collect();
    if judged.is_empty() && !facts.hooks.is_empty() {
        judged.push(Judged::ok(format!("{} can be run", counted(facts.hooks.len(), "command"))));
    }
    judged
}
