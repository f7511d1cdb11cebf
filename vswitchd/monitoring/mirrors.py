"""What the Mirror rows of a bridge ask for, as its Ofproto takes it."""

from collections.abc import Container

import ovs.vlog

from ofproto.mirrors import MirrorSettings
from pyvs.once import Once
from vswitchd.database.config import BridgeConfig, MirrorRow

vlog = ovs.vlog.Vlog("bridge")

WHOLE = 65535  # snaplen that cuts nothing


class MirrorRows:
    """Of one bridge.  What is wrong with a row is said once."""

    def __init__(self, bridge: str):
        self._bridge = bridge
        self._told = Once()

    def settings(self, config: BridgeConfig, ports: Container[str]) -> list[MirrorSettings]:
        """Those of rows that have an output; `ports`, the bridge's."""
        usable = [row for row in config.mirrors if self._has_output(row, ports)]
        return [self._settings(row, ports) for row in usable]

    def _has_output(self, row: MirrorRow, ports: Container[str]) -> bool:
        if row.output_port is not None and row.output_port not in ports:
            self._tell(row, "outputs to port not on bridge")
            return False
        if row.output_port is None and row.output_vlan is None:
            self._tell(row, "does not specify output; ignoring")
            return False
        return True

    def _settings(self, row: MirrorRow, ports: Container[str]) -> MirrorSettings:
        if row.output_port is not None and row.output_vlan is not None:
            self._tell(row, "specifies both output port and output vlan; ignoring output vlan")
        for name in {*row.src_ports, *row.dst_ports}:
            if name not in ports:
                self._tell(row, f"cannot mirror port {name}, which is not on the bridge")
        return MirrorSettings(
            row.uuid,
            row.name,
            row.select_all,
            row.src_ports,
            row.dst_ports,
            row.vlans,
            row.output_port,
            -1 if row.output_port is not None else row.output_vlan,
            0 if row.snaplen in (None, WHOLE) else row.snaplen,
        )

    def _tell(self, row: MirrorRow, what: str) -> None:
        text = f"bridge {self._bridge}: mirror {row.name} {what}"
        if self._told.is_new(text):
            vlog.err(text)
