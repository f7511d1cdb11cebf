"""The Spanning Tree Protocol of IEEE 802.1D-1998, clause 8, without sockets and clock.

Times are in ms and given with each call; the names are the standard's.  Frames to send and what to
forget are kept until take_frames() and take_flushes().  A port is named by any key.
"""

import contextlib
from collections.abc import Hashable
from typing import NamedTuple

from ofproto.protocols import bpdu
from ofproto.protocols.bpdu import Bpdu
from ofproto.protocols.kept import (
    FLAG,
    MAC,
    MAYBE_TIME,
    TIME,
    U8,
    U16,
    U32,
    U64,
    KeptTree,
    keep,
    number,
    record,
    take,
)

DISABLED, LISTENING, LEARNING, FORWARDING, BLOCKING = range(5)
STATES = ("disabled", "listening", "learning", "forwarding", "blocking")

HOLD_TIME = 1000
AGE_INCREMENT = 1000  # of a message with each bridge that it passes


class Settings(NamedTuple):
    """Of a bridge; times in seconds, in the ranges of the standard."""

    priority: int
    address: bytes
    hello_time: int = 2
    max_age: int = 20
    forward_delay: int = 15


class PortSettings(NamedTuple):
    number: int  # 1 to 255
    priority: int
    path_cost: int
    address: bytes  # the source of its frames

    @property
    def port_id(self) -> int:
        return self.priority << 8 | self.number


_SETTINGS = record(Settings, U16, MAC, U8, U8, U8)
_PORT_SETTINGS = record(PortSettings, U8, U8, U16, MAC)
_KEPT = {
    "designated_root": U64,
    "root_path_cost": U32,
    "topology_change": FLAG,
    "_change_detected": FLAG,
    **dict.fromkeys(("max_age", "hello_time", "forward_delay"), U16),
    **dict.fromkeys(("_tcn_at", "_change_until", "_flush_at", "_hello_at"), MAYBE_TIME),
}
_KEPT_PORT = {
    "settings": _PORT_SETTINGS,
    "state": number(BLOCKING),
    "since": TIME,
    **dict.fromkeys(("designated_root", "designated_bridge"), U64),
    **dict.fromkeys(("designated_cost", "designated_port", "rx", "tx", "errors"), U64),
    **dict.fromkeys(("config_pending", "topology_change_ack"), FLAG),
    **dict.fromkeys(("message_age", "forward_until", "hold_until"), MAYBE_TIME),
}


class Port:
    """`since` is when it came into its state."""

    def __init__(self, key: Hashable, settings: PortSettings, now: int):
        self.key = key
        self.settings = settings
        self.state = DISABLED
        self.since = now
        self.designated_root = self.designated_bridge = self.designated_port = 0
        self.designated_cost = 0
        self.config_pending = self.topology_change_ack = False
        self.message_age: int | None = None  # when the message would have been sent by the root
        self.forward_until: int | None = None
        self.hold_until: int | None = None
        self.rx = self.tx = self.errors = 0

    @property
    def port_id(self) -> int:
        return self.settings.port_id


class Stp:
    """One bridge."""

    def __init__(self, settings: Settings, now: int):
        self.ports: dict[Hashable, Port] = {}
        self.settings = settings
        self._frames: list[tuple[Hashable, bytes]] = []
        self._flushes: list[Hashable | None] = []
        self.designated_root = self.bridge_id
        self.root_path_cost = 0
        self.root_port: Port | None = None
        self.topology_change = self._change_detected = False
        self._tcn_at: int | None = None
        self._change_until: int | None = None
        self._flush_at: int | None = None
        self._hello_at: int | None = None
        self.max_age = self.hello_time = self.forward_delay = 0
        self._take_own_times()
        self._hello_at = now

    # --- what it is

    @property
    def bridge_id(self) -> int:
        return bpdu.bridge_id(self.settings.priority, self.settings.address)

    @property
    def is_root(self) -> bool:
        return self.designated_root == self.bridge_id

    def role(self, port: Port) -> str:
        """As stp_role has it."""
        if port.state == DISABLED:
            return "disabled"
        if port is self.root_port:
            return "root"
        return "designated" if self._is_designated(port) else "alternate"

    def _is_designated(self, port: Port) -> bool:
        return port.designated_bridge == self.bridge_id and port.designated_port == port.port_id

    def _enabled(self) -> list[Port]:
        return [port for port in self.ports.values() if port.state != DISABLED]

    # --- over the death of the process

    def kept(self, now: int) -> KeptTree:
        """For restored() in a process that comes after this one."""
        ports = {key: keep(port, _KEPT_PORT, now) for key, port in self.ports.items()}
        settings = _SETTINGS.plain(self.settings, now)
        root = self.root_port.key if self.root_port is not None else None
        return KeptTree([settings, keep(self, _KEPT, now)], root, ports)

    @classmethod
    def restored(cls, kept: KeptTree, now: int) -> "Stp":
        """The bridge that it was, with the ports that `kept` has still; a root says so at once.
        ValueError or TypeError where that is none."""
        settings, mine = kept.bridge
        tree = cls(_SETTINGS.value(settings, now), now)
        take(tree, _KEPT, mine, now)
        if not min(tree.hello_time, tree.forward_delay, tree.settings.hello_time):
            raise ValueError("no time between two messages")  # run() would have no end
        for key, plain in kept.ports.items():
            port = tree.ports[key] = Port(key, _PORT_SETTINGS.value(plain[0], now), now)
            take(port, _KEPT_PORT, plain, now)
        tree.root_port = tree.ports.get(kept.root_port)
        if tree._hello_at is not None:
            tree._hello_at = now
        if (tree.root_port is None) != tree.is_root:
            tree._update(tree.is_root, now)
        return tree

    # --- configuration (8.8)

    def configure(self, settings: Settings, now: int) -> None:
        """Take over other settings; a new identifier keeps the ports' states."""
        old, was_root = self.bridge_id, self.is_root
        designated = [port for port in self.ports.values() if self._is_designated(port)]
        slower = 1000 * (settings.hello_time - self.settings.hello_time)
        self._tcn_at = _later(self._tcn_at, slower)
        self.settings = settings
        if self.bridge_id != old:
            for port in designated:
                port.designated_bridge = self.bridge_id
                if port.designated_root == old:
                    port.designated_root = self.bridge_id
            self._update(was_root, now)
        if self.is_root:
            self._take_own_times()

    def together(self) -> contextlib.AbstractContextManager:
        """As Rstp's; here each port is soon done."""
        return contextlib.nullcontext()

    def set_port(self, key: Hashable, settings: PortSettings, now: int) -> None:
        """Add a port, disabled, or give it other settings."""
        port = self.ports.get(key)
        if port is None:
            self.ports[key] = Port(key, settings, now)
            return
        was_root, designated = self.is_root, self._is_designated(port)
        port.settings = settings
        if port.state == DISABLED:
            return
        if designated:
            port.designated_port = port.port_id
        elif port.designated_bridge == self.bridge_id and port.port_id < port.designated_port:
            self._become_designated(port)
        self._update(was_root, now)

    def enable_port(self, key: Hashable, now: int) -> None:
        """Its link is there."""
        port = self.ports[key]
        if port.state == DISABLED:
            self._become_designated(port)
            self._set_state(port, BLOCKING, now)
            port.config_pending = port.topology_change_ack = False
            port.message_age = port.forward_until = port.hold_until = None
            self._select_states(now)

    def disable_port(self, key: Hashable, now: int) -> None:
        """Its link is gone."""
        port = self.ports[key]
        if port.state == DISABLED:
            return
        was_root = self.is_root
        if port.state in (LEARNING, FORWARDING):
            self._detect_change(now)
        self._become_designated(port)
        self._set_state(port, DISABLED, now)
        port.config_pending = port.topology_change_ack = False
        port.message_age = port.forward_until = port.hold_until = None
        self._update(was_root, now)

    def remove_port(self, key: Hashable, now: int) -> None:
        self.disable_port(key, now)
        del self.ports[key]

    # --- what goes out

    def take_frames(self) -> list[tuple[Hashable, bytes]]:
        """(key, frame) of all that is to be sent since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def take_flushes(self) -> list[Hashable | None]:
        """Not empty when what was learned is to be forgotten: on all ports."""
        flushes, self._flushes = self._flushes, []
        return flushes

    def _send(self, port: Port, message: Bpdu) -> None:
        port.tx += 1
        self._frames.append((port.key, bpdu.encode(message, port.settings.address)))

    def _transmit_config(self, port: Port, now: int) -> None:
        if port.hold_until is not None:
            port.config_pending = True
            return
        age = 0
        if self.root_port is not None:
            age = now - (self.root_port.message_age or now) + AGE_INCREMENT
        if age >= self.max_age:
            return
        flags = bpdu.TC * self.topology_change | bpdu.TC_ACK * port.topology_change_ack
        times = (age, self.max_age, self.hello_time, self.forward_delay)
        message = Bpdu(
            bpdu.CONFIG,
            flags,
            self.designated_root,
            self.root_path_cost,
            self.bridge_id,
            port.port_id,
            *(each * bpdu.SECOND // 1000 for each in times),
        )
        port.topology_change_ack = port.config_pending = False
        self._send(port, message)
        port.hold_until = now + HOLD_TIME

    def _generate_configs(self, now: int) -> None:
        for port in self._enabled():
            if self._is_designated(port):
                self._transmit_config(port, now)

    def _transmit_tcn(self) -> None:
        if self.root_port is not None:
            self._send(self.root_port, Bpdu(bpdu.TCN))

    # --- what comes in (8.7)

    def receive(self, key: Hashable, frame: bytes, now: int) -> None:
        """A frame to the bridges' group address came in on a port; others' are ignored."""
        port = self.ports.get(key)
        if port is None or port.state == DISABLED:
            return
        try:
            message = bpdu.decode(frame)
        except ValueError:
            port.errors += 1
            return
        port.rx += 1
        if message.kind == bpdu.TCN:
            self._received_tcn(port, now)
        elif message.kind == bpdu.CONFIG:  # of rapid ones a bridge of 1998 knows nothing
            self._received_config(port, message, now)

    def _received_config(self, port: Port, message: Bpdu, now: int) -> None:
        was_root = self.is_root
        if self._supersedes(port, message):
            self._record(port, message, now)
            self._update(was_root, now)
            if port is self.root_port:
                self._record_times(message, now)
                self._generate_configs(now)
                if message.flags & bpdu.TC_ACK:
                    self._change_detected = False
                    self._tcn_at = None
        elif self._is_designated(port):
            self._transmit_config(port, now)

    def _received_tcn(self, port: Port, now: int) -> None:
        if self._is_designated(port):
            self._detect_change(now)
            port.topology_change_ack = True
            self._transmit_config(port, now)

    def _supersedes(self, port: Port, message: Bpdu) -> bool:
        mine = (port.designated_root, port.designated_cost, port.designated_bridge)
        its = (message.root, message.cost, message.bridge)
        if its != mine:
            return its < mine
        return message.bridge != self.bridge_id or message.port <= port.designated_port

    def _record(self, port: Port, message: Bpdu, now: int) -> None:
        port.designated_root = message.root
        port.designated_cost = message.cost
        port.designated_bridge = message.bridge
        port.designated_port = message.port
        port.message_age = now - message.age * 1000 // bpdu.SECOND

    def _record_times(self, message: Bpdu, now: int) -> None:
        """Take over the root's times, in the standard's ranges, and what it says of changes."""
        self._take_times(
            _bounded(message.max_age, 6, 40),
            _bounded(message.hello_time, 1, 10),
            _bounded(message.forward_delay, 4, 30),
        )
        changed = bool(message.flags & bpdu.TC)
        if changed != self.topology_change:
            self.topology_change = changed
            self._flush(now)

    def _flush(self, now: int) -> None:
        """Stations may be elsewhere: forgotten is what was learned, again and again while the
        change lasts (which is what the short ageing time is for)."""
        self._flushes.append(None)
        self._flush_at = now + self.forward_delay if self.topology_change else None

    # --- the tree (8.6)

    def _update(self, was_root: bool, now: int) -> None:
        self._select_root()
        for port in self._enabled():
            if self._may_be_designated(port):
                self._become_designated(port)
        self._select_states(now)
        if was_root and not self.is_root:
            self._hello_at = None
            if self._change_detected:
                self._change_until = None
                self._transmit_tcn()
                self._tcn_at = now + self.settings.hello_time * 1000
        elif self.is_root and not was_root:
            self._become_root(now)

    def _become_root(self, now: int) -> None:
        self._take_own_times()
        self._detect_change(now)
        self._tcn_at = None
        self._generate_configs(now)
        self._hello_at = now + self.hello_time

    def _take_own_times(self) -> None:
        own = self.settings
        self._take_times(own.max_age * 1000, own.hello_time * 1000, own.forward_delay * 1000)

    def _take_times(self, max_age: int, hello_time: int, forward_delay: int) -> None:
        """A timer that runs lasts as long as the times say now, from when it began (8.5.6)."""
        slower = forward_delay - self.forward_delay
        for port in self.ports.values():
            port.forward_until = _later(port.forward_until, slower)
        self._flush_at = _later(self._flush_at, slower)
        self._change_until = _later(self._change_until, slower + max_age - self.max_age)
        self._hello_at = _later(self._hello_at, hello_time - self.hello_time)
        self.max_age, self.hello_time, self.forward_delay = max_age, hello_time, forward_delay

    def _select_root(self) -> None:
        best, self.root_port = (self.bridge_id, 0), None
        candidates = [
            (
                port.designated_root,
                min(port.designated_cost + port.settings.path_cost, bpdu.MOST_COST),
                port.designated_bridge,
                port.designated_port,
                port.port_id,
                port,
            )
            for port in self._enabled()
            if not self._is_designated(port) and port.designated_root < self.bridge_id
        ]
        if candidates:
            found = min(candidates, key=lambda each: each[:5])
            best, self.root_port = found[:2], found[5]
        self.designated_root, self.root_path_cost = best

    def _may_be_designated(self, port: Port) -> bool:
        if self._is_designated(port) or port.designated_root != self.designated_root:
            return True
        mine = (self.root_path_cost, self.bridge_id, port.port_id)
        return mine <= (port.designated_cost, port.designated_bridge, port.designated_port)

    def _become_designated(self, port: Port) -> None:
        port.designated_root = self.designated_root
        port.designated_cost = self.root_path_cost
        port.designated_bridge = self.bridge_id
        port.designated_port = port.port_id

    def _select_states(self, now: int) -> None:
        for port in self._enabled():
            if port is self.root_port:
                port.config_pending = port.topology_change_ack = False
                self._make_forwarding(port, now)
            elif self._is_designated(port):
                port.message_age = None
                self._make_forwarding(port, now)
            else:
                port.config_pending = port.topology_change_ack = False
                self._make_blocking(port, now)

    def _make_forwarding(self, port: Port, now: int) -> None:
        if port.state == BLOCKING:
            self._set_state(port, LISTENING, now)
            port.forward_until = now + self.forward_delay

    def _make_blocking(self, port: Port, now: int) -> None:
        if port.state == BLOCKING:
            return
        if port.state in (LEARNING, FORWARDING):
            self._detect_change(now)
        self._set_state(port, BLOCKING, now)
        port.forward_until = None

    @staticmethod
    def _set_state(port: Port, state: int, now: int) -> None:
        port.state, port.since = state, now

    def detect_change(self, now: int) -> None:
        """As if a port had begun to forward: for `stp/tcn`."""
        self._detect_change(now)

    def _detect_change(self, now: int) -> None:
        if self.is_root:
            self.topology_change = True
            self._change_until = now + self.max_age + self.forward_delay
            self._flush(now)
        elif not self._change_detected:
            self._transmit_tcn()
            self._tcn_at = now + self.settings.hello_time * 1000
        self._change_detected = True

    # --- timers

    def run(self, now: int) -> None:
        """Do what is due, also what is only by the times of a root that comes of it."""
        self._run(now)
        while _due(self.next_wakeup(), now):
            self._run(now)

    def _run(self, now: int) -> None:
        if _due(self._hello_at, now):
            self._hello_at = now + self.hello_time
            self._generate_configs(now)
        if _due(self._tcn_at, now):
            self._tcn_at = now + self.settings.hello_time * 1000
            self._transmit_tcn()
        if _due(self._change_until, now):
            self._change_until = None
            self._change_detected = self.topology_change = False
            self._flush(now)
        if _due(self._flush_at, now):
            self._flush(now)
        for port in self._enabled():
            self._run_port(port, now)

    def _run_port(self, port: Port, now: int) -> None:
        if port.message_age is not None and now - port.message_age >= self.max_age:
            self._message_too_old(port, now)
        if _due(port.forward_until, now):
            self._next_state(port, now)
        if _due(port.hold_until, now):
            port.hold_until = None
            if port.config_pending:
                self._transmit_config(port, now)

    def _message_too_old(self, port: Port, now: int) -> None:
        was_root = self.is_root
        self._become_designated(port)
        port.message_age = None
        self._update(was_root, now)

    def _next_state(self, port: Port, now: int) -> None:
        if port.state == LISTENING:
            self._set_state(port, LEARNING, now)
            port.forward_until = now + self.forward_delay
            return
        port.forward_until = None
        self._set_state(port, FORWARDING, now)
        if any(self._is_designated(each) for each in self._enabled()):
            self._detect_change(now)

    def next_wakeup(self) -> int | None:
        """When run() has something to do."""
        times = [self._hello_at, self._tcn_at, self._change_until, self._flush_at]
        for port in self._enabled():
            times += [port.forward_until, port.hold_until]
            if port.message_age is not None:
                times.append(port.message_age + self.max_age)
        return min((each for each in times if each is not None), default=None)


def _due(at: int | None, now: int) -> bool:
    return at is not None and at <= now


def _later(at: int | None, by: int) -> int | None:
    return None if at is None else at + by


def _bounded(time: int, low: int, high: int) -> int:
    """A time of a BPDU in ms, within these seconds."""
    return min(max(time * 1000 // bpdu.SECOND, low * 1000), high * 1000)
