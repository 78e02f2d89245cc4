//! The manual pages. That of the program has its options from the definition that parses them, and the rest in words that no parser
//! knows. Those of configuration and service are files that ship as they are.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_mangen::Man;

/// A manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// pingtest(1): the commands
    #[value(name = "pingtest")]
    Program,
    /// pingtest.toml(5): the configuration
    #[value(name = "pingtest.toml")]
    Configuration,
    /// pingtest.service(8): the service, and what it tells the journal
    #[value(name = "pingtest.service")]
    Service,
}

/// What follows the commands, in roff (man(7)).
const TAIL: &str = r#".SH LINES
One line is written for each reply and each loss, the moment it happens, in the words of
.BR ping (8)
after a time stamp. The stamp is the arrival of the packet by the kernel's clock; for a loss it is the moment of judgement.
.PP
.nf
STAMP 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms
STAMP no answer from 223.5.5.5: icmp_seq=2 timeout=2000 ms
STAMP 64 bytes from 223.5.5.5: icmp_seq=2 ttl=118 time=2405 ms (LATE)
STAMP 64 bytes from 223.5.5.5: icmp_seq=4 ttl=118 time=5.20 ms (DUP!)
STAMP From 10.0.0.1 icmp_seq=5 Destination Host Unreachable
STAMP not sent to 223.5.5.5: icmp_seq=6 Network is unreachable
STAMP not measured: 41 probes to 223.5.5.5, icmp_seq=7..47 (suspended for 41.0 s)
STAMP not measured: 12 probes to 223.5.5.5 (pingtest did not run for 12.3 s)
STAMP address of web001 changed: 172.17.0.2 \-> 172.17.0.3
.fi
.PP
The last line of a probe is its outcome, duplicates aside: a LATE reply takes its loss back, and an error marked LATE gives it a
cause. (DAMAGED) marks a payload other than the one sent, (DIFFERENT ADDRESS!) an answer from somebody else; both count as lost.
.PP
.I icmp_seq
counts the slots of the timetable from 1 and never wraps. What was not sent or not measured is not lost: loss is lost / sent.
.SH READING THE LOG BACK
.B log
shows the lines of one target from the live file and from rotated ones, whether packed with zstd or gzip or not at all, whether
written as text or JSON, and whether the target has a file of its own or shares one; also those that
.BR logrotate (8)
has made of them. It needs no daemon. A time is found by halving, among the files and within each that allows it: gzip has to be
read from its beginning, and so has zstd that something else has packed.
.PP
.nf
pingtest log alidns \-\-since "2026\-11\-20 03:00" \-\-until +2h \-\-outcome lost,late
pingtest log alidns \-\-since \-1h \-\-json
pingtest log alidns \-n 20 \-\-follow
.fi
.PP
Times are local. Where clocks pass an hour twice,
.B \-\-since
means the first pass and
.B \-\-until
the second; a time that clocks leave out means the instant at which they go on. Lines are shown in the order of the files, in which
stamps may be a second out of order. Where the daemon has noted that the clock was set back, both passes are found.
.PP
Lines that are none of pingtest's, or torn, are shown as they are, unless
.B \-\-outcome
or
.B \-\-json
is given; standard error tells how many there were.
.B \-\-follow
goes on over rotation, packing, truncation and removal of the file, until it is stopped, nobody reads its output, or
.B \-\-until
has passed.
.SH SIGNALS
.TP
.B SIGHUP
.B run
reads its configuration again and opens its files anew. Unchanged targets keep their numbers and counts. A configuration with a
mistake changes nothing, and standard error or the journal says what is wrong.
.TP
.BR SIGTERM ", " SIGINT
stop within two seconds, every line written.
.B ping
prints its summary.
.SH EXIT STATUS
.TP
0
Success.
.TP
1
.BR ping :
at least one host never answered.
.BR doctor :
something would stop pingtest here.
.BR log ,
.BR outages :
there is no such log or ledger, or not all of it can be read.
.BR status ,
.BR pause ,
.BR resume :
the daemon cannot be asked, or does not know the target.
.TP
64
Wrong usage.
.TP
70
A bug, or the system gave no thread, timer or descriptor.
.TP
77
Not allowed to open ICMP sockets.
.TP
78
The configuration has mistakes, or the log or the file for diagnostics cannot be written.
.SH PERMISSIONS
Either CAP_NET_RAW
.RB ( capabilities (7)),
or a group within
.I net.ipv4.ping_group_range
.RB ( icmp (7)).
Raw sockets are preferred. A firewall mark also needs CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17.
.SH ENVIRONMENT
.TP
.BR LOGS_DIRECTORY ", " STATE_DIRECTORY ", " RUNTIME_DIRECTORY
Where log, ledger and control socket are if the configuration does not say; set by
.BR systemd.exec (5)
for LogsDirectory=, StateDirectory= and RuntimeDirectory=.
.TP
.B NO_COLOR
Where it is set and not empty,
.B status
and
.B doctor
use no colour.
.TP
.B RUST_LOG
How much is said on standard error or in the journal, and in the file for diagnostics: error, warn, info, debug or trace. It wins over
.I level
in [diagnostics], which is info where it is not written.
.SH FILES
.TP
.I /etc/pingtest/pingtest.toml
The configuration, see
.BR pingtest.toml (5).
As installed it explains every key.
.TP
.I /var/log/pingtest/NAME.log
The lines of the target NAME; its name never changes.
.TP
.I /var/log/pingtest/NAME-2026-11-22.log.zst
The lines of that day, rotated and compressed. Rotated by the hour it is NAME-2026-11-22T13; further files of the same time end in @0002
and so on.
.TP
.I /var/log/pingtest/.pingtest.files
What pingtest rotated, and so may delete once it is beyond the limits of [log]. Nothing else is ever deleted.
.TP
.I /var/log/pingtest/.pingtest.lock
Locked by the process that writes to the directory; no other may. It holds the number of that process.
.TP
.I /var/lib/pingtest/ledger.db
The ledger, an SQLite database, with ledger.db-wal and ledger.db-shm while it is in use; ledger.db.lock is locked by the process that
writes it. A broken one is kept as ledger.db.corrupt-TIME.
.TP
.I /run/pingtest/control.sock
Where
.BR status ,
.B pause
and
.B resume
ask the running daemon.
.PP
Where standard error is the journal (JOURNAL_STREAM in
.BR systemd.exec (5)),
what pingtest has to say goes there with fields to query by, see
.BR pingtest.service (8).
With
.I file
in [diagnostics],
.B run
also appends to that file what it says, stamped. The file is not rotated; let
.BR logrotate (8)
do so with copytruncate. What cannot be written to it is missing there without a word. Why the program did not start or go on is said
on standard error only. Another [diagnostics] takes effect at the next start.
.SH SEE ALSO
.BR pingtest.toml (5),
.BR pingtest.service (8),
.BR ping (8),
.BR fping (8),
.BR logrotate (8),
.BR icmp (7)
"#;

/// Writes a page in roff; `command` is the definition of the program.
///
/// # Errors
/// Those of `out`.
pub(crate) fn render(page: Page, command: Command, out: &mut dyn Write) -> io::Result<()> {
    match page {
        Page::Program => render_program(command, out),
        Page::Configuration => out.write_all(include_bytes!("../packaging/usr/share/man/man5/pingtest.toml.5")),
        Page::Service => out.write_all(include_bytes!("../packaging/usr/share/man/man8/pingtest.service.8")),
    }
}

/// The page of `command` and all its subcommands.
fn render_program(mut command: Command, out: &mut dyn Write) -> io::Result<()> {
    command.build();
    let page = Man::new(command.clone()).title("PINGTEST").section("1").manual("User Commands");
    page.render_title(out)?;
    page.render_name_section(out)?;
    writeln!(out, ".SH SYNOPSIS")?;
    for sub in commands(&command) {
        writeln!(out, "{}\n.br", escaped(&usage(sub)))?;
    }
    page.render_description_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for sub in commands(&command) {
        render_command(sub, out)?;
    }
    out.write_all(TAIL.as_bytes())
}

fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help")
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn render_command(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, ".SS \"{}\"", escaped(&usage(command)))?;
    let about = command.get_long_about().or(command.get_about());
    for paragraph in about.map(ToString::to_string).unwrap_or_default().split("\n\n") {
        writeln!(out, ".PP\n{}", escaped(paragraph))?;
    }
    let mut options = Vec::new();
    Man::new(command.clone().disable_help_flag(true)).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options);
    out.write_all(options.replace(".SH OPTIONS\n", "").as_bytes())
}

/// Text that roff must not take for requests.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}
