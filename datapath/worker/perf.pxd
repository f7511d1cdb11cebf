# What single iterations of a worker cost (other_config:pmd-perf-metrics): see perf.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    PERF_BINS = 32
    PERF_KEPT = 1000            # rows of each history
    PERF_SUSPECTS = 16          # of one report

cdef enum:
    METRIC_CYCLES
    METRIC_PACKETS
    METRIC_CYCLES_PER_PACKET
    METRIC_PACKETS_PER_BATCH    # on average of the iteration
    METRIC_QUEUE                # of vhost-user, which nobody has here
    METRIC_UPCALLS
    METRIC_CYCLES_PER_UPCALL
    METRICS

# One iteration, or those of one millisecond together.  perf_row_layout in perf.pyx is its layout.
cdef struct perf_row:
    uint64_t at                 # iteration: its number; millisecond: cycles at its beginning
    uint64_t iterations
    uint64_t cycles             # all,
    uint64_t packet_cycles      # and of iterations with packets
    uint64_t packets
    uint64_t batches
    uint64_t upcalls
    uint64_t upcall_cycles

# What is suspicious (dpif-netdev/pmd-perf-log-set).
cdef struct perf_log:
    bint on
    bint extend                 # the range, where another one is met in it
    uint32_t before             # iterations that are told of besides
    uint32_t after
    uint64_t threshold          # cycles of an iteration

# Of one range of iterations, for the control thread.
cdef struct perf_report:
    uint32_t ready              # 1: it is the control thread's, which makes it 0
    uint32_t n_suspects
    uint32_t n_rows
    perf_row suspects[PERF_SUSPECTS]
    perf_row rows[PERF_KEPT]    # the newest first

cdef struct perf:
    uint64_t began              # cycles, of the iteration
    uint64_t packets            # what the worker had counted then
    uint64_t batches
    uint64_t upcalls            # of this iteration: packets without a flow,
    uint64_t upcall_cycles      # and what it took to give them to vswitchd
    uint64_t per_ms             # cycles
    uint64_t n_iterations
    uint64_t n_ms
    perf_row total
    uint64_t bins[METRICS][PERF_BINS]
    perf_row iterations[PERF_KEPT]
    perf_row ms[PERF_KEPT]      # the last one goes on
    perf_log log
    uint64_t first              # iteration of the range to be reported, and the last one:
    uint64_t last               # 0: there is none
    perf_report report

cdef void perf_clear(perf *p) noexcept nogil
# True: there is a report.
cdef bint perf_end(perf *p, uint64_t packets, uint64_t batches) noexcept nogil
# Rows as perf_row_layout has them, the newest first.
cdef object last_rows(const perf_row *rows, uint64_t newest, uint64_t n)
