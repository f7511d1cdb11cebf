"""The order in which Open vSwitch lists a bridge's ports: that of its hash table.

Who compares dumps of both switches, or takes the first port of a list, meets the same one.  The
order does not depend on the number alone: chains are as long as two ports on average, and the port
that came last stands first in its chain.
"""

from datapath.base.known_hashes cimport murmur_pair


def in_hash_order(numbers):
    """Port numbers, given in the order in which the ports came."""
    cdef Py_ssize_t n
    cdef list chains = [[]]     # the newest port last
    for n, number in enumerate(numbers, 1):
        add(chains, number)
        if n // 2 >= len(chains):
            chains = larger(chains, n)
    return [number for chain in chains for number in reversed(chain)]


cdef int add(list chains, number) except -1:
    (<list> chains[murmur_pair(number, 0) % <Py_ssize_t> len(chains)]).append(number)
    return 0


cdef list larger(list chains, Py_ssize_t n):
    """Twice as many chains, into which the old ones go from their heads on; four at the least."""
    cdef list made = [[] for _ in range(max(4, 1 << (<object> (n // 2)).bit_length()))]
    for chain in chains:
        for number in reversed(chain):
            add(made, number)
    return made
