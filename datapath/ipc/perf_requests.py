"""What a worker's iterations cost: a part of Dpif."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from datapath.ipc.connection import Connection

_ROW = struct.Struct("=8Q")

KEPT = 1000  # rows of each history


class PerfRow(NamedTuple):
    """perf_row in worker/perf.pxd."""

    at: int
    iterations: int
    cycles: int
    packet_cycles: int
    packets: int
    batches: int
    upcalls: int
    upcall_cycles: int


class LogSettings(NamedTuple):
    """Which iterations are logged: `before` and `after` one of more than `us`; with `extend` more
    where another one comes among these.  `queue`: packets in a queue of vhost-user, which nobody
    has here."""

    on: bool = False
    before: int = 5
    after: int = 5
    extend: bool = False
    us: int = 250
    queue: int = 128


def rows_of(data: bytes) -> list[PerfRow]:
    return [PerfRow(*row) for row in _ROW.iter_unpack(data)]


class Measured(NamedTuple):
    """Rows with the newest first.  `bins` of each histogram, and the greatest value of each bin but
    the last, `walls`."""

    total: PerfRow
    iterations: list[PerfRow]
    ms: list[PerfRow]
    bins: list[list[int]]
    walls: list[list[int]]


class PerfRequests(Connection):
    def perf_set(self, wanted: bool) -> None:
        """Whether workers keep what single iterations cost."""
        self._request("perf_set", wanted=wanted)

    def perf_get(self, worker: int, iterations: int, ms: int) -> Measured | None:
        """Of a worker, with so many of its last iterations and milliseconds at most; None where it
        does not measure them."""
        body, data = self._request("perf_get", worker=worker, iterations=iterations, ms=ms)
        if body["bins"] is None:
            return None
        rows = rows_of(bytes(data))
        behind = 1 + body["iterations"]
        return Measured(rows[0], rows[1:behind], rows[behind:], body["bins"], body["walls"])

    def perf_clear(self, workers: Iterable[int]) -> None:
        """Have these begin anew."""
        self._request("perf_clear", workers=list(workers))

    def perf_log_set(self, **given: int) -> LogSettings:
        """What is given of LogSettings; the others stay.  What there is now."""
        body, _ = self._request("perf_log_set", given=given)
        return LogSettings(**body)
