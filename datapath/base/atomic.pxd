# Loads and stores that another thread or process sees in order, on memory that both map.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint32_t pyvs_load32(const void *at) {
        return __atomic_load_n((const uint32_t *) at, __ATOMIC_ACQUIRE);
    }
    static inline uint64_t pyvs_load64(const void *at) {
        return __atomic_load_n((const uint64_t *) at, __ATOMIC_ACQUIRE);
    }
    static inline void pyvs_store32(void *at, uint32_t value) {
        __atomic_store_n((uint32_t *) at, value, __ATOMIC_RELEASE);
    }
    static inline void pyvs_store64(void *at, uint64_t value) {
        __atomic_store_n((uint64_t *) at, value, __ATOMIC_RELEASE);
    }
    static inline uint32_t pyvs_exchange32(void *at, uint32_t value) {
        return __atomic_exchange_n((uint32_t *) at, value, __ATOMIC_SEQ_CST);
    }
    static inline void pyvs_fence(void) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    """
    uint32_t load32 "pyvs_load32"(const void *at) noexcept nogil
    uint64_t load64 "pyvs_load64"(const void *at) noexcept nogil
    void store32 "pyvs_store32"(void *at, uint32_t value) noexcept nogil
    void store64 "pyvs_store64"(void *at, uint64_t value) noexcept nogil
    uint32_t exchange32 "pyvs_exchange32"(void *at, uint32_t value) noexcept nogil
    void fence "pyvs_fence"() noexcept nogil
