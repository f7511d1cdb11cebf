"""Upcalls: packets the datapath has no flow for are translated and their flow is installed."""

from typing import Any

from ofproto.program import Program
from ofproto.xbridge import Generation, XBridge, XPort

class Ukey:
    """A datapath flow as vswitchd knows it."""

    ufid: bytes
    @property
    def key(self) -> bytes: ...  # KEY_DP_SIZE bytes
    @property
    def mask(self) -> bytes: ...
    @property
    def actions(self) -> bytes: ...
    packets: int
    bytes: int
    used: int  # ms

class UpcallHandler:
    """Of one datapath.  Times in monotonic milliseconds."""

    dpif: Any
    generation: Generation  # pass it to each XBridge of this datapath
    flow_limit: int
    def __init__(self, dpif: Any = None) -> None: ...
    def set_dpif(self, dpif: Any) -> None:
        """After a reconnect (None: disconnected); forgets the flows known of the old datapath."""

    def add_bridge(self, bridge: XBridge) -> None: ...
    def remove_bridge(self, bridge: XBridge) -> None: ...
    def port_set(self, odp_port: int, port: XPort) -> None:
        """Packets with this datapath port number come in by `port`; sets port.odp_port."""

    def port_del(self, odp_port: int) -> None: ...
    def run(self, now: int, limit: int = 4096) -> int:
        """Answers up to `limit` upcalls; returns how many, `limit` when more may be waiting."""

    def packet_out(
        self, bridge: XBridge, packet: bytes, in_port: int, program: Program, now: int
    ) -> None:
        """Runs an OpenFlow action list on a packet, with statistics and learning."""

    def flush(self) -> None:
        """Deletes all flows from the datapath."""

    def stats(self) -> dict[str, int]: ...
    def ukeys(self) -> list[Ukey]: ...

class Revalidator:
    """Keeps the datapath's flows and OpenFlow statistics right.

    `ready`: set it once the configuration is complete; until then no flow that was found in a
    surviving datapath is deleted or changed.
    """

    ready: bool
    interval: int  # ms between two rounds of statistics
    max_idle: int  # ms
    def __init__(self, handler: UpcallHandler) -> None: ...
    def run(self, now: int) -> bool:
        """A bounded piece of work; True when there is more to do at once."""

    def next_run(self, now: int) -> int:
        """Milliseconds until run() should be called again; 0: at once."""

    def sync(self, now: int) -> None:
        """A whole round at once: statistics of all flows are credited when it returns."""
