"""Ports whose devices are somebody's yet when a new datapath process is asked for them."""

import errno

import pytest

from datapath.ipc.dpif import DpifError
from ofproto.flows.dp_devices import BUSY_MS
from pyvs import clock
from tests.ofproto.bridge_world import World


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def test_it_is_tried_again(world, monkeypatch):
    backer = world.backer
    number = next(n for n, port in backer.ports.items() if port.type == "dummy")
    tries = []
    put_back = backer.devices.put_back

    def busy_at_first(dpif, name, *rest):
        tries.append(name)
        if len(tries) < 3:
            raise DpifError(errno.EBUSY, "Device or resource busy")
        put_back(dpif, name, *rest)

    monkeypatch.setattr(backer.devices, "put_back", busy_at_first)
    backer.dpif.port_del(number)
    backer._lost()
    now = clock.msec()
    backer.run(now + 2000)  # connects again
    assert backer.dpif is not None and tries == [backer.ports[number].name]
    before = backer.renewed
    backer.run(now)
    assert len(tries) == 1  # not at once
    for n in range(1, 4):
        backer.run(now + 10 * n * BUSY_MS)
    assert len(tries) == 3 and backer.renewed > before
    assert number in {port.port_no for port in backer.dpif.port_dump()}
    backer.run(now + 100 * BUSY_MS)
    assert len(tries) == 3


def test_not_one_that_is_deleted_meanwhile(world, monkeypatch):
    backer = world.backer
    number = next(n for n, port in backer.ports.items() if port.type == "dummy")
    tries = []

    def busy(_dpif, name, *_rest):
        tries.append(name)
        raise DpifError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(backer.devices, "put_back", busy)
    backer.dpif.port_del(number)
    backer._lost()
    backer.run(clock.msec() + 2000)
    backer.odp_port_del(number)
    backer.run(clock.msec() + 10 * BUSY_MS)
    assert len(tries) == 1
