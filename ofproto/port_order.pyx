"""The order in which Open vSwitch lists a bridge's ports: that of its hash table.

Who compares dumps of both switches, or takes the first port of a list, meets the same one.  The
order does not depend on the number alone: chains are as long as two ports on average, and the port
that came last stands first in its chain.
"""

from libc.stdint cimport uint8_t, uint32_t

from datapath.base.known_hashes cimport murmur_bytes, murmur_pair


def in_hash_order(numbers):
    """Port numbers, given in the order in which the ports came."""
    cdef Py_ssize_t n
    cdef list chains = [[]]     # the newest port last
    for n, number in enumerate(numbers, 1):
        add(chains, number)
        if n // 2 >= len(chains):
            chains = larger(chains, n)
    return [number for chain in chains for number in reversed(chain)]


def in_name_order(names, Py_ssize_t n):
    """Names of ports in the order of a table of `n` ports by name; where two share a chain, Open
    vSwitch's order is that of the database's random UUIDs, and ours the alphabet's."""
    cdef Py_ssize_t size = n_chains(n)
    return sorted(names, key=lambda name: (hash_of(name) % size, name))


cdef uint32_t hash_of(str name):
    cdef bytes data = name.encode()
    return murmur_bytes(<const uint8_t *> <const char *> data, <uint32_t> len(data), 0)


cdef Py_ssize_t n_chains(Py_ssize_t n):
    """Of a table that has grown to `n` entries: a power of two."""
    return max(4, 1 << (<object> (n // 2)).bit_length()) if n > 1 else 1


cdef int add(list chains, number) except -1:
    (<list> chains[murmur_pair(number, 0) % <Py_ssize_t> len(chains)]).append(number)
    return 0


cdef list larger(list chains, Py_ssize_t n):
    """More chains, into which the old ones go from their heads on."""
    cdef list made = [[] for _ in range(n_chains(n))]
    for chain in chains:
        for number in reversed(chain):
            add(made, number)
    return made
