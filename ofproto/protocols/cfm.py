"""Connectivity fault management: continuity check messages of IEEE 802.1ag, clause 21.6.

A maintenance point (MP) hears of others on its link, and finds a fault where it hears of none,
or of something that should not be.  Beside the standard's mode there is Open vSwitch's extended
one, as ovs-vswitchd.conf.db(5) says: intervals in ms, MPIDs of eight bytes, the operational state.
Times are in ms; payloads begin behind the Ethertype, 0x8902.
"""

import struct
from typing import Any, NamedTuple

from ofproto.protocols.kept import FLAG, MAYBE_FLAG, U32, U64, Field, keep, number, optional, take

ADDRESS = bytes.fromhex("0180c2000030")  # of maintenance level 0
EXTENDED_ADDRESS = bytes.fromhex("012320000030")
# version and level, opcode, flags, where TLVs begin, sequence, MPID, MAID; in extended mode in the
# 16 bytes of Y.1731: interval, MPID, whether it is down
_CCM = struct.Struct("!BBBBIH48sHQB5xB")
SIZE = _CCM.size
OPCODE, TLV_OFFSET, RDI, INTERVAL_CODE = 1, 70, 0x80, 0x07
MAID = bytes.fromhex("04036f767302036f7673").ljust(48, b"\0")  # "ovs" in "ovs", as Open vSwitch's
INTERVALS = {1: 3, 2: 10, 3: 100, 4: 1000, 5: 10_000, 6: 60_000, 7: 600_000}
MAX_REMOTE = 256
CHECKS_IN_HEALTH = 6  # of faults, each 3.5 intervals
CCMS_IN_HEALTH = 21
DEMAND_LEAST = 500  # ms, in demand mode, that an interval counts for
DEMAND_CCM = 100  # intervals in which one CCM has to come, in demand mode

RECV, REMOTE, WRONG_MAID, LOOPBACK, OVERFLOW, OVERRIDE, WRONG_INTERVAL = FAULTS = (
    *("recv", "rdi", "maid", "loopback", "overflow", "override", "interval"),
)


class Settings(NamedTuple):
    mpid: int
    interval: int = 1000
    extended: bool = False
    demand: bool = False
    is_up: bool = True


class Ccm(NamedTuple):
    """A continuity check message; `interval` in ms, of extended mode, where the flags have no code
    for it."""

    flags: int
    sequence: int
    mpid: int
    maid: bytes
    interval: int
    long_mpid: int
    is_down: bool


def compose(ccm: Ccm) -> bytes:
    head = (0, OPCODE, ccm.flags, TLV_OFFSET, ccm.sequence & 0xFFFFFFFF, ccm.mpid, ccm.maid)
    return _CCM.pack(*head, ccm.interval, ccm.long_mpid, ccm.is_down, 0)


def parse(payload: bytes) -> Ccm:
    """ValueError where it is no CCM."""
    if len(payload) < SIZE or payload[0] & 0x1F or payload[1] != OPCODE:
        raise ValueError("no CCM")
    _, _, flags, _, sequence, mpid, maid, interval, long_mpid, down, _ = _CCM.unpack_from(payload)
    return Ccm(flags, sequence, mpid, maid, interval, long_mpid, bool(down))


_KEPT = {
    "faults": Field(lambda value, _now: sorted(value), lambda plain, _now: _fault_names(plain)),
    "told": Field(lambda value, _now: list(value), lambda plain, now: _mpids(plain, now)),
    "remote_is_up": FLAG,
    "health": optional(number(100)),
    "flaps": U32,
    "override": MAYBE_FLAG,
    "_sequence": U32,
}
_KEPT_REMOTE = {"is_up": FLAG, "rdi": FLAG}


def _fault_names(plain: Any) -> frozenset[str]:
    if not set(plain) <= set(FAULTS):
        raise ValueError("no faults")
    return frozenset(plain)


def _mpids(plain: Any, now: int) -> tuple[int, ...]:
    if len(plain) > MAX_REMOTE:
        raise ValueError("too many")
    return tuple(U64.value(each, now) for each in plain)


class Remote:
    """Another MP; `heard`: since the last check."""

    __slots__ = ("heard", "is_up", "rdi", "sequence")

    def __init__(self) -> None:
        self.heard, self.rdi, self.is_up = True, False, True
        self.sequence: int | None = None


class MaintenancePoint:
    """`faults` are those of the last check; `override` True or False: what an administrator says.

    `changed` says that what is told of it may have changed since the caller cleared it.
    """

    def __init__(self, settings: Settings, now: int):
        self.settings = settings
        self.faults: frozenset[str] = frozenset()
        self.override: bool | None = None
        self.remotes: dict[int, Remote] = {}
        self.told: tuple[int, ...] = ()  # the MPs of the last check
        self.remote_is_up = True
        self.health: int | None = None
        self.flaps = 0
        self.changed = True
        self._found: set[str] = set()  # faults since the last check
        self._sequence = 0
        self._healthy = 0  # CCMs
        self._checks = 0
        self._packets: int | None = None  # that the port had received at the last check
        self._demanded = 0  # until when data may stand for CCMs
        self.next_send = now
        self.next_check = now + self.check_interval

    # --- over the death of the process

    def kept(self, now: int) -> list[Any]:
        """For restore() in a process that comes after this one."""
        remotes = [[mpid, keep(each, _KEPT_REMOTE, now)] for mpid, each in self.remotes.items()]
        return [keep(self, _KEPT, now), remotes]

    def restore(self, kept: Any, now: int) -> None:
        """Go on as that MP, whose CCM is due, and with the MPs that it knew, which have as long as
        ever to be heard.  ValueError or TypeError: it is none, and nothing has changed."""
        mine, others = kept
        remotes: dict[int, Remote] = {}
        for mpid, plain in others[:MAX_REMOTE]:
            take(remotes.setdefault(U64.value(mpid, now), Remote()), _KEPT_REMOTE, plain, now)
        take(self, _KEPT, mine, now)
        self.remotes = remotes
        self.next_send, self.next_check = now, now + self.check_interval
        self.changed = True

    # --- configuration

    @property
    def interval(self) -> int:
        """In ms; of the standard's, the next one below."""
        wanted = self.settings.interval
        if self.settings.extended:
            return wanted
        return max((each for each in INTERVALS.values() if each <= wanted), default=3)

    @property
    def check_interval(self) -> int:
        demand = self.settings.demand and self.settings.extended
        return (max(self.interval, DEMAND_LEAST) if demand else self.interval) * 7 // 2

    def configure(self, settings: Settings, now: int) -> None:
        before, self.settings = self.settings, settings
        if before != settings:
            self.changed = True
            self.next_send = min(self.next_send, now + self.interval)
            self.next_check = now + self.check_interval

    # --- what happens

    def receive(self, payload: bytes, now: int) -> None:
        try:
            ccm = parse(payload)
        except ValueError:
            return
        if ccm.maid != MAID:
            self._found.add(WRONG_MAID)
            return
        extended = self.settings.extended
        mpid = ccm.long_mpid if extended else ccm.mpid
        fault = self._fault_of(ccm, mpid)
        if fault is not None:
            self._found.add(fault)
        remote = self.remotes.get(mpid)
        if remote is None:
            if len(self.remotes) >= MAX_REMOTE:
                self._found.add(OVERFLOW)
                return
            remote = self.remotes[mpid] = Remote()
        remote.heard, remote.rdi = True, bool(ccm.flags & RDI)
        remote.is_up = not (extended and ccm.is_down)
        expected = remote.sequence is None or ccm.sequence == remote.sequence + 1 & 0xFFFFFFFF
        remote.sequence = ccm.sequence
        self._healthy += fault is None and expected and not remote.rdi
        self._demanded = now + DEMAND_CCM * self.interval

    def _fault_of(self, ccm: Ccm, mpid: int) -> str | None:
        if mpid == self.settings.mpid:
            return LOOPBACK
        code = ccm.flags & INTERVAL_CODE
        told = INTERVALS.get(code) if code or not self.settings.extended else ccm.interval
        return WRONG_INTERVAL if told != self.interval else None

    def run(self, now: int, packets: int) -> bytes | None:
        """Timers; what is to be sent now.  `packets`: how many the port has received, ever."""
        if now >= self.next_check:
            self._check(now, packets)
        if now < self.next_send:
            return None
        self.next_send = now + self.interval
        self._sequence += 1
        return compose(self._ccm())

    def next_run(self) -> int:
        return min(self.next_check, self.next_send)

    def _ccm(self) -> Ccm:
        settings, rdi = self.settings, RDI * (RECV in self.faults)
        code = next((code for code, each in INTERVALS.items() if each == self.interval), 0)
        flags, sequence = rdi | code, self._sequence
        if settings.extended:
            short = settings.mpid & 0x1FFF or 1  # nobody looks at it
            more = 0 if code else self.interval, settings.mpid, not settings.is_up
            return Ccm(flags, sequence, short, MAID, *more)
        return Ccm(flags, sequence, settings.mpid & 0xFFFF, MAID, 0, 0, False)

    # --- the check

    def _check(self, now: int, packets: int) -> None:
        was_faulty, before = self.is_faulty, self._known()
        self.next_check = now + self.check_interval
        if self._is_demanding(now, packets):
            for remote in self.remotes.values():
                remote.heard = True
        self.remotes = {mpid: each for mpid, each in self.remotes.items() if each.heard}
        self.remote_is_up = all(remote.is_up for remote in self.remotes.values())
        found, self._found = self._found, set()
        for remote in self.remotes.values():
            remote.heard = False
            if remote.rdi:
                found.add(REMOTE)
        if not self.remotes:
            found.add(RECV)
        self.faults, self.told = frozenset(found), tuple(self.remotes)
        self.flaps += was_faulty != self.is_faulty
        self._take_health()
        self.changed |= before != self._known()

    def _is_demanding(self, now: int, packets: int) -> bool:
        """Whether data has come that stands for the CCMs of the one MP there is."""
        before, self._packets = self._packets, packets
        return (
            self.settings.demand
            and self.settings.extended
            and len(self.remotes) == 1
            and before is not None
            and packets > before
            and now < self._demanded
        )

    def _take_health(self) -> None:
        self._checks += 1
        if self._checks < CHECKS_IN_HEALTH:
            return
        share = min(100, self._healthy * 100 // CCMS_IN_HEALTH)
        self.health = share if len(self.remotes) <= 1 else None
        self._checks = self._healthy = 0

    # --- what is known

    def _known(self) -> tuple:
        """What a check can change of what is told."""
        return self.faults, self.told, self.remote_is_up, self.health, self.flaps

    @property
    def shown_faults(self) -> list[str]:
        if self.override is not None:
            return [OVERRIDE] if self.override else []
        return [name for name in FAULTS if name in self.faults]

    @property
    def is_faulty(self) -> bool:
        return bool(self.shown_faults)

    def set_override(self, faulty: bool | None) -> None:
        """None: what is found counts again."""
        before = self.is_faulty
        self.override = faulty
        self.flaps += before != self.is_faulty
        self.changed = True
