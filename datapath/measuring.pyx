"""What the workers' iterations cost, as the control thread has it kept, asked for and logged."""

import errno as error_numbers

from libc.stdint cimport uint64_t

from datapath.base.clock cimport kernel_ns
from datapath.base.cycles cimport cycles
from datapath.crew cimport Crew
from datapath.netdev.netdev cimport MAX_WORKERS
from datapath.worker.perf cimport perf_log
from datapath.worker.worker cimport Worker

from datapath.ipc.perf_requests import LogSettings
from datapath.perf_log import merged, tell
from datapath.requests import EngineError, numbers_of


cdef class Measuring:
    def __init__(self, Crew crew):
        self.crew = crew
        self.perf_log = LogSettings()
        self.began_cycles, self.began_ns = cycles(), kernel_ns()

    cdef int equip(self, Worker worker) except -1:
        """A worker that does not run yet is measured as the others are."""
        worker.measure(self.on, self.frequency() // 1000)
        return self._log(worker)

    cdef uint64_t frequency(self):
        """Cycles in a second, by the kernel's clock."""
        cdef uint64_t passed = max(kernel_ns() - self.began_ns, 1)
        return <uint64_t> (<double> (cycles() - self.began_cycles) * 1e9 / passed)

    def measure(self, bint wanted):
        """Whether workers keep what single iterations cost."""
        cdef Worker worker
        self.on = wanted
        for worker in self.crew.workers:
            self.equip(worker)

    cdef int _log(self, Worker worker) except -1:
        cdef perf_log log
        log.on, log.extend = self.perf_log.on, self.perf_log.extend
        log.before, log.after = self.perf_log.before, self.perf_log.after
        log.threshold = self.perf_log.us * self.frequency() // 1_000_000
        return worker.log_measured(&log)

    def log(self, given):
        """Which iterations are logged, of LogSettings; what there is now."""
        cdef Worker worker
        self.perf_log = merged(self.perf_log, given)
        for worker in self.crew.workers:
            self._log(worker)
        return self.perf_log

    def tell_reports(self):
        """Logs what was suspicious; where that was long, less from now on."""
        cdef Worker worker
        for worker in self.crew.workers:
            report = worker.take_report()
            if report is not None and tell(*report, self.frequency()):
                self.log({"before": 5, "after": 5, "extend": False})

    def measured(self, id, iterations, ms):
        """Of one worker, Worker.measured(): with the last ones, so many of each at most."""
        for number in (iterations, ms):
            if type(number) is not int or number < 0:
                raise EngineError(error_numbers.EINVAL, "not a number of rows")
        return self.crew.worker(id).measured(iterations, ms)

    def clear(self, ids):
        """Of these workers: begin anew."""
        cdef Worker worker
        numbers_of("workers", ids, MAX_WORKERS)
        for worker in self.crew.workers:
            if worker.id in ids:
                worker.clear_measured()
