"""Geneve options in packets and in the space that tables look at."""

import random
from itertools import pairwise

from ofproto.codec.fields import OPTION_SPACE as SPACE
from ofproto.xlate.bridges.tun_options import Layout, Place, fit


def option(kind, value, option_class=0xFFFF):
    return option_class.to_bytes(2, "big") + bytes((kind, len(value) // 4)) + value


FOUR, EIGHT, NONE = Place(0, 0xFFFF, 0, 8, 4), Place(5, 0xFFFF, 0x81, 0, 8), Place(63, 1, 2, 12, 0)
LAYOUT = Layout([FOUR, EIGHT, NONE])


def test_tables_see_what_is_mapped():
    raw = option(0x81, b"abcdefgh") + option(7, b"????") + option(2, b"", 1) + option(0, b"wxyz")
    space, present = LAYOUT.unpack(raw)
    assert space == b"abcdefghwxyz".ljust(SPACE, b"\0")
    assert present == 1 | 1 << 5 | 1 << 63
    assert LAYOUT.pack(space, present) == (
        option(0, b"wxyz") + option(0x81, b"abcdefgh") + option(2, b"", 1)
    )
    assert LAYOUT.pack(space, 1 << 5) == option(0x81, b"abcdefgh")
    # another class, another length, a reserved bit, one that is cut off
    assert LAYOUT.unpack(option(0, b"wxyz", 7)) == (bytes(SPACE), 0)
    assert LAYOUT.unpack(option(0, b"wxyzwxyz")) == (bytes(SPACE), 0)
    assert LAYOUT.unpack(b"\xff\xff\0\x21wxyz")[1] == 1
    assert LAYOUT.unpack(option(0, b"wxyz") + b"\xff\xff\x81\x02abcd")[1] == 1


def test_packets_of_one_mask_look_the_same_to_tables():
    """Whatever is changed outside of the mask, what was looked at stays the same."""
    rng = random.Random(7)
    kinds = [(0, 4, 0xFFFF), (0x81, 8, 0xFFFF), (2, 0, 1), (0, 8, 0xFFFF), (9, 4, 3)]
    for _ in range(500):
        raw = b"".join(
            option(kind, rng.randbytes(size), option_class)
            for kind, size, option_class in rng.choices(kinds, k=rng.randrange(5))
        )
        looked = rng.randbytes(12).ljust(SPACE, b"\0")
        mask = LAYOUT.mask(raw, looked)
        noise = rng.randbytes(len(raw))
        other = bytes(r & m | n & ~m for r, n, m in zip(raw, noise, mask, strict=True))
        (a, in_a), (b, in_b) = LAYOUT.unpack(raw), LAYOUT.unpack(other)
        assert in_a == in_b
        assert all((x ^ y) & m == 0 for x, y, m in zip(a, b, looked, strict=True))


def test_room_is_found_between_options():
    taken = [Place(1, 0, 1, 4, 8), Place(2, 0, 2, 16, 124)]
    assert fit({3: 4, 4: 4, 5: 116}, taken) == {5: 140, 3: 0, 4: 12}
    assert fit({3: 8, 4: 116}, taken) is None  # 8 bytes are free, in two pieces
    assert fit({9: 0}, [Place(1, 0, 1, 0, 124), Place(2, 0, 2, 124, 124)]) == {9: 0}
    rng = random.Random(3)
    for _ in range(300):
        lengths = {i: 4 * rng.randrange(32) for i in rng.sample(range(64), rng.randrange(1, 8))}
        offsets = fit(lengths)
        if offsets is None:
            assert sum(lengths.values()) > SPACE
            continue
        spans = sorted((at, at + lengths[i]) for i, at in offsets.items())
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert spans[-1][1] <= SPACE
