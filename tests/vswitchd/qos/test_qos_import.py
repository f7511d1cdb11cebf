"""Disciplines that go before their library is there: the loop does not wait for it."""

import sys
import threading
from types import SimpleNamespace

import pytest

from pyvs import containment
from tests.daemons import wait_until
from vswitchd.qos import tc
from vswitchd.qos.ports import PortsQos


def test_what_is_to_go_waits_for_the_import(monkeypatch):
    gate, done = threading.Event(), []
    monkeypatch.setattr(tc.importlib, "import_module", lambda _name: gate.wait(10))
    monkeypatch.setattr(tc, "_clear", done.append)
    monkeypatch.setattr(tc._Import, "waiting", [])
    monkeypatch.setattr(tc._Import, "is_done", False)
    tc._importing.cache_clear()
    try:
        tc.clear(7)
        tc.clear(8)
        assert not tc.is_ready() and done == []
        gate.set()
        wait_until(tc.is_ready, what="the import")
        assert done == [7, 8]
        tc.clear(9)
        assert done == [7, 8, 9]
    finally:
        gate.set()
        tc._importing.cache_clear()


@pytest.mark.parametrize("fails", ["importing", "clearing"])
def test_a_fault_in_the_thread_is_not_the_end_of_it(monkeypatch, fails):
    done, told = [], []

    def clear(ifindex):
        if fails == "clearing" and ifindex == 7:
            raise KeyError("no such attribute")
        done.append(ifindex)

    monkeypatch.setattr(containment, "caught", lambda place, whose="": told.append(place))
    module = "no_such_module" if fails == "importing" else "json"
    real = tc.importlib.import_module
    monkeypatch.setattr(tc.importlib, "import_module", lambda _name: real(module))
    monkeypatch.setattr(tc, "_clear", clear)
    monkeypatch.setattr(tc._Import, "waiting", [7, 8])
    monkeypatch.setattr(tc._Import, "is_done", False)
    tc._importing.cache_clear()
    try:
        wait_until(tc.is_ready, what="the end of the import")
        assert done == ([8] if fails == "clearing" else [7, 8]) and len(told) == 1
    finally:
        tc._importing.cache_clear()


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(StopIteration) as end:
        next(tc.replace(tc.Device(1, 1500, None), "linux-htb", {}, ()))
    assert "pyroute2" in end.value.value
    with pytest.raises(StopIteration) as end:
        next(tc.counters(1))
    assert end.value.value == {}


def test_many_queues_are_looked_at_when_somebody_asks(monkeypatch):
    """What they came out as is not made while a reconciliation goes on."""
    asked = []
    effective = tc.effective
    monkeypatch.setattr(tc, "effective", lambda *given: asked.append(given) or effective(*given))
    monkeypatch.setattr(tc, "replace", lambda *_given: iter(()))
    monkeypatch.setattr(tc, "is_ready", lambda: True)
    qos = PortsQos("br0", SimpleNamespace())
    queue = {"min-rate": "1000000"}
    options = ("linux-hfsc", {"max-rate": "8000000"}, ((0, queue), (7, queue)))
    iface = SimpleNamespace(name="p1", link_mode=None)
    qos._shape(iface, SimpleNamespace(ifindex=7, mtu=1500), options)
    qos.run()
    assert not asked
    given = {"min-rate": 1000000, "max-rate": 8000000}
    assert qos.shown("p1") == ("linux-hfsc", {"max-rate": 8000000}, ((0, given), (7, given)))
    assert len(asked) == 1 and qos.shown("p2") == ("", {}, ())
