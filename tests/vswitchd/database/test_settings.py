"""What columns of a bridge mean."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs import rundir
from vswitchd.database import settings
from vswitchd.database.config import BridgeConfig, ControllerRow
from vswitchd.devices.local_mac import LocalMac

EMPTY = BridgeConfig(UUID(int=0x1234), "br0", "", (), None, (), {}, (), ())


def bridge(**other_config):
    options = {name.replace("_", "-"): value for name, value in other_config.items()}
    return EMPTY._replace(other_config=options)


def test_mac_of_a_bridge():
    def mac(config):
        return LocalMac("br0").choose(config, ())

    assert mac(EMPTY) == "02:00:00:00:12:34"
    assert mac(bridge(hwaddr="0A:00:00:00:00:1F")) == "0a:00:00:00:00:1f"
    # Not an address of one station: as if it were not given.
    for bad in ("01:00:00:00:00:01", "00:00:00:00:00:00", "0a:00", "x", "0a:00:00:00:00:100"):
        assert mac(bridge(hwaddr=bad)) == "02:00:00:00:12:34"


@given(st.uuids())
def test_made_up_macs_are_local_unicast(uuid):
    first = int(settings.own_mac(uuid)[:2], 16)
    assert first & 3 == 2


@given(st.text(max_size=20))
def test_any_text_is_a_mac_or_none(text):
    mac = settings.parse_mac(text)
    assert mac is None or len(mac) == 17


def test_datapath_id():
    def dpid(text):
        return settings.datapath_id(bridge(datapath_id=text), "02:00:00:00:12:34")

    assert dpid("00000000000000ab") == 0xAB
    assert dpid("0xab") == 0xAB
    for bad in ("ab", "0", "0x0", "0000000000000000", "x" * 16, "0x" + "1" * 17):
        assert dpid(bad) == 0x020000001234


def test_integers_are_clamped():
    assert settings.integer({"a": "7"}, "a", 1, 5, 10) == 7
    assert settings.integer({"a": "70"}, "a", 1, 5, 10) == 10
    assert settings.integer({"a": "x"}, "a", 1, 5, 10) == 1
    assert settings.integer({}, "a", 6, 5, 10) == 6


@pytest.mark.parametrize(
    "bridge, target, is_taken",
    [
        ("br0", "punix:{}/br0.controller", True),
        ("br0", "punix:{}/br0.db.sock", True),
        ("br0", "unix:{}/other.sock", True),
        ("br0", "tcp:127.0.0.1:6653", True),
        ("br0", "punix:{}/br1.controller", False),
        ("br0", "punix:{}/br0.x/y", False),
        ("br0", "unix:{}/../y", False),
        *(("br0", "punix:{}/br0." + own, False) for own in ("mgmt", "snoop", "flows", "protocols")),
        ("br0", "punix:{}/br0.2.mgmt", False),  # br0.2's
        ("db", "punix:{}/db.sock", False),
        ("datapath", "punix:{}/datapath.sock", False),
        ("pyvs-vswitchd", "punix:{}/pyvs-vswitchd.12.ctl", False),
        ("pyvs-vswitchd", "punix:{}/pyvs-vswitchd.pid", False),
    ],
)
def test_sockets_that_a_controller_may_be_at(bridge, target, is_taken):
    target = target.format(rundir.rundir())
    row = ControllerRow(*[None] * 15)._replace(target=target)
    found = settings.controllers(EMPTY._replace(name=bridge, controllers=(row,)))
    assert [each.target for each in found] == [target] * is_taken


@pytest.mark.parametrize(
    "of_bridge, of_row, size",
    [(None, None, 100), ("512", None, 512), ("7", 9, 9)]
    + [(text, None, 100) for text in ("0", "513", "-1", "", "x", "\u0667", "9" * 5000)],
)
def test_the_queue_of_a_controller(of_bridge, of_row, size):
    """The row's own size goes first; of the bridge's, one out of bounds is none."""
    row = ControllerRow(*[None] * 15)._replace(target="tcp:10.0.0.1", queue_size=of_row)
    other = {} if of_bridge is None else {"controller-queue-size": of_bridge}
    found = settings.controllers(EMPTY._replace(controllers=(row,), other_config=other))
    assert [each.controller_queue_size for each in found] == [size]


def test_managers_that_in_band_control_lets_through():
    """Targets that are no address may stand in the database."""
    targets = [
        *("tcp:10.0.0.1", "ssl:10.0.0.2:7000", "ptcp:6640", "unix:/db.sock", "tcp:[::1]:6640"),
        *("tcp:10.0.0.999", "tcp:010.0.0.1", "tcp:10.0.0.1:99999", "tcp:10.0.0.1:" + "9" * 5000),
        *("tcp:1\u0660.0.0.1", "tcp:10.0.0.1:6\u0666", "tcp:1.2.3", "tcp:" + "1" * 9),
        "tcp:manager:1",
    ]
    assert settings.in_band_managers(targets) == (("10.0.0.1", 6640), ("10.0.0.2", 7000))
