"""LLDP of a bridge's interfaces: column lldp, and rows of AutoAttach."""

from typing import Any
from uuid import UUID

from datapath.actions import odp
from datapath.base.protocols import ETH_LLDP
from ofproto.protocols.lldp import ADDRESS, Agent, Settings
from pyvs.version import VERSION
from vswitchd.database.config import BridgeConfig, PortConfig
from vswitchd.database.settings import NO_UUID
from vswitchd.devices.iface import Iface
from vswitchd.protocols.base import Rows
from vswitchd.protocols.frames import ethernet, payload_of
from vswitchd.protocols.per_interface import PerInterface

NAME, DESCRIPTION = "pyvs", f"pyvs {VERSION}"  # of bridges without an AutoAttach row


class Lldp(PerInterface):
    name = "lldp"
    slow = odp.LLDP

    def __init__(self, ofproto: Any):
        super().__init__(ofproto)
        self._config: BridgeConfig | None = None
        self._ports: dict[str, PortConfig] = {}  # by interface

    def configure(self, config: BridgeConfig, mac: bytes, now: int) -> None:
        before, self._config = self._config, config
        if before is None or before.auto_attach != config.auto_attach:
            for name, agent in self.sessions.items():
                agent.configure(self._settings(self._ifaces[name]), now)

    def _settings(self, iface: Iface) -> Settings:
        row = self._config.auto_attach if self._config is not None else None
        return Settings(
            self.mac(iface),
            iface.name,
            (row and row.system_name) or NAME,
            (row and row.system_description) or DESCRIPTION,
            row.mappings if row else (),
        )

    def wants(self, iface: Iface) -> bool:
        return iface.config.lldp.get("enable") == "true"

    def begin(self, iface: Iface, now: int) -> Agent:
        return Agent(self._settings(iface), now)

    def configure_session(self, session: Agent, iface: Iface, now: int) -> None:
        session.configure(self._settings(iface), now)

    def listening(self, iface: Iface) -> dict[str, Any]:
        return {}

    def receive(self, session: Agent, frame: bytes, now: int) -> None:
        session.receive(payload_of(frame), now)

    def frame(self, session: Agent, iface: Iface, payload: bytes) -> bytes:
        return ethernet(ADDRESS, self.mac(iface), ETH_LLDP, payload)

    def is_live(self, session: Agent, now: int) -> None:
        """It judges no port."""

    def columns(self, session: Agent, now: int) -> dict[str, Any]:
        return {}

    def set_port(self, port: PortConfig, members: list[Iface], now: int) -> None:
        super().set_port(port, members, now)
        self._ports.update({iface.name: port for iface in members})
        for iface in members:
            if iface.name in self.sessions:
                self._forget_done(self.sessions[iface.name], port)

    @staticmethod
    def _forget_done(session: Agent, port: PortConfig) -> None:
        for vlan, wanted in list(session.trunks.items()):
            if (vlan in port.trunks) == wanted:
                del session.trunks[vlan]

    def rows(self, bridge_uuid: UUID) -> Rows:
        """What Auto Attach has granted is among the Port's trunks, until it is there to be seen."""
        rows = super().rows(bridge_uuid)
        for name, session in self.sessions.items():
            port = self._ports.get(name)
            if not session.trunks or port is None or port.uuid == NO_UUID:
                continue
            trunks = set(port.trunks) | {vlan for vlan, on in session.trunks.items() if on}
            trunks -= {vlan for vlan, on in session.trunks.items() if not on}
            rows["Port", port.uuid] = {"trunks": sorted(trunks)}
        return rows

    def leave(self, iface: Iface, now: int) -> None:
        super().leave(iface, now)
        self._ports.pop(iface.name, None)

    def kept(self, now: int) -> dict[str, Any]:
        """Neighbours say all of it again."""
        return {}
