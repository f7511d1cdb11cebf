"""The Rapid Spanning Tree Protocol of IEEE 802.1D-2004, clause 17, without sockets and clock.

A Rstp is a bridge: it selects the ports' roles, and runs their machines (rstp_port.py).  Times are
in ms and given with each call.  Frames to send and what to forget are kept until take_frames() and
take_flushes().
"""

import contextlib
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from ofproto.protocols import bpdu
from ofproto.protocols.bpdu import Bpdu, address_of
from ofproto.protocols.kept import MAC, U8, U16, KeptTree, record
from ofproto.protocols.rstp_port import (
    AGED,
    ALTERNATE,
    BACKUP,
    DESIGNATED,
    DISABLED_INFO,
    DISABLED_PORT,
    MINE,
    RECEIVED,
    ROOT,
    Port,
    PortSettings,
    Times,
    Vector,
)

HELLO_TIME = 2  # the standard has no other
TICK = 1000
# Seconds made up for one by one, when nobody called for a while.
MAX_TICKS = 64
# Rounds of machines for one event; a port needs some ten, and waits for others.
MAX_ROUNDS = 100


class Settings(NamedTuple):
    """Times in seconds; `version` 0 is a bridge of 802.1D-1998's behaviour."""

    priority: int  # a multiple of 4096
    address: bytes
    version: int = 2
    max_age: int = 20
    forward_delay: int = 15
    transmit_hold_count: int = 6


_SETTINGS = record(Settings, U16, MAC, U8, U8, U8, U8)


class Rstp:
    """One bridge."""

    def __init__(self, settings: Settings, now: int):
        self.ports: dict[Hashable, Port] = {}
        self.settings = settings
        self.root_priority = self._own_vector()
        self.root_times = self.own_times()
        self.root_port: Port | None = None
        self._now = now
        self._next_tick = now + TICK
        self._frames: list[tuple[Hashable, bytes]] = []
        self._flushes: list[Hashable | None] = []
        # Ports whose machines may have something to do: to go through all of a thousand takes too
        # long for each frame.
        self._stirred: dict[Port, None] = {}
        self._is_held = False  # by together()
        self._behind: Port | None = None  # the port that was not in step when it was asked last

    # --- what it is

    @property
    def bridge_id(self) -> int:
        return bpdu.bridge_id(self.settings.priority, self.settings.address)

    @property
    def is_root(self) -> bool:
        return self.root_priority.root == self.bridge_id

    @property
    def rstp_version(self) -> bool:
        return self.settings.version >= 2

    def own_times(self) -> Times:
        settings = self.settings
        return Times(0, settings.max_age, HELLO_TIME, settings.forward_delay)

    def _own_vector(self) -> Vector:
        return Vector(self.bridge_id, 0, self.bridge_id, 0)

    # --- over the death of the process

    def kept(self, now: int) -> KeptTree:
        """For restored() in a process that comes after this one."""
        ports = {key: port.kept(now) for key, port in self.ports.items()}
        root = self.root_port.key if self.root_port is not None else None
        return KeptTree([_SETTINGS.plain(self.settings, now)], root, ports)

    @classmethod
    def restored(cls, kept: KeptTree, now: int) -> "Rstp":
        """The bridge that it was, with the ports that `kept` has still.  ValueError or TypeError
        where that is none."""
        tree = cls(_SETTINGS.value(kept.bridge[0], now), now)
        for key, plain in kept.ports.items():
            tree.ports[key] = Port.restored(key, tree, plain, now)
        tree._stirred.update(dict.fromkeys(tree.ports.values()))
        tree._select_root()
        if (tree.root_port and tree.root_port.key) != kept.root_port:
            tree._select_again()
        return tree

    # --- configuration

    def configure(self, settings: Settings, now: int) -> None:
        """Take over other settings."""
        self._now = now
        old, self.settings = self.settings, settings
        for port in self.ports.values():
            if old.version != settings.version:
                self._restart(port)
            if old.transmit_hold_count != settings.transmit_hold_count:
                port.tx_count = 0
        self._select_again()

    def _restart(self, port: Port) -> None:
        was = port.learning
        port._begin()
        if was:
            self.flush(port)
            self.state_changed(port)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is said of ports in here counts as said at once; remove_port() is not for here."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self.settle()

    def set_port(self, key: Hashable, settings: PortSettings, now: int) -> None:
        """Add a port, without link, or give it other settings."""
        self._now = now
        port = self.ports.get(key)
        if port is None:
            self._stirred[self.ports.setdefault(key, Port(key, self, settings, now))] = None
            self.settle()
            return
        old, port.settings = port.settings, settings
        port.mcheck |= settings.mcheck and not old.mcheck and self.rstp_version
        if old.admin_edge != settings.admin_edge:
            port.oper_edge = settings.admin_edge
        self._select_again()

    def set_link(self, key: Hashable, up: bool, now: int) -> None:
        self._now = now
        port = self.ports[key]
        if port.link != up:
            port.link = up
            self._stirred[port] = None
            self.settle()

    def remove_port(self, key: Hashable, now: int) -> None:
        """Without its link it is nothing to the others already."""
        self.set_link(key, False, now)
        port = self.ports.pop(key)
        self._stirred.pop(port, None)
        self._behind = None

    def _select_again(self) -> None:
        for port in self.ports.values():
            if port.info_is != DISABLED_INFO:
                port.reselect, port.selected = True, False
        self._settle_all()

    # --- events

    def receive(self, key: Hashable, frame: bytes, now: int) -> None:
        """A frame to the bridges' group address came in on a port; others' are ignored."""
        port = self.ports.get(key)
        if port is None or not port.enabled:
            return
        self._now = now
        try:
            message = bpdu.decode(frame)
        except ValueError:
            port.errors += 1
            return
        port.rx += 1
        if message.kind == bpdu.RST and not self.rstp_version:
            return
        port.receive(message)
        self._stirred[port] = None
        self.settle()

    def detect_change(self, now: int) -> None:
        """As if each port had begun to forward: for `rstp/tcn`."""
        self._now = now
        for port in self.ports.values():
            port.rcvd_tcn |= port.active
        self._settle_all()

    def run(self, now: int) -> None:
        """Do what is due."""
        if now < self._next_tick:
            return
        ticks = min((now - self._next_tick) // TICK + 1, MAX_TICKS)
        self._next_tick = max(self._next_tick + ticks * TICK, now + 1)
        for left in reversed(range(ticks)):
            self._now = now - left * TICK
            for port in self.ports.values():
                port.tick()
            self._settle_all()

    def next_wakeup(self) -> int | None:
        """When run() has something to do."""
        return self._next_tick if any(port.enabled for port in self.ports.values()) else None

    def _settle_all(self) -> None:
        self._stirred.update(dict.fromkeys(self.ports.values()))
        self.settle()

    def settle(self) -> None:
        """Run the machines of ports that are stirred, and of those that they stir, until none has
        anything to do."""
        if self._is_held:
            return
        seen: dict[Port, None] = {}  # since they could send last
        for _ in range(MAX_ROUNDS):
            if self._stirred:
                self._round(seen)
                continue
            sent = [port for port in self._in_order(seen) if port.transmit()]
            if not sent:
                return
            seen = dict.fromkeys(sent)
            self._stirred.update(seen)

    def _in_order(self, ports: dict[Port, None]) -> list[Port]:
        """As they stand in the bridge, however they were stirred."""
        if len(ports) < 2:
            return list(ports)
        return [port for port in self.ports.values() if port in ports]

    def _round(self, seen: dict[Port, None]) -> None:
        stirred, self._stirred = self._stirred, {}
        moved = [port for port in stirred if port.migration() | port.edge() | port.information()]
        anew = self._select_roles()
        active = stirred | self._stirred
        for port in active:
            if port.role_transition() | port.state_transition() | port.topology_change():
                moved.append(port)
        seen.update(active)
        self._stirred.update(dict.fromkeys(moved))
        if moved or anew:
            self._stirred.update((port, None) for port in self.ports.values() if port.waits)

    # --- what the ports tell and ask

    def take_frames(self) -> list[tuple[Hashable, bytes]]:
        """(key, frame) of all that is to be sent since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def take_flushes(self) -> list[Hashable]:
        """The ports on which what was learned is to be forgotten."""
        flushes, self._flushes = self._flushes, []
        return list(dict.fromkeys(flushes))

    def send(self, port: Port, message: Bpdu) -> None:
        self._frames.append((port.key, bpdu.encode(message, port.settings.address)))

    def flush(self, port: Port) -> None:
        self._flushes.append(port.key)

    def state_changed(self, port: Port) -> None:
        port.since = self._now

    def set_sync(self) -> None:
        self._set_all("sync", self.ports.values())

    def set_re_root(self) -> None:
        self._set_all("re_root", self.ports.values())

    def propagate_change(self, origin: Port) -> None:
        """setTcPropTree()."""
        self._set_all("tc_prop", (port for port in self.ports.values() if port is not origin))

    def _set_all(self, flag: str, ports: Iterable[Port]) -> None:
        for port in ports:
            if not getattr(port, flag):
                setattr(port, flag, True)
                self._stirred[port] = None

    def all_synced(self) -> bool:
        """allSynced, in which the port that asks counts like all others.  Who was not in step the
        last time is asked first: many ask while one of many is not."""
        if self._behind is None or self._behind.is_in_step:
            ports = self.ports.values()
            self._behind = next((port for port in ports if not port.is_in_step), None)
        return self._behind is None

    # --- role selection (17.28)

    def _select_roles(self) -> bool:
        ports = self.ports.values()
        if not any(port.reselect for port in ports):
            return False
        for port in ports:
            port.reselect = False
        self._select_root()
        for port in ports:
            before = port.selection
            port.designated_priority = Vector(
                self.root_priority.root, self.root_priority.cost, self.bridge_id, port.port_id
            )
            port.designated_times = self.root_times
            port.selected_role, port.updt_info = self._role_of(port)
            port.selected = True
            if port.selection != before:
                self._stirred[port] = None
        return True

    def _select_root(self) -> None:
        """The best of the bridge's own vector and what ports have heard."""
        best, self.root_port = (*self._own_vector(), 0), None
        own = address_of(self.bridge_id)
        for port in self.ports.values():
            heard = port.port_priority
            if port.info_is != RECEIVED or address_of(heard.bridge) == own:
                continue
            cost = min(heard.cost + port.settings.path_cost, bpdu.MOST_COST)
            vector = (heard.root, cost, heard.bridge, heard.port, port.port_id)
            if vector < best:
                best, self.root_port = vector, port
        self.root_priority = Vector(*best[:4])
        if self.root_port is None:
            self.root_times = self.own_times()
        else:
            times = self.root_port.port_times
            self.root_times = times._replace(age=min(times.age + 1, bpdu.MOST_AGE))

    def _role_of(self, port: Port) -> tuple[int, bool]:
        """Its role, and updtInfo."""
        if port.info_is == DISABLED_INFO:
            return DISABLED_PORT, False
        if port.info_is == AGED:
            return DESIGNATED, True
        if port.info_is == MINE:
            same = (port.port_priority, port.port_times) == (
                port.designated_priority,
                port.designated_times,
            )
            return DESIGNATED, not same
        if port is self.root_port:
            return ROOT, False
        if port.designated_priority < port.port_priority:
            return DESIGNATED, True
        own = address_of(self.bridge_id)
        return (BACKUP if address_of(port.port_priority.bridge) == own else ALTERNATE), False
