"""What single iterations of a worker cost: histograms, and the last of them.

An iteration is a round of the worker's loop without the sleep behind it.  There is a `perf` only
where somebody asked for it; the worker writes it, and copies it out by a command.
"""

import math
import struct

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from datapath.base.atomic cimport load32, store32
from datapath.base.cycles cimport cycles
from datapath.worker.perf cimport *

perf_row_layout = struct.Struct("=8Q")

# Least and greatest value of the bins but the last, and whether they are logarithmic.
RANGES = (
    (500, 24_000_000, True),
    (0, 1000, True),
    (100, 30_000, False),
    (0, 32, False),
    (0, 512, True),
    (0, 30, False),
    (1000, 1_000_000, True),
)


def _walls(least, most, logarithmic):
    """The greatest value of each bin but the last, which has no end."""
    n = PERF_BINS - 1
    if not logarithmic:
        return [least + (most - least) * i // (n - 1) for i in range(n)]
    found = [] if least else [0]
    low, high = math.log(least or 1), math.log(most)
    steps = n - len(found)
    for i in range(steps):
        before = found[len(found) - 1] if found else 0
        found.append(max(before + 1, int(math.exp(low + i * (high - low) / (steps - 1)))))
    found[n - 1] = most
    return found


WALLS = [_walls(*each) for each in RANGES]

cdef uint64_t walls[METRICS][PERF_BINS - 1]
for _metric, _values in enumerate(WALLS):
    for _bin, _value in enumerate(_values):
        walls[_metric][_bin] = _value


cdef void perf_clear(perf *p) noexcept nogil:
    """But for a report, which may be the control thread's."""
    cdef uint64_t per_ms = p.per_ms
    cdef perf_log log = p.log
    memset(p, 0, sizeof(perf) - sizeof(perf_report))
    p.per_ms, p.log = per_ms, log


cdef inline void count(perf *p, uint32_t which, uint64_t value) noexcept nogil:
    """By bisection: the last bin has what is above all walls."""
    cdef uint32_t low = 0, high = PERF_BINS - 1, middle
    while low < high:
        middle = (low + high) // 2
        if value <= walls[which][middle]:
            high = middle
        else:
            low = middle + 1
    p.bins[which][low] += 1


cdef inline void add(perf_row *to, const perf_row *row) noexcept nogil:
    to.iterations += 1
    to.cycles += row.cycles
    to.packet_cycles += row.packet_cycles
    to.packets += row.packets
    to.batches += row.batches
    to.upcalls += row.upcalls
    to.upcall_cycles += row.upcall_cycles


cdef perf_row *this_ms(perf *p, uint64_t now) noexcept nogil:
    """The row of the millisecond; one that had no iterations has none."""
    cdef perf_row *row = &p.ms[p.n_ms % PERF_KEPT]
    if row.at == 0 or now - row.at >= p.per_ms:
        if row.at:
            p.n_ms += 1
            row = &p.ms[p.n_ms % PERF_KEPT]
        memset(row, 0, sizeof(perf_row))
        row.at = now
    return row


cdef void watch(perf *p, const perf_row *row) noexcept nogil:
    """A range begins, or goes on, with an iteration that is suspicious.  While the last report was
    not taken none begins."""
    cdef perf_report *report = &p.report
    if p.last == 0:
        if load32(&report.ready):
            return
        report.n_suspects = 0
        p.first = row.at - min(<uint64_t> p.log.before, row.at - 1)
    elif not p.log.extend or report.n_suspects == PERF_SUSPECTS:
        return
    report.suspects[report.n_suspects] = row[0]
    report.n_suspects += 1
    p.last = min(row.at + p.log.after, p.first + PERF_KEPT - 1)


cdef bint give_report(perf *p) noexcept nogil:
    cdef perf_report *report = &p.report
    cdef uint32_t n
    report.n_rows = <uint32_t> (p.n_iterations + 1 - p.first)
    for n in range(report.n_rows):
        report.rows[n] = p.iterations[(p.n_iterations - 1 - n) % PERF_KEPT]
    p.last = 0
    store32(&report.ready, 1)
    return True


cdef bint perf_end(perf *p, uint64_t packets, uint64_t batches) noexcept nogil:
    """Of the iteration that began at p.began; the numbers are what the worker has counted now."""
    cdef uint64_t now = cycles()
    cdef perf_row *row = &p.iterations[p.n_iterations % PERF_KEPT]
    p.n_iterations += 1
    row.at = p.n_iterations
    row.iterations = 1
    row.cycles = now - p.began
    row.packets = packets - p.packets
    row.packet_cycles = row.cycles if row.packets else 0
    row.batches = batches - p.batches
    row.upcalls = p.upcalls
    row.upcall_cycles = p.upcall_cycles
    count(p, METRIC_CYCLES, row.cycles)
    count(p, METRIC_PACKETS, row.packets)
    if row.packets:
        count(p, METRIC_CYCLES_PER_PACKET, row.cycles // row.packets)
    if row.batches:
        count(p, METRIC_PACKETS_PER_BATCH, row.packets // row.batches)
    count(p, METRIC_QUEUE, 0)
    count(p, METRIC_UPCALLS, row.upcalls)
    if row.upcalls:
        count(p, METRIC_CYCLES_PER_UPCALL, row.upcall_cycles // row.upcalls)
    add(this_ms(p, p.began), row)
    add(&p.total, row)
    if p.log.on and row.cycles > p.log.threshold:
        watch(p, row)
    return p.last and row.at >= p.last and give_report(p)


cdef object _bytes_of(const perf_row *row):
    return (<const char *> row)[: sizeof(perf_row)]


cdef object last_rows(const perf_row *rows, uint64_t newest, uint64_t n):
    """The newest first."""
    return b"".join([_bytes_of(&rows[(newest - i) % PERF_KEPT]) for i in range(n)])
