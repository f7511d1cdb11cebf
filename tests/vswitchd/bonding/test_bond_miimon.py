"""Interfaces whose MII a bond asked, when it does so no more: their carriers count again."""

from types import SimpleNamespace
from uuid import uuid4

import pytest

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


@pytest.mark.parametrize("how", ["carrier", "left", "dropped", "single"])
def test_mii_is_forgotten(how, monkeypatch):
    """It was kept as it was last, for ever: LACP of the interface took it for down."""
    told = []
    ofproto = SimpleNamespace(
        bonds=SimpleNamespace(set=nothing, announce=nothing), bundle_set=nothing, bundle_del=nothing
    )
    bundles = Bundles(
        ofproto, nothing, link_changed=lambda iface, now: told.append((iface.name, iface.is_up()))
    )
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
