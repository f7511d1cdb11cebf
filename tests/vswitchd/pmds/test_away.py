"""Workers of a datapath process that does not answer, or is another one by now."""

import errno
from types import SimpleNamespace

import pytest

from datapath.ipc.dpif import DpifError
from pyvs import clock
from vswitchd.pmds.history import INTERVAL
from vswitchd.pmds.pmds import Pmds


class Dpif:
    def stats(self):
        return {"workers": [{"core": 0, "id": 1, "cycles": 0, "busy": 0}]}

    def port_dump(self):
        return []


def due(pmds, backer):
    """After a turn of the loop: in how many ms the next is to be, None: nobody asks for one."""
    timers = []
    pmds.run(backer, clock.msec())
    pmds.wait(backer, SimpleNamespace(timer_wait_until=timers.append))
    return timers[0] - clock.msec() if timers else None


@pytest.mark.parametrize("other", [None, Dpif()], ids=["stalled", "new"])
def test_nobody_waits_for_a_sample_that_cannot_be_taken(other):
    """The loop turned without a pause from the time on when it was due."""
    pmds = Pmds({0: 0}, False)
    backer = SimpleNamespace(dpif=Dpif())
    pmds.configure({})
    pmds._take_over(backer.dpif)
    assert pmds.workers == {0: 1}
    assert INTERVAL / 2 < due(pmds, backer) <= INTERVAL
    known, backer.dpif = backer.dpif, other
    pmds._sampled -= 2 * INTERVAL
    assert due(pmds, backer) is None and due(pmds, None) is None
    backer.dpif = known
    assert INTERVAL / 2 < due(pmds, backer) <= INTERVAL


def test_a_worker_that_could_not_be_ended_is_still_known():
    """Else nobody tried it again, and another one for its core was refused for ever."""
    refusals = [DpifError(errno.ENOMEM, "no memory")]

    def workers_del(workers):
        assert workers == [1]
        if refusals:
            raise refusals.pop()

    dpif = SimpleNamespace(sync=lambda: None, workers_del=workers_del, stats=Dpif().stats)
    backer = SimpleNamespace(
        dpif=dpif,
        handler=SimpleNamespace(run=lambda now: 0),
        revalidator=SimpleNamespace(sync=lambda now: None),
    )
    pmds = Pmds({0: 0}, False)
    pmds._take_over(dpif)
    with pytest.raises(DpifError):
        pmds._end_workers(backer, {})
    assert pmds.workers == {0: 1}
    pmds._end_workers(backer, {})
    assert pmds.workers == {}


def test_one_that_was_lost_while_ports_were_made():
    """The configuration goes on without it."""
    pmds = Pmds({0: 0}, False)
    pmds.configure({})
    backer = SimpleNamespace(dpif=None)
    pmds.follow(backer, [])
    assert pmds.workers == {}
