"""Runs one command to its end and prints what it cost: exit status, CPU seconds, peak memory, elapsed seconds.

CPU is user plus system time of that process alone (wait4(2)). Peak memory is VmHWM read from /proc while it runs, because
the figure of wait4(2) starts at the size of the process that called exec.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

SAMPLE_S = 0.1
# A daemon that is told to stop has this long before it is killed and reported as such.
STOP_DEADLINE_S = 30


def peak_rss_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stop-after", type=float, help="send SIGTERM after this many seconds")
    parser.add_argument("--out", required=True, help="file for stdout")
    parser.add_argument("--err", required=True, help="file for stderr")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    with open(options.out, "wb") as out, open(options.err, "wb") as err:
        start = time.monotonic()
        process = subprocess.Popen(options.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    stop_at = start + options.stop_after if options.stop_after else float("inf")
    kill_at = stop_at + STOP_DEADLINE_S
    rss_kib = 0
    while True:
        rss_kib = max(rss_kib, peak_rss_kib(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        now = time.monotonic()
        if pid:
            break
        if now >= kill_at:
            process.send_signal(signal.SIGKILL)
        elif now >= stop_at:
            process.send_signal(signal.SIGTERM)
            stop_at = float("inf")
        time.sleep(min(SAMPLE_S, max(0.0, stop_at - now)))
    process.returncode = os.waitstatus_to_exitcode(status)
    print(
        f"status={process.returncode} cpu_s={usage.ru_utime + usage.ru_stime:.3f} "
        f"rss_kib={rss_kib} wall_s={now - start:.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
