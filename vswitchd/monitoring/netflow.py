"""What the NetFlow row of a bridge asks for: its exporter, and collectors."""

import time
from typing import Any
from zlib import crc32

from ofproto.exports import netflow
from pyvs import clock
from vswitchd.database.config import NetflowRow
from vswitchd.monitoring.collectors import Collectors

NETFLOW_PORT = 2055  # where a target names none


class BridgeNetflow:
    """The exporter stays while the row is only changed: flows go on."""

    def __init__(self, ofproto: Any):
        self._ofproto = ofproto
        self._row: NetflowRow | None = None
        self._exporter: netflow.Exporter | None = None
        self._collectors = Collectors((), NETFLOW_PORT)

    def configure(self, row: NetflowRow | None) -> None:
        if row == self._row:
            return
        self._row = row
        if row is None:
            self._stop()
            return
        self._collectors.close()
        self._collectors = Collectors(row.targets, NETFLOW_PORT)
        settings = self._settings(row)
        if self._exporter is not None:
            self._exporter.settings = settings
            return
        self._tell(netflow.Exporter(settings, clock.msec()))

    def _settings(self, row: NetflowRow) -> netflow.Settings:
        """An engine without a number has one of the bridge's name."""
        own = crc32(self._ofproto.name.encode()) & 0xFF
        timeout = {0: netflow.DEFAULT_TIMEOUT, -1: 0}.get(row.active_timeout, row.active_timeout)
        return netflow.Settings(
            own if row.engine_type is None else row.engine_type,
            own if row.engine_id is None else row.engine_id,
            timeout,
            row.add_id_to_interface,
        )

    def _tell(self, exporter: netflow.Exporter | None) -> None:
        self._exporter = exporter
        self._ofproto.xbridge.netflow = exporter
        self._ofproto.xbridge.touch()

    def _stop(self) -> None:
        if self._exporter is not None:
            now = clock.msec()
            self._exporter.epoch = _epoch(now)
            self._collectors.send(self._exporter.close(now))
            self._tell(None)
        self._collectors.close()

    def run(self, now: int) -> None:
        if self._exporter is not None:
            self._exporter.run(now)
            self._exporter.epoch = _epoch(now)
            self._collectors.send(self._exporter.take(now))

    def next_run(self) -> int | None:
        """When run() has something to do, in ms."""
        return None if self._exporter is None else self._exporter.next_run()


def _epoch(now: int) -> int:
    """Asked each time: the host's clock may be set long after we began."""
    return time.time_ns() // 1_000_000 - now
