"""The order in which ports are listed, measured on Open vSwitch 3.1 with `ovs-ofctl dump-ports`, to
which each port was added by a command of its own."""

import random

import pytest

from ofproto.port_order import in_hash_order, in_name_order

LOCAL = 0xFFFE
# ports as they came, as they were listed
MEASURED = [
    ([LOCAL], [LOCAL]),
    ([LOCAL, 1, 2, 3], [LOCAL, 1, 2, 3]),
    ([LOCAL, 1, 2, 3, 4, 5, 6, 7], [LOCAL, 5, 1, 4, 6, 7, 2, 3]),
    (
        [LOCAL, 1, 2, 3, 5, 9, 10, 17, 33, 40, 100],
        [LOCAL, 10, 5, 9, 100, 33, 1, 40, 2, 17, 3],
    ),
]


@pytest.mark.parametrize(("came", "listed"), MEASURED)
def test_measured(came, listed):
    assert in_hash_order(came) == listed


def test_each_port_once():
    assert in_hash_order([]) == []
    for n in (1, 7, 8, 9, 15, 16, 17, 1000):
        numbers = random.Random(n).sample(range(1, 0xFF00), n)
        assert sorted(in_hash_order(numbers)) == sorted(numbers)


def test_by_name():
    """Measured: numbers in the datapath of ports that one transaction added, with the numbers that
    they asked for; in a table of four chains."""
    assert in_name_order(["a2", "br1", "a3"], 4) == ["a3", "a2", "br1"]
    assert in_name_order(["b"], 1) == ["b"] and in_name_order([], 0) == []
    many = [f"port{n}" for n in range(100)]
    assert sorted(in_name_order(many, 300)) == sorted(many) != in_name_order(many, 300)
