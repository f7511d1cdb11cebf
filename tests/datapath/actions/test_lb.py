"""Bonds whose members the datapath chooses: the table, and what leaves by whom."""

import pytest

from datapath.actions import lb


def test_the_table():
    bonds = lb.LbBonds()
    for number in (7, 3, 9, 5):
        bonds.set(number, number + 1, [number] * lb.BUCKETS)
    bonds.set(3, 0, [lb.NONE, 1] * (lb.BUCKETS // 2))  # others carry: the same bond
    bonds.delete(7)
    with pytest.raises(KeyError):
        bonds.delete(7)
    bonds.reclaim()
    told = bonds.dump()
    assert [(each["bond"], each["basis"]) for each in told] == [(3, 0), (5, 6), (9, 10)]
    assert told[0]["members"] == [lb.NONE, 1] * 128 and told[1]["members"] == [5] * 256
    assert [each["bond"] for each in bonds.dump(3, 1)] == [5]
    for number in range(100, 2000):
        try:
            bonds.set(number, 0, [1] * lb.BUCKETS)
        except ValueError:
            break
    assert len(bonds) == 1024  # its bound


@pytest.mark.parametrize(
    "wrong",
    [(-1, 0, [1] * 256), (1 << 32, 0, [1] * 256), (1, "x", [1] * 256), (1, 0, [1] * 255), (1, 0, 5),
     (1, 0, [None] * 256)],
)  # fmt: skip
def test_what_is_no_bond(wrong):
    bonds = lb.LbBonds()
    with pytest.raises(ValueError):
        bonds.set(*wrong)
    assert len(bonds) == 0 and bonds.dump() == []
