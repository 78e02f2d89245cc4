"""Holds what a tool believes of its probes against what was seen on the network."""

from collections.abc import Iterable
from dataclasses import dataclass

from tools import Reply, Report
from truth import Probe


@dataclass(frozen=True)
class Errors:
    """How far the tool's round-trip times are from the true ones. `compared` replies were both reported and seen."""

    compared: int
    mean_ns: float
    p99_ns: float | None
    # The mean of a tool that tells no single reply: errors of both signs cancel in it.
    at_least: bool = False


class Truth:
    def __init__(self, probes: list[Probe]) -> None:
        self._probes = probes
        self._by_sequence = {(probe.address, probe.sequence): probe for probe in probes}
        self._by_number = {(probe.address, probe.number): probe for probe in probes}

    def of(self, reply: Reply) -> Probe | None:
        if reply.number is not None:
            return self._by_number.get((reply.address, reply.number))
        return self._by_sequence.get((reply.address, reply.sequence))

    def errors(self, replies: Iterable[Reply]) -> Errors | None:
        pairs = ((reply.rtt_ns, self.of(reply)) for reply in replies)
        found = sorted(abs(rtt_ns - probe.rtt_ns()) for rtt_ns, probe in pairs if probe and probe.rtt_ns() is not None)
        if not found:
            return None
        return Errors(len(found), sum(found) / len(found), found[min(len(found) - 1, int(0.99 * len(found)))])

    def error_of_mean(self, report: Report) -> Errors | None:
        """For a tool that tells its mean only."""
        if report.mean_ns is None:
            return None
        begin, end = report.window_ns
        found = [probe.rtt_ns() for probe in self._probes if probe.answered_ns and begin <= probe.answered_ns <= end]
        if not found:
            return None
        return Errors(len(found), abs(report.mean_ns - sum(found) / len(found)), None, at_least=True)

    def lost_within(self, timeout_ns: int, window_ns: tuple[int, int]) -> int:
        """Probes sent in that time that were not answered in theirs."""
        begin, end = window_ns
        return sum(1 for probe in self._probes if begin <= probe.sent_ns <= end and not in_time(probe, timeout_ns))

    def false_losses(self, report: Report, replies: Iterable[Reply], excused: Iterable[tuple[str, int]], timeout_ns: int) -> int:
        """Probes answered in time that the tool does not report as answered, nor says that it did not measure them."""
        if report.broken:
            return 0
        if report.unanswered is not None:
            lost = report.unanswered - self.lost_within(timeout_ns, report.window_ns)
            return lost if lost > report.skew else 0
        missing = {id(probe) for probe in self._probes if in_time(probe, timeout_ns)}
        missing.difference_update(id(self.of(reply)) for reply in replies)
        missing.difference_update(id(self._by_sequence.get(key)) for key in excused)
        return len(missing)


def in_time(probe: Probe, timeout_ns: int) -> bool:
    rtt_ns = probe.rtt_ns()
    return rtt_ns is not None and rtt_ns <= timeout_ns
