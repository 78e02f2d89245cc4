//! Looks at the machine: the only part of the doctor that does. It changes nothing, and has a deadline for all that may hang.
//!
//! Where it runs as root and the service has a user of its own, it looks from that user's place. What is good or bad it does not know.

mod files;
mod machine;
mod network;
mod place;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::facts::{Configuration, Descriptors, Facts, Names, Standing, Unit, Whom};
use crate::config::{self, Action, Environment, Layout, Problems, Settings};
use crate::daemon;

/// How long a file system, systemd or the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whoever may read a file without owning it or being in its group.
const OTHERS_MAY_READ: u32 = 0o004;

/// Everything that can be found out.
pub(super) fn facts(config: &Path) -> Facts {
    let unit = machine::unit(&machine::unit_of(config));
    place::taken(unit.as_ref(), |whom| looked_at(config, whom, unit.clone()))
}

fn looked_at(config: &Path, whom: Whom, unit: Option<Unit>) -> Facts {
    let service = unit.as_ref().filter(|unit| unit.is_loaded() && matches!(whom.standing, Standing::InPlace { .. }));
    let (configuration, settings) = configuration(config, &environment(service));
    let settings = settings.as_ref();
    let limit = service.and_then(|unit| unit.descriptors).unwrap_or_else(own_limit);
    Facts {
        whom,
        configuration,
        network: network::look(settings),
        places: settings.map(|settings| files::places(settings, unit.as_ref())).unwrap_or_default(),
        control: settings.and_then(|settings| files::control(&settings.control, unit.as_ref())),
        hooks: settings.map(|settings| files::hooks(&settings.hooks)).unwrap_or_default(),
        names: settings.map_or_else(Names::default, |settings| network::names(&settings.targets)),
        descriptors: settings.map(|settings| descriptors(settings, limit)),
        machine: machine::look(unit),
    }
}

/// What the daemon would find in its environment.
fn environment(service: Option<&Unit>) -> Environment {
    let Some(unit) = service else { return daemon::environment() };
    let [logs_directory, state_directory, runtime_directory] = unit.told.clone().map(|dir| dir.map(Into::into));
    Environment { logs_directory, state_directory, runtime_directory }
}

fn configuration(path: &Path, environment: &Environment) -> (Configuration, Option<Settings>) {
    let (owned, environment) = (path.to_owned(), environment.clone());
    let read = bounded(PATIENCE, move || match File::open(&owned) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Configuration::Missing(owned)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Configuration::Denied(owned)),
        Ok(_) | Err(_) => config::load(&owned, &environment).map_err(|problems| bad(&owned, &problems)),
    });
    match read {
        None => (Configuration::Hangs(path.to_owned()), None),
        Some(Err(configuration)) => (configuration, None),
        Some(Ok(settings)) => (sound(path, &settings), Some(settings)),
    }
}

fn bad(path: &Path, problems: &Problems) -> Configuration {
    let first = problems.iter().next().map(ToString::to_string).unwrap_or_default();
    Configuration::Bad { count: problems.iter().len(), first, path: path.to_owned() }
}

fn sound(path: &Path, settings: &Settings) -> Configuration {
    let has_secret = settings.hooks.iter().any(|hook| match &hook.action {
        Action::Webhook(address) => config::has_secret(address),
        Action::Command(_) => false,
    });
    let is_open = |file: &Path| fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & OTHERS_MAY_READ != 0);
    // Hooks stand in the main file.
    let exposed = settings.files.first().filter(|file| has_secret && is_open(file)).cloned();
    let (files, targets) = (settings.files.len(), settings.targets.len());
    Configuration::Sound { path: path.to_owned(), files, targets, exposed }
}

/// The hard limit of this process.
fn own_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

fn descriptors(settings: &Settings, limit: u64) -> Descriptors {
    let wanted = match settings.log.layout {
        Layout::PerTarget => settings.targets.len(),
        Layout::Combined => 1,
    };
    Descriptors { limit, files: daemon::files_within(limit), wanted: wanted as u64 }
}

/// What `work` comes to, unless it takes longer: then it goes on by itself for as long as the process lives.
fn bounded<T: Send + 'static>(within: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::channel();
    // Nobody may be left to be told.
    let work = move || drop(tell.send(work()));
    thread::Builder::new().name("look".into()).spawn(work).ok()?;
    told.recv_timeout(within).ok()
}
