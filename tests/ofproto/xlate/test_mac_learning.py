"""The MAC table against a plain model, and its limits."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofproto.xlate.bridges.mac_learning import MacLearning


class Port:
    """What a bundle is to the table."""

    def __init__(self, name):
        self.name = name


PORTS = [Port(f"p{i}") for i in range(3)]


def mac(number):
    return number.to_bytes(6, "big")


def names(table, now=0):
    return [(vlan, text, port) for port, vlan, text, _ in table.rows(now)]


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "run", "flush_bundle", "flush"]),
        st.integers(0, 2),  # VLAN
        st.integers(0, 14),  # MAC
        st.integers(0, 2),  # port
        st.integers(0, 20_000),  # ms that pass before
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_against_a_model(history):
    table = MacLearning()
    table.set_aging(30)
    table.set_max_entries(12)
    model, now = {}, 0  # (vlan, mac) -> (port, expires), least recently used first
    for step, vlan, address, port, passed in history:
        now += passed
        if step == "add":
            table.add(vlan, mac(address), PORTS[port], now)
            if (vlan, address) not in model and len(model) == 12:
                (gone,) = set(model) - {(v, int(m[-2:], 16)) for v, m, _ in names(table)}
                held = Counter(p for p, _ in model.values())
                owner = model[gone][0]
                assert held[owner] == max(held.values()), "of the port that has most"
                assert gone == next(k for k, v in model.items() if v[0] == owner), "the oldest"
                del model[gone]
            model.pop((vlan, address), None)
            model[vlan, address] = (port, now + 30_000)
        elif step == "run":
            table.run(now)
            model = {k: v for k, v in model.items() if v[1] > now}
        elif step == "flush_bundle":
            table.flush_bundle(PORTS[port])
            model = {k: v for k, v in model.items() if v[0] != port}
        else:
            table.flush()
            model = {}
        expected = [(v, mac(m).hex(":"), f"p{p}") for (v, m), (p, _) in model.items()]
        assert names(table) == expected
        assert len(table) == len(model)
        first = next(iter(model.values()), None)
        assert table.next_expiry() == (first and first[1])


def test_ages():
    table = MacLearning()
    table.add(0, mac(1), PORTS[0], 1000)
    table.run(300_999)
    assert len(table) == 1
    table.run(301_000)
    assert len(table) == 0 and table.total_expired == 1


def test_a_shorter_aging_reaches_old_entries():
    table = MacLearning()
    table.add(0, mac(1), PORTS[0], 0)
    table.set_aging(20)
    table.run(20_000)
    assert len(table) == 0


@pytest.mark.parametrize(("wanted", "got"), [(1, 15_000), (100, 100_000), (9999, 3_600_000)])
def test_aging_has_limits(wanted, got):
    table = MacLearning()
    table.set_aging(wanted)
    assert table.aging == got


def test_a_smaller_table_loses_the_oldest():
    table = MacLearning()
    for i in range(20):
        table.add(0, mac(i), PORTS[0], i)
    table.set_max_entries(15)
    assert [text for _, text, _ in names(table)] == [mac(i).hex(":") for i in range(5, 20)]
    assert table.total_evicted == 5


def test_one_port_does_not_push_the_others_out():
    table = MacLearning()
    table.set_max_entries(100)
    for number in range(10):
        table.add(0, mac(number), PORTS[1], number)
        table.add(0, mac(100 + number), PORTS[2], number)
    for number in range(5000):
        table.add(0, mac(1000 + number), PORTS[0], 10 + number)
        if number % 7 == 0:
            table.add(0, mac(number % 10), PORTS[number % 3], 10 + number)  # stations that move
    for number in range(10):
        table.add(0, mac(number), PORTS[1], 6000)
    held = Counter(port for _, _, port in names(table))
    assert held == {"p0": 80, "p1": 10, "p2": 10}
    assert table.find(0, mac(5999)) is not None and len(table) == 100


def test_changes_that_nobody_takes_are_bounded():
    table = MacLearning()
    for number in range(60_000):
        table.add(0, mac(1), PORTS[number % 2], number)
    assert not table.too_many, "nobody watches"
    assert table.take_changed() == ()


def test_flood_vlans_forget():
    table = MacLearning()
    table.add(5, mac(1), PORTS[0], 0)
    table.add(6, mac(1), PORTS[0], 0)
    table.set_flood_vlans({5})
    assert [vlan for vlan, _, _ in names(table)] == [6]


def test_rows_tell_the_age():
    table = MacLearning()
    table.add(7, mac(0xAB), PORTS[1], 10_000)
    assert list(table.rows(14_400)) == [("p1", 7, "00:00:00:00:00:ab", 4)]
    assert table.find(7, mac(0xAB)).bundle is PORTS[1]
    assert table.find(8, mac(0xAB)) is None


def test_static_entries():
    table = MacLearning()
    table.set_max_entries(10)
    table.add(0, mac(1), PORTS[0], 0)
    old = table.add_static(0, mac(1), PORTS[1], 0)
    assert (old.bundle, old.static) == (PORTS[0], False)
    assert table.add_static(0, mac(1), PORTS[1], 0) is None
    assert not table.add(0, mac(1), PORTS[2], 5)
    assert table.find(0, mac(1)).bundle is PORTS[1] and table.total_moved == 0
    for number in range(2, 20):
        table.add(0, mac(number), PORTS[0], number)
    table.run(10**9)
    table.flush()
    assert names(table) == [(0, mac(1).hex(":"), "p1")]
    for number in range(2, 13):  # one more than there is room for
        table.add_static(0, mac(number), PORTS[0], 0)
    assert len(table) == len(table.statics) == 10 and table.find(0, mac(2)) is None
    assert not table.add(0, mac(50), PORTS[0], 0) and table.find(0, mac(50)) is None
    assert not table.remove_static(0, mac(50)) and table.remove_static(0, mac(5))
    assert table.add(0, mac(50), PORTS[0], 0)
    table.clear_statistics()
    assert table.total_learned == table.total_evicted == 0
    table.flush_bundle(PORTS[0])
    assert len(table) == 0


@given(st.lists(st.tuples(st.sampled_from("asrfb"), st.integers(0, 14), st.integers(0, 2))))
def test_static_entries_among_others(steps):
    """The table's parts agree with one another whatever happens."""
    table = MacLearning()
    table.set_max_entries(10)
    static = {}
    for now, (step, number, port) in enumerate(steps):
        if step == "a":
            table.add(0, mac(number), PORTS[port], now)
        elif step == "s":
            table.add_static(0, mac(number), PORTS[port], now)
            if static.get(number) != port:
                static.pop(number, None)
            static[number] = port
        elif step == "r":
            assert table.remove_static(0, mac(number)) == (static.pop(number, None) is not None)
        elif step == "f":
            table.flush()
        else:
            table.flush_bundle(PORTS[port])
            static = {n: p for n, p in static.items() if p != port}
        if len(static) > 10:
            del static[next(iter(static))]
        shown = [(int(text[-2:], 16), name, age is None) for name, _, text, age in table.rows(now)]
        statics = [(n, name) for n, name, is_static in shown if is_static]
        assert statics == [(n, f"p{p}") for n, p in static.items()]
        assert len({n for n, _, _ in shown}) == len(shown) == len(table) <= 10


def test_static_entries_stand_where_they_were_added():
    table = MacLearning()
    table.add(0, mac(1), PORTS[0], 0)
    table.add_static(0, mac(2), PORTS[1], 0)
    table.add(0, mac(3), PORTS[0], 1000)
    assert [text[-1] for _, _, text, _ in table.rows(1000)] == ["1", "2", "3"]
    table.add(0, mac(1), PORTS[0], 2000)
    assert [text[-1] for _, _, text, _ in table.rows(2000)] == ["2", "3", "1"]
