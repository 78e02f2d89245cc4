"""The benchmark: pingtest beside its rivals on the same work in the same run; Markdown on standard output.

Nothing outside a temporary directory and a network namespace of this process is touched, and only loopback and simulated addresses
are probed. Absolute figures differ between machines: compare the ratios.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import tools
import truth
from accuracy import Errors, Truth
from tools import Report, Tool, Work

HELP = """\
modes:
  all                 cost, accuracy, simnet and limit in two tables, a quarter of an hour or more (default)
  cost [SECONDS]      CPU per ping, memory and false loss, on loopback (10 s for each tool)
  accuracy [SECONDS]  round-trip times as told against a packet capture, on loopback (4 s)
  simnet [SECONDS]    cost and accuracy on the simulated network of tests/simnet (10 s)
  limit [SECONDS]     the rate at which each begins to lose, on loopback (8 s for each step)
  latency [SECONDS]   from a reply's arrival to its line readable in pingtest's file (10 s)

Needs root and python3. PINGTEST=FILE measures that binary instead of building one."""

DEFAULT_SECONDS = {"all": 10, "cost": 10, "accuracy": 4, "simnet": 10, "limit": 8, "latency": 10}
BARE_LOOP = "bare loop, wakes each 5 ms"
LOOPBACK = "127.1.0.0"
SIMULATED = "10.1.0.0"
TIMEOUT_NS = tools.TIMEOUT_S * 1_000_000_000

# What may go wrong with a program under measurement or one that measures.
FAILURES = (OSError, RuntimeError, ValueError, subprocess.SubprocessError)

FAR_AWAY = """
[[net]]
prefix = "10.1.0.0/16"
delay = "20ms"
"""
WEATHER = """
seed = 7
[[net]]
prefix = "10.1.0.0/16"
delay = { uniform = ["10ms", "30ms"] }
loss = 0.05
reorder = { probability = 0.05, by = "15ms" }
duplicate = { probability = 0.02, copies = 1, after = "1ms" }
"""


@dataclass(frozen=True)
class Scenario:
    name: str
    work: Work
    # None: loopback.
    script: str | None = None
    # Only those can do it at all.
    only: tuple[str, ...] | None = None
    # Whether round-trip times are compared with a capture: weather changes nothing in how they are taken.
    compared: bool = True


def on_loopback(seconds: int) -> list[Scenario]:
    def scenario(targets: int, rate: int, only: tuple[str, ...] | None = None) -> Scenario:
        return Scenario(f"{targets:,} × {rate}/s", Work(LOOPBACK, targets, rate, seconds), only=only)

    few = (BARE_LOOP, "pingtest")
    return [scenario(1_000, 1), scenario(10_000, 1), scenario(5_000, 10), scenario(10_000, 10, only=few)]


def on_simnet(seconds: int) -> list[Scenario]:
    def scenario(targets: int, name: str, script: str, compared: bool = True) -> Scenario:
        work = Work(SIMULATED, targets, 1, seconds)
        return Scenario(f"{targets:,} × 1/s, {name}", work, script, compared=compared)

    return [
        scenario(1_000, "20 ms", FAR_AWAY),
        scenario(10_000, "20 ms", FAR_AWAY),
        scenario(1_000, "weather", WEATHER, compared=False),
    ]


class Bench:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.left_out: list[str] = []
        self.pingtest = ""
        self.simnet = ""
        self.tools: list[Tool] = []
        # At how many pings a second, by name.
        self.broke_down: dict[str, int] = {}

    def prepare(self, mode: str) -> None:
        """Installs and builds; the only part with a network."""
        if mode in ("all", "simnet"):
            self.simnet = build("--example", "simnet")["simnet"]
        if mode != "latency":
            install({"tcpdump": "tcpdump", "fping": "fping"})
            if not shutil.which("tcpdump"):
                self.left_out.append("errors of round-trip times: tcpdump is not installed, and this is not Debian")
            self.tools = self.rivals()
        # Last and by itself: what is built for tests and benches has the features of their dependencies.
        self.pingtest = os.environ.get("PINGTEST") or build("--bin", "pingtest")["pingtest"]
        self.tools.append(tools.Pingtest("pingtest", self.pingtest))

    def rivals(self) -> list[Tool]:
        built = build("--bench", "bare_loop", "--bench", "surge_tasks")
        rivals: list[Tool] = [tools.BareLoop(BARE_LOOP, built["bare_loop"])]
        if shutil.which("fping"):
            name = "fping " + tools.fping_version()
            rivals += [tools.Fping(name + ", bursts"), tools.Fping(name + ", spread", spread=True)]
        else:
            self.left_out.append("fping: not installed, and this is not Debian")
        rivals.append(tools.SurgeTasks(f"surge-ping {version_of('surge-ping')}, task per target", built["surge_tasks"]))
        prober = smokeping_prober(self.place)
        if prober:
            program, version = prober
            rivals.append(tools.SmokepingProber(f"smokeping_prober {version}, raw", program))
            rivals.append(tools.SmokepingProber(f"smokeping_prober {version}, datagram", program, datagram=True))
        else:
            self.left_out.append("smokeping_prober: neither installed nor to be had from apt-get")
        return rivals

    def rivals_of(self, scenario: Scenario) -> list[Tool]:
        return [tool for tool in self.tools if scenario.only is None or tool.name in scenario.only]

    @contextmanager
    def place_for(self, tool: Tool) -> Iterator[Path]:
        truth.allow_datagram_sockets(tool.datagram)
        place = Path(tempfile.mkdtemp(dir=self.place))
        try:
            yield place
        finally:
            shutil.rmtree(place)

    def network(self, scenario: Scenario, place: Path) -> AbstractContextManager[truth.Simnet | None]:
        return truth.simnet(self.simnet, scenario.script, place) if scenario.script else nullcontext()

    def cost(self, tool: Tool, scenario: Scenario) -> tuple[Report, int]:
        """What the tool cost, and how many answered probes it lost."""
        with self.place_for(tool) as place:
            with self.network(scenario, place) as network:
                report = tool.run(scenario.work, place)
            if network is None:
                return report, loopback_losses(report)
            lost = Truth(network.probes()).false_losses(report, tool.replies(place), tool.not_measured(place), TIMEOUT_NS)
            return report, lost

    def errors(self, tool: Tool, scenario: Scenario) -> Errors | None:
        work = replace(scenario.work, exact=True)
        with self.place_for(tool) as place:
            with self.network(scenario, place):
                with truth.capture("sim0" if scenario.script else "lo", place) as capture:
                    report = tool.run(work, place)
            seen = Truth(capture.probes())
            return seen.error_of_mean(report) if report.window_ns else seen.errors(tool.replies(place))

    def table(self, scenarios: list[Scenario], *, costs: bool, accuracy_seconds: int | None) -> None:
        """A row for each tool and scenario, then how pingtest compares."""
        row("tool", "targets × rate", "answered", "false loss", "CPU µs per ping", "RSS MiB", "mean error µs", "p99 error µs")
        row("---", "---", "---:", "---:", "---:", "---:", "---:", "---:")
        ratios = []
        for scenario in scenarios:
            cpu = {}
            for tool in self.rivals_of(scenario):
                if scenario.work.per_second() > self.broke_down.get(tool.name, scenario.work.per_second()):
                    row(tool.name, scenario.name, "not tried: broke down at less", *["—"] * 5)
                    continue
                try:
                    cells, its_cpu = self.measured(tool, scenario, costs=costs, accuracy_seconds=accuracy_seconds)
                except FAILURES:
                    # One failure must not take a quarter of an hour with it.
                    traceback.print_exc()
                    cells, its_cpu = ["the benchmark itself failed here", *["—"] * 5], None
                row(tool.name, scenario.name, *cells)
                if its_cpu is not None:
                    cpu[tool.name] = its_cpu
            ratios += ratio_line(scenario, cpu)
        print()
        print(f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}, {os.cpu_count()} processors.")
        print()
        for line in ratios:
            print(f"- {line}")
        if ratios:
            print(flush=True)

    def measured(
        self, tool: Tool, scenario: Scenario, *, costs: bool, accuracy_seconds: int | None
    ) -> tuple[list[str], float | None]:
        """The cells of the tool's row, and its CPU seconds per ping where they mean something."""
        cells, its_cpu, sound, errors = ["—"] * 4, None, True, None
        if costs:
            report, lost = self.cost(tool, scenario)
            cells, sound = cost_cells(scenario.work, report, lost), self.is_sound(tool, scenario, report, lost)
            its_cpu = report.cpu_s / report.answered if sound else None
        if sound and accuracy_seconds and scenario.compared and shutil.which("tcpdump"):
            errors = self.errors(tool, shortened(scenario, accuracy_seconds))
            if errors is None:
                self.broke_down.setdefault(tool.name, scenario.work.per_second())
        return cells + error_cells(errors), its_cpu

    def is_sound(self, tool: Tool, scenario: Scenario, report: Report, lost: int) -> bool:
        """Whether its figures mean something. What loses half of a work is not tried on more."""
        part = lost / max(1, report.echoes.replies)
        if report.broken or part > 0.5:
            self.broke_down.setdefault(tool.name, scenario.work.per_second())
        return report.answered > 0 and not report.broken and part <= 0.1

    def limit(self, seconds: int) -> None:
        print("| tool | holds, pings/s | first that it does not hold | what happened there |")
        print("| --- | ---: | ---: | --- |", flush=True)
        # fping with pauses falls behind at any rate, for a pause takes longer than told: bursts show what it can do.
        for tool in [tool for tool in self.tools if not getattr(tool, "spread", False)]:
            held, failed, why = 0, None, "—"
            for work in steps(seconds):
                fault = self.fault(tool, work)
                if fault:
                    failed, why = work.per_second(), fault
                    break
                held = work.per_second()
            cells = (f"{held:,}" if held else "none of these", f"{failed:,}" if failed else "none of these", why)
            print(f"| {tool.name} | {' | '.join(cells)} |", flush=True)
        print()

    def fault(self, tool: Tool, work: Work) -> str | None:
        """What keeps the tool from doing this work; `None` if it does it."""
        pace = Pace(work.seconds)
        with self.place_for(tool) as place:
            report = tool.run(work, place, [pace])
        expected = work.per_second() * pace.window_s
        lost = loopback_losses(report)
        sent = report.echoes.requests or 1
        if report.note:
            return report.note
        if pace.sent is None:
            return "it ended early"
        if lost > 0.001 * sent:
            return f"false loss of {share(lost, sent)}"
        if pace.sent < 0.99 * expected:
            return f"sends only {share(pace.sent, expected)} of what it should"
        if report.not_measured > 0.01 * sent:
            return f"leaves {share(report.not_measured, sent)} unmeasured"
        return None

    def latency(self, seconds: int) -> None:
        print("| replies | lines read | p50 ms | p99 ms | max ms |")
        print("| ---: | ---: | ---: | ---: | ---: |", flush=True)
        for targets in (100, 10_000):
            tool = tools.Pingtest("pingtest", self.pingtest)
            with self.place_for(tool) as place:
                said = follow(tool, Work(LOOPBACK, targets, 1, seconds + 1, exact=True), seconds, place)
            lines = int(said["lines"])
            delays = [said.get(name, "—") for name in ("p50_ms", "p99_ms", "max_ms")]
            row(f"{targets:,}/s", f"{lines:,}" if lines else "no reply in the log", *delays)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """With the exit code of pingtest itself for wrong usage."""
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


class Pace:
    """Watches how many probes are sent in a window of whole seconds, after everything has settled."""

    SETTLED_S = 1.5

    def __init__(self, seconds: int) -> None:
        # A tool whose bursts come once a second is done with its last one almost a second early.
        self.window_s = max(1, seconds - 3)
        self.sent: int | None = None
        self._before = requests_so_far()
        self._first: float | None = None
        self._begin: int | None = None

    def __call__(self, _pid: int) -> bool:
        now = time.monotonic()
        if self._first is None:
            if requests_so_far() > self._before:
                self._first = now
        elif self._begin is None:
            if now >= self._first + self.SETTLED_S:
                self._begin = requests_so_far()
        elif self.sent is None and now >= self._first + self.SETTLED_S + self.window_s:
            self.sent = requests_so_far() - self._begin
        return False


def loopback_losses(report: Report) -> int:
    """On loopback every probe is answered at once, so that the kernel's own count is the truth."""
    lost = report.echoes.replies - report.reported
    return lost if lost > report.skew else 0


def requests_so_far() -> int:
    return truth.Echoes.now().requests


def steps(seconds: int) -> Iterator[Work]:
    """1,000 targets ever more often, as far as that goes: 100/s is pingtest's bound for one target. Then more targets."""
    for per_second in (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000):
        rate = min(100, per_second // 1_000)
        yield Work(LOOPBACK, per_second // rate, rate, seconds)


def follow(tool: Tool, work: Work, seconds: int, place: Path) -> dict[str, str]:
    """The follower is there before there is anything to follow: a line written before it looks would count as slow."""
    log, ready = place / "log" / "pingtest.log", place / "ready"
    command = [sys.executable, "tests/bench/follow.py", str(log), str(seconds), str(ready)]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        while not ready.exists():
            time.sleep(0.01)
        tool.run(work, place)
        said, _ = follower.communicate(timeout=30)
    finally:
        if follower.poll() is None:
            follower.kill()
            follower.wait()
    return dict(pair.split("=") for pair in said.split())


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %"


def cost_cells(work: Work, report: Report, lost: int) -> list[str]:
    answered = f"{report.answered:,}"
    planned = work.per_second() * work.seconds
    if report.note:
        answered += f", {report.note}"
    elif report.echoes.requests < 0.95 * planned:
        answered += f"; sent only {share(report.echoes.requests, planned)}"
    if report.not_measured:
        answered += f"; {report.not_measured:,} not measured"
    false_loss = f"{lost:,} ({share(lost, report.echoes.replies)})" if lost and report.echoes.replies else f"{lost:,}"
    if report.broken:
        false_loss = "—"
    cpu = f"{report.cpu_s * 1e6 / report.answered:.1f}" if report.answered else "—"
    return [answered, false_loss, cpu, f"{report.cost.rss_kib / 1024:.1f}"]


def error_cells(errors: Errors | None) -> list[str]:
    if errors is None:
        return ["—", "—"]
    p99 = "—" if errors.p99_ns is None else f"{errors.p99_ns / 1e3:.1f}"
    return [("≥ " if errors.at_least else "") + f"{errors.mean_ns / 1e3:.1f}", p99]


def shortened(scenario: Scenario, seconds: int) -> Scenario:
    return replace(scenario, work=replace(scenario.work, seconds=seconds))


def ratio_line(scenario: Scenario, cpu: dict[str, float]) -> list[str]:
    """How pingtest's CPU per ping compares with that of the rivals whose figure means something."""
    mine = cpu.pop("pingtest", None)
    if mine is None or not cpu:
        return []
    return [f"{scenario.name}: pingtest costs " + ", ".join(f"{mine / its:.2f} × {name}" for name, its in cpu.items())]


def build(*what: str) -> dict[str, str]:
    """Builds with cargo and returns the programs by name."""
    command = ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics", *what]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    artifacts = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    return {artifact["target"]["name"]: artifact["executable"] for artifact in artifacts if artifact.get("executable")}


def version_of(package: str) -> str:
    lock = tomllib.loads(Path("Cargo.lock").read_text(encoding="utf-8"))
    return next(entry["version"] for entry in lock["package"] if entry["name"] == package)


def install(commands: dict[str, str]) -> None:
    """Debian's packages for the commands that are missing; without apt-get, what is missing will be named."""
    missing = [package for command, package in commands.items() if not shutil.which(command)]
    if missing and shutil.which("apt-get"):
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": sys.stderr}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=False, **quiet)


def smokeping_prober(place: Path) -> tuple[str, str] | None:
    """The program and its version. Debian's package is only unpacked: installed, it would start as a service."""
    name = "prometheus-smokeping-prober"
    program = shutil.which(name)
    if program is None and shutil.which("apt-get"):
        # The user that apt-get loads as must be able to write there.
        unpacked = place / "smokeping"
        unpacked.mkdir()
        options = ["-o", "APT::Sandbox::User=root", "-qq"]
        for before in ([], ["apt-get", "update", "-qq"]):
            if before:
                subprocess.run(before, stdout=sys.stderr, check=False)
            download = ["apt-get", *options, "download", name]
            if subprocess.run(download, cwd=unpacked, stdout=sys.stderr, check=False).returncode == 0:
                break
        for package in unpacked.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
            program = str(unpacked / "usr" / "bin" / name)
    if program is None:
        return None
    said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    return program, said.split("version ")[1].split()[0]


def everything(bench: Bench, seconds: int) -> None:
    bench.table(on_loopback(seconds) + on_simnet(seconds), costs=True, accuracy_seconds=DEFAULT_SECONDS["accuracy"])
    bench.limit(DEFAULT_SECONDS["limit"])


MODES: dict[str, Callable[[Bench, int], None]] = {
    "all": everything,
    "cost": lambda bench, seconds: bench.table(on_loopback(seconds), costs=True, accuracy_seconds=None),
    "accuracy": lambda bench, seconds: bench.table(on_loopback(seconds), costs=False, accuracy_seconds=seconds),
    "simnet": lambda bench, seconds: bench.table(
        on_simnet(seconds), costs=True, accuracy_seconds=min(seconds, DEFAULT_SECONDS["accuracy"])
    ),
    "limit": Bench.limit,
    "latency": Bench.latency,
}


def main() -> int:
    parser = Parser(
        prog="tests/bench/run",
        description=__doc__.splitlines()[0],
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mode", nargs="?", choices=list(MODES), default="all", metavar="MODE")
    parser.add_argument("seconds", nargs="?", type=int, metavar="SECONDS")
    options = parser.parse_args()
    seconds = options.seconds or DEFAULT_SECONDS[options.mode]
    if seconds < 4:
        parser.error("SECONDS must be at least 4")
    if os.geteuid() != 0:
        print("needs root: raw sockets, a network namespace, and fping's -i 0", file=sys.stderr)
        return 77

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="pingtest-bench-") as place:
        bench = Bench(Path(place))
        bench.prepare(options.mode)
        install({"ip": "iproute2"})
        truth.enter_network_namespace()
        MODES[options.mode](bench, seconds)
        for what in bench.left_out:
            print(f"Left out: {what}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
