"""Protocols that each interface speaks for itself: a session for each that asks for one."""

import time
from typing import Any
from uuid import UUID

from pyvs import clock
from vswitchd.database.config import PortConfig
from vswitchd.database.settings import NO_UUID
from vswitchd.devices.iface import Iface
from vswitchd.protocols.base import Protocol, Rows

SLICE = 0.01  # s of one run(), for sessions that have their turn


class PerInterface(Protocol):
    """Subclasses say what a session is.  It has `changed`, run(now, packets) and next_run()."""

    slow = 0  # the bit of its packets, see XPort.listen

    def __init__(self, ofproto: Any):
        super().__init__(ofproto)
        self.sessions: dict[str, Any] = {}  # by interface
        self._ifaces: dict[str, Iface] = {}
        self._members: dict[str, set[str]] = {}  # of a Port
        self._had: set[UUID] = set()  # interfaces whose columns are to be emptied
        # What ports have received, as of the time `_asked_at`: their datapath is another process.
        self._asked_at: int | None = None
        self._asked: dict[str, int] = {}

    # --- what a subclass says

    def wants(self, iface: Iface) -> bool:
        raise NotImplementedError

    def begin(self, iface: Iface, now: int) -> Any:
        """A session as the row says; the same for one that there is is configure()."""
        raise NotImplementedError

    def configure_session(self, session: Any, iface: Iface, now: int) -> None:
        raise NotImplementedError

    def listening(self, iface: Iface) -> dict[str, Any]:
        """Which packets it takes: keywords of XPort.listen."""
        raise NotImplementedError

    def receive(self, session: Any, frame: bytes, now: int) -> None:
        raise NotImplementedError

    def frame(self, session: Any, iface: Iface, payload: bytes) -> bytes:
        """What is sent for a payload."""
        raise NotImplementedError

    def is_oam(self, iface: Iface) -> bool:
        """Whether a tunnel is to mark what is sent as the network's own."""
        return False

    def is_live(self, session: Any, now: int) -> bool:
        raise NotImplementedError

    def counts_data(self, session: Any) -> bool:
        """Whether it has to know what else the port receives."""
        return False

    def columns(self, session: Any, now: int) -> dict[str, Any]:
        raise NotImplementedError

    # --- interfaces come and go

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        names = {iface.name for iface in members}
        before = self._members.get(port.name, set())
        self._members[port.name] = names
        for name in before - names:
            self._leave_port(name)
        for iface in members:
            self._take(iface, now)

    def drop_port(self, name: str, now: int) -> None:
        for member in self._members.pop(name, ()):
            self._leave_port(member)

    def _leave_port(self, name: str) -> None:
        """Unless another Port has the interface already."""
        if not any(name in members for members in self._members.values()):
            self._end(name)

    def leave(self, iface: Iface, now: int) -> None:
        if self._ifaces.get(iface.name) is iface:
            self._end(iface.name)

    def _take(self, iface: Iface, now: int) -> None:
        name = iface.name
        if not self.wants(iface):
            self._end(name)
            return
        if name in self.sessions and self._ifaces[name] is not iface:
            self._end(name)
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = self.begin(iface, now)
            self.revive(name, lambda kept, at: session.restore(kept, at), now)
        else:
            self.configure_session(session, iface, now)
        self._ifaces[name] = iface
        xport = self.ofproto.ports[iface.ofp_port].xport

        def receive(frame: bytes, now: int) -> None:
            self.receive(session, frame, now)
            self.follow(name, now)

        xport.listen(self.slow, receive, **self.listening(iface))
        session.changed = True
        self.follow(name, now)

    def _end(self, name: str) -> None:
        if self.sessions.pop(name, None) is None:
            return
        iface = self._ifaces.pop(name)
        self.unlisten(iface, self.slow)
        self.judge(iface, None)
        self._had.add(iface.config.uuid)
        self.has_news = True

    def kept(self, now: int) -> dict[str, Any]:
        return {name: session.kept(now) for name, session in self.sessions.items()}

    # --- the daemon's rhythm

    def run(self, now: int) -> None:
        """Those that have waited longest first; who is left is due at once."""
        rows = ((session.next_run(), name) for name, session in self.sessions.items())
        due = sorted(row for row in rows if row[0] <= now)
        end = time.monotonic() + SLICE
        for _, name in due:
            self.follow(name, now)
            if time.monotonic() > end:
                break

    def next_run(self) -> int | None:
        return min((session.next_run() for session in self.sessions.values()), default=None)

    def follow(self, name: str, now: int) -> None:
        """Send what is due, and tell what became of the session."""
        session, iface = self.sessions[name], self._ifaces[name]
        payload = session.run(now, self._received(session, iface, now))
        if payload is not None:
            frame = self.frame(session, iface, payload)
            self.ofproto.send_frame(iface.ofp_port, frame, now, self.is_oam(iface))
        if session.changed:
            session.changed = False
            self.has_news = True
            self.judge(iface, self.is_live(session, now))

    def _received(self, session: Any, iface: Iface, now: int) -> int:
        """Packets, ever; 0 where nobody wants to know."""
        if not self.counts_data(session):
            return 0
        if now != self._asked_at:
            self._asked_at, self._asked = now, {}
        found = self._asked.get(iface.name)
        if found is None:
            found = self.ofproto.port_stats(iface.ofp_port).get("rx_packets", 0)
            self._asked[iface.name] = found
        return found

    def close(self) -> None:
        for iface in self._ifaces.values():
            self.unlisten(iface, self.slow)
        self.sessions.clear()
        self._ifaces.clear()

    def mac(self, iface: Iface) -> bytes:
        """The address of its device."""
        return self.ofproto.ports[iface.ofp_port].hw_addr

    def rows(self, bridge_uuid: UUID) -> Rows:
        rows: Rows = {("Interface", uuid): dict(self.NOTHING) for uuid in self._had}
        self._had.clear()
        for name, session in self.sessions.items():
            uuid = self._ifaces[name].config.uuid
            if uuid != NO_UUID:
                rows["Interface", uuid] = self.columns(session, clock.msec())
        return rows
