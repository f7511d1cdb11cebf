"""The bonds of a bridge: which port of a bundle carries what.

Who decides that tells it by set(); translation follows, and counts what each bucket carries.  When
a member's traffic goes to another one, announce() has the switches behind the bond learn it: a
RARP packet of each station behind other ports, as Open vSwitch's bonding.rst says.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from ofproto.frames import send
from ofproto.ports import Ports
from ofproto.xlate.bridges.xbond import BOND_ACTIVE_BACKUP, BOND_SLB, BOND_TCP, XBond, bucket_of
from ofproto.xlate.outputs.bond import bond_state
from pyvs import clock

MODES = {
    "active-backup": BOND_ACTIVE_BACKUP,
    "balance-slb": BOND_SLB,
    "balance-tcp": BOND_TCP,
}
BROADCAST = b"\xff" * 6
FRAME_SIZE = 60  # bytes, the least without FCS
AT_ONCE = 64  # stations that are told of in one round


class BondSettings(NamedTuple):
    """Ports are OpenFlow numbers, None where no member is enabled."""

    mode: str
    active: int | None
    buckets: tuple[int | None, ...] = ()  # of a bond that balances, 256
    basis: int = 0
    all_members_active: bool = False
    accepting: tuple[int, ...] | None = None  # see XBond.set
    lb_output: bool = False  # of balance-tcp: the datapath is to choose by itself


class Bonds:
    """Keys are those of the bundles."""

    def __init__(self, xbridge: Any, backer: Any, ports: Ports):
        self._xbridge = xbridge
        self._backer = backer
        self._ports = ports
        self._announcing: dict[Any, Iterator[tuple[int, bytes]]] = {}

    def set(self, key: Any, settings: BondSettings | None) -> None:
        """Have a bundle that there is be this bond; None: no bond any more."""
        bundle = self._ports.bundle(key)
        before = bundle.bond.lb_id if bundle.bond is not None else 0
        if settings is None:
            self._xbridge.bond_set(bundle, None)
            self._backer.bonds.remove(before)
            return
        bond = bundle.bond or XBond()
        lb_id = self._lb_id(bundle, settings)
        if before != lb_id:
            self._backer.bonds.remove(before)
        bond.set(
            MODES[settings.mode],
            self._xport(settings.active),
            [self._xport(number) for number in settings.buckets],
            settings.basis,
            settings.all_members_active,
            None if settings.accepting is None else map(self._xport, settings.accepting),
            lb_id,
        )
        if lb_id:
            self._backer.bonds.set(lb_id, bond.basis, bond.buckets)
        self._xbridge.bond_set(bundle, bond)

    def _lb_id(self, bundle: Any, settings: BondSettings) -> int:
        """0: the datapath does not choose.  It can where all members are its own ports."""
        own = all(port.peer is None and port.tunnel is None for port in bundle.ports)
        if not settings.lb_output or settings.mode != "balance-tcp" or not own:
            return 0
        return (bundle.bond and bundle.bond.lb_id) or self.state_id(bundle)

    def state_id(self, bundle: Any) -> int:
        state = bond_state(self._xbridge, bundle.name)
        return int(self._backer.flows.recirc.id_of(state, clock.msec()))

    def _xport(self, number: int | None) -> Any:
        port = self._ports.by_number.get(number) if number is not None else None
        return port.xport if port is not None else None

    def loads(self, key: Any) -> list[int]:
        """Bytes that left by each bucket, since ever."""
        bond = self._ports.bundle(key).bond
        if not bond.lb_id:
            return bond.loads()
        chosen = self._backer.bonds.loads(bond.lb_id)
        return [sum(each) for each in zip(bond.loads(), chosen, strict=True)]

    def lb_id(self, key: Any) -> int:
        """Under which number the datapath chooses the members of a bond; 0: it does not."""
        bond = self._ports.bundle(key).bond
        return bond.lb_id if bond is not None else 0

    def recirc_id(self, key: Any) -> int:
        """The number under which packets come round where a bond sends them round."""
        bundle = self._ports.bundle(key)
        return self.lb_id(key) or self.state_id(bundle)

    # --- learning packets

    def announce(self, key: Any) -> None:
        """Tell the switches behind the bond where the stations behind other ports are reached."""
        self._announcing[key] = self._announcements(self._ports.bundle(key))

    def _announcements(self, bundle: Any) -> Iterator[tuple[int, bytes]]:
        for name, vlan, mac, _age in self._xbridge.mac.rows(0):
            if name != bundle.name and bundle.bond is not None and bundle.includes_vlan(vlan):
                port = carrier(bundle.bond, bytes.fromhex(mac.replace(":", "")), vlan)
                if port is not None:
                    yield port.ofp_port, rarp(mac, wire_vlan(bundle, vlan))

    def run(self, now: int) -> None:
        for key, announcements in list(self._announcing.items()):
            some = list(islice(announcements, AT_ONCE))
            if len(some) < AT_ONCE:
                del self._announcing[key]
            for number, frame in some:
                send(self._backer, self._xbridge, number, frame, now)

    @property
    def has_news(self) -> bool:
        """Whether run() has something to send."""
        return bool(self._announcing)


def carrier(bond: XBond, mac: bytes, vlan: int) -> Any:
    """The port that a station's packets leave by."""
    if not bond.buckets:
        return bond.active
    return bond.buckets[bucket_of(mac, vlan, bond.basis)]


def wire_vlan(bundle: Any, vlan: int) -> int:
    """The tag of packets that leave by a bundle; 0: none."""
    inside = bundle.vlan_mode in ("access", "dot1q-tunnel", "native-untagged")
    return 0 if inside and vlan == bundle.vlan else vlan


def rarp(mac: str, vlan: int) -> bytes:
    """A RARP request of a station that asks for its own address, as a frame (RFC 903)."""
    station = bytes.fromhex(mac.replace(":", ""))
    tag = b"\x81\x00" + vlan.to_bytes(2, "big") if vlan else b""
    body = bytes.fromhex("0001080006040003") + 2 * (station + bytes(4))
    frame = BROADCAST + station + tag + b"\x80\x35" + body
    return frame.ljust(FRAME_SIZE + len(tag), b"\0")
