"""The local port's own IPv4 address and way out, where a controller's row has them:
ovs-vswitchd.conf.db(5), Controller, "Additional In-Band Configuration"."""

from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

import ovs.vlog

from vswitchd.database.config import BridgeConfig, ControllerRow
from vswitchd.devices import netdev
from vswitchd.devices.links import Link

vlog = ovs.vlog.Vlog("bridge")

# By the first byte of an address below each: classes A, B and C
_CLASSES = ((128, "255.0.0.0"), (192, "255.255.0.0"), (224, "255.255.255.0"))
_NOTHING = IPv4Address(0)


class LocalAddress(NamedTuple):
    ip: IPv4Address
    netmask: IPv4Address
    gateway: IPv4Address | None


def _parse(text: str | None) -> IPv4Address | None:
    try:
        return IPv4Address(text) if text else None
    except AddressValueError:
        vlog.warn(f'"{text}" is not a valid IP address')
        return None


def _mask_of_class(ip: IPv4Address) -> IPv4Address:
    first = ip.packed[0]
    return IPv4Address(next((mask for below, mask in _CLASSES if first < below), _NOTHING))


def of_controller(row: ControllerRow) -> LocalAddress | None:
    """What one row says, if anything."""
    ip = _parse(row.local_ip)
    if ip is None or row.connection_mode == "out-of-band":
        return None
    netmask, gateway = _parse(row.local_netmask) or _NOTHING, _parse(row.local_gateway)
    if netmask == _NOTHING:
        netmask = _mask_of_class(ip)
    return LocalAddress(ip, netmask, None if gateway == _NOTHING else gateway)


class LocalPort:
    """Gives the local port of the bridge `name` what its controllers say: once to each device, so
    that what somebody changes there stays."""

    def __init__(self, name: str):
        self._name = name
        self._rows: tuple[tuple[str | None, ...], ...] = ()
        self._wanted: LocalAddress | None = None
        self._given: tuple[int, LocalAddress] | None = None  # to the device with this ifindex

    def configure(self, config: BridgeConfig) -> None:
        """The first controller that says something counts."""
        in_band = config.other_config.get("disable-in-band") != "true"
        rows = config.controllers if in_band else ()
        said = tuple(
            (row.local_ip, row.local_netmask, row.local_gateway, row.connection_mode)
            for row in rows
        )
        if said != self._rows:  # else what is wrong with them has been said
            self._rows = said
            self._wanted = next(filter(None, map(of_controller, rows)), None)

    def give(self, link: Link | None) -> None:
        """`link`: the local port's device, None where there is none."""
        if link is None or self._wanted is None or self._given == (link.ifindex, self._wanted):
            return
        self._given = link.ifindex, self._wanted
        ip, netmask, gateway = self._wanted
        try:
            netdev.set_up(link.name, True)
            netdev.set_ip(link.name, ip.packed, netmask.packed)
            vlog.info(f"bridge {self._name}: configured IP address {ip}, netmask {netmask}")
            if gateway is not None:
                netdev.add_gateway(link.name, gateway.packed)
                vlog.info(f"bridge {self._name}: configured gateway {gateway}")
        except OSError as error:
            vlog.warn(f"bridge {self._name}: configuring {ip} failed ({error.strerror})")
