"""What is in the datapath goes when vswitchd ends for good, however slow that process is."""

import types

from datapath.ipc.connection import SLOWER
from ofproto.flows import backer


class Datapath:
    """A process that takes `seconds` to delete a port; `left`: what it was given for each."""

    def __init__(self, clock, seconds):
        self.clock = clock
        self.seconds = seconds
        self.patience = None
        self.left = []
        self.meters = []

    def flow_flush(self):
        self.clock.now += 0.1

    def port_dump(self):
        return [types.SimpleNamespace(port_no=number) for number in range(100)]

    def port_del(self, number):
        self.clock.now += self.seconds
        self.left.append(self.patience * SLOWER)

    def meter_dump(self):
        return [types.SimpleNamespace(meter=7)]

    def meter_del(self, number):
        self.meters.append(number)


class Clock:
    def __init__(self):
        self.now = 50.0

    def monotonic(self):
        return self.now


def test_all_of_it_is_waited_for_but_not_for_long(monkeypatch):
    for seconds, done in ((0.01, 100), (7.0, 3)):
        clock = Clock()
        monkeypatch.setattr(backer, "time", clock)
        datapath = Datapath(clock, seconds)
        backer._empty(datapath)
        assert len(datapath.left) == done and datapath.meters == [7] * (done == 100)
        assert all(0 < each <= backer.EMPTYING for each in datapath.left)
        assert datapath.left == sorted(datapath.left, reverse=True)
