"""Interfaces whose MII a bond asked, when it does so no more: their carriers count again."""

from types import SimpleNamespace
from uuid import uuid4

import pytest

from vswitchd.bonding import bonds
from vswitchd.bonding.bundles import Bundles
from vswitchd.database import settings
from vswitchd.database.config import InterfaceConfig, PortConfig
from vswitchd.devices import iface as ifaces
from vswitchd.devices.links import IFF_LOWER_UP, IFF_UP, Link

MIIMON = {"bond-detect-mode": "miimon"}


def nothing(*_args, **_more):
    """What an Ofproto is told of bundles is not looked at here."""


def port(members, other_config):
    configs = tuple(each.config for each in members)
    return PortConfig(*settings.local_port("bond0"))._replace(
        uuid=uuid4(), interfaces=configs, other_config=other_config
    )


def interface(number):
    config = InterfaceConfig(uuid4(), f"p{number}", "system", {}, None, None, None, {})
    made = ifaces.Iface(config, "system", None)
    made.ofp_port = number
    mac = f"02:00:00:00:00:0{number}"
    made.link = Link(number, made.name, mac, 1500, IFF_UP | IFF_LOWER_UP, "", 0)
    return made


def bundles_of(ofproto_told):
    ofproto = SimpleNamespace(
        bonds=SimpleNamespace(set=nothing, announce=nothing), bundle_set=nothing, bundle_del=nothing
    )
    return Bundles(
        *(ofproto, nothing),
        link_changed=lambda iface, now: ofproto_told.append((iface.name, iface.is_up())),
    )


def test_a_mode_that_is_none_is_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(bonds.vlog, "warn", told.append)
    bundles, members = bundles_of([]), [interface(1), interface(2)]
    for mode, lines in (("foo", 1), ("foo", 1), ("carrier", 1), ("miimon", 1), ("foo", 2)):
        bundles.set(port(members, {"bond-detect-mode": mode}), members, 0)
        assert len(told) == lines, mode
    assert told[0] == "port bond0: unsupported bond-detect-mode foo, using carrier"


@pytest.mark.parametrize("how", ["carrier", "left", "dropped", "single"])
def test_mii_is_forgotten(how, monkeypatch):
    """It was kept as it was last, for ever: LACP of the interface took it for down."""
    told = []
    bundles = bundles_of(told)
    one, two, three = members = [interface(number) for number in (1, 2, 3)]
    monkeypatch.setattr(ifaces, "mii_link", lambda device: device != "p1")
    bundles.set(port(members, MIIMON), members, 0)
    bundles.run(1000)
    assert told.pop() == ("p1", False) and not told and not one.is_up()
    if how == "carrier":
        bundles.set(port(members, {}), members, 2000)
    elif how == "left":
        bundles.set(port([two, three], MIIMON), [two, three], 2000)
    elif how == "dropped":
        bundles.drop("bond0", 2000)
    else:
        bundles.set(port([one], MIIMON), [one], 2000)
    assert told == [("p1", True)] and one.is_up()
