"""Datapath actions run on a frame."""

from collections.abc import Callable
from typing import Any

from datapath.actions.meter import Meters

class Recorder:
    """Runs actions and notes what comes out.

    `recirculated`: actions for every packet that is recirculated, or None.
    Events: ("output", port, frame, vnet dict), ("userspace", reason, userdata, frame, key),
    ("recirculate", id, frame, key), ("ct", struct ct_action), ("drop", reason name).

    `tracker(ct_action, key)` gives a key whose ct_* are what it says of the packet; without one, ct
    drops it.  Endless recirculation, as ct in a circle makes, is the caller's to end."""

    recirculated: bytes | None
    meters: Meters
    now: int  # ns, for the meters
    events: list[tuple[Any, ...]]
    mtus: dict[int, int]  # port -> bytes
    tunnels: dict[int, int]  # port -> TUNNEL_* of those that are a tunnel's

    def __init__(
        self,
        recirculated: bytes | None = None,
        tracker: Callable[[bytes, bytes], bytes] | None = None,
    ) -> None: ...
    def run(
        self,
        frame: bytes,
        actions: bytes,
        in_port: int = 0,
        vnet: dict[str, int] | None = None,
        headroom: int = 128,
        skb_priority: int = 0,
        pkt_mark: int = 0,
        packet_type: int = 0,
    ) -> list[tuple[Any, ...]]: ...
