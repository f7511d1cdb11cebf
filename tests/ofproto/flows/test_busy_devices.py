"""Ports whose devices are somebody's yet when a new datapath process is asked for them."""

import errno

import pytest

from datapath.ipc.dpif import DpifError, DpifStalled
from ofproto.flows.odp import ports as ports_module
from ofproto.flows.odp.devices import BUSY_MS, MOST_BUSY_MS, BusyPorts
from pyvs import clock
from tests.ofproto.bridge_world import World


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def test_it_is_tried_again(world, monkeypatch):
    backer = world.backer
    number = next(n for n, port in backer.ports.wanted.items() if port.type == "dummy")
    tries = []
    put_back = backer.ports.devices.put_back

    def busy_at_first(dpif, name, *rest):
        tries.append(name)
        if len(tries) < 3:
            raise DpifError(errno.EBUSY, "Device or resource busy")
        put_back(dpif, name, *rest)

    monkeypatch.setattr(backer.ports.devices, "put_back", busy_at_first)
    backer.dpif.port_del(number)
    backer._lost()
    now = clock.msec()
    backer.run(now + 2000)  # connects again
    assert backer.dpif is not None and tries == [backer.ports.wanted[number].name]
    before = backer.ports.renewed
    backer.run(now)
    assert len(tries) == 1  # not at once
    for n in range(1, 4):
        backer.run(now + 10 * n * BUSY_MS)
    assert len(tries) == 3 and backer.ports.renewed > before
    assert number in {port.port_no for port in backer.dpif.port_dump()}
    backer.run(now + 100 * BUSY_MS)
    assert len(tries) == 3


def test_not_one_that_is_deleted_meanwhile(world, monkeypatch):
    backer = world.backer
    number = next(n for n, port in backer.ports.wanted.items() if port.type == "dummy")
    tries = []

    def busy(_dpif, name, *_rest):
        tries.append(name)
        raise DpifError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(backer.ports.devices, "put_back", busy)
    backer.dpif.port_del(number)
    backer._lost()
    backer.run(clock.msec() + 2000)
    backer.ports.pause(False)  # in the round in which it is due
    assert not backer.ports.run(clock.msec() + 10 * BUSY_MS)
    backer.ports.resume(backer.dpif)
    backer.ports.delete(number)
    backer.run(clock.msec() + 10 * BUSY_MS)
    assert len(tries) == 1


def test_one_that_stays_busy_costs_nothing_but_the_tries(world, monkeypatch):
    """No round of revalidation and no line of the log for each."""
    backer = world.backer
    number = next(n for n, port in backer.ports.wanted.items() if port.type == "dummy")
    told, tries = [], []

    def busy(_dpif, name, *_rest):
        tries.append(name)
        raise DpifError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(backer.ports.devices, "put_back", busy)
    monkeypatch.setattr(ports_module.vlog, "info", told.append)
    backer.dpif.port_del(number)
    backer._lost()
    now = clock.msec()
    backer.run(now + 2000)
    renewed = backer.ports.renewed
    for n in range(1, 6):
        backer.run(now + n * MOST_BUSY_MS + 5 * BUSY_MS)
    assert len(tries) == 6 and backer.ports.renewed == renewed
    assert len([text for text in told if "could not be added" in text]) == 1


def test_a_datapath_that_stalls_at_one_port_is_asked_for_the_others_later(world, monkeypatch):
    backer = world.backer
    numbers = [n for n, port in backer.ports.wanted.items() if port.type == "dummy"][:2]
    assert len(numbers) == 2
    tries = []

    def stalls(_dpif, name, *_rest):
        tries.append(name)
        raise DpifStalled(errno.ETIMEDOUT, "no answer")

    now = clock.msec()
    for number in numbers:
        backer.ports._busy.add(number, now)
    monkeypatch.setattr(backer.ports.devices, "put_back", stalls)
    with pytest.raises(OSError):
        backer.ports.run(now + BUSY_MS)
    assert len(tries) == 1
    assert backer.ports._busy.due(now + BUSY_MS) is None  # others have their turn first
    assert backer.ports._busy.due(now + 2 * BUSY_MS) == numbers[1]


def test_the_longer_a_device_is_busy_the_more_seldom_it_is_tried():
    ports = BusyPorts()
    ports.add(7, 0)
    now, tries = 0, []
    for _ in range(15):
        before, now = now, ports.next_run()
        assert ports.due(now - 1) is None and ports.due(now) == 7
        tries.append(now - before)
        ports.tried(7, now)
    assert tries == [min(BUSY_MS << n, MOST_BUSY_MS) for n in range(15)]
    assert tries[-1] == MOST_BUSY_MS
    ports.drop(7)
    assert ports.next_run() is None and not ports


def test_a_new_port_gets_the_number_of_no_busy_one(world, monkeypatch):
    backer = world.backer
    number = min(n for n, port in backer.ports.wanted.items() if port.type == "dummy")
    busy = backer.ports.wanted[number].name

    def put_back(_dpif, _name, *_rest):
        raise DpifError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(backer.ports.devices, "put_back", put_back)
    backer.dpif.port_del(number)
    backer._lost()
    backer.run(clock.msec() + 2000)
    made = backer.ports.add("another", "dummy")
    assert made != number and backer.ports.wanted[number].name == busy
    backer.ports.delete(made)
