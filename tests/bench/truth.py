"""What really happened on the network, from those who do not ping: the kernel's counters, the journal of the simulated network, a
capture. None of them asks the tool under measurement."""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

READY_S = 20
CLONE_NEWNET = 0x40000000
# Packets of a tenth of a second at 100,000 probes a second, and much more: dropped ones would have no truth.
CAPTURE_BUFFER_KIB = 262_144
# IPv4 header without options and ICMP header, behind an Ethernet header.
SNAP_BYTES = 64
PCAP_HEADER = struct.Struct("<IHHiIII")
PACKET_HEADER = struct.Struct("<IIII")
PCAP_NANOSECONDS = 0xA1B23C4D
# How many bytes precede the IP header, by link type: Ethernet (loopback is one, too) and bare IP.
LINK_HEADER_BYTES = {1: 14, 101: 0, 12: 0}
ECHO_REPLY = 0
ECHO_REQUEST = 8


@dataclass(frozen=True)
class Echoes:
    """What the kernel of this network namespace counted: echo requests sent by anybody, and echo replies that reached it."""

    requests: int
    replies: int

    @staticmethod
    def now() -> "Echoes":
        lines = [line.split() for line in Path("/proc/self/net/snmp").read_text(encoding="ascii").splitlines()]
        names, values = [line[1:] for line in lines if line[0] == "IcmpMsg:"] or [[], []]
        counts = dict(zip(names, map(int, values)))
        return Echoes(counts.get("OutType8", 0), counts.get("InType0", 0))

    def since(self, earlier: "Echoes") -> "Echoes":
        return Echoes(self.requests - earlier.requests, self.replies - earlier.replies)


@dataclass
class Probe:
    """One echo request on the network. `number` counts those to its address from 1; `sequence` is the one on the wire."""

    address: str
    sequence: int
    number: int
    sent_ns: int
    answered_ns: int | None = None

    def rtt_ns(self) -> int | None:
        return None if self.answered_ns is None else self.answered_ns - self.sent_ns


@dataclass
class _Probes:
    """Collects probes; a request is known by its address, its identifier and its number, until the number comes round again."""

    all: list[Probe] = field(default_factory=list)
    _open: dict[tuple[str, int, int], Probe] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def request(self, address: str, ident: int, sequence: int, at_ns: int) -> None:
        number = self._counts.get(address, 0) + 1
        self._counts[address] = number
        probe = Probe(address, sequence, number, at_ns)
        self._open[address, ident, sequence] = probe
        self.all.append(probe)

    def reply(self, address: str, ident: int, sequence: int, at_ns: int) -> None:
        probe = self._open.get((address, ident, sequence))
        if probe and probe.answered_ns is None:
            probe.answered_ns = at_ns


class Simnet:
    """The simulated network of tests/simnet, in this process's network namespace."""

    def __init__(self, program: str, script: str, place: Path) -> None:
        self.journal = place / "journal"
        self.journal.unlink(missing_ok=True)
        (place / "simnet.toml").write_text(script, encoding="ascii")
        self._err = place / "simnet.err"
        command = [program, "--script", str(place / "simnet.toml"), "--journal", str(self.journal)]
        with open(self._err, "wb") as stderr:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)

    def wait_until_ready(self) -> None:
        readable, _, _ = select.select([self._process.stdout], [], [], READY_S)
        if not readable or self._process.stdout.readline().strip() != b"ready":
            raise RuntimeError("the simulated network did not start: " + self._err.read_text(errors="replace").strip())

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=READY_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def probes(self) -> list[Probe]:
        """What the journal says. Duplicates, forged and damaged answers and errors are no answers."""
        probes = _Probes()
        whole = False
        with open(self.journal, encoding="ascii") as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "request":
                    probes.request(event["dst"], event["ident"], event["seq"], event["at"])
                elif event["event"] == "answer" and event["kind"] == "reply":
                    probes.reply(event["dst"], event["ident"], event["seq"], event["at"])
                whole = event["event"] == "end"
        if not whole:
            raise RuntimeError("the journal of the simulated network is not whole")
        return probes.all


@contextmanager
def simnet(program: str, script: str, place: Path) -> Iterator[Simnet]:
    network = Simnet(program, script, place)
    try:
        network.wait_until_ready()
        yield network
    finally:
        network.stop()


class Capture:
    """What tcpdump sees on one interface, with the kernel's stamps in nanoseconds.

    On loopback libpcap shows each packet once, as it comes out of the device; elsewhere as it enters or leaves it.
    """

    def __init__(self, interface: str, place: Path) -> None:
        self._file = place / "capture.pcap"
        self._err = place / "tcpdump.err"
        command = ["tcpdump", "-i", interface, "-n", "-Z", "root", "-s", str(SNAP_BYTES), "-B", str(CAPTURE_BUFFER_KIB)]
        command += ["--time-stamp-precision=nano", "-w", str(self._file), "icmp"]
        with open(self._err, "wb") as stderr:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while b"listening on" not in self._err.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("tcpdump did not start: " + self._err.read_text(errors="replace").strip())
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(READY_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def probes(self) -> list[Probe]:
        data = self._file.read_bytes()
        magic, *_, link_type = PCAP_HEADER.unpack_from(data)
        if magic != PCAP_NANOSECONDS:
            raise RuntimeError("not a capture with nanoseconds")
        ip_at = LINK_HEADER_BYTES[link_type]
        probes = _Probes()
        offset = PCAP_HEADER.size
        while offset + PACKET_HEADER.size <= len(data):
            seconds, nanoseconds, length, _ = PACKET_HEADER.unpack_from(data, offset)
            offset += PACKET_HEADER.size
            packet = data[offset + ip_at : offset + length]
            offset += length
            _sort(packet, seconds * 1_000_000_000 + nanoseconds, probes)
        return probes.all


def _sort(packet: bytes, at_ns: int, probes: _Probes) -> None:
    icmp_at = (packet[0] & 0x0F) * 4
    if len(packet) < icmp_at + 8:
        return
    kind = packet[icmp_at]
    ident, sequence = struct.unpack_from(">HH", packet, icmp_at + 4)
    if kind == ECHO_REQUEST:
        probes.request(socket.inet_ntoa(packet[16:20]), ident, sequence, at_ns)
    elif kind == ECHO_REPLY:
        probes.reply(socket.inet_ntoa(packet[12:16]), ident, sequence, at_ns)


@contextmanager
def capture(interface: str, place: Path) -> Iterator[Capture]:
    capturing = Capture(interface, place)
    try:
        capturing.wait_until_ready()
        yield capturing
        # What has just been seen is still on its way to the file.
        time.sleep(0.2)
    finally:
        capturing.stop()


def allow_datagram_sockets(allowed: bool) -> None:
    """For this network namespace only; by default nobody may."""
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647" if allowed else "1 0", encoding="ascii")


def enter_network_namespace() -> None:
    """A namespace that goes with this process and those it starts, with nothing in it but loopback."""
    # os.unshare came with Python 3.12 only.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
