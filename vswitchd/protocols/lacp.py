"""LACP of a bridge's ports: Port's and Interface's columns, and what bonds go by."""

from typing import Any
from uuid import UUID

import ovs.vlog

from datapath.actions import odp
from datapath.base.protocols import ETH_SLOW
from ofproto.exports.sflow_counters import LacpPort
from ofproto.protocols.lacp import (
    ACTIVITY,
    ADDRESS,
    AGGREGATION,
    TIMEOUT,
    Aggregate,
    Member,
    MemberSettings,
    Settings,
)
from pyvs.once import Once
from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.database.settings import NO_UUID, within
from vswitchd.devices.iface import Iface
from vswitchd.protocols.base import Protocol, Rows
from vswitchd.protocols.frames import ethernet, payload_of

vlog = ovs.vlog.Vlog("lacp")

MAX_PRIORITY = 65535
CONFIGURED = ACTIVITY | TIMEOUT | AGGREGATION  # states that are settings


class _Port:
    """A Port row with LACP."""

    def __init__(self, config: PortConfig, aggregate: Aggregate):
        self.config = config
        self.aggregate = aggregate
        self.members: dict[str, Iface] = {}


class Lacp(Protocol):
    name = "lacp"
    kept_for = 90_000
    NOTHING = {"lacp_current": []}

    def __init__(self, ofproto: Any):
        super().__init__(ofproto)
        self._ports: dict[str, _Port] = {}
        self._port_of: dict[str, _Port] = {}  # by member
        self._had: dict[UUID, None] = {}  # interfaces whose columns are to be emptied
        self._mac = bytes(6)  # the bridge's
        self._told = Once()

    # --- configuration

    def configure(self, config: BridgeConfig, mac: bytes, now: int) -> None:
        if mac != self._mac:
            self._mac = mac
            for port in self._ports.values():
                port.aggregate.configure(self._settings(port.config, len(port.members)))

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        if port.lacp not in ("active", "passive") or not members or not self._has_system(port):
            self.drop_port(port.name, now)
            return
        settings = self._settings(port, len(members))
        known = self._ports.get(port.name)
        if known is None:
            known = self._ports[port.name] = _Port(port, Aggregate(settings))
        known.config = port
        wanted = {iface.name: iface for iface in members}
        for name in known.members.keys() - wanted.keys():
            self._drop_member(known, name)
        for name, iface in wanted.items():
            known.members[name] = iface
            self._port_of[name] = known
            known.aggregate.set_member(name, _member_settings(iface), now)
        self.revive(port.name, known.aggregate.restore, now)
        for name, iface in wanted.items():
            known.aggregate.set_carrier(name, iface.is_up(), now)
            self._listen(known, iface)
        known.aggregate.configure(settings)
        self._follow(known, now, everything=True)

    def _has_system(self, port: PortConfig) -> bool:
        """Not if one is given that is no address: under the bridge's, the partner could take
        this for an aggregate that it is not."""
        text = port.other_config.get("lacp-system-id")
        if text is None or _system_id(text) is not None:
            return True
        wrong = f"port {port.name}: lacp-system-id {text} is no Ethernet address: there is no LACP"
        if self._told.is_new(wrong):
            vlog.warn(wrong)
        return False

    def _settings(self, port: PortConfig, n_members: int) -> Settings:
        other = port.other_config
        system = _system_id(other.get("lacp-system-id", ""))
        default = MAX_PRIORITY - (n_members > 1)
        return Settings(
            system or self._mac,
            within(other, "lacp-system-priority", default, 1, MAX_PRIORITY),
            active=port.lacp == "active",
            fast=other.get("lacp-time") == "fast",
            fallback=other.get("lacp-fallback-ab") == "true",
        )

    def _listen(self, port: _Port, iface: Iface) -> None:
        def receive(frame: bytes, now: int) -> None:
            answer = port.aggregate.receive(iface.name, payload_of(frame), now)
            if answer is not None:
                self._send(iface, answer, now)
            self._follow(port, now)

        self.ofproto.ports[iface.ofp_port].xport.listen(odp.LACP, receive)

    def drop_port(self, name: str, now: int) -> None:
        port = self._ports.pop(name, None)
        for member in list(port.members) if port else ():
            self._drop_member(port, member)

    def _drop_member(self, port: _Port, name: str) -> None:
        if self._port_of.get(name) is port:
            del self._port_of[name]
        iface = port.members.pop(name)
        port.aggregate.drop_member(name)
        if any(name in each.members for each in self._ports.values()):
            return  # another Port has it already
        self.unlisten(iface, odp.LACP)
        self.judge(iface, None)
        self._had[iface.config.uuid] = None
        self.has_news = True

    def leave(self, iface: Iface, now: int) -> None:
        for name, port in list(self._ports.items()):
            if port.members.get(iface.name) is iface:
                self._drop_member(port, iface.name)
                if not port.members:
                    del self._ports[name]

    def link_changed(self, iface: Iface, now: int) -> None:
        for port in self._ports.values():
            if port.members.get(iface.name) is iface:
                port.aggregate.set_carrier(iface.name, iface.is_up(), now)
                self._follow(port, now)

    def kept(self, now: int) -> dict[str, Any]:
        return {name: port.aggregate.kept(now) for name, port in self._ports.items()}

    # --- the daemon's rhythm

    def run(self, now: int) -> None:
        for port in self._ports.values():
            when = port.aggregate.next_run()
            if when is not None and now >= when:
                self._follow(port, now)

    def next_run(self) -> int | None:
        times = [port.aggregate.next_run() for port in self._ports.values()]
        return min((when for when in times if when is not None), default=None)

    def _follow(self, port: _Port, now: int, everything: bool = False) -> None:
        """Send what is due, and tell what became of the members."""
        for name, payload in port.aggregate.run(now):
            self._send(port.members[name], payload, now)
        if not (port.aggregate.changed or everything):
            return
        port.aggregate.changed = False
        self.has_news = True
        for name, iface in port.members.items():
            self.judge(iface, port.aggregate.may_enable(name))
            self.judged.add(name)

    def _send(self, iface: Iface, payload: bytes, now: int) -> None:
        source = self.ofproto.ports[iface.ofp_port].hw_addr
        frame = ethernet(ADDRESS, source, ETH_SLOW, payload)
        self.ofproto.send_frame(iface.ofp_port, frame, now)

    def close(self) -> None:
        for port in self._ports.values():
            for iface in port.members.values():
                self.unlisten(iface, odp.LACP)
        self._ports.clear()

    # --- for others

    @property
    def aggregates(self) -> dict[str, Aggregate]:
        """By name of the Port."""
        return {name: port.aggregate for name, port in self._ports.items()}

    def of_bond(self, name: str) -> Aggregate | None:
        """That of a Port, if it speaks LACP."""
        port = self._ports.get(name)
        return port.aggregate if port is not None else None

    def counted(self, name: str) -> LacpPort | None:
        """Of an interface, as sFlow tells it."""
        port = self._port_of.get(name)
        member = port.aggregate.members.get(name) if port is not None else None
        return _lacp_port(port.aggregate, member) if member is not None else None

    def rows(self, bridge_uuid: UUID) -> Rows:
        rows: Rows = {("Interface", uuid): dict(self.NOTHING) for uuid in self._had}
        self._had.clear()
        for port in self._ports.values():
            for name, iface in port.members.items():
                if iface.config.uuid != NO_UUID:
                    current = port.aggregate.is_current(name)
                    rows["Interface", iface.config.uuid] = {"lacp_current": [current]}
        return rows


def _system_id(text: str) -> bytes | None:
    """Any address but zero."""
    try:
        found = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return None
    return found if len(found) == 6 and any(found) else None


def _lacp_port(aggregate: Aggregate, member: Member) -> LacpPort:
    oper, counts = aggregate.actor(member).state, member.counts
    return LacpPort(
        aggregate.settings.sys_id, member.partner.sys_id, aggregate.key, oper & CONFIGURED, oper,
        member.partner.state, counts.received, counts.bad, counts.sent,
    )  # fmt: skip


def _member_settings(iface: Iface) -> MemberSettings:
    other = iface.config.other_config

    def number(key: str, default: int) -> int:
        return within(other, key, default, 1, MAX_PRIORITY)

    return MemberSettings(
        iface.name,
        number("lacp-port-id", iface.ofp_port),
        number("lacp-port-priority", MAX_PRIORITY),
        number("lacp-aggregation-key", 0),
    )
