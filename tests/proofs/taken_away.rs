//! Files and directories that somebody takes away while they are written: every line is in what was taken, or in what came after.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::account::Account;
use crate::disk;
use crate::shelf::{self, Shelf};
use crate::stage::{self, Stage, say};
use crate::support::program::{self, Program};
use crate::support::wait::{self, PATIENCE, Stopwatch};
use crate::weather::{FAIR, Weather};

/// A thousand lines a second.
const WEATHER: Weather = Weather { kinds: FAIR, targets_of_each: 100, interval: "100ms" };
const KEYS: &str = "layout = \"combined\"";
const LIVE: &str = "pingtest.log";

/// The promise is a second; a busy machine gets two more.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// The program at work, with a thousand lines written, and where things are taken to.
struct Scene {
    network: Stage,
    pingtest: Program,
    shelf: Shelf,
    logs: PathBuf,
    aside: Shelf,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let network = Stage::new(&WEATHER.script())?;
        let dir = program::directory();
        let (logs, aside) = (dir.path().join("logs"), dir.path().join("aside"));
        let shelf = Shelf::new(&logs);
        let pingtest = shelf.start(&network.namespace, KEYS, &WEATHER.config());
        let scene = Self { network, pingtest, shelf, logs, aside: Shelf::new(&aside), dir };
        scene.await_lines();
        Some(scene)
    }

    /// Waits until there are a thousand lines in the live file; gives how long that took.
    fn await_lines(&self) -> Duration {
        let watch = Stopwatch::start();
        wait::until(PATIENCE, || (self.shelf.readable().len() >= 1000).then_some(()))
            .unwrap_or_else(|| panic!("no thousand lines:\n{}", self.pingtest.text("stderr")));
        watch.elapsed()
    }

    /// Waits until there is a live file again.
    fn await_file(&self) {
        let there = || self.shelf.path(LIVE).exists().then_some(());
        wait::until(NOTICED_WITHIN, there)
            .unwrap_or_else(|| panic!("not noticed within {NOTICED_WITHIN:?}:\n{}", self.pingtest.text("stderr")));
        self.await_lines();
    }

    fn live(&self) -> PathBuf {
        self.shelf.path(LIVE)
    }

    /// What is there at the end, together with what was taken away.
    fn end(self, what: &str, taken: &[String]) {
        shelf::stop(self.pingtest);
        let found = self.shelf.found();
        assert!(found.torn.is_empty(), "{:?}", found.torn);
        let account = Account::new(&[taken, &found.lines].concat(), &self.network.end());
        say(&format!("{what}: {account}"));
        assert!(account.is_whole(), "{account}");
    }
}

/// A file that has lost its name, and how long it was then.
struct Nameless {
    file: File,
    len: usize,
}

impl Nameless {
    /// Takes its name from the live file by `remove`.
    fn new(scene: &Scene, remove: impl FnOnce()) -> Self {
        let file = File::open(scene.live()).expect("it is there");
        remove();
        let len = file.metadata().expect("it is open").len() as usize;
        Self { file, len }
    }

    /// What was written to it that was not saved, which must be from before its name was taken.
    fn lost(mut self, scene: &Scene) -> Vec<String> {
        let mut text = String::new();
        self.file.read_to_string(&mut text).expect("the log is text");
        let saved = scene.shelf.readable();
        // The line that was being written then began before.
        let begun = text[..self.len].rfind('\n').map_or(0, |end| end + 1);
        let later = text[begun..].lines().skip(usize::from(begun < self.len));
        let unsaved: Vec<_> = later.filter(|line| !saved.contains(*line)).collect();
        assert_eq!(unsaved.first(), None, "{} lines written to the deleted file are lost", unsaved.len());
        text.lines().filter(|line| !saved.contains(*line)).map(str::to_owned).collect()
    }
}

#[test]
fn lines_written_to_a_deleted_file_are_saved_into_the_next() {
    let _turn = stage::together();
    let Some(scene) = Scene::new() else { return };
    let nameless = Nameless::new(&scene, || fs::remove_file(scene.live()).expect("it is there"));
    scene.await_file();
    let lost = nameless.lost(&scene);
    scene.end("live file deleted", &lost);
}

#[test]
fn lines_written_to_a_file_of_a_removed_directory_are_saved_into_the_next() {
    let _turn = stage::together();
    let Some(scene) = Scene::new() else { return };
    // What is made anew while it is being emptied would keep it from going.
    let remove = || {
        fs::rename(&scene.logs, scene.dir.path().join("aside"))
            .and_then(|()| fs::remove_dir_all(scene.dir.path().join("aside")))
    };
    let nameless = Nameless::new(&scene, || remove().expect("it is there"));
    scene.await_file();
    let lost = nameless.lost(&scene);
    scene.end("directory removed", &lost);
}

#[test]
fn a_directory_moved_away_is_made_anew_and_no_line_is_lost_or_doubled() {
    let _turn = stage::together();
    let Some(scene) = Scene::new() else { return };
    fs::rename(&scene.logs, scene.dir.path().join("aside")).expect("it is there");
    scene.await_file();
    let taken = scene.aside.found().lines;
    scene.end("directory moved away", &taken);
}

#[test]
fn a_live_file_moved_away_is_made_anew_and_no_line_is_lost_or_doubled() {
    let _turn = stage::together();
    for (what, then) in [("live file moved", None), ("live file moved, then SIGHUP", Some(Signal::SIGHUP))] {
        let Some(scene) = Scene::new() else { return };
        fs::create_dir(scene.dir.path().join("aside")).expect("it is ours");
        fs::rename(scene.live(), scene.aside.path(LIVE)).expect("it is there");
        if let Some(signal) = then {
            scene.pingtest.signal(signal);
        }
        scene.await_file();
        let taken = scene.aside.found().lines;
        scene.end(what, &taken);
    }
}

/// logrotate's copytruncate loses what is written between its two steps: stopped meanwhile, the program writes nothing.
#[test]
fn a_live_file_copied_and_emptied_begins_with_a_whole_line_and_no_line_is_lost() {
    let _turn = stage::together();
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.dir.path().join("aside")).expect("it is ours");
    scene.pingtest.signal(Signal::SIGSTOP);
    let stopped =
        || fs::read_to_string(format!("/proc/{}/stat", scene.pingtest.id())).is_ok_and(|stat| stat.contains(") T "));
    wait::until(PATIENCE, || stopped().then_some(())).expect("it stops");
    fs::copy(scene.live(), scene.aside.path(LIVE)).expect("it is there");
    File::options().write(true).open(scene.live()).and_then(|live| live.set_len(0)).expect("it is there");
    scene.pingtest.signal(Signal::SIGCONT);
    scene.await_lines();
    let taken = scene.aside.found().lines;
    scene.end("live file copied and emptied", &taken);
}

/// As a file system that turned read-only, or a volume that went away and came back, but without the loss of what it held.
#[test]
fn a_directory_that_cannot_be_written_for_a_while_costs_no_line() {
    let _turn = stage::together();
    let Some(scene) = Scene::new() else { return };
    disk::hide(&scene.logs, scene.pingtest.id());
    scene.pingtest.wait_for("stderr", "word of it", |text| text.contains("Read-only file system"));
    let lines = scene.shelf.readable().len();
    disk::show(&scene.logs, scene.pingtest.id());
    let grown = || (scene.shelf.readable().len() >= lines + 1000).then_some(());
    wait::until(PATIENCE, grown).unwrap_or_else(|| panic!("it does not go on:\n{}", scene.pingtest.text("stderr")));
    let told = scene.pingtest.text("stderr").matches("Read-only file system").count();
    assert_eq!(told, 1, "told once:\n{}", scene.pingtest.text("stderr"));
    scene.end("read-only for a while", &[]);
}
