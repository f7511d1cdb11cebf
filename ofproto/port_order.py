"""The order in which Open vSwitch lists a bridge's ports: that of its hash table.

Who compares dumps of both switches, or takes the first port of a list, meets the same one.  The
order does not depend on the number alone: chains are as long as two ports on average, and the port
that came last stands first in its chain.
"""

from collections.abc import Iterable
from functools import lru_cache

_U32 = 0xFFFFFFFF


def _rotate(word: int, n: int) -> int:
    return (word << n | word >> (32 - n)) & _U32


def _add(digest: int, word: int) -> int:
    digest ^= _rotate(word * 0xCC9E2D51 & _U32, 15) * 0x1B873593 & _U32
    return (_rotate(digest, 13) * 5 + 0xE6546B64) & _U32


@lru_cache(maxsize=1024)
def _hash(number: int) -> int:
    """MurmurHash3 as murmur_pair(number, 0) of known_hashes.pxd."""
    digest = _add(_add(number, 0), 0) ^ 8
    digest = (digest ^ digest >> 16) * 0x85EBCA6B & _U32
    digest = (digest ^ digest >> 13) * 0xC2B2AE35 & _U32
    return digest ^ digest >> 16


def in_hash_order(numbers: Iterable[int]) -> list[int]:
    """Port numbers, given in the order in which the ports came."""
    chains: list[list[int]] = [[]]  # the newest port last
    for n, number in enumerate(numbers, 1):
        chains[_hash(number) % len(chains)].append(number)
        if n // 2 >= len(chains):
            chains = _larger(chains, n)
    return [number for chain in chains for number in reversed(chain)]


def _larger(chains: list[list[int]], n: int) -> list[list[int]]:
    """Twice as many chains, into which the old ones go from their heads on; four at the least."""
    made: list[list[int]] = [[] for _ in range(max(4, 1 << (n // 2).bit_length()))]
    for chain in chains:
        for number in reversed(chain):
            made[_hash(number) % len(made)].append(number)
    return made
