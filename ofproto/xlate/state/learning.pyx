"""What packets of a flow teach the flow tables."""

from libc.stdint cimport int64_t


cdef class LearnEffect:
    """In the cache of each datapath flow that went through a learn action."""

    def __cinit__(self):
        self.last = -1

    cdef bint learn(self, int64_t used) except -1:
        if self.source is not None and self.source._owner is None:
            return False        # the learn action is gone: packets counted late teach nothing
        if used == self.last:   # translation had it learned; now it is counted
            return self.rule is not None
        self.last = used
        if (self.rule is not None and self.rule._owner is not None
                and self.rule.program is self.learned._program):
            if used > self.rule.modified:
                self.rule.modified = used
            return True
        if self.bridge.learner is None:
            return False
        self.rule = self.bridge.learner.learn(self.learned, used)
        return self.rule is not None
