"""Bidirectional forwarding detection: a session of RFC 5880 in asynchronous mode, without echo,
demand mode and authentication; its UDP (RFC 5881) is `bfd_packet`'s.

Beside the RFC there are Open vSwitch's extensions, as ovs-vswitchd.conf.db(5) says: data that comes
in may stand for control packets (forwarding_if_rx), and without data fewer of them are asked for
(decay).  Times are in ms.
"""

import random
import struct
from typing import Any, NamedTuple

from ofproto.protocols.kept import FLAG, MAYBE_FLAG, U8, U32, keep, number, optional, record, take

_CONTROL = struct.Struct("!BBBBIIIII")
SIZE = _CONTROL.size
VERSION = 1
POLL, FINAL, _CPI, AUTH, _DEMAND, MULTIPOINT = 0x20, 0x10, 0x08, 0x04, 0x02, 0x01
FLAGS = {"poll": POLL, "final": FINAL}

ADMIN_DOWN, DOWN, INIT, UP = range(4)
STATES = ("admin_down", "down", "init", "up")
DIAGNOSTICS = (
    "No Diagnostic",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)
NOTHING, EXPIRED, NEIGHBOR_DOWN, PATH_DOWN, REVERSE_DOWN = 0, 1, 3, 6, 8

SLOW = 1000  # ms between packets at least, while the session is not up (6.8.3)
LEAST_WAIT = 2000  # ms for which data that came counts, or with which decay begins, at least
CONTROL_WAIT = 100  # times min_rx in which one control packet has to come, with forwarding_if_rx
# ms that who does not name this session, which anybody can do, has it be silent, or wait, at most.
PATIENCE = 60_000
ANSWERS, WINDOW = 10, 1000  # to polls, at most, in so many ms

# What the other side sends leads to, by our state and its: (our new state, our diagnostic or None
# for the one that there is) (6.8.6).
MACHINE = {
    (DOWN, DOWN): (INIT, None),
    (DOWN, INIT): (UP, None),
    (INIT, INIT): (UP, None),
    (INIT, UP): (UP, None),
    (INIT, ADMIN_DOWN): (DOWN, NEIGHBOR_DOWN),
    (UP, DOWN): (DOWN, NEIGHBOR_DOWN),
    (UP, ADMIN_DOWN): (DOWN, NEIGHBOR_DOWN),
}


class Control(NamedTuple):
    """A control packet; intervals in microseconds."""

    diagnostic: int
    state: int
    flags: int
    mult: int
    mine: int
    yours: int
    min_tx: int
    min_rx: int
    min_echo_rx: int = 0


def compose(packet: Control) -> bytes:
    first = VERSION << 5 | packet.diagnostic
    second = packet.state << 6 | packet.flags
    return _CONTROL.pack(first, second, packet.mult, SIZE, *packet[4:])


def parse(payload: bytes) -> Control:
    """ValueError where RFC 5880, 6.8.6 has it discarded, whatever the session."""
    if len(payload) < SIZE:
        raise ValueError("too short")
    first, second, mult, length, mine, yours, *intervals = _CONTROL.unpack_from(payload)
    packet = Control(first & 0x1F, second >> 6, second & 0x3F, mult, mine, yours, *intervals)
    if first >> 5 != VERSION:
        raise ValueError("another version")
    if not SIZE <= length <= len(payload):
        raise ValueError("a wrong length")
    if packet.flags & (AUTH | MULTIPOINT) or not mult or not mine:
        raise ValueError("not for this session")
    if not yours and packet.state not in (DOWN, ADMIN_DOWN):
        raise ValueError("no discriminator")
    return packet


class Settings(NamedTuple):
    """In ms; `decay_min_rx` 0: none."""

    min_tx: int = 100
    min_rx: int = 1000
    decay_min_rx: int = 0
    mult: int = 3
    forwarding_if_rx: bool = False
    path_down: bool = False


_KEPT_REMOTE = {
    "state": number(UP),
    "diagnostic": U8,
    "flags": number(POLL | FINAL),
    "discriminator": U32,
    "mult": U8,
    "min_tx": U32,
    "min_rx": U32,
}
_INTERVALS = record(lambda *each: each, U32, U32)
_KEPT = {
    "discriminator": number((1 << 32) - 1, 1),
    "state": number(UP),
    "diagnostic": U8,
    "flags": number(POLL | FINAL),
    "override": MAYBE_FLAG,
    "flaps": U32,
    "min_tx": U32,
    "min_rx": U32,
    "_polled": optional(_INTERVALS),
    "_told": FLAG,
    "_is_idle": FLAG,
}


class Remote:
    """What the other side says, in ms; as long as it says nothing, RFC 5880's initial values."""

    def __init__(self) -> None:
        self.state, self.diagnostic, self.flags = DOWN, NOTHING, 0
        self.discriminator, self.mult = 0, 0
        self.min_tx, self.min_rx = 0, 1


class Session:
    """`override` True or False: what an administrator says of forwarding.

    `changed` says that what is told of it may have changed since the caller cleared it.
    """

    def __init__(self, settings: Settings, now: int, discriminator: int | None = None):
        self.settings = settings
        self.discriminator = discriminator or random.randrange(1, 1 << 32)
        self.state, self.diagnostic = DOWN, PATH_DOWN if settings.path_down else NOTHING
        self.remote = Remote()
        self.flags = 0
        self.override: bool | None = None
        self.flaps = 0
        self.changed = True
        self.last_sent = 0
        self.next_send = now
        self.detect_at = 0  # when the other side has been silent for too long
        self._polled: tuple[int, int] | None = None  # intervals that wait for a final
        self._packets = 0  # that the port had received when run() was called last
        self._data_until = 0  # for data that stands for control packets,
        self._control_until = 0  # and for how long it may
        self._decay_at = 0
        self._decay_packets = self._decay_control = 0
        self._is_idle = False  # no data: the interval of decay is asked for
        self._window, self._answered = now, 0
        self._told = False  # of forwarding, what counted in `flaps`
        self.min_tx, self.min_rx = self._wanted()

    # --- over the death of the process

    def kept(self, now: int) -> list[Any]:
        """For restore() in a process that comes after this one."""
        return [keep(self, _KEPT, now), keep(self.remote, _KEPT_REMOTE, now)]

    def restore(self, kept: Any, now: int) -> None:
        """Go on as that session: it is told at once that it lives, and has as long as ever to say
        the same.  What is no kept session raises ValueError or TypeError, and changes nothing."""
        mine, other = kept
        remote = Remote()
        take(remote, _KEPT_REMOTE, other, now)
        take(self, _KEPT, mine, now)
        self.remote = remote
        self.next_send = now
        self.detect_at = now + self._detect_interval * remote.mult
        self._hear_control(now)
        self._start_decay(now)
        self.changed = True

    # --- configuration

    def configure(self, settings: Settings, now: int) -> None:
        before, self.settings = self.settings, settings
        if before == settings:
            return
        self.changed = True
        resets = ("decay_min_rx", "min_rx")
        if any(getattr(before, name) != getattr(settings, name) for name in resets):
            self._is_idle = False
            self._start_decay(now)
        if before.path_down != settings.path_down:
            self._set_state(self.state, NOTHING, now)
            self._poll(now)
        if before.forwarding_if_rx != settings.forwarding_if_rx:
            self._data_until = self._control_until = 0
            self._hear_control(now)
        self._follow(now)

    def _wanted(self) -> tuple[int, int]:
        """(min_tx, min_rx) as they are to be in the present state."""
        settings = self.settings
        min_rx = max(settings.min_rx, settings.decay_min_rx) if self._is_idle else settings.min_rx
        return (settings.min_tx if self.state == UP else max(settings.min_tx, SLOW)), min_rx

    # --- what happens

    def receive(self, payload: bytes, now: int) -> bool:
        """Whether it was a packet of this session."""
        try:
            packet = parse(payload)
        except ValueError:
            return False
        if packet.yours not in (0, self.discriminator):
            return False
        self.changed |= (packet.state, packet.diagnostic) != (
            self.remote.state,
            self.remote.diagnostic,
        )
        self._take(packet)
        self._hear_control(now)
        self._decay_control += 1
        if packet.flags & FINAL and self.flags & POLL:
            self._finish_poll()
        patience = self._detect_interval * self.remote.mult
        self.detect_at = now + (patience if packet.yours else min(patience, PATIENCE))
        if packet.flags & POLL and self._may_answer(now):
            self.flags = (self.flags | FINAL) & ~POLL
            self.next_send = now
        new = MACHINE.get((self.state, packet.state))
        if new is not None:
            state, diagnostic = new
            self._set_state(state, self.diagnostic if diagnostic is None else diagnostic, now)
        self._follow(now)
        return True

    def _take(self, packet: Control) -> None:
        remote = self.remote
        remote.state, remote.diagnostic = packet.state, packet.diagnostic
        remote.flags = packet.flags & (POLL | FINAL)
        remote.discriminator, remote.mult = packet.mine, packet.mult
        remote.min_tx = packet.min_tx // 1000
        remote.min_rx = max(1, packet.min_rx // 1000)
        if not packet.yours:
            remote.min_tx = min(remote.min_tx, PATIENCE)
            remote.min_rx = min(remote.min_rx, PATIENCE)

    def _may_answer(self, now: int) -> bool:
        """A poll; who asks too often is answered with the next packet that is due."""
        if not 0 <= now - self._window < WINDOW:
            self._window, self._answered = now, 0
        self._answered += 1
        return self._answered <= ANSWERS

    def _hear_control(self, now: int) -> None:
        if self.settings.forwarding_if_rx and self.remote.discriminator:
            self._control_until = now + CONTROL_WAIT * self.settings.min_rx

    def _set_state(self, state: int, diagnostic: int, now: int) -> None:
        if diagnostic == NOTHING and self.settings.path_down:
            diagnostic = PATH_DOWN
        if (self.state, self.diagnostic) == (state, diagnostic):
            return
        was_up = self.state == UP
        self.state, self.diagnostic = state, diagnostic
        self.changed = True
        if state <= DOWN:
            self.remote = Remote()
            self.flags, self._polled, self._is_idle = 0, None, False
            self.min_tx, self.min_rx = self._wanted()
        if (state == UP) != was_up:
            self._start_decay(now)

    def run(self, now: int, packets: int) -> bytes | None:
        """Timers; what is to be sent now.  `packets`: how many the port has received, ever."""
        if self.state > DOWN and now >= self.detect_at:
            self._set_state(DOWN, EXPIRED, now)
        if self.settings.forwarding_if_rx and packets > self._packets:
            self._data_until = now + max(LEAST_WAIT, self.rx_interval * self.settings.mult)
        self._packets = packets
        if self._is_decaying and now >= self._decay_at:
            self._decay(now)
        self._follow(now)
        # What is over is no reason to be called again.
        self._data_until *= now < self._data_until
        self._control_until *= now < self._control_until
        if now < self.next_send:
            return None
        packet = compose(self._control())
        if self.flags & FINAL:
            self.flags &= ~FINAL
            if self._polled is not None:
                self.flags |= POLL
        self.last_sent = now
        self.next_send = now + max(1, int(self._send_interval * self._jitter()))
        return packet

    def next_run(self) -> int:
        times = [self.next_send]
        if self.state > DOWN:
            times.append(self.detect_at)
        if self._is_decaying:
            times.append(self._decay_at)
        if self.settings.forwarding_if_rx:
            times += [time for time in (self._data_until, self._control_until) if time]
        return min(times)

    def _jitter(self) -> float:
        """6.8.7: up to a quarter less, and with a multiplier of 1 a tenth at least."""
        return random.uniform(0.75, 0.9 if self.settings.mult == 1 else 1)

    def _control(self) -> Control:
        min_tx, min_rx = self._polled or (self.min_tx, self.min_rx)
        return Control(
            self.diagnostic,
            self.state,
            self.flags,
            self.settings.mult,
            self.discriminator,
            self.remote.discriminator,
            min_tx * 1000,
            min_rx * 1000,
        )

    # --- intervals

    @property
    def tx_interval(self) -> int:
        return max(self.min_tx, self.remote.min_rx)

    @property
    def rx_interval(self) -> int:
        return max(self.min_rx, self.remote.min_tx)

    # What gets slower does so when the other side knows, what gets faster at once (6.8.3).

    @property
    def _send_interval(self) -> int:
        polled = self._polled or (self.min_tx, 0)
        return max(min(self.min_tx, polled[0]), self.remote.min_rx)

    @property
    def _detect_interval(self) -> int:
        polled = self._polled or (0, self.min_rx)
        return max(self.min_rx, polled[1], self.remote.min_tx)

    def _follow(self, now: int) -> None:
        """Have the intervals that are wanted, by a poll while the session is up; tell of flaps."""
        wanted = self._wanted()
        if self.state <= DOWN or self.remote.state <= DOWN:
            if wanted != (self.min_tx, self.min_rx):
                self.min_tx, self.min_rx = wanted
                self._polled = None
        elif wanted != (self._polled or (self.min_tx, self.min_rx)):
            self._polled = wanted
            self._poll(now)
        # Who asked for longer intervals than now may have been anybody.
        self.next_send = min(self.next_send, self.last_sent + self._send_interval)
        forwarding = self.is_forwarding(now)
        if self.override is None and forwarding != self._told:
            self._told = forwarding
            self.flaps += 1
            self.changed = True

    def _poll(self, now: int) -> None:
        if self.state <= DOWN:
            return
        if self._polled is None:
            self._polled = self.min_tx, self.min_rx
        if not self.flags & FINAL:
            self.flags |= POLL
            self.next_send = now

    def _finish_poll(self) -> None:
        self.flags &= ~POLL
        if self._polled is not None:
            (self.min_tx, self.min_rx), self._polled = self._polled, None

    # --- data

    @property
    def _is_decaying(self) -> bool:
        settings = self.settings
        return self.state == UP and settings.decay_min_rx >= settings.min_rx

    def _start_decay(self, now: int) -> None:
        self._decay_at = now + max(LEAST_WAIT, self.settings.decay_min_rx)
        self._decay_packets, self._decay_control = self._packets, 0

    def _decay(self, now: int) -> None:
        """Whether anything but control packets came; as many others may be ARP and the like."""
        came = self._packets - self._decay_packets
        self._is_idle = came <= 2 * self._decay_control + 1
        self._start_decay(now)

    # --- what is known

    def is_forwarding(self, now: int) -> bool:
        """Whether traffic may go by this port."""
        if self.override is not None:
            return self.override
        if self.settings.forwarding_if_rx and now < min(self._data_until, self._control_until):
            return True
        return self.state == UP and self.remote.diagnostic not in (PATH_DOWN, REVERSE_DOWN)

    def set_override(self, forwarding: bool | None, now: int) -> None:
        """None: what is found counts again."""
        self.override = forwarding
        self.changed = True
        self._follow(now)
