"""Flows as they stand in a reply's bytes, one after the other."""

from datapath.key.flow cimport KEY_DP_SIZE

from datapath.ipc import protocol


cdef class FlowRecords:
    """For Python an iterable of FlowInfo."""

    def __init__(self, bytes data not None, bint terse, bint keys=True):
        self.data = data
        self.terse = terse
        self.keys = keys and not terse

    cdef const flow_record *next(self) noexcept:
        cdef const flow_record *found
        cdef size_t size = sizeof(flow_record) + (2 * KEY_DP_SIZE if self.keys else 0)
        cdef size_t rest = <size_t> len(self.data) - self._at
        if rest < size:
            return NULL
        found = <const flow_record *> (<const char *> self.data + self._at)
        if not self.terse:
            size += (<size_t> found.actions_size + 7) & ~<size_t> 7
            if rest < size:
                return NULL
        self._here = self._at
        self._size = size
        self._at += size
        return found

    cdef const uint8_t *actions(self) noexcept:
        return (<const uint8_t *> <const char *> self.data + self._here + sizeof(flow_record)
                + (2 * KEY_DP_SIZE if self.keys else 0))

    cdef object info(self):
        return next(self._flows(self.data[self._here:self._here + self._size]))

    def _flows(self, bytes data):
        return protocol.terse_flows(data) if self.terse else protocol.flows(data, self.keys)

    def __iter__(self):
        return self._flows(self.data)

    def __bool__(self):
        return len(self.data) > 0
