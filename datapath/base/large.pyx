"""Huge pages for large tables, where the system lets who asks have them (madvise(2)).

Each lookup in a table of megabytes begins with a walk through the page tables, in a virtual machine
through two of them, for which a prefetch waits as well: one entry of the TLB has 2 MiB instead of 4 KiB.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap,
)

from datapath.base.large cimport *

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *, size_t, int)
    int MADV_HUGEPAGE

cdef enum:
    HUGE_PAGE = 2 << 20         # of x86-64, and of others' 4 KiB pages


cdef inline size_t _whole(size_t size) noexcept nogil:
    return (size + HUGE_PAGE - 1) & ~<size_t> (HUGE_PAGE - 1)


cdef void *large_alloc(size_t size) noexcept nogil:
    cdef size_t whole = _whole(size), head
    cdef uint8_t *at = <uint8_t *> mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if at == <uint8_t *> MAP_FAILED:
        return NULL
    head = _whole(<size_t> at) - <size_t> at
    if head:
        munmap(at, head)
    munmap(at + head + whole, HUGE_PAGE - head)
    madvise(at + head, whole, MADV_HUGEPAGE)
    memset(at + head, 0, size)      # now: the packet path does not wait for pages
    return at + head


cdef void large_free(void *at, size_t size) noexcept nogil:
    if at != NULL:
        munmap(at, _whole(size))
