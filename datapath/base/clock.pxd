# The clock of everything that is timed in the datapath.

from libc.stdint cimport uint64_t

# Nanoseconds of CLOCK_MONOTONIC, unless they were stopped or put forward (time/stop, time/warp).
cdef uint64_t clock_ns() noexcept nogil
# The same, always the kernel's: for how long a worker spins.
cdef uint64_t kernel_ns() noexcept nogil
