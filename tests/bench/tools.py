"""The rivals: how each is started on the same work, and how what it says is read.

All get the same targets, the same rate, one second of patience, and write what they find to files, as they would for a user.
"""

import http.client
import ipaddress
import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import measure
from truth import Echoes

TIMEOUT_S = 1
# What a tool may take beyond its work before it is given up.
PATIENCE_S = 20
SMOKEPING_PORT = 9374
# As long as Prometheus waits for a scrape, unless told otherwise.
SCRAPE_TIMEOUT_S = 10
# Within one scrape, not all of the prober's sums are taken at one instant: so much of its work may seem unanswered.
SCRAPE_SKEW_S = 0.1
# fping's sequence numbers, each of which it keeps for ten seconds.
FPING_CAP = 65_535


@dataclass(frozen=True)
class Work:
    """Probe `targets` addresses from `first` upward, each `rate` times a second."""

    first: str
    targets: int
    rate: int
    seconds: int
    # Round-trip times as exact as the tool can write them; not what costs are measured with.
    exact: bool = False

    def addresses(self) -> Iterator[str]:
        first = int(ipaddress.IPv4Address(self.first))
        return (str(ipaddress.IPv4Address(first + i)) for i in range(self.targets))

    def per_second(self) -> int:
        return self.targets * self.rate


@dataclass(frozen=True)
class Reply:
    """A reply that a tool reported. One of `sequence` (on the wire) and `number` (to that address, from 1) is known."""

    address: str
    sequence: int | None
    number: int | None
    rtt_ns: float


@dataclass
class Report:
    """What a tool said of itself, and what it cost."""

    cost: measure.Cost
    # What the kernel counted over the time that the tool is judged by.
    echoes: Echoes
    answered: int
    cpu_s: float
    not_measured: int = 0
    # Still in flight when it was told to stop, by its own word.
    stopped: int = 0
    # For a tool that tells no single reply: those that it counts as sent and not as answered.
    unanswered: int | None = None
    # So many lost probes may be an illusion, and count as none.
    skew: int = 0
    # Nothing it says can be used.
    broken: bool = False
    # What the user has to know besides.
    note: str = ""
    # Only for tools that tell no single reply: their mean, and the wall clock's time that it covers.
    mean_ns: float | None = None
    window_ns: tuple[int, int] | None = None

    @property
    def reported(self) -> int:
        """Probes that it does not lose."""
        if self.unanswered is not None:
            return self.echoes.requests - self.unanswered
        return self.answered + self.not_measured + self.stopped


@dataclass
class Tool:
    """One program under measurement. `place` is a directory that it has for itself."""

    name: str
    # Whether datagram ICMP sockets are allowed in its namespace.
    datagram: bool = field(default=False, kw_only=True)

    def run(self, work: Work, place: Path, watches: Iterable[measure.Watch] = ()) -> Report:
        before = Echoes.now()
        cost = measure.run(
            self.command(work, place),
            place / "out",
            place / "err",
            environment=self.environment(place),
            stop_after=work.seconds if self.stopped_by_the_clock() else float("inf"),
            give_up_after=work.seconds + PATIENCE_S,
            watches=list(watches),
        )
        report = Report(cost, Echoes.now().since(before), 0, cost.cpu_s)
        if cost.given_up:
            report.note = f"not done after {cost.wall_s:.0f} s"
        elif cost.status not in (0, 1):
            report.note = f"exit status {cost.status} after {cost.wall_s:.1f} s: {first_line(place / 'err')}"
        self.read(place, report)
        return report

    def command(self, work: Work, place: Path) -> list[str]:
        raise NotImplementedError

    def environment(self, place: Path) -> dict[str, str]:
        return {}

    def stopped_by_the_clock(self) -> bool:
        return False

    def read(self, place: Path, report: Report) -> None:
        report.answered = sum(1 for _ in self.replies(place))

    def replies(self, place: Path) -> Iterator[Reply]:
        """Nothing, for a tool that tells no single reply."""
        return iter(())

    def not_measured(self, place: Path) -> Iterator[tuple[str, int]]:
        """Address and sequence number of each probe of which the tool says that nothing can be said."""
        return iter(())


@dataclass
class BareLoop(Tool):
    program: str

    def command(self, work: Work, place: Path) -> list[str]:
        return [self.program, *common_arguments(work, place), *(["--exact"] if work.exact else [])]

    def replies(self, place: Path) -> Iterator[Reply]:
        return printed_replies(place / "log", r" from ([0-9.]+): icmp_seq=(\d+) .* time=([0-9.]+) (ms)")


@dataclass
class SurgeTasks(Tool):
    program: str

    def command(self, work: Work, place: Path) -> list[str]:
        return [self.program, *common_arguments(work, place), "--timeout-ms", str(TIMEOUT_S * 1000)]

    def replies(self, place: Path) -> Iterator[Reply]:
        return printed_replies(place / "log", r" from ([0-9.]+): icmp_seq=(\d+) .* time=([0-9.]+)(ns|µs|ms|s)$")


@dataclass
class Fping(Tool):
    """`-i 0` is what fping does cheapest: no pause between two targets, so each period begins with one burst over all of them.
    Spread, its pauses fill the period but for a tenth, which it needs to keep it."""

    spread: bool = field(default=False, kw_only=True)

    def command(self, work: Work, place: Path) -> list[str]:
        (place / "addresses").write_text("".join(f"{address}\n" for address in work.addresses()), encoding="ascii")
        pause = f"{900 / work.per_second():.4f}" if self.spread else "0"
        period = ["-c", str(work.seconds * work.rate), "-p", str(1000 // work.rate), "-i", pause]
        return ["fping", *period, "-t", str(TIMEOUT_S * 1000), "-D", "-s", "-f", str(place / "addresses")]

    def read(self, place: Path, report: Report) -> None:
        super().read(place, report)
        if report.cost.status > 1:
            report.note = "then it stopped: " + ("no sequence numbers left" if report.echoes.requests >= FPING_CAP else report.note)

    def replies(self, place: Path) -> Iterator[Reply]:
        line = re.compile(r"\] ([0-9.]+) +: \[(\d+)\], \d+ bytes, ([0-9.]+) ms")
        with open(place / "out", encoding="ascii", errors="replace") as lines:
            for match in filter(None, map(line.search, lines)):
                yield Reply(match[1], None, int(match[2]) + 1, float(match[3]) * 1e6)


@dataclass
class Pingtest(Tool):
    program: str

    def command(self, work: Work, place: Path) -> list[str]:
        for directory in ("log", "state", "runtime"):
            (place / directory).mkdir()
        config = configuration(work, place / "log", "json" if work.exact else "text")
        (place / "pingtest.toml").write_text(config, encoding="utf-8")
        return [self.program, "run", "--config", str(place / "pingtest.toml")]

    def environment(self, place: Path) -> dict[str, str]:
        """The directories that systemd would hand over, so that nothing outside `place` is touched."""
        return {
            "LOGS_DIRECTORY": str(place / "log"),
            "STATE_DIRECTORY": str(place / "state"),
            "RUNTIME_DIRECTORY": str(place / "runtime"),
        }

    def stopped_by_the_clock(self) -> bool:
        return True

    def read(self, place: Path, report: Report) -> None:
        super().read(place, report)
        report.not_measured, report.stopped = 0, 0
        for match in self._unmeasured(place):
            count = int(match[3] or match[2]) - int(match[2]) + 1
            if match[4] == "stopped":
                report.stopped += count
            else:
                report.not_measured += count

    def replies(self, place: Path) -> Iterator[Reply]:
        """Those that count: in time, or late, which takes the loss back."""
        log = place / "log" / "pingtest.log"
        text = printed_replies(log, r" from ([0-9.]+): icmp_seq=(\d+) .* time=([0-9.]+) (ms)(?: \(LATE\))?$")
        return json_replies(log) if is_json(log) else text

    def not_measured(self, place: Path) -> Iterator[tuple[str, int]]:
        for match in self._unmeasured(place):
            for sequence in range(int(match[2]), int(match[3] or match[2]) + 1):
                yield match[1], sequence & 0xFFFF

    def _unmeasured(self, place: Path) -> Iterator[re.Match[str]]:
        """Address, first and last sequence number, reason."""
        line = re.compile(r" not measured: \d+ probes? to ([0-9.]+), icmp_seq=(\d+)(?:\.\.(\d+))? \((.*)\)$")
        return matches(place / "log" / "pingtest.log", line)


@dataclass
class SmokepingProber(Tool):
    """prometheus-smokeping-prober, which tells sums only. It is judged from its first answer to a scrape on, since it
    reports nothing of what it sends before."""

    program: str
    place: Path | None = None
    scrapes: "Scrapes | None" = None

    def command(self, work: Work, place: Path) -> list[str]:
        protocol = "udp" if self.datagram else "icmp"
        target = {"hosts": list(work.addresses()), "interval": f"{1000 // work.rate}ms", "network": "ip4", "protocol": protocol}
        # JSON is YAML.
        (place / "smokeping.yml").write_text(json.dumps({"targets": [target]}), encoding="ascii")
        return [
            self.program,
            f"--config.file={place / 'smokeping.yml'}",
            f"--web.listen-address=127.0.0.1:{SMOKEPING_PORT}",
            f"--{'no-' if self.datagram else ''}privileged",
            "--log.level=error",
        ]

    def run(self, work: Work, place: Path, watches: Iterable[measure.Watch] = ()) -> Report:
        self.scrapes = Scrapes(work.seconds)
        return super().run(work, place, [*watches, self.scrapes])

    def read(self, place: Path, report: Report) -> None:
        if self.scrapes.last is None:
            report.broken = True
            when = "never" if self.scrapes.first is None else "no longer"
            report.note = f"it {when} answered a scrape within {SCRAPE_TIMEOUT_S} s"
            return
        first, last = self.scrapes.first, self.scrapes.last
        report.note = ""
        report.echoes = last.echoes.since(first.echoes)
        report.cpu_s = last.cpu_s - first.cpu_s
        counted = last.count - first.count
        # What comes in while a slow scrape is under way is not what the CPU of the window was spent on.
        report.answered = min(counted, report.echoes.replies)
        seconds = (last.at_ns - first.at_ns) / 1e9
        sent = max(1, last.requests - first.requests)
        # Its own counts are of one scrape; but broken down, it counts late, and the kernel's count tells, less what came in
        # while the first scrape was under way.
        by_itself = round(report.echoes.requests * (sent - counted) / sent)
        by_kernel = report.echoes.requests - counted - round(report.echoes.requests / seconds * first.took_s)
        report.unanswered = max(0, by_itself, by_kernel)
        report.skew = round(report.echoes.requests / seconds * SCRAPE_SKEW_S)
        report.window_ns = (first.at_ns, last.at_ns)
        if counted:
            report.mean_ns = (last.sum_s - first.sum_s) / counted * 1e9


@dataclass
class Scrape:
    at_ns: int
    echoes: Echoes
    cpu_s: float
    took_s: float = 0.0
    requests: int = 0
    count: int = 0
    sum_s: float = 0.0

    @staticmethod
    def take(pid: int) -> "Scrape":
        # The counters first, both times: what comes between them and the answer cancels out.
        at_ns, echoes, cpu_s = time.time_ns(), Echoes.now(), measure.cpu_so_far_s(pid)
        url = f"http://127.0.0.1:{SMOKEPING_PORT}/metrics"
        # No proxy of the environment's leads into this namespace.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=SCRAPE_TIMEOUT_S) as answer:
            text = answer.read().decode()
        scrape = Scrape(at_ns, echoes, cpu_s, (time.time_ns() - at_ns) / 1e9)
        for line in text.splitlines():
            if line.startswith("smokeping_requests_total"):
                scrape.requests += int(float(line.rpartition(" ")[2]))
            elif line.startswith("smokeping_response_duration_seconds_count"):
                scrape.count += int(float(line.rpartition(" ")[2]))
            elif line.startswith("smokeping_response_duration_seconds_sum"):
                scrape.sum_s += float(line.rpartition(" ")[2])
        return scrape


@dataclass
class Scrapes:
    """Watches the prober: scrapes it as soon as it listens and again `seconds` later, then has it stopped."""

    seconds: int
    first: Scrape | None = None
    last: Scrape | None = None
    due: float = 0.0

    def __call__(self, pid: int) -> bool:
        if time.monotonic() < self.due:
            return False
        try:
            if self.first is None:
                self.due = time.monotonic() + 0.1
                socket.create_connection(("127.0.0.1", SMOKEPING_PORT), timeout=1).close()
                self.due = time.monotonic() + self.seconds
                self.first = Scrape.take(pid)
                return False
            self.last = Scrape.take(pid)
        except (OSError, http.client.HTTPException):
            # It does not listen yet, or is too busy to answer.
            return self.first is not None
        return True


def common_arguments(work: Work, place: Path) -> list[str]:
    arguments = {"first": work.first, "targets": work.targets, "rate-per-target": work.rate, "seconds": work.seconds}
    arguments["log"] = place / "log"
    return [part for name, value in arguments.items() for part in (f"--{name}", str(value))]


def configuration(work: Work, log: Path, log_format: str) -> str:
    head = f'[defaults]\ninterval = "{1000 // work.rate}ms"\ntimeout = "{TIMEOUT_S}s"\n\n'
    head += f'[log]\ndir = "{log}"\nlayout = "combined"\nformat = "{log_format}"\n'
    head += f'[ledger]\npath = "{log.parent / "ledger.db"}"\n[control]\nsocket = "{log.parent / "control.sock"}"\n'
    return head + "".join(f'\n[[target]]\nhost = "{address}"\n' for address in work.addresses())


UNITS_NS = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}


def matches(file: Path, line: re.Pattern[str]) -> Iterator[re.Match[str]]:
    if not file.exists():
        return iter(())
    with open(file, encoding="utf-8", errors="replace") as lines:
        yield from filter(None, map(line.search, lines))


def printed_replies(file: Path, pattern: str) -> Iterator[Reply]:
    """Groups of `pattern`: address, sequence number, round-trip time, its unit."""
    for match in matches(file, re.compile(pattern)):
        yield Reply(match[1], int(match[2]) & 0xFFFF, None, float(match[3]) * UNITS_NS[match[4]])


def json_replies(file: Path) -> Iterator[Reply]:
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["outcome"] in ("reply", "late"):
                yield Reply(record["addr"], record["seq"] & 0xFFFF, None, record["rtt_ms"] * 1e6)


def is_json(file: Path) -> bool:
    try:
        with open(file, "rb") as log:
            return log.read(1) == b"{"
    except FileNotFoundError:
        return False


def first_line(file: Path) -> str:
    with open(file, encoding="utf-8", errors="replace") as lines:
        return next((line.strip() for line in lines if line.strip()), "no word")


def fping_version() -> str:
    said = subprocess.run(["fping", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]
