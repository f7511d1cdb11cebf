"""One interface as the running switch has it: its port number, its device, what went wrong."""

import errno
import os
from typing import NamedTuple

from ofproto.port import are_sound
from ofproto.xlate.bridges.tunnel_config import KINDS
from pyvs.device_names import made_for
from vswitchd.database.config import InterfaceConfig
from vswitchd.devices.dummy import TYPES as DUMMY_TYPES
from vswitchd.devices.dummy import Device
from vswitchd.devices.links import Link
from vswitchd.devices.netdev import DriverInfo, LinkMode, mii_link


class IfaceType(NamedTuple):
    """How vswitchd treats an interface type."""

    needs_device: bool  # a network device that somebody else makes must be there first
    is_device: bool  # it is (or becomes) a network device of this namespace
    is_ours: bool  # the datapath makes the device: we choose its MAC and MTU


# Interface type -> treatment.  The keys are also what iface_types tells.
TYPES = {
    "system": IfaceType(needs_device=True, is_device=True, is_ours=False),
    **dict.fromkeys(
        ("afxdp", "afxdp-nonpmd"), IfaceType(needs_device=True, is_device=True, is_ours=False)
    ),
    "internal": IfaceType(needs_device=False, is_device=True, is_ours=True),
    "tap": IfaceType(needs_device=False, is_device=True, is_ours=True),
    **dict.fromkeys(
        ("patch", *KINDS, *DUMMY_TYPES),
        IfaceType(needs_device=False, is_device=False, is_ours=False),
    ),
}


def open_error(iface: "Iface", code: int) -> str:
    """The text of the error column when the device cannot be had (`code`: errno), as in OVS."""
    name, reason = iface.name, os.strerror(code)
    if code in (errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET):
        return f"could not add network device {name}: the datapath process is gone"
    if code in (errno.ENOENT, errno.ENXIO):
        reason = os.strerror(errno.ENODEV)
    kind = iface.kind
    # OVS opens devices itself, which makes those that it is to make, and then adds them.
    before = (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EAFNOSUPPORT)
    if kind is None or kind.is_ours or code in before:
        return f"could not open network device {name} ({reason})"
    return f"could not add network device {name} to ofproto ({reason})"


FAULT = "an internal error kept %s from being configured; the log tells more"

DEFAULT_MTU = 1500  # of a device that the datapath makes, and of a bridge without others


class Iface:
    """The state of an interface that the configuration wants.

    `ofp_port` None means that it is not a port now, and `error` says why.  `link` is the device
    as last seen; after a failed attempt it is the device of that attempt, so that a device
    that cannot be used is not tried again and again.
    """

    __slots__ = (
        "config",
        "driver",
        "dummy",
        "error",
        "given_mtu",
        "has_fault",
        "is_linked",
        "last_ofport",
        "link",
        "link_mode",
        "mii",
        "ofp_port",
        "own_mtu",
        "resets_base",
        "type",
        "verdicts",
    )

    def __init__(self, config: InterfaceConfig, type_: str, last_ofport: int | None):
        self.config = config
        self.type = type_
        self.ofp_port: int | None = None
        self.error: str | None = None
        self.has_fault = False  # configuring it, or reading its row, met a fault of ours
        self.link: Link | None = None
        self.link_mode: LinkMode | None = None
        self.mii: bool | None = None  # what its MII said last, where that is asked
        self.driver: DriverInfo | None = None
        self.dummy: Device | None = None  # of a dummy
        self.resets_base = 0
        self.last_ofport = last_ofport
        self.verdicts: dict[str, bool] = {}  # of protocols: whether it leads to anybody
        self.is_linked = False  # a patch port has its other end
        # Of an internal device: the MTU that we gave it last, and the one that somebody else did.
        self.given_mtu = DEFAULT_MTU
        self.own_mtu: int | None = None

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def device(self) -> str:
        """The name of its network device, unless somebody renamed that."""
        return made_for(self.name) if self.kind is not None and self.kind.is_ours else self.name

    @property
    def kind(self) -> IfaceType | None:
        """None for a type that is not supported."""
        return TYPES.get(self.type)

    @property
    def link_resets(self) -> int:
        """How often the carrier changed since the port was made."""
        return max(0, self.link.carrier_changes - self.resets_base) if self.link else 0

    def is_up(self) -> bool:
        """Whether frames can leave through it."""
        if self.ofp_port is None:
            return False
        if self.dummy is not None:
            return self.dummy.up
        if self.link is None:
            return True
        return self.link.is_up and (self.link.has_carrier if self.mii is None else self.mii)

    def poll_mii(self, wanted: bool) -> bool:
        """Ask its MII whether there is a link; not `wanted`: its carrier counts again.  Returns
        whether it is up now and was not, or the other way round."""
        before = self.is_up()
        self.mii = mii_link(self.device) if wanted and self.link is not None else None
        return self.is_up() != before

    @property
    def is_sound(self) -> bool:
        """Whether frames get to the other side, as far as protocols know."""
        return are_sound(self.verdicts)

    def wanted_ofport(self) -> int | None:
        """The number to ask for: the user's, else the one it had."""
        return self.config.ofport_request or self.last_ofport

    def precedence(self) -> int:
        """Of those who become ports at the same time, the lowest comes first: who asks for a
        number that it had, who asks for one, who had one, who takes any."""
        request = self.config.ofport_request
        if request:
            return 0 if request == self.last_ofport else 1
        return 3 if self.last_ofport is None else 2

    # --- its MTU

    @property
    def follows_mtu(self) -> bool:
        """Whether its MTU is that of the bridge's other devices."""
        return self.type == "internal" and not self.config.mtu_request

    def mtu_for(self, smallest: int) -> int:
        """The MTU that the device is to have where the others' smallest is this one."""
        if self.link.mtu != self.given_mtu:  # somebody changed it
            self.given_mtu = self.link.mtu
            self.own_mtu = self.link.mtu if self.link.mtu != smallest else None
        return min(smallest, self.own_mtu or smallest)

    # --- what becomes of it

    def attached(self, ofp_port: int) -> None:
        self.ofp_port = self.last_ofport = ofp_port
        self.error = None
        self.link = None
        self.link_mode = None
        self.given_mtu, self.own_mtu = DEFAULT_MTU, None

    def begin_counting(self) -> None:
        """From now on count what happens to the carrier."""
        self.resets_base = self.link.carrier_changes if self.link else 0

    def failed(self, error: str, link: Link | None) -> None:
        self.ofp_port = None
        self.error = error
        self.link = link
        self.link_mode = None

    def detached(self) -> None:
        self.ofp_port = None
        self.verdicts.clear()
        self.link = None
        self.link_mode = None
