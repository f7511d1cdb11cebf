"""The workers of one datapath process, as its control thread speaks to them: all in turn."""

import errno as error_numbers

from libc.string cimport memset

from datapath.worker.state cimport COMMAND_SYNC, command
from datapath.worker.worker cimport Worker

from datapath.requests import EngineError


cdef class Crew:
    """`workers` is the one list of them, and stays the same object."""

    def __init__(self, workers):
        self.workers = workers

    cpdef int sync(self, but=None) except -1:
        """Each worker has done what reached it before: see COMMAND_SYNC.  `but` one, who does it
        with the command that follows."""
        cdef command c
        cdef Worker worker
        memset(&c, 0, sizeof(c))
        c.kind = COMMAND_SYNC
        for worker in self.workers:
            if worker is not but:
                worker.run_command(&c)
        return 0

    cdef int all_workers(self, command *c) except -1:
        """The command in each worker; the first error, or 0."""
        cdef Worker worker
        cdef int error = 0
        for worker in self.workers:
            worker.run_command(c)
            error = error or c.error
        return error

    def worker(self, id):
        """The Worker with this number."""
        for worker in self.workers:
            if worker.id == id:
                return worker
        raise EngineError(error_numbers.ENOENT, f"no worker {id}")

    def of_core(self, core):
        """The worker for a processor core, -1: those for none, None: all."""
        if core is None:
            return self.workers
        found = [worker for worker in self.workers
                 if worker.core == (None if core == -1 else core)]
        if not found:
            raise EngineError(error_numbers.ENOENT, f"no worker for core {core}")
        return found
