"""Follows a JSON log as a user's script would, and prints how long after its packet each reply's line could be read.

The delay is the wall clock right after the read that brought the line, less the line's `ts`, which is the kernel's arrival
stamp. The file is polled at 0.1 ms or so, which is what the figures overstate.
"""

import argparse
import datetime
import json
import os
import sys
import time

POLL_S = 0.0001
WAIT_FOR_FILE_S = 20
CHUNK_BYTES = 1 << 20


def open_when_there(path: str) -> int:
    deadline = time.monotonic() + WAIT_FOR_FILE_S
    while True:
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL_S)


def read_for(fd: int, seconds: float) -> list[tuple[int, bytes]]:
    """Reads only, and leaves all parsing for later: the follower must not be what it measures."""
    chunks = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        chunk = os.read(fd, CHUNK_BYTES)
        if chunk:
            chunks.append((time.time_ns(), chunk))
        else:
            time.sleep(POLL_S)
    return chunks


def delays_ms(chunks: list[tuple[int, bytes]]) -> list[float]:
    delays = []
    rest = b""
    for read_ns, chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            record = json.loads(line)
            if record["outcome"] == "reply":
                arrived = datetime.datetime.fromisoformat(record["ts"].replace("Z", "+00:00"))
                delays.append(read_ns / 1e6 - arrived.timestamp() * 1e3)
    return sorted(delays)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("seconds", type=float)
    parser.add_argument("ready", help="a file to make as soon as it looks")
    options = parser.parse_args()
    open(options.ready, "w").close()
    try:
        fd = open_when_there(options.file)
    except FileNotFoundError:
        print("lines=0")
        return 1
    delays = delays_ms(read_for(fd, options.seconds))
    if not delays:
        print("lines=0")
        return 1

    def quantile(q: float) -> float:
        return delays[min(len(delays) - 1, int(q * len(delays)))]

    print(f"lines={len(delays)} p50_ms={quantile(0.5):.3f} p99_ms={quantile(0.99):.3f} max_ms={delays[-1]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
