"""Bonds: which of several interfaces carries the traffic, or a part of it, and when another does.

Time is an argument, in milliseconds.  A member is enabled while it is up; a change counts after
bond_updelay or bond_downdelay, unless that would leave the bond without a member.
ovs-vswitchd.conf.db(5), "Bonding Configuration" of the Port table.
"""

from typing import Any

import ovs.vlog

from ofproto.protocols.lacp import Aggregate
from vswitchd.bonding.buckets import Buckets
from vswitchd.database.config import PortConfig
from vswitchd.database.settings import integer, within
from vswitchd.devices.iface import Iface

vlog = ovs.vlog.Vlog("bond")

NO_MAC = "00:00:00:00:00:00"
ACTIVE_BACKUP, SLB, TCP = MODES = ("active-backup", "balance-slb", "balance-tcp")
LACP_OFF, LACP_CONFIGURED, LACP_NEGOTIATED = "off", "configured", "negotiated"
CARRIER, MIIMON = DETECT_MODES = "carrier", "miimon"  # how a member that is down is known
MII_INTERVAL = 200  # ms
REBALANCE_INTERVAL, SHORTEST_INTERVAL = 10000, 1000  # ms


class Member:
    """`expires`: when `enabled` is to follow the device; None: it does already."""

    __slots__ = ("barred_while", "enabled", "expires", "iface")

    def __init__(self, iface: Iface):
        self.iface = iface
        self.barred_while: bool | None = None  # by bond/disable-member, until the link changes
        self.enabled = self.may_enable
        self.expires: int | None = None

    @property
    def may_enable(self) -> bool:
        return self.iface.is_up() and self.iface.is_sound

    @property
    def is_wanted(self) -> bool:
        """Whether it is to be enabled."""
        return self.may_enable and self.barred_while is None

    def bar(self, barred: bool) -> None:
        """ovs-vswitchd(8), bond/disable-member: it holds until the carrier's status changes."""
        self.barred_while = self.iface.is_up() if barred else None

    def unbar(self) -> None:
        """If what bar() waits for has come."""
        if self.barred_while is not None and self.barred_while != self.iface.is_up():
            self.barred_while = None

    @property
    def mac(self) -> str | None:
        device = self.iface.dummy or self.iface.link
        return device.mac if device else None


class Bond:
    """`members` by name; `active` is one of them, or None when none can be.

    `buckets` are those of a bond that balances.  `is_moving`: stations are to be told that they are
    reached by another member now.
    """

    def __init__(self, name: str, last_mac: str | None, kept: Any = None):
        """`last_mac` is the address of the member that was active before this process; `kept` what
        kept() gave then."""
        self._before = kept
        self.name = name
        self.members: dict[str, Member] = {}
        self.active: Member | None = None
        self._last_mac = last_mac or NO_MAC  # of the last one that was active
        self.lacp_fallback = False  # other_config:lacp-fallback-ab, also where there is no LACP
        self.primary: str | None = None
        self.updelay = self.downdelay = 0
        self.basis = 0
        self.mode = ACTIVE_BACKUP
        self.all_members_active = False
        self.lb_output = False  # the datapath is to choose the members by itself
        self.buckets: Buckets[Member] = Buckets()
        self.interval = REBALANCE_INTERVAL
        self.next_rebalance = 0
        self.is_moving = False
        self.lacp: Aggregate | None = None
        self.mii_interval = 0  # ms between two looks at the members' MIIs; 0: carrier counts
        self._next_mii = 0
        self._unknown_mode: str | None = None  # of detection, which was told

    @property
    def lacp_status(self) -> str:
        """Whether the other side knows of the bond."""
        if self.lacp is None:
            return LACP_OFF
        return LACP_NEGOTIATED if self.lacp.is_negotiated else LACP_CONFIGURED

    @property
    def active_mac(self) -> str:
        """As bond/show and the column bond_active_slave have it."""
        return self._last_mac if self.active is not None else NO_MAC

    @property
    def falls_back(self) -> bool:
        """Whether it does without a partner that speaks LACP, if there is none."""
        return self.lacp is not None and self.lacp.settings.fallback

    @property
    def has_fallen_back(self) -> bool:
        return self.falls_back and self.lacp_status == LACP_CONFIGURED

    @property
    def is_idle(self) -> bool:
        """Whether it may carry nothing, for want of a partner that speaks LACP."""
        if self.lacp is None:
            return self.mode == TCP
        return self.lacp_status == LACP_CONFIGURED and not self.falls_back

    @property
    def is_balancing(self) -> bool:
        return self.mode != ACTIVE_BACKUP and not self.has_fallen_back

    @property
    def announces(self) -> bool:
        """Whether the other side is to be told of stations that move: who speaks LACP knows."""
        return (self.mode != TCP and self.lacp is None) or self.has_fallen_back

    def enabled(self) -> list[Member]:
        return [each for each in self.members.values() if each.enabled]

    def configure(self, port: PortConfig, ifaces: list[Iface], now: int) -> list[Iface]:
        """Take over settings and members.  Returns the interfaces that are up now and were not, or
        the other way round, since their MII is not asked any more."""
        self.primary = port.other_config.get("bond-primary")
        self.updelay, self.downdelay = max(0, port.bond_updelay), max(0, port.bond_downdelay)
        self.basis = integer(port.other_config, "bond-hash-basis", 0, 0, 0xFFFFFFFF)
        mode, self.mode = self.mode, port.bond_mode if port.bond_mode in MODES else ACTIVE_BACKUP
        self.all_members_active = port.other_config.get("all-members-active") == "true"
        self.lb_output = port.other_config.get("lb-output-action") == "true"
        self.lacp_fallback = port.other_config.get("lacp-fallback-ab") == "true"
        self._set_interval(port, self.mode != mode, now)
        self._set_detection(port, now)
        before, self.members = self.members, {}
        for iface in ifaces:
            known = before.get(iface.name)
            same = known is not None and known.iface is iface
            self.members[iface.name] = known if same else Member(iface)
        if self.active is not None and self.members.get(self.active.iface.name) is not self.active:
            self.active = None
        gone = [each.iface for each in before.values() if each.iface not in ifaces]
        changed = _without_mii(gone if self.mii_interval else [*gone, *ifaces])
        self._go_on()
        self.run(now)
        return changed

    def kept(self) -> list[Any]:
        """The members that carry, and which of the members has each bucket, as numbers."""
        names = {id(member): at for at, member in enumerate(self.members.values())}
        return [
            {name: each.enabled for name, each in self.members.items()},
            [names.get(id(carrier)) for carrier in self.buckets.of],
        ]

    def _go_on(self) -> None:
        """As before this process; members that were not there then are new."""
        kept, self._before = self._before, None
        if kept is None:
            return
        try:
            enabled, of = kept
            for name in enabled.keys() & self.members.keys():
                self.members[name].enabled = enabled[name] is True
            known = [self.members.get(name) for name in enabled]
            carriers = [None if at is None else known[at] for at in of]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            vlog.warn(f"bond {self.name}: what was kept is of no use ({error})")
            return
        self.buckets.adopt(carriers, [each for each in known if each is not None])

    def close(self) -> list[Iface]:
        """There is no bond of them any more.  Returns what configure() does."""
        return _without_mii([member.iface for member in self.members.values()])

    def remove(self, name: str, now: int) -> None:
        """A member goes, and the others carry what it did."""
        member = self.members.pop(name)
        member.iface.poll_mii(False)
        self.is_moving |= member.enabled
        if self.active is member:
            self.active = None
        self.run(now)

    def _set_interval(self, port: PortConfig, anew: bool, now: int) -> None:
        """other_config:bond-rebalance-interval; 0: never.  It begins with another mode, `anew`."""
        given = integer(
            port.other_config, "bond-rebalance-interval", REBALANCE_INTERVAL, 0, 0x7FFFFFFF
        )
        interval = max(given, SHORTEST_INTERVAL) if given else 0
        if anew or interval != self.interval or not self.next_rebalance:
            self.interval, self.next_rebalance = interval, now + interval

    def _set_detection(self, port: PortConfig, now: int) -> None:
        """other_config:bond-detect-mode; 0 ms are no interval."""
        other = port.other_config
        mode = other.get("bond-detect-mode", CARRIER)
        if mode not in DETECT_MODES and mode != self._unknown_mode:
            vlog.warn(f"port {self.name}: unsupported bond-detect-mode {mode:.64}, using {CARRIER}")
        self._unknown_mode = None if mode in DETECT_MODES else mode
        wanted = 0
        if mode == MIIMON:
            wanted = within(other, "bond-miimon-interval", MII_INTERVAL, 1, 0x7FFFFFFF)
        if wanted != self.mii_interval:
            self.mii_interval, self._next_mii = wanted, now

    def poll_mii(self, now: int) -> list[Iface]:
        """If it is time to ask the members' MIIs: those that have another answer than before."""
        if not self.mii_interval or now < self._next_mii:
            return []
        self._next_mii = now + self.mii_interval
        ifaces = [member.iface for member in self.members.values()]
        return [iface for iface in ifaces if iface.poll_mii(True)]

    def run(self, now: int) -> None:
        """Follow the devices, and choose."""
        for member in self.members.values():
            self._follow(member, now)
        chosen = self._choose()
        if chosen is not self.active:
            self._activate(chosen)
        self.buckets.settle(self.enabled())

    def next_run(self) -> int | None:
        """When a delay is over, or MIIs are to be asked."""
        waiting = [each.expires for each in self.members.values() if each.expires is not None]
        if self.mii_interval:
            waiting.append(self._next_mii)
        return min(waiting, default=None)

    def rebalance(self, totals: list[int], now: int) -> bool:
        """`totals`: see Buckets.count().  Returns whether something was moved."""
        self.buckets.count(totals)
        self.next_rebalance = now + self.interval
        moved = self.buckets.rebalance(self.enabled())
        for bucket, giver, taker in moved:
            vlog.info(f"bond {self.name}: shift hash {bucket} from {giver.iface.name} to "
                      f"{taker.iface.name}")  # fmt: skip
        return bool(moved)

    def when_to_rebalance(self) -> int | None:
        """In ms; None: never."""
        return self.next_rebalance if self.is_balancing and self.interval else None

    def migrate(self, bucket: int, member: Member) -> None:
        """An administrator has a bucket carried by this member."""
        self.buckets.move(bucket, member)

    def set_active(self, member: Member) -> None:
        """An administrator chooses; a primary that is up comes back with the next run()."""
        self._activate(member)

    def _follow(self, member: Member, now: int) -> None:
        member.unbar()
        up = member.is_wanted
        if up == member.enabled:
            member.expires = None
            return
        if member.expires is None:
            member.expires = now + self._delay(up)
        if now >= member.expires:
            self._enable(member, up)

    def _delay(self, up: bool) -> int:
        """LACP knows by itself when the other side is ready."""
        if self.lacp is not None:
            return 0
        return self.updelay if up else self.downdelay

    def _enable(self, member: Member, enabled: bool) -> None:
        member.enabled, member.expires = enabled, None
        self.is_moving |= not enabled
        vlog.info(f"bond {self.name}: member {member.iface.name} "
                  f"{'enabled' if enabled else 'disabled'}")  # fmt: skip

    def _choose(self) -> Member | None:
        """The primary; the one that is active, or was before this process; the first that can."""
        enabled = self.enabled()
        if not enabled:
            return self._hasten()
        goes_by_it = self.mode != SLB and not self.is_balancing  # conf.db(5)
        primary = self.primary if goes_by_it else None
        return min(
            enabled,
            key=lambda each: (
                each.iface.name != primary,
                each is not self.active,
                self.active is not None or each.mac != self._last_mac,
            ),
        )

    def _hasten(self) -> Member | None:
        """Without any, the one whose updelay is over first need not wait for that."""
        waiting = [each for each in self.members.values() if each.is_wanted]
        if not waiting:
            return None
        first = min(waiting, key=lambda each: each.expires or 0)
        self._enable(first, True)
        return first

    def _activate(self, member: Member | None) -> None:
        self.active = member
        self.is_moving = True
        if member is None:
            vlog.info(f"bond {self.name}: all members are disabled")
            return
        self._last_mac = member.mac or self._last_mac
        vlog.info(f"bond {self.name}: active member is now {member.iface.name}")


def _without_mii(ifaces: list[Iface]) -> list[Iface]:
    """Their carriers count again; those for which that makes a difference."""
    return [iface for iface in ifaces if iface.poll_mii(False)]
