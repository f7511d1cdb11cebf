"""dpctl's commands in vswitchd that are about a datapath which add-dp made."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from datapath.ipc import further
from datapath.ipc.dpif import Dpif, DpifStalled
from tests.datapath.dp_process import Process
from vswitchd.dpctl import datapaths
from vswitchd.pmds.further import follow
from vswitchd.pmds.pmds import Pmds

PATIENCE = 1.0  # seconds: a loaded machine answers in less


def test_one_that_does_not_answer_does_not_stall_the_loop():
    process = Process()
    run = SimpleNamespace(main=Dpif(process.path, PATIENCE), chosen=None, of_chosen=None)
    try:
        further.add(run.main, "dp0", "dummy")
        assert datapaths.choose(run, "dp0") and run.chosen == "dummy@dp0"
        assert not list(run.of_chosen.flow_dump())
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DpifStalled):
            run.of_chosen.stats()
        assert time.monotonic() < began + 20 * PATIENCE
    finally:
        os.kill(process.pid, signal.SIGCONT)
        run.of_chosen.close()
        run.main.close()
        process.close()


@pytest.fixture
def two():
    """Connections of two commands to one datapath."""
    process = Process()
    main = Dpif(process.path)
    further.add(main, "dp0", "dummy")
    made = [further.FurtherDpif(process.path, "dp0") for _ in range(2)]
    yield made
    for each in (*made, main):
        each.close()
    process.close()


def cores(dpif):
    return {each["core"] for each in dpif.stats()["workers"]} - {None}


def between(monkeypatch, dpif, request, happens):
    """Once, what another command does comes behind a request of this one."""
    ask = getattr(dpif, request)

    def asked():
        told = ask()
        monkeypatch.undo()
        happens()
        return told

    monkeypatch.setattr(dpif, request, asked)


def test_commands_at_once(two, monkeypatch):
    """What one had seen the other changed: the datapath refused, and ports had no worker."""
    one, other = two
    pmds = Pmds({4: 0, 5: 0, 6: 1}, pinned=False)
    one.port_add("p1", "dummy-pmd", None, {})
    between(monkeypatch, one, "stats", lambda: follow(other, pmds))
    follow(one, pmds)
    assert cores(one) == {4, 6}
    one.port_add("p2", "dummy-pmd", None, {})
    between(monkeypatch, one, "port_dump", lambda: other.port_del(2))
    follow(one, pmds)
    assert cores(one) == {4, 6}
    one.port_del(1)
    between(monkeypatch, one, "stats", lambda: follow(other, pmds))
    follow(one, pmds)
    assert cores(one) == set()


def test_the_mask_is_not_for_them(two):
    one = two[0]
    pmds = Pmds({4: 0, 5: 0, 6: 1}, pinned=False)
    pmds.configure({"pmd-cpu-mask": "0x20"})
    one.port_add("p1", "dummy-pmd", None, {})
    follow(one, pmds)
    assert cores(one) == {4, 6}
