"""The loop of a daemon: what it is asked to wait for, and faults that come again and again."""

import os
import re
import select
import socket
import threading
import time

import pytest

from pyvs import containment
from pyvs.poller import Poller
from pyvs.process import control, daemon, poll_interval


@pytest.mark.parametrize("msec", [10**15, 1e300, float("inf"), 2**31])
def test_nobody_waits_too_long_for_poll(msec):
    poller = Poller()
    poller.timer_wait(msec)
    reader, writer = os.pipe()
    os.write(writer, b"x")
    poller.fd_wait(reader, 1)
    assert poller.block()  # and no OverflowError
    os.close(reader)
    os.close(writer)


class Module:
    """Ends the loop after some rounds, in which everything else fails."""

    def __init__(self, rounds):
        self.left = rounds

    def run(self):
        self.left -= 1
        if self.left == 0:
            control.exit_now()
        raise KeyError("run")

    def wait(self, poller):
        poller.immediate_wake()
        raise KeyError("wait")


@pytest.fixture
def rests(monkeypatch):
    monkeypatch.setattr(control._State, "exiting", False)
    made = []
    monkeypatch.setattr(containment.time, "sleep", made.append)
    yield made
    control._State.exiting = False


def test_the_loop_goes_on_slowly(rests, monkeypatch):
    def broken(*_args):
        raise ValueError("broken")

    monkeypatch.setattr(daemon.coverage, "tick", broken)
    monkeypatch.setattr(daemon.control, "warp_on", broken)
    daemon.main_loop(None, [Module(containment.IN_A_ROW + 4)])
    assert rests == [containment.REST] * 3


def test_a_fault_that_cannot_be_logged_is_contained_all_the_same(monkeypatch):
    def broken(*_args):
        raise OSError("no log")

    monkeypatch.setattr(containment.LimitedLog, "err", broken)
    before = containment.FAULTS.count
    assert containment.call("test", None, lambda: 1 // 0, default=7) == 7
    assert containment.FAULTS.count == before + 1


def test_long_turns_are_told_and_counted(monkeypatch):
    """By processor time what the turn did itself, by the clock what others suffered."""
    told = []
    interval = poll_interval.PollInterval
    monkeypatch.setattr(poll_interval.vlog, "warn", told.append)
    monkeypatch.setattr(poll_interval, "LONG", 0.25)
    counters = [poll_interval.LONG_INTERVALS, *(each for _, each in poll_interval.STEPS)]

    def counted(turn):
        before = [each.count for each in counters]
        made = interval()
        turn()
        made.end()
        return [each.count - old for each, old in zip(counters, before, strict=True)]

    def idle():
        threading.Event().wait(0.3)

    def busy():
        end = time.thread_time() + 0.15
        while time.thread_time() < end:
            pass

    assert counted(lambda: None) == [0, 0, 0, 0] and not told
    assert counted(idle) == [1, 0, 0, 0]
    assert re.match(r"Unreasonably long \d+ms poll interval \(\d+ms user, \d+ms system\)", told[0])
    assert counted(busy)[1:3] == [1, 1]


class Client:
    """One end of a socket pair whose other end is served between rounds."""

    def __init__(self, wanted=1.0):
        self.near, self.far = socket.socketpair()
        self.wanted = wanted
        self.served = 0

    def serve(self):
        self.near.recv(100)
        self.served += 1
        if self.served < 5:
            self.far.send(b"once more")
        return self.wanted

    def wait(self, poller):
        poller.fd_wait(self.near, select.POLLIN)
        poller.quick(self.near.fileno(), self.serve)

    def close(self):
        self.near.close()
        self.far.close()


@pytest.mark.parametrize(("wanted", "served"), [(1.0, 5), (0, 1)])
def test_who_is_served_between_rounds(wanted, served):
    """As long as none of them wants a round, and then for the loop's own timers."""
    poller, client = Poller(), Client(wanted)
    client.wait(poller)
    client.far.send(b"first")
    poller.block()
    assert client.served == served
    client.close()


def test_others_have_a_round_at_once():
    poller, client, other = Poller(), Client(), Client()
    client.wait(poller)
    poller.fd_wait(other.near, select.POLLIN)
    client.far.send(b"first")
    other.far.send(b"first")
    found = poller.block()
    assert dict(found) == {client.near.fileno(): select.POLLIN, other.near.fileno(): select.POLLIN}
    assert client.served == 0
    client.close()
    other.close()


def test_a_client_that_has_gone_is_not_served_between_rounds():
    poller, client = Poller(), Client()
    client.wait(poller)
    client.far.close()
    assert poller.block()[0][0] == client.near.fileno()
    assert client.served == 0
    client.close()
