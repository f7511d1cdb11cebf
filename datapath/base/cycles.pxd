# What work costs: ticks of the processor's counter, which runs evenly whatever a core is doing; where
# there is none that a program may read, nanoseconds.

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>
    static inline uint64_t pyvs_cycles(void)
    {
    #if defined(__x86_64__)
        return __builtin_ia32_rdtsc();
    #elif defined(__aarch64__)
        uint64_t count;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
        return count;
    #else
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000 + t.tv_nsec;
    #endif
    }
    """
    uint64_t cycles "pyvs_cycles"() noexcept nogil
