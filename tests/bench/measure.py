"""Runs one program to its end, or until it is told to stop, and says what it cost.

CPU is user plus system time of that process alone (wait4(2)). Peak memory is VmHWM read from /proc while it runs, because
the figure of wait4(2) starts at the size of the process that called exec.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.1
# What a watcher sees it sees this late at most.
WATCH_S = 0.01
# A program that is told to stop has this long before it is killed and reported as such.
STOP_DEADLINE_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Called with the process number every now and then; true says that the program has to stop.
Watch = Callable[[int], bool]


@dataclass(frozen=True)
class Cost:
    status: int
    cpu_s: float
    rss_kib: int
    wall_s: float
    # It went on for too long and was killed.
    given_up: bool


def cpu_so_far_s(pid: int) -> float:
    """User plus system time of a running process."""
    # The second field is the command's name in parentheses, which may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_rss_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def run(
    command: list[str],
    out: Path,
    err: Path,
    *,
    environment: dict[str, str] | None = None,
    stop_after: float = float("inf"),
    give_up_after: float,
    watches: list[Watch] | None = None,
) -> Cost:
    """Runs `command`; SIGTERM after `stop_after` seconds or when a watcher says so, SIGKILL if it goes on for too long."""
    start = time.monotonic()
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=os.environ | (environment or {}),
        )
    try:
        return _wait(process, start, stop_after, give_up_after, watches or [])
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, start: float, stop_after: float, give_up_after: float, watches: list[Watch]) -> Cost:
    stop_at = start + stop_after
    kill_at = start + give_up_after
    rss_kib = 0
    sampled = 0.0
    given_up = False
    while True:
        now = time.monotonic()
        if now >= sampled + SAMPLE_S:
            sampled = now
            rss_kib = max(rss_kib, peak_rss_kib(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if now >= kill_at:
            given_up = True
            process.send_signal(signal.SIGKILL)
        elif now >= stop_at or any([watch(process.pid) for watch in watches]):
            rss_kib = max(rss_kib, peak_rss_kib(process.pid))
            process.send_signal(signal.SIGTERM)
            stop_at = float("inf")
            kill_at = time.monotonic() + STOP_DEADLINE_S
            watches = []
        time.sleep(min(WATCH_S if watches else SAMPLE_S, max(0.0, stop_at - time.monotonic())))
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(process.returncode, usage.ru_utime + usage.ru_stime, rss_kib, now - start, given_up)
