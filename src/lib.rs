//! pingtest: a long-running ping monitor that judges by kernel time stamps and writes down every reply and every loss at once.
//!
//! # The way of the data
//!
//! ```text
//!  config ─► targets ─► schedule ─► icmp ─► sample ─► inflight ─┬─► window ─► summary, status
//!                          ▲                                    ├─► record ─► sink ─► file, standard output
//!                          │                                    │                       └─► rotated, packed, deleted by the keeper
//!  clock ─► Now ───────────┘                                    └─► health ─► finding ─► ledger, hooks
//! ```
//!
//! Data go one way. Nothing upstream ever waits for anything downstream: every record goes through a bounded queue, and a full
//! queue has a counter and says so in the log.
//!
//! # The map
//!
//! | room | what it does |
//! |---|---|
//! | `cli` | arguments → what is to be done; one definition makes parser, help, manual and completions |
//! | [`daemon`] | the composition: start, reload, stop with a deadline; the only room that knows all others |
//! | [`ping`] | `pingtest ping`: the same parts, and the summary |
//! | [`log`] | `pingtest log`: files, packed or not → lines of a time, without reading all of them |
//! | [`control`] | the control socket: requests and answers, the server in the daemon, the client outside of it |
//! | [`status`] | `pingtest status`, `pause`, `resume`: what the daemon answers → a table |
//! | [`outages`] | `pingtest outages`: the ledger → outages, availability of the measured time, what recurs |
//! | [`doctor`] | `pingtest doctor`: the machine as it is → what would stop pingtest on it, and what to do |
//! | [`driver`] | the one loop: wake-ups, packets, answers, orders → monitor → probes, look-ups, records. No rule lives there |
//! | [`monitor`] | **the rules**, pure: which probe is due, whose reply it is, what became of each probe |
//! | [`icmp`] | bytes ↔ packets; sockets; sending, receiving, errors, drops |
//! | [`clock`] | the only reader of clocks; `rehearsal` in it sets them by a script, in builds for tests only |
//! | [`resolve`] | names to addresses, on threads of its own |
//! | [`sink`] | records → lines → files, on a thread of its own; behind it the keeper, which packs and deletes what was rotated |
//! | [`config`] | files as written → settings as used, or every problem at once |
//! | [`ledger`] | findings and counts → SQLite, on a thread of its own; and back, as the history of a time |
//! | [`hook`] | what was found out → commands and webhooks, each on a thread of its own |
//! | [`logging`] | what the program says about itself: the kinds of events; standard error, the journal, a file |
//! | [`limits`] | the limits that the process was started with, for those it starts |
//! | `systemd` | what the service manager is told, and when its watchdog is fed |
//! | `manual` | the manual pages |
//! | `watch` | a descriptor that an asynchronous loop can wait for |
//! | `memory` | what is no longer needed, back to the system |
//! | `counted` | `1 target`, `2 targets` |
//! | `printable` | text of others, fit for a terminal |
//! | `stall` | makes parts of the program hang, in builds for tests only |
//!
//! Whether a probe is lost, late or a duplicate is decided in [`monitor::inflight`], and nowhere else; whether losses are an outage, in
//! `monitor::health`; whose, in `monitor::kin`.
//!
//! Outside of it, `tests/scenarios` plays the rules in virtual time, `tests/real` the whole program with real packets, and
//! `tests/proofs` holds what it writes against the journal of `tests/simnet`, a network that lies on command; `tests/service` installs
//! the package under a real systemd and has it die in every way.
//!
//! # The rules of the house
//!
//! 1. **`monitor` is pure**: no sockets, files, threads or clocks; time comes in as an argument. So a day of flapping is played in
//!    milliseconds, and a bug report becomes a file under `tests/scenarios/`.
//! 2. **Engines report, the monitor judges**, from time stamps, never from which future won a race.
//! 3. **Two clocks, read together, once per event.** Durations and schedule by the monotonic clock, labels by the wall clock, suspend
//!    by BOOTTIME − MONOTONIC. A stamp of the kernel counts only if it lies between sending and reading.
//! 4. **"Not measured" is never "lost"**: send errors, full buffers, a stalled loop, suspend, stopping are outcomes of their own.
//! 5. **One loop owns all probe state**, on a thread of its own that waits for nothing but its wake-up.
//! 6. **Few sockets**: one for each family and set of options, never one for each target.
//! 7. **Booleans that travel are enums, numbers carry their unit in the type**, and no `_` arm hides one of our own variants.
//! 8. **What ships is tested as it ships**: sample configurations, manual pages, the journal's catalog, README's commands.
//! 9. **`unsafe` only in [`icmp::socket`], [`clock::discipline`], `watch` and `memory`**, each block with its reason.
//!
//! `tests/architecture.rs` holds the source against 1, 7 and 9 and against who may use whom.

mod cli;
pub mod clock;
pub mod config;
pub mod control;
mod counted;
pub mod daemon;
pub mod doctor;
pub mod driver;
pub mod hook;
pub mod icmp;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod logging;
mod manual;
mod memory;
pub mod monitor;
pub mod outages;
pub mod ping;
mod printable;
pub mod resolve;
pub mod sink;
mod stall;
pub mod status;
mod systemd;
mod watch;

pub use cli::main;
