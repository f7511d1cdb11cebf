"""Flows of one datapath process, as its control thread sees them: each is in several workers.

A record has the flow once, with the counters of all workers.
"""

import errno as error_numbers

from libc.errno cimport ENOENT
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.crew cimport Crew
from datapath.ipc.flow_records cimport flow_record
from datapath.key.flow cimport KEY_DP_SIZE, flow_key
from datapath.worker.commands cimport flow_dump
from datapath.worker.state cimport *
from datapath.worker.worker cimport Worker

from datapath.ipc import protocol
from datapath.requests import EngineError, check, merge

DUMP_PIECE = 256 * 1024         # bytes of flows that a worker writes before it goes on forwarding
DELETE_PIECE = 256              # flows that a worker deletes before it goes on forwarding
DUMPED = 768                    # flows of which it does so: each costs a cache miss


cdef class Flows:

    def __cinit__(self, Crew crew):
        self.crew = crew
        self.piece = <uint8_t *> malloc(DUMP_PIECE)
        if self.piece == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.piece)

    def put(self, bytes data):
        """`data`: a flow as in protocol.py."""
        cdef command c
        cdef flow_key key, mask
        cdef bytes ufid, actions
        cdef const uint8_t *at
        if len(data) < protocol.FLOW.size + 2 * KEY_DP_SIZE:
            raise EngineError(error_numbers.EINVAL, "a flow has ufid, key, mask and actions")
        head = protocol.FLOW.unpack_from(data)
        ufid, size = head[0], head[8]
        start = protocol.FLOW.size + 2 * KEY_DP_SIZE
        actions = data[start : start + size]
        if len(actions) != size:
            raise EngineError(error_numbers.EINVAL, "the actions are cut off")
        check(actions)
        self.crew.sync()
        memset(&key, 0, sizeof(key))
        memset(&mask, 0, sizeof(mask))
        at = <const uint8_t *> <const char *> data + sizeof(flow_record)
        memcpy(&key, at, KEY_DP_SIZE)
        memcpy(&mask, at + KEY_DP_SIZE, KEY_DP_SIZE)
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_FLOW_PUT
        c.ufid = <const uint8_t *> <const char *> ufid
        c.key = &key
        c.mask = &mask
        c.actions = <const uint8_t *> <const char *> actions
        c.actions_size = <uint32_t> len(actions)
        error = self.crew.all_workers(&c)
        if error:
            raise EngineError(error)

    cdef bytes for_each_worker(self, command_kind kind, bytes ufid, bint terse=False):
        """The flow of each worker that has it, one record with the counters of all."""
        cdef command c
        cdef Worker worker
        if len(ufid) != 16:
            raise EngineError(error_numbers.EINVAL, "a ufid has 16 bytes")
        found = []
        for worker in self.crew.workers:
            memset(&c, 0, sizeof(c))
            c.kind = kind
            c.ufid = <const uint8_t *> <const char *> ufid
            c.keys = c.with_actions = not terse
            c.buffer = self.piece
            c.room = DUMP_PIECE
            worker.run_command(&c)
            if c.error == 0:
                found.append((<char *> self.piece)[: c.used])
            elif c.error != ENOENT:
                raise EngineError(c.error)
        return merge(found) if found else b""

    def get(self, bytes ufid):
        """The flow's bytes, as in protocol.py."""
        self.crew.sync()
        found = self.for_each_worker(COMMAND_FLOW_GET, ufid)
        if not found:
            raise EngineError(error_numbers.ENOENT, "no such flow")
        return found

    def delete(self, bytes ufid):
        """The same, or b"" when there was none."""
        self.crew.sync()
        return self.for_each_worker(COMMAND_FLOW_DEL, ufid)

    def delete_many(self, bytes ufids):
        """Terse records of those that were there; `ufids` one behind the other."""
        if len(ufids) % 16:
            raise EngineError(error_numbers.EINVAL, "a ufid has 16 bytes")
        return b"".join([self._delete_some(ufids[at : at + 16 * DELETE_PIECE])
                         for at in range(0, len(ufids), 16 * DELETE_PIECE)])

    def _delete_some(self, bytes ufids):
        """Each worker is interrupted once for all of them, when it has done what came before."""
        cdef command c
        cdef Worker worker
        found = {}
        for worker in self.crew.workers:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_FLOW_DEL_MANY
            c.synced = True
            c.ufid = <const uint8_t *> <const char *> ufids
            c.n_ufids = <uint32_t> (len(ufids) // 16)
            c.buffer = self.piece
            c.room = DUMP_PIECE
            worker.run_command(&c)
            if c.error:
                raise EngineError(c.error)
            if len(self.crew.workers) == 1:
                return (<char *> self.piece)[: c.used]
            for at in range(0, c.used, protocol.FLOW.size):
                record = (<char *> self.piece)[at : at + protocol.FLOW.size]
                found.setdefault(record[:16], []).append(record)
        return b"".join([merge(records) for records in found.values()])

    def flush(self):
        """Remove all flows; in pieces, as each worker has packets to forward meanwhile."""
        cdef Worker worker
        cdef command c
        self.crew.sync()
        for worker in self.crew.workers:
            memset(&c, 0, sizeof(c))
            c.kind = COMMAND_FLOW_FLUSH
            while c.cursor != CURSOR_END:
                worker.run_command(&c)

    def dump(self, cursor, bint terse=False, since=0, core=None, bint sync=False, bint keys=True):
        """(bytes of some flows, cursor of the next ones or None).  `cursor` None at first.

        A record has the counters of all workers, and key and mask (`keys`) and actions, unless it is
        `terse`.  With `since`, ms of CLOCK_MONOTONIC: only flows
        that were used then or later; one that several workers used may come several times.  `core`:
        those of the worker for that core, -1: of those for none.  `sync`: what was put into the rings
        since the last piece is to be done in all workers, as it is before the first.
        """
        cdef command c
        group = self.crew.of_core(core)
        n_workers = len(group)
        if type(since) is not int or not 0 <= since < 1 << 63:
            raise EngineError(error_numbers.EINVAL, "bad time")
        sync = sync or cursor is None
        if cursor is None:
            cursor = 0
        elif type(cursor) is not int or not 0 <= cursor < n_workers << 32:
            raise EngineError(error_numbers.EINVAL, "bad cursor")
        index = cursor >> 32
        if sync:
            self.crew.sync(group[index])
        memset(&c, 0, sizeof(c))
        c.synced = sync
        c.with_actions = not terse
        c.keys = keys and not terse
        c.since = since
        c.cursor = cursor & 0xffffffff
        position = self._dump_piece(group, index, &c)
        if position is None:
            index += 1
            position = 0
        return (<char *> self.piece)[: self.piece_used], (
            index << 32 | position if index < n_workers else None)

    cdef object _dump_piece(self, list group, uint32_t index, command *c):
        """Some flows of a worker into self.piece; the worker's next position or None."""
        cdef Worker worker = group[index]
        c.kind = COMMAND_FLOW_DUMP
        c.buffer = self.piece
        c.room = DUMP_PIECE
        c.most = DUMPED
        worker.run_command(c)
        following = None if c.cursor == CURSOR_END else c.cursor
        c.synced = False
        self.add_counters(group, index, c)
        self.piece_used = c.used
        return following

    cdef int add_counters(self, list group, uint32_t index, command *c) except -1:
        """Complete the records that worker `index` of a group gave: with what the others counted.

        Almost always all workers have the same flows, so what an earlier worker has was given
        already, unless it gave only what it had used lately."""
        cdef Worker worker
        cdef uint32_t i
        c.kind = COMMAND_FLOW_ADD
        for i in range(<uint32_t> len(group)):
            if i != index and c.used:
                worker = group[i]
                c.drop_known = i < index and c.since == 0
                worker.run_command(c)
        return 0

    cdef int hand_over(self, Worker gone) except -1:
        """What the flows of a worker that has ended counted goes to others that have them."""
        cdef Worker worker
        cdef command c
        memset(&c, 0, sizeof(c))
        c.buffer = self.piece
        c.room = DUMP_PIECE
        c.most = DUMPED
        while c.cursor != CURSOR_END:
            c.kind = COMMAND_FLOW_DUMP
            c.used = 0
            flow_dump(&gone.w, &c)
            c.kind = COMMAND_FLOW_CREDIT
            for worker in self.crew.workers:
                if c.used:
                    worker.run_command(&c)
        return 0
