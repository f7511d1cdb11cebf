"""Disciplines that go before their library is there: the loop does not wait for it."""

import threading

from tests.daemons import wait_until
from vswitchd.qos import tc


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
