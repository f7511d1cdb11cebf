"""LACP (IEEE 802.1AX, clause 6): which links to a partner are one aggregate, and which may carry.

An Aggregate is the members of one port, with one system and, in the end, one partner.  Times are in
ms; what is passed in and out are the payloads of frames of Ethertype 0x8809 to 01:80:c2:00:00:02.

A member's receive machine is CURRENT while the partner tells of itself, EXPIRED for three seconds
when it does not any more, and DEFAULTED then.  The selection is simpler than the standard's, as
Open vSwitch's is: members with the partner of the best member are attached, others are not.
"""

import struct
from collections.abc import Hashable
from typing import Any, NamedTuple

from ofproto.protocols.kept import FLAG, MAC, U8, U16, keep, one_of, record, take

ADDRESS = bytes.fromhex("0180c2000002")
LACPDU, MARKER = 1, 2  # subtypes of slow protocols
SIZE = 110
_INFO = struct.Struct("!H6sHHHB")
_TLVS = {"actor": (2, 1, 20), "partner": (22, 2, 20)}  # offset, type, length
_COLLECTOR = bytes((3, 16)) + bytes(14)
_MARKER_INFO, _MARKER_RESPONSE = 1, 2

CURRENT, EXPIRED, DEFAULTED = "current", "expired", "defaulted"
FAST, SLOW, RX_MULTIPLIER = 1000, 30000, 3
# Frames of a member in a FAST interval at most (6.4.16), and markers that are answered (6.5).
TX_LIMIT = 3
MARKER_LIMIT = 5

ACTIVITY, TIMEOUT, AGGREGATION, SYNC, COLLECTING, DISTRIBUTING, IS_DEFAULTED, IS_EXPIRED = (
    1 << bit for bit in range(8)
)
STATES = {
    "activity": ACTIVITY,
    "timeout": TIMEOUT,
    "aggregation": AGGREGATION,
    "synchronized": SYNC,
    "collecting": COLLECTING,
    "distributing": DISTRIBUTING,
    "defaulted": IS_DEFAULTED,
    "expired": IS_EXPIRED,
}


class Info(NamedTuple):
    """What one side tells of itself, or thinks of the other."""

    sys_priority: int = 0
    sys_id: bytes = bytes(6)
    key: int = 0
    port_priority: int = 0
    port_id: int = 0
    state: int = 0


NOBODY = Info()


def compose(actor: Info, partner: Info) -> bytes:
    """A LACPDU, from the subtype on."""
    found = bytes((LACPDU, 1))
    for kind, info in ((1, actor), (2, partner)):
        found += bytes((kind, 20)) + _INFO.pack(*info) + bytes(3)
    return (found + _COLLECTOR).ljust(SIZE, b"\0")


def parse(payload: bytes) -> tuple[Info, Info]:
    """(actor, partner) of a LACPDU; ValueError where it is none."""
    if len(payload) < SIZE or payload[0] != LACPDU:
        raise ValueError("no LACPDU")
    infos = []
    for name, (offset, kind, length) in _TLVS.items():
        if (payload[offset], payload[offset + 1]) != (kind, length):
            raise ValueError(f"LACPDU without {name}")
        infos.append(Info(*_INFO.unpack_from(payload, offset + 2)))
    return infos[0], infos[1]


_INFO_FIELD = record(Info, U16, MAC, U16, U16, U16, U8)
_KEPT = {
    "status": one_of(CURRENT, EXPIRED, DEFAULTED),
    "partner": _INFO_FIELD,
    "told": _INFO_FIELD,
    "carrier": FLAG,
}


class Settings(NamedTuple):
    """Of an aggregate."""

    sys_id: bytes
    sys_priority: int = 65535
    active: bool = False
    fast: bool = False
    fallback: bool = False  # without a partner, the members are one bond's, of which one is active


class MemberSettings(NamedTuple):
    name: str
    port_id: int
    port_priority: int = 65535
    key: int = 0  # 0: the aggregate's


class Counts:
    """Of a member, since it is one."""

    __slots__ = ("bad", "carrier_changes", "defaulted", "expired", "markers", "received", "sent")

    def __init__(self) -> None:
        self.sent = self.received = self.bad = self.markers = 0
        self.expired = self.defaulted = self.carrier_changes = 0


class Member:
    """`partner`: what it says of itself; `told`: what it knows of us."""

    def __init__(self, settings: MemberSettings, now: int):
        self.settings = settings
        self.counts = Counts()
        self.partner = NOBODY
        self.told = NOBODY
        self.attached = False
        self.is_looped = False  # the partner is ourselves
        self.carrier = True
        self.tx_due = 0
        self._sent = 0  # frames since `_window` began
        self._markers = 0
        self._window = 0
        self.rx_due = now
        self.status = DEFAULTED

    def expire(self, now: int) -> None:
        """The partner has three seconds to say something."""
        self.status = EXPIRED
        state = (self.partner.state | TIMEOUT) & ~SYNC
        self.partner = self.partner._replace(state=state)
        self.rx_due = now + RX_MULTIPLIER * FAST

    def default(self) -> None:
        """There is no partner."""
        self.status = DEFAULTED
        self.partner = NOBODY
        self.counts.defaulted += 1

    def run(self, now: int) -> bool:
        """The receive machine's timer.  Returns whether there is no partner any more."""
        if self.status == DEFAULTED or now < self.rx_due:
            return False
        if self.status == CURRENT:
            self.counts.expired += 1
            self.expire(now)
            return False
        self.default()
        return True

    def hear(self, actor: Info, partner: Info, fast: bool, now: int) -> None:
        self.status = CURRENT
        self.partner, self.told = actor, partner
        self.rx_due = now + RX_MULTIPLIER * (FAST if fast else SLOW)

    def _count_window(self, now: int) -> None:
        if now - self._window >= FAST or now < self._window:
            self._window, self._sent, self._markers = now, 0, 0

    def may_send(self, now: int) -> bool:
        self._count_window(now)
        return self._sent < TX_LIMIT

    def may_answer(self, now: int) -> bool:
        """Whether another marker is to be answered."""
        self._count_window(now)
        self._markers += 1
        return self._markers <= MARKER_LIMIT

    def sent(self, actor: Info, now: int) -> None:
        self._sent += 1
        self.counts.sent += 1
        self.told = actor
        self.tx_due = now + (FAST if self.partner.state & TIMEOUT else SLOW)

    def next_send(self, changed: bool) -> int:
        """When the next frame is due."""
        if not changed:
            return self.tx_due
        return self._window + FAST if self._sent >= TX_LIMIT else 0

    def restore(self, kept: Any, fast: bool, now: int) -> None:
        """As Aggregate.restore()."""
        take(self, _KEPT, kept, now)
        self.tx_due = now
        self.rx_due = now + RX_MULTIPLIER * (FAST if fast or self.status == EXPIRED else SLOW)


class Aggregate:
    """`members` by keys of the caller's.  `changed` says that may_enable(), is_current() or
    is_negotiated may have changed since the caller cleared it."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.members: dict[Hashable, Member] = {}
        self.is_negotiated = False
        self.changed = True
        self._known: tuple = ()  # what was to be told of last

    # --- over the death of the process

    def kept(self, now: int) -> list[Any]:
        """For restore() in a process that comes after this one; keys of members are strings."""
        return [[key, keep(member, _KEPT, now)] for key, member in self.members.items()]

    def restore(self, kept: Any, now: int) -> None:
        """Members that there are go on as they were: the partner is told at once that we live, and
        has as long as ever to say the same.  ValueError, TypeError: that is not what kept() gave.
        """
        for key, plain in kept:
            member = self.members.get(key)
            if member is not None:
                member.restore(plain, self.settings.fast, now)
        self._select()

    # --- configuration

    def configure(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            self._select()

    def set_member(self, key: Hashable, settings: MemberSettings, now: int) -> None:
        """A new member, or one with other settings."""
        member = self.members.get(key)
        if member is None:
            member = self.members[key] = Member(settings, now)
            self._startle(member, now)
        elif member.settings == settings:
            return
        else:
            before, member.settings = member.settings, settings
            if before._replace(name="") != settings._replace(name=""):
                self._startle(member, now)  # the partner does not know this one yet
        self._select()

    def _startle(self, member: Member, now: int) -> None:
        """What is known of the partner may be wrong now: it is to speak, unless there is none, and
        it is not to us to begin.

        This alone attaches and detaches nobody: the other members carry on, in fallback, too.
        """
        if member.status == CURRENT or self.settings.active:
            member.expire(now)

    def drop_member(self, key: Hashable) -> None:
        """No error when there is none."""
        if self.members.pop(key, None) is not None:
            self._select()

    @property
    def key(self) -> int:
        """The aggregation key of members that have none of their own: the first one's."""
        first = next(iter(self.members.values()), None)
        return first.settings.key or first.settings.port_id if first else 0

    # --- what happens

    def receive(self, key: Hashable, payload: bytes, now: int) -> bytes | None:
        """A payload that came in by a member; the answer to a marker."""
        member = self.members.get(key)
        if member is None:
            return None
        member.counts.received += 1
        if payload[:1] == bytes((MARKER,)):
            return self._answer(member, payload, now)
        try:
            actor, partner = parse(payload)
        except ValueError:
            member.counts.bad += 1
            return None
        member.hear(actor, partner, self.settings.fast, now)
        self._select()
        return None

    @staticmethod
    def _answer(member: Member, payload: bytes, now: int) -> bytes | None:
        if len(payload) < 18 or payload[2] != _MARKER_INFO:
            member.counts.bad += len(payload) < 18
            return None
        member.counts.markers += 1
        if not member.may_answer(now):
            return None
        return payload[:2] + bytes((_MARKER_RESPONSE,)) + payload[3:SIZE].ljust(SIZE - 3, b"\0")

    def set_carrier(self, key: Hashable, up: bool, now: int) -> None:
        """The member's link came up or went down."""
        member = self.members.get(key)
        if member is None or member.carrier == up:
            return
        member.carrier = up
        member.counts.carrier_changes += 1
        self._startle(member, now)
        self._compare()

    def run(self, now: int) -> list[tuple[Hashable, bytes]]:
        """Timers, and what is to be sent: (member, payload)."""
        over = [member for member in self.members.values() if member.run(now)]
        if over:
            self._select()
        self._compare()
        frames = []
        for key, member in self.members.items():
            actor = self.actor(member)
            if not self._speaks(member) or now < member.next_send(actor != member.told):
                continue
            if member.may_send(now):
                member.sent(actor, now)
                frames.append((key, compose(actor, member.partner)))
        return frames

    def next_run(self) -> int | None:
        times = [member.rx_due for member in self.members.values() if member.status != DEFAULTED]
        times += [
            member.next_send(self.actor(member) != member.told)
            for member in self.members.values()
            if self._speaks(member)
        ]
        return min(times, default=None)

    def _speaks(self, member: Member) -> bool:
        """A passive one speaks to who is active; a link that is down carries nothing."""
        is_wanted = self.settings.active or bool(member.partner.state & ACTIVITY)
        return member.carrier and is_wanted

    # --- selection

    def _select(self) -> None:
        lead = self._lead()
        for member in self.members.values():
            member.is_looped = member.partner.sys_id == self.settings.sys_id
            if lead is not None:
                member.attached = self._is_beside(member, lead)
            else:
                fallen_back = member.status == DEFAULTED and self.settings.fallback
                member.attached = fallen_back and not member.is_looped
        self.is_negotiated = lead is not None
        self._compare()

    def _compare(self) -> None:
        """With what the caller knows."""
        before, self._known = self._known, self._verdicts()
        self.changed |= before != self._known

    def _lead(self) -> Member | None:
        """The member whose partner is the aggregate's: one that the partner speaks on, before
        others; then by the ports' priorities at the system that decides."""
        able = [
            member
            for member in self.members.values()
            if member.status != DEFAULTED and member.partner.sys_id != self.settings.sys_id
        ]
        return min(able, key=self._rank, default=None)

    def _rank(self, member: Member) -> tuple[bool, int, int]:
        actor, partner = self.actor(member), member.partner
        deciding = min(actor, partner, key=lambda info: (info.sys_priority, info.sys_id))
        return member.status != CURRENT, deciding.port_priority, deciding.port_id

    @staticmethod
    def _is_beside(member: Member, lead: Member) -> bool:
        mine, other = member.partner, lead.partner
        return member.status != DEFAULTED and (mine.sys_id, mine.key) == (other.sys_id, other.key)

    def _verdicts(self) -> tuple:
        return self.is_negotiated, [
            (member.status, self._may_enable(member)) for member in self.members.values()
        ]

    # --- what is known

    def actor(self, member: Member) -> Info:
        """What this side says of itself on a member."""
        own, settings = self.settings, member.settings
        open_ = member.attached or not self.is_negotiated
        state = (
            ACTIVITY * own.active
            | TIMEOUT * own.fast
            | AGGREGATION * (len(self.members) > 1)
            | SYNC * member.attached
            | (COLLECTING | DISTRIBUTING) * open_
            | IS_DEFAULTED * (member.status == DEFAULTED)
            | IS_EXPIRED * (member.status == EXPIRED)
        )
        key = settings.key or self.key
        port = settings.port_priority, settings.port_id
        return Info(own.sys_priority, own.sys_id, key, *port, state)

    def _may_enable(self, member: Member) -> bool:
        fallen_back = member.status == DEFAULTED and self.settings.fallback
        return member.attached and (bool(member.partner.state & SYNC) or fallen_back)

    def may_enable(self, key: Hashable) -> bool:
        """Whether a member may carry traffic."""
        member = self.members.get(key)
        return member is not None and self._may_enable(member)

    def is_current(self, key: Hashable) -> bool:
        """Whether what is known of the partner counts still: as in Open vSwitch, also for the three
        seconds that it has to speak again."""
        member = self.members.get(key)
        return member is not None and member.status != DEFAULTED
