"""Bonds of active-backup: which of several interfaces carries the traffic, and when another does.

Time is an argument, in milliseconds.  A member is enabled while it is up; a change counts after
bond_updelay or bond_downdelay, unless that would leave the bond without a member.
ovs-vswitchd.conf.db(5), "Bonding Configuration" of the Port table.
"""

import ovs.vlog

from vswitchd.config import PortConfig
from vswitchd.iface import Iface
from vswitchd.settings import integer

vlog = ovs.vlog.Vlog("bond")

NO_MAC = "00:00:00:00:00:00"


class Member:
    """`expires`: when `enabled` is to follow the device; None: it does already."""

    __slots__ = ("enabled", "expires", "iface", "is_barred")

    def __init__(self, iface: Iface):
        self.iface = iface
        self.is_barred = False  # by bond/disable-member
        self.enabled = self.may_enable
        self.expires: int | None = None

    @property
    def may_enable(self) -> bool:
        return self.iface.is_up() and not self.is_barred

    @property
    def mac(self) -> str | None:
        return self.iface.link.mac if self.iface.link else None


class Bond:
    """`members` by name; `active` is one of them, or None when none can be."""

    def __init__(self, name: str, last_mac: str | None):
        """`last_mac` is the address of the member that was active before this process."""
        self.name = name
        self.members: dict[str, Member] = {}
        self.active: Member | None = None
        self.active_mac = last_mac or NO_MAC  # of the last one
        self.primary: str | None = None
        self.updelay = self.downdelay = 0
        self.basis = 0

    def configure(self, port: PortConfig, ifaces: list[Iface], now: int) -> None:
        """Take over settings and members."""
        self.primary = port.other_config.get("bond-primary")
        self.updelay, self.downdelay = max(0, port.bond_updelay), max(0, port.bond_downdelay)
        self.basis = integer(port.other_config, "bond-hash-basis", 0, 0, 0xFFFFFFFF)
        before, self.members = self.members, {}
        for iface in ifaces:
            known = before.get(iface.name)
            same = known is not None and known.iface is iface
            self.members[iface.name] = known if same else Member(iface)
        if self.active is not None and self.members.get(self.active.iface.name) is not self.active:
            self.active = None
        self.run(now)

    def run(self, now: int) -> None:
        """Follow the devices, and choose."""
        for member in self.members.values():
            self._follow(member, now)
        chosen = self._choose()
        if chosen is not self.active:
            self._activate(chosen)

    def next_run(self) -> int | None:
        """When a delay is over."""
        waiting = [each.expires for each in self.members.values() if each.expires is not None]
        return min(waiting, default=None)

    def set_active(self, member: Member) -> None:
        """An administrator chooses (the primary, if it is up, comes back with the next change)."""
        self._activate(member)

    def _follow(self, member: Member, now: int) -> None:
        up = member.may_enable
        if up == member.enabled:
            member.expires = None
            return
        if member.expires is None:
            member.expires = now + (self.updelay if up else self.downdelay)
        if now >= member.expires:
            self._enable(member, up)

    def _enable(self, member: Member, enabled: bool) -> None:
        member.enabled, member.expires = enabled, None
        vlog.info(f"bond {self.name}: member {member.iface.name} "
                  f"{'enabled' if enabled else 'disabled'}")  # fmt: skip

    def _choose(self) -> Member | None:
        """The primary; the one that is active, or was before this process; the first that can."""
        enabled = [each for each in self.members.values() if each.enabled]
        if not enabled:
            return self._hasten()
        return min(
            enabled,
            key=lambda each: (
                each.iface.name != self.primary,
                each is not self.active,
                self.active is not None or each.mac != self.active_mac,
            ),
        )

    def _hasten(self) -> Member | None:
        """Without any, the one whose updelay is over first need not wait for that."""
        waiting = [each for each in self.members.values() if each.may_enable]
        if not waiting:
            return None
        first = min(waiting, key=lambda each: each.expires or 0)
        self._enable(first, True)
        return first

    def _activate(self, member: Member | None) -> None:
        self.active = member
        if member is None:
            vlog.info(f"bond {self.name}: all members are disabled")
            return
        self.active_mac = member.mac or self.active_mac
        vlog.info(f"bond {self.name}: active member is now {member.iface.name}")
