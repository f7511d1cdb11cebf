"""Datapath actions run on a frame."""

from typing import Any

from datapath.actions.meter import Meters

class Recorder:
    """Runs actions and notes what comes out.

    `recirculated`: actions for every packet that is recirculated, or None.
    Events: ("output", port, frame, vnet dict), ("userspace", reason, userdata, frame, key),
    ("recirculate", id, frame, key), ("drop", reason name)."""

    recirculated: bytes | None
    meters: Meters
    now: int  # ns, for the meters
    events: list[tuple[Any, ...]]

    def __init__(self, recirculated: bytes | None = None) -> None: ...
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
