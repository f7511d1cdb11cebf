"""The table of connections, and fragments that wait, as the control thread manages them."""

import errno as error_numbers
import os
from ipaddress import ip_address

from libc.stdint cimport uint64_t
from libc.string cimport memset

from datapath.base.atomic cimport store64
from datapath.base.clock cimport clock_ns
from datapath.conntrack.connections cimport Connections
from datapath.conntrack.fragments cimport FRAG_PACKETS, frag_row
from datapath.crew cimport Crew
from datapath.worker.state cimport COMMAND_FRAGMENTS, command
from datapath.worker.worker cimport Worker

from datapath.requests import EngineError, refused, whole

SWEEP_INTERVAL = 20000          # ms
IPF_COUNTERS = ("accepted", "completed", "expired", "too small", "overlapped", "purged")
CT_ROWS = 500                   # connections in one answer of a dump,
CT_PIECE = 2000                 # and records looked at before that is asked again
CT_FLUSH_PIECE = 20000
CT_LEAST, CT_MOST = 64, 2000    # records looked at by one piece of a sweep: 2 ms if all expire
CT_SOONEST, CT_LATEST = 5, 100  # ms from one piece to the next


cdef class Tracking:
    """`table` is another one after adopt()."""

    def __init__(self, Crew crew):
        self.crew = crew
        self.table = Connections()
        self.sweep_interval = SWEEP_INTERVAL

    cdef int equip(self, Worker worker) except -1:
        """A worker that does not run yet tracks connections in this table."""
        worker.w.connections = &self.table.t
        worker.w.fragments.settings = &self.table.fragments
        return 0

    def dump(self, cursor=0, zone=None):
        """(rows of some connections, cursor of the next ones or None)."""
        rows, cursor = [], whole(cursor)
        while cursor is not None and len(rows) < CT_ROWS:
            found, cursor = self.table.dump(cursor, CT_PIECE, zone)
            rows += found
        return rows, cursor

    def flush(self, cursor=0, match=None):
        """(how many of the next records were flushed, cursor or None)."""
        return refused(self.table.flush, whole(cursor), CT_FLUSH_PIECE, match or {})

    def adopt(self, fd):
        """Go on with the table of a datapath process that is gone; how many connections it has.

        EngineError EEXIST where this one has had connections."""
        cdef Worker worker
        cdef Connections adopted
        mine, given = os.fstat(self.table.fd), os.fstat(fd)
        if (mine.st_dev, mine.st_ino) == (given.st_dev, given.st_ino):
            return len(self.table)
        if self.table.high:
            raise EngineError(error_numbers.EEXIST, "there are connections already")
        if given.st_size != mine.st_size:
            raise EngineError(error_numbers.EINVAL, "not a table of connections")
        try:
            adopted = Connections(fd)
        except OSError as error:
            raise EngineError(error.errno, error.strerror) from None
        adopted.fragments = self.table.fragments
        for worker in self.crew.workers:
            worker.w.fragments.settings = &adopted.fragments
            store64(&worker.w.connections, <uint64_t> <size_t> &adopted.t)
        former = self.table       # not freed before no worker looks at it any more
        self.table = adopted
        self.crew.sync()
        return len(adopted)

    def sweep(self, now):
        """A piece of the sweep for connections that have expired; in how many ms the next is due.

        The whole table is looked at in sweep_interval, as far as pieces of CT_MOST each CT_SOONEST
        do it."""
        passed, self.swept = max(0, min(now - self.swept, self.sweep_interval)), now
        high = max(1, self.table.high)
        n = high * passed // max(1, self.sweep_interval) + CT_LEAST
        self.table.sweep(min(n, CT_MOST), clock_ns() // 1000000)
        due = (CT_MOST - CT_LEAST) * self.sweep_interval // high
        return max(CT_SOONEST, min(due, CT_LATEST))

    def fragments(self):
        """Settings and counters of fragments that wait for others: see Dpif.ipf_get()."""
        cdef Worker worker
        counters = {name: [0, 0] for name in IPF_COUNTERS}
        waiting = 0
        for worker in self.crew.workers:
            waiting += worker.w.fragments.n_fragments
            for i in range(2):
                counters["accepted"][i] += worker.w.fragments.accepted[<int> i]
                counters["completed"][i] += worker.w.fragments.completed[<int> i]
                counters["expired"][i] += worker.w.fragments.expired[<int> i]
                counters["too small"][i] += worker.w.fragments.too_small[<int> i]
                counters["overlapped"][i] += worker.w.fragments.overlapping[<int> i]
        return {**self.table.fragment_settings(), "waiting": waiting, "counters": counters}

    def waiting_fragments(self):
        """Packets of which fragments are missing: see Dpif.ipf_list()."""
        cdef Worker worker
        cdef command c
        cdef frag_row rows[FRAG_PACKETS]
        cdef frag_row *row
        found = []
        for worker in self.crew.workers:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_FRAGMENTS
            c.waiting = rows
            worker.run_command(&c)
            for i in range(c.n_waiting):
                row = &rows[<int> i]
                size = 4 if row.key.family == 4 else 16
                found.append({
                    "src": str(ip_address((<const char *> row.key.src)[:size])),
                    "dst": str(ip_address((<const char *> row.key.dst)[:size])),
                    "recirc_id": row.recirc_id, "id": row.key.id, "zone": row.key.zone,
                    "proto": row.key.proto, "fragments": row.n, "first": bool(row.first),
                    "last": bool(row.last)})
        return found
